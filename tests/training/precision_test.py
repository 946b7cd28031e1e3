"""float32 or mixed_bfloat16: chosen by the clock, and kept."""

import pytest

from keras_vit.models.config import VisionTransformerConfig
from keras_vit.training import precision
from keras_vit.training.precision import DtypeChoice, choose_dtype, chosen_before

TINY = VisionTransformerConfig(image_size=8, patch_size=4, hidden_size=8, num_layers=1,
                               num_heads=2, mlp_dim=16)  # fmt: skip


@pytest.mark.parametrize("half, expected", [(0.5, "mixed_bfloat16"), (0.95, "float32")])
def test_fewer_digits_are_taken_where_they_are_faster(monkeypatch, half, expected):
    now = [0.0]

    def step(config, dtype, train):
        def run():
            now[0] += half if dtype == "mixed_bfloat16" else 1.0

        return run

    monkeypatch.setattr(precision, "_block_step", step)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: now[0])
    choice = choose_dtype(TINY)
    assert choice.dtype == expected
    assert choice.why == f"a block takes {1000 * half:.3g} ms in mixed_bfloat16, 1e+03 in float32"


def test_a_real_block_is_timed_in_both():
    assert choose_dtype(TINY).dtype in ("float32", "mixed_bfloat16")


def test_a_run_keeps_its_choice_unless_it_begins_anew(tmp_path):
    folder, first = tmp_path / "run", DtypeChoice("float32", "first")
    assert chosen_before(folder, lambda: first) == first
    assert chosen_before(folder, lambda: DtypeChoice("mixed_bfloat16", "x")) == first
    anew = DtypeChoice("mixed_bfloat16", "second")
    assert chosen_before(folder, lambda: anew, resume=False) == anew
    assert chosen_before(folder, lambda: first) == anew
