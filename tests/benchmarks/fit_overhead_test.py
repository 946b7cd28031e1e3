"""`fit` beside the bare step."""

import pytest

from benchmarks.fit_overhead import BLOCK, SKIPPED, measure_fit


@pytest.mark.slow
def test_steps_of_fit_and_bare_steps_take_turns():
    small = {"num_layers": 1, "hidden_size": 24, "num_heads": 2, "mlp_dim": 24}
    result = measure_fit("ViT_Ti16", batch_size=2, blocks=2, input_shape=(32, 32, 3), **small)
    assert len(result["fit_s"]) == 2 * (BLOCK - SKIPPED)
    assert len(result["bare_s"]) == 3 * 2
    assert min(result["fit_s"] + result["bare_s"]) > 0
    assert 0.5 < result["ratio"] < 50
