"""Maps over images: what is drawn where, and the words beside it."""

import re

import numpy as np
import pytest

from keras_vit.interpret import plot
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


def test_heat_map_puts_image_and_map_side_by_side():
    figure = plot.heat_map(IMAGES[0], HEATS[0], label="Rollout (share)", title="Cat")
    left, right, bar = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), IMAGES[0])
    np.testing.assert_allclose(right.images[1].get_array(), HEATS[0])
    assert right.images[1].get_extent() == [0, 12, 8, 0]
    assert bar.get_ylabel() == "Rollout (share)"
    assert figure.get_suptitle() == "Cat"


def test_the_hottest_place_is_the_hottest_patch():
    heat = np.zeros((4, 4), "float32")
    heat[1, 2] = 1
    figure = agg(plot.heat_map(np.zeros((64, 64, 1), "float32"), heat))
    image = pixels(figure)
    box = figure.axes[1].get_window_extent()
    top, bottom = (int(image.shape[0] - y) for y in (box.y1, box.y0))
    part = image[top:bottom, int(box.x0) : int(box.x1)]
    yellow = part[..., 0] + part[..., 1] - part[..., 2]
    row, column = np.unravel_index(yellow.argmax(), yellow.shape)
    height, width = yellow.shape
    assert abs(row / height - 1.5 / 4) < 0.06 and abs(column / width - 2.5 / 4) < 0.06


def test_grey_images_are_taken():
    figure = plot.heat_map(IMAGES[0, ..., :1], HEATS[0])
    assert figure.axes[0].images[0].get_array().shape == (8, 12, 3)


def test_rows_have_a_column_for_each_map_and_frames_on_request():
    figure = plot.heat_map_rows(
        IMAGES,
        {"Rollout": HEATS, "Colours": RANDOM.random((3, 2, 3, 3))},
        row_labels=["a", "b", "a name that is far too long for a row"],
        marks={"Rollout": [(1, 2), (0, 0), (1, 0)]},
    )
    assert len(figure.axes) == 9
    assert [axes.get_title() for axes in figure.axes[:3]] == ["Image", "Rollout", "Colours"]
    assert re.fullmatch("a name that .*…", figure.axes[6].get_ylabel())
    frame = figure.axes[1].patches[0]
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (8, 4, 4, 4)


def captions(figure):
    return [(axes.texts[0].get_text(), axes.texts[0].get_color()) for axes in figure.axes[::2]]


def test_predictions_say_what_is_right_and_what_is_wrong():
    figure = plot.predictions(
        IMAGES, ["cat", "dog", "ant"], HEATS, true=["cat", "cat", "ant"], scores=[0.98, 0.5, 1]
    )
    assert captions(figure) == [
        ("✓ cat (98 %)", BLUE),
        ("✗ dog (50 %), true: cat", VERMILION),
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
