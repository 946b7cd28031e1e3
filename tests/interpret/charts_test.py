"""Charts show the values they were given, with units."""

import matplotlib
import numpy as np
import pytest

from keras_vit.interpret import plot


def random(*shape):
    return np.random.default_rng(0).random(shape).astype("float32")


def drawn(figure):
    figure.canvas.draw()
    return figure.axes[0]


def test_distance_has_a_dot_for_each_head_at_its_depth():
    distances = random(4, 3) * 100
    axes = drawn(plot.attention_distance(distances, image_size=(64, 96)))
    dots = axes.collections[0].get_offsets()
    np.testing.assert_allclose(dots[:, 0], [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    np.testing.assert_allclose(dots[:, 1], distances.ravel())
    assert "pixels" in axes.get_ylabel() and "64 × 96" in axes.get_title()
    assert axes.get_ylim()[0] == 0


def test_heads_shows_the_class_token_by_default_and_patches_on_request():
    maps = [random(2, 7, 7) for _ in range(3)]
    axes = drawn(plot.attention_heads(maps, 1, (2, 3)))
    cell = axes.images[0].get_array()[:16, :24]  # block 0, head 0, each patch 8 pixels wide
    looks = maps[0][0, 0, 1:].reshape(2, 3)
    expected = (looks - looks.min()) / np.ptp(looks)
    np.testing.assert_allclose(cell[4::8, 4::8], expected, rtol=1e-5)
    assert "class token" in axes.get_title()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2"]

    axes = drawn(plot.attention_heads(maps, 1, (2, 3), query="patches", blocks=[4, 5, 6]))
    looks = maps[0][0, 1:, 1:].mean(0).reshape(2, 3)
    expected = (looks - looks.min()) / np.ptp(looks)
    np.testing.assert_allclose(axes.images[0].get_array()[4:16:8, 4:24:8], expected, rtol=1e-5)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["4", "5", "6"]


def test_heads_without_prefix_tokens_shows_the_patches():
    axes = drawn(plot.attention_heads([random(2, 6, 6)], 0, (2, 3)))
    assert "the patches" in axes.get_title()


def test_position_similarity_shows_every_patch_of_a_small_grid():
    similarity = random(2, 3, 2, 3)
    axes = drawn(plot.position_similarity(similarity))
    np.testing.assert_allclose(axes.images[0].get_array()[4:16:8, 4:24:8], similarity[0, 0])
    assert len(axes.get_xticks()) == 3 and len(axes.get_yticks()) == 2


def test_position_similarity_thins_out_a_large_grid():
    axes = drawn(plot.position_similarity(random(20, 4, 20, 4)))
    labels = [int(label.get_text()) for label in axes.get_yticklabels()]
    assert len(labels) == 14 and labels[0] == 0 and labels[-1] == 19


@pytest.mark.parametrize("shape", [(28, 16, 16, 3), (4, 2, 2, 1), (3, 4, 4, 5)])
def test_filters_are_drawn_one_by_one(shape):
    filters = random(*shape)
    (image,) = drawn(plot.embedding_filters(filters)).images
    shown = image.get_array()
    scale = -(-24 // shape[1])
    first = np.broadcast_to(filters[0][..., : 3 if shape[-1] == 3 else 1], (*shape[1:3], 3))
    step = scale * shape[1]
    np.testing.assert_allclose(shown[:step:scale, :step:scale], first, atol=1e-6)
    rows = -(-shape[0] // 7)
    assert shown.shape[0] // step == rows and shown.shape[1] // step == -(-shape[0] // rows)


def test_colour_maps_are_safe_for_colour_blind_readers():
    names = {
        drawn(figure).images[0].get_cmap().name
        for figure in (
            plot.attention_heads([random(2, 7, 7)], 1, (2, 3)),
            plot.position_similarity(random(2, 3, 2, 3)),
        )
    }
    assert names <= {"viridis", "cividis"}


def test_no_figure_is_left_with_pyplot():
    plot.attention_distance(random(4, 3))
    assert not matplotlib._pylab_helpers.Gcf.figs
