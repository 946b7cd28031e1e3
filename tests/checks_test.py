"""Bad values get one clear line."""

import math

import numpy as np
import pytest

from keras_vit.checks import check_number


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "expected"),
    [
        (
            "[0, 1)",
            [0, 0.5, np.float32(0.25), np.int64(0)],
            [1, -0.1, math.nan],
            r"lie in \[0, 1\)",
        ),
        ("(0, 1]", [1, 1e-9], [0, 1.5], r"lie in \(0, 1\]"),
        ("(0, inf)", [1e300, 3], [0, math.inf, -1], "be a number above 0"),
        ("[0, inf)", [0], [-1e-9, math.inf], "be a number of at least 0"),
        ("[0, 20]", [0, 20], [20.5, True, "3", None, 1j, [1]], r"lie in \[0, 20\]"),
    ],
)
def test_a_number_outside_its_interval_is_named_with_both(interval, inside, outside, expected):
    for value in inside:
        check_number("rate", value, interval)
    for value in outside:
        with pytest.raises(ValueError, match=rf"`rate` to {expected}\. Received: rate="):
            check_number("rate", value, interval)
