"""How well two models agree."""

import numpy as np
import pytest

from benchmarks.agreement import agreement


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
