"""Maps over images: what is drawn where, and the words beside it."""

import numpy as np
import pytest

from keras_vit.interpret import plot
from keras_vit.interpret.blending import lay_over
from keras_vit.interpret.canvas import BLUE, VERMILION

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((3, 8, 12, 3)).astype("float32")
HEATS = RANDOM.random((3, 2, 3)).astype("float32")


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float)


def agg(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    return figure


def test_heat_map_puts_image_and_map_side_by_side_and_says_where_the_colours_end():
    figure = plot.heat_map(IMAGES[0], HEATS[0], label="Rollout ($share)", title="Cat $^")
    agg(figure)
    pixels(figure)
    left, right, bar = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), IMAGES[0])
    expected = lay_over(IMAGES[0], HEATS[0])
    np.testing.assert_allclose(right.images[0].get_array(), expected, atol=1e-6)
    assert bar.get_ylabel() == "Rollout ($share)\n1st to 99th percentile"
    np.testing.assert_allclose(bar.get_ylim(), np.percentile(HEATS[0], [1, 99]), rtol=1e-6)
    assert figure.get_suptitle() == "Cat $^"


def test_patches_are_marked_where_they_are():
    marks = np.zeros((2, 3), bool)
    marks[1, 2] = True
    figure = plot.heat_map(IMAGES[0], HEATS[0], marks=marks)
    _, right, _ = figure.axes
    (width, height) = np.shape(right.images[0].get_array())[1::-1]
    np.testing.assert_allclose(
        right.collections[0].get_offsets(), [[width * 2.5 / 3, height * 1.5 / 2]]
    )


def test_the_hottest_place_is_the_hottest_patch():
    heat = np.zeros((4, 4), "float32")
    heat[1, 2] = 1
    figure = agg(plot.heat_map(np.full((64, 64, 1), 0.5, "float32"), heat, style="light"))
    image = pixels(figure)
    box = figure.axes[1].get_window_extent()
    top, bottom = (int(image.shape[0] - y) for y in (box.y1, box.y0))
    part = image[top:bottom, int(box.x0) : int(box.x1)]
    light = part[4:-4, 4:-4].sum(-1)  # without the white around
    row, column = (np.mean(where) for where in np.nonzero(light == light.max()))
    height, width = light.shape
    assert abs(row / height - 1.5 / 4) < 0.06 and abs(column / width - 2.5 / 4) < 0.06


def test_grey_images_are_taken():
    figure = plot.heat_map(IMAGES[0, ..., :1], HEATS[0])
    assert figure.axes[0].images[0].get_array().shape == (8, 12, 3)


def test_rows_have_a_column_for_each_map_and_frames_on_request():
    name = (
        "a name that is far too long for one line above three small pictures, yet stays whole.jpg"
    )
    figure = plot.heat_map_rows(
        [IMAGES[0], np.repeat(IMAGES[1], 2, axis=0), np.uint8(255 * IMAGES[2])],
        {"Rollout": HEATS, "Colours": RANDOM.random((3, 2, 3, 3))},
        row_labels=["a", "$b^", name],
        frames={"Rollout": [(1, 2), (0, 0), (1, 0)]},
        marks={"Rollout": HEATS > 2},
    )
    pixels(agg(figure))
    assert len(figure.axes) == 9
    titles = [axes.texts[-1].get_text() for axes in figure.axes[:3]]
    assert titles == ["Image", "Rollout", "Colours"]
    labels = [figure.axes[index].texts[0].get_text() for index in (0, 3, 6)]
    assert [label.replace("\n", " ") for label in labels] == ["a", "$b^", name]
    frame, (height, width) = figure.axes[1].patches[0], figure.axes[1].images[0].get_size()
    assert (frame.get_x(), frame.get_y()) == (width * 2 / 3, height / 2)
    assert (frame.get_width(), frame.get_height()) == (width / 3, height / 2)
    boxes = [axes.get_position().bounds[2:] for axes in figure.axes]
    assert boxes[3][1] == pytest.approx(2 * boxes[0][1])  # each row is as tall as its image


def test_heads_stand_beside_each_other_over_every_image():
    maps = RANDOM.random((3, 4, 2, 3))
    figure = plot.heads_over_images(IMAGES, maps, row_labels=["a", "b", "c"])
    assert len(figure.axes) == 3 * 5
    np.testing.assert_allclose(
        figure.axes[5 + 3].images[0].get_array(), lay_over(IMAGES[1], maps[1, 2]), atol=1e-6
    )


def captions(figure):
    return [(axes.texts[0].get_text(), axes.texts[0].get_color()) for axes in figure.axes[::2]]


def test_predictions_say_what_is_right_and_what_is_wrong():
    figure = plot.predictions(
        IMAGES, ["cat", "$dog^", "ant"], HEATS, true=["cat", "c$at", "ant"], scores=[0.98, 0.5, 1]
    )
    pixels(agg(figure))
    assert captions(figure) == [
        ("✓ cat (98 %)", BLUE),
        ("✗ $dog^ (50 %), true: c$at", VERMILION),
        ("✓ ant (100 %)", BLUE),
    ]


def test_predictions_without_truth_do_not_judge():
    figure = plot.predictions(IMAGES, ["cat", "dog", "ant"], HEATS)
    assert captions(figure) == [("cat", "black"), ("dog", "black"), ("ant", "black")]


def test_long_names_are_cut_and_broken_into_lines():
    name = "black-and-tan coonhound of the mountains"
    figure = plot.predictions(
        IMAGES, [name, name, name], HEATS, true=[name, "ant", "ant"], scores=[0.5, 0.5, 0.5],
        columns=4,
    )  # fmt: skip
    texts = [text for text, _ in captions(figure)]
    assert "\n" not in texts[0] and texts[0].endswith("… (50 %)")
    assert texts[1].split("\n")[1] == "true: ant"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_pairs_stay_inside_the_figure_and_apart(count):
    images, heats = np.repeat(IMAGES[:1], count, 0), np.repeat(HEATS[:1], count, 0)
    figure = plot.predictions(images, ["cat"] * count, heats, columns=2, title="Title")
    assert len(figure.axes) == 2 * count
    boxes = [axes.get_position() for axes in figure.axes]
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            apart = one.x1 <= other.x0 or other.x1 <= one.x0
            assert apart or one.y1 <= other.y0 or other.y1 <= one.y0


def test_sequences_of_another_length_are_an_error():
    with pytest.raises(ValueError, match="`true` to have 3 entries, one an image. Received: 2"):
        plot.predictions(IMAGES, ["a", "b", "c"], HEATS, true=["a", "b"])


def test_images_that_are_not_for_the_eye_are_an_error():
    with pytest.raises(ValueError, match="displayable"):
        plot.heat_map(IMAGES[0] * 4 - 2, HEATS[0])
