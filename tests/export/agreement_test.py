"""Differences between an exported form and its model."""

import numpy as np
import pytest

from keras_vit.export.agreement import Difference


@pytest.mark.parametrize(("tolerance", "passes"), [(0.11, True), (0.09, False)])
def test_a_difference_is_a_share_of_the_largest_value(tolerance, passes):
    difference = Difference.between("logits", np.array([1.0, -5.5]), np.array([1.0, -5.0]))
    assert difference == Difference("logits", 0.5, 5.0)
    if passes:
        difference.check("form", tolerance)
    else:
        with pytest.raises(RuntimeError, match="`logits` of the form within 0.09.*Received: 0.1"):
            difference.check("form", tolerance)
