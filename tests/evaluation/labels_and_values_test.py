"""Figures of labels and values are those of their definitions and of scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from keras_vit.evaluation import score_labels, score_values

TRUE = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0], [1, 0, 0]])
SCORES = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.7], [0.6, 0.6, 0.1], [0.2, 0.2, 0.4], [0.1, 0, 0]])


def test_labels_by_hand():
    """Hits of the first label at the ranks 1, 3 and 5; of the third at 1 and 4."""
    result = score_labels(SCORES, TRUE, ["a", "b", "c"])
    first, second, third = result.rows
    assert first["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert first["roc_auc"] == pytest.approx(3 / 6)
    assert third["average_precision"] == pytest.approx((1 + 2 / 4) / 2)
    assert (second["images"], second["average_precision"], second["roc_auc"]) == (0, None, None)
    assert [row["error"] for row in result.rows] == pytest.approx([2 / 5, 1 / 5, 1 / 5])
    assert result.error == pytest.approx(4 / 15)
    assert "-" in result.table() and "Mean average precision" in dict(result.headline())


def test_labels_as_scikit_learn_has_them():
    draw = np.random.default_rng(0)
    true = (draw.random((200, 4)) < [0.5, 0.1, 0.3, 0.02]).astype(int)
    true[0] = 1
    scores = np.round(np.clip(0.3 * true + 0.7 * draw.random(true.shape), 0, 1), 2)  # with ties
    result = score_labels(scores, true, list("abcd"))
    assert result.mean_average_precision == pytest.approx(
        metrics.average_precision_score(true, scores, average="macro")
    )
    assert result.roc_auc == pytest.approx(metrics.roc_auc_score(true, scores, average="macro"))
    assert result.error == pytest.approx(metrics.hamming_loss(true, scores >= 0.5))
    losses = [metrics.log_loss(true[:, i], np.clip(scores[:, i], 1e-12, 1 - 1e-12))
              for i in range(4)]  # fmt: skip
    assert result.loss == pytest.approx(np.mean(losses))


def test_values_as_scikit_learn_has_them():
    draw = np.random.default_rng(0)
    true = draw.normal(5, 2, (50, 2))
    told = true + draw.normal(0, [0.1, 3], true.shape)
    result = score_values(told, true, ["x", "y"])
    error = told - true
    assert result.rows[0]["mae"] == pytest.approx(np.abs(error[:, 0]).mean())
    assert result.rows[1]["rmse"] == pytest.approx(np.sqrt((error[:, 1] ** 2).mean()))
    assert result.mae == pytest.approx(metrics.mean_absolute_error(true, told))
    assert result.rmse == pytest.approx(metrics.root_mean_squared_error(true, told))
    assert result.r2 == pytest.approx(metrics.r2_score(true, told))
    assert score_values(told[:1], true[:1], ["x", "y"]).r2 is None
    assert set(result.to_dict()) == {
        "num_examples", "rows", "mae", "rmse", "r2", "images_per_second",
    }  # fmt: skip


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 2\).*\(5, 3\)"):
        score_labels(SCORES, TRUE, ["a", "b"])
