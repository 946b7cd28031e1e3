"""Operations by kind."""

import pytest

from benchmarks.profile import format_profile, measure_profile

RESULT = {
    "model": "ViT_X", "command": "train", "dtype": "float32", "batch_size": 4,
    "gflop_per_image": 10.0, "matrix_product_gflops": 100.0, "seconds": 2.0,
    "operations": [
        {"kind": "MatMul", "count": 12.0, "milliseconds": 1500.0},
        {"kind": "Mul", "count": 3.0, "milliseconds": 100.0},
    ],
}  # fmt: skip


def test_the_table_says_the_share_of_the_whole_and_the_limit():
    lines = format_profile(RESULT).splitlines()
    assert "2000 ms; 1200 ms at the 100 GFLOP/s" in lines[0]
    assert lines[2].split() == ["MatMul", "1500.0", "12", "75.0%"]
    assert len(format_profile(RESULT, rows=1).splitlines()) == 3


@pytest.mark.slow
def test_the_products_of_a_model_are_found():
    small = {"num_layers": 2, "input_shape": (32, 32, 3)}
    result = measure_profile("ViT_Ti16", batch_size=2, repeats=2, **small)
    counts = {each["kind"]: each["count"] for each in result["operations"]}
    products = sum(count for kind, count in counts.items() if "MatMul" in kind)
    # Patches, four dense layers and two attention products a block, and the head.
    assert products == 1 + 2 * (4 + 2) + 1
    total = sum(each["milliseconds"] for each in result["operations"])
    assert 0 < total < 2 * 1000 * result["seconds"] + 50
