"""Differences between an exported form and its model."""

import numpy as np
import pytest

from keras_vit.export.agreement import Difference, agreement


@pytest.mark.parametrize(("tolerance", "passes"), [(0.11, True), (0.09, False)])
def test_a_difference_is_a_share_of_the_largest_value(tolerance, passes):
    difference = Difference.between("logits", np.array([1.0, -5.5]), np.array([1.0, -5.0]))
    assert difference == Difference("logits", 0.5, 5.0)
    if passes:
        difference.check("form", tolerance)
    else:
        with pytest.raises(RuntimeError, match="`logits` of the form within 0.09.*Received: 0.1"):
            difference.check("form", tolerance)


def test_agreement_of_logits_and_classes():
    logits = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
    other = logits.copy()
    other[0] = [0.0, 1.0]
    expected, received = (
        {"logits": values, "probabilities": values / 10} for values in (logits, other)
    )
    values = agreement(expected, received, labels=[1, 1, 1, 1])
    assert values == {
        "max_difference": pytest.approx(0.1),
        "cosine": pytest.approx(0.75),
        "top1_agreement": 0.75,
        "accuracy": 0.75,
    }
    assert "accuracy" not in agreement(expected, expected)
