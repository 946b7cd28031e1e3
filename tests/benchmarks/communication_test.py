"""What workers send, counted in another way, and the limits of the calculated speed-up."""

import pytest

from benchmarks import communication as module
from benchmarks.communication import communication, expected_scaling, expected_speedup
from keras_vit.models.config import VisionTransformerConfig

TINY = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=2, num_heads=2,
                               mlp_dim=16, num_classes=3)  # fmt: skip
NORM, BLOCK = 2 * 8, (8 * 24 + 24) + (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8)
PARAMETERS = (4 * 4 * 3 * 8 + 8) + 8 + 5 * 8 + 2 * (BLOCK + 2 * NORM) + NORM + (8 * 3 + 3)


def test_bytes_are_those_of_all_weights_in_a_ring():
    four = communication(TINY, workers=4)
    assert four == {
        "parameters": PARAMETERS,
        "gradient_bytes": 4 * PARAMETERS,
        "sent_bytes": 6 * PARAMETERS,  # 2 * 3/4 of them
    }
    assert communication(TINY, workers=2, bytes_per_value=2)["sent_bytes"] == 2 * PARAMETERS
    assert communication(TINY, workers=1)["sent_bytes"] == 0


@pytest.mark.parametrize("arguments", [{"workers": 0}, {"workers": 2, "bytes_per_value": 0}])
def test_impossible_numbers_of_bytes_are_refused(arguments):
    with pytest.raises(ValueError, match="Expected `workers` and `bytes_per_value`"):
        communication(TINY, **arguments)


def test_the_speed_up_lies_between_its_limits():
    assert expected_speedup(1.0, 1e9, 1, 1e9) == 1
    assert expected_speedup(1.0, 0, 8, 1e9) == 8
    assert expected_speedup(1.0, 1e9, 8, 1e20) == pytest.approx(8)
    # two workers send as much as the gradients have: a second of sending doubles a second of work
    assert expected_speedup(1.0, 1e9, 2, 1e9) == pytest.approx(1)
    speedups = [expected_speedup(1.0, 1e9, workers, 1e9) for workers in (2, 4, 8, 1000)]
    assert speedups == sorted(speedups)
    assert speedups[-1] == pytest.approx(1000 / 3, rel=0.01)  # sending takes two seconds at most


@pytest.mark.parametrize("wrong", [(0, 1, 2, 1), (1, -1, 2, 1), (1, 1, 0, 1), (1, 1, 2, 0)])
def test_impossible_clusters_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected a positive time"):
        expected_speedup(*wrong)


def test_rows_of_clusters_and_a_step_time_that_is_known(monkeypatch):
    monkeypatch.setattr(module, "count_parameters", lambda config: 1000 * config.num_layers)
    rows = expected_scaling(images=10, tflop_per_second=1.0, step_s={"ViT_L16": 2.0})
    assert len(rows) == 3 * 2 * 2
    by_model = {row["model"]: row for row in rows}
    assert by_model["ViT_L16"]["step_s"] == 2.0
    assert by_model["ViT_B16"]["step_s"] == pytest.approx(3 * 10 * 35.1e-3, rel=0.01)
    for row in rows:
        assert row["speedup"] == pytest.approx(
            expected_speedup(
                row["step_s"], row["gradient_bytes"], row["workers"], row["gbit_per_second"] * 125e6
            )
        )
