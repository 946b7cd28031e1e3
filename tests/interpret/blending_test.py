"""A map over an image: smooth, robust, with the image beneath."""

import numpy as np
import pytest

from keras_vit.interpret.blending import enlarge, lay_colors, lay_over, robust_limits

IMAGE = np.random.default_rng(0).random((64, 96, 3)).astype("float32")


def test_enlarging_runs_through_the_values_at_the_centres_of_the_patches():
    values = np.random.default_rng(1).random((4, 6)).astype("float32")
    large = enlarge(values, (4 * 33, 6 * 33))
    np.testing.assert_allclose(large[16::33, 16::33], values, atol=1e-6)
    assert np.abs(np.diff(large, axis=0)).max() < np.abs(np.diff(values, axis=0)).max() / 10
    colors = np.stack([values, values**2], axis=-1)
    np.testing.assert_allclose(enlarge(colors, (40, 60))[..., 0], enlarge(values, (40, 60)))


def test_one_patch_that_outshines_all_others_does_not_set_the_colours():
    heat = np.linspace(0, 1, 16 * 16).reshape(16, 16)
    low, high = robust_limits(heat)
    heat[3, 5] = 1000
    assert (low, high) == pytest.approx((0.01, 0.99), abs=1e-6)
    assert robust_limits(heat)[1] < 1.01
    assert np.subtract(*robust_limits(np.zeros((4, 4)))[::-1]) > 0


@pytest.mark.parametrize("style", ["colors", "light"])
def test_the_image_stays_visible_and_keeps_its_resolution(style):
    laid = lay_over(IMAGE, np.random.default_rng(2).random((4, 6)), style)
    assert laid.shape[0] % 64 == 0 and laid.shape[0] / laid.shape[1] == 64 / 96
    times = laid.shape[0] // 64
    gray, under = (one.mean(-1).ravel() for one in (laid[::times, ::times], IMAGE))
    assert np.corrcoef(gray, under)[0, 1] > 0.3
    assert laid.min() >= 0 and laid.max() <= 1


def test_light_is_brightest_where_the_map_is_and_dark_where_it_is_not():
    heat = np.zeros((8, 8), "float32")
    heat[2, 5] = 1
    laid = lay_over(np.ones((400, 400, 1), "float32"), heat, "light", (0, 1)).mean(-1)
    assert laid[2 * 50 + 25, 5 * 50 + 25] > 0.99 and laid[300, 100] < 0.2


def test_colours_of_what_is_left_out_are_black():
    colors = np.full((2, 3, 4), 0.5, "float32")
    colors[:, 0, 3] = 0
    colors[:, 1:, 3] = 1
    laid = lay_colors(np.zeros((400, 600, 3)), colors)
    assert (laid[:, :100] == 0).all() and np.allclose(laid[:, 350:], 0.5)


def test_an_unknown_style_is_an_error():
    with pytest.raises(ValueError, match="`style` to be one of .*Received: style='loud'"):
        lay_over(IMAGE, np.zeros((4, 6)), "loud")
