"""What less training and smaller kernels save: rows of the right models, and their agreement."""

import pytest

from benchmarks import few_weights
from keras_vit.benchmark.work import Work

TINY = {"input_shape": (32, 32, 3), "num_layers": 2, "hidden_size": 64, "num_heads": 1,
        "mlp_dim": 128}  # fmt: skip
BLOCK = 4 * 64 * 64 + 4 * 64 + 2 * 64 * 128 + 64 + 128 + 4 * 64
HEAD = 65 * 1000


@pytest.mark.parametrize(
    "trained, parameters",
    [
        ("head", HEAD),
        ("upper half", HEAD + BLOCK + 2 * 64),
        ("LoRA 8", HEAD + 2 * 8 * (64 + 192 + 64 + 64)),
        ("LoRA 8, all matrices", HEAD + 2 * 8 * (64 + 192 + 64 + 64 + 2 * (64 + 128))),
    ],
)
def test_a_row_trains_what_its_name_says(trained, parameters):
    assert few_weights.count_trained("ViT_Ti16", trained, **TINY) == parameters


def test_a_row_takes_a_step():
    options = {**TINY, "num_layers": 1, "trained": "LoRA 8"}
    work = Work("", "ViT_Ti16", batch_size=1, options=options)
    few_weights.build_training(work).train()


def test_a_table_has_a_line_a_row():
    rows = [{"mode": "int8", "weights_mib": 83.111, "count": 12345}]
    assert few_weights.format_rows(rows).splitlines() == [
        "mode  weights_mib   count", "int8        83.11  12,345",
    ]  # fmt: skip
