"""The summary names the best epoch as a reader would."""

import pytest

from keras_vit.training.objectives import Classification, Figure
from keras_vit.training.summary import best_epoch, goodness


def _lines(*accuracies):
    return [
        {"epoch": number, "step": 4 * number, "val_accuracy": accuracy, "val_loss": number / 8}
        for number, accuracy in enumerate(accuracies, 1)
    ]


@pytest.mark.parametrize(
    "accuracies, epoch",
    [((0.5,), 1), ((0.5, 0.75, 0.75), 2), ((float("nan"), 0.0, 0.0), 2)],
)
def test_the_first_of_the_best_is_named(accuracies, epoch):
    found = best_epoch(_lines(*accuracies), "test", Classification())
    assert found == {
        "epoch": epoch,
        "step": 4 * epoch,
        "test_accuracy": accuracies[epoch - 1],
        "test_loss": epoch / 8,
    }


@pytest.mark.parametrize("lines", [[], [{"epoch": 1, "step": 4}], _lines(float("nan"))])
def test_without_figures_there_is_no_best(lines):
    assert best_epoch(lines, "validation", Classification()) is None


def test_a_loss_is_better_where_it_is_lower():
    loss = Figure("loss", "mean squared error")
    assert goodness({"val_loss": 0.25}, loss) > goodness({"val_loss": 0.5}, loss)
    assert goodness({"loss": 0.25}, loss) == -float("inf")
