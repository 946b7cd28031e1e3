"""The table of a GPU."""

from benchmarks.gpu_report import format_gpu


def row(subject, seconds, **changes):
    rate = 8 * 4 / seconds[0] if seconds else None
    values = {"subject": subject, "task": "train", "model": "ViT_B16", "size": 224,
              "batch_size": 8, "steps": 4, "seconds": seconds, "images_per_second": rate,
              "mfu": 0.525, "fused_attention": True, "peak_mib": 2048.4,
              "failure": None}  # fmt: skip
    return values | changes


def test_rates_shares_and_failures():
    rows = [
        row("keras_vit", [0.5, 0.25, 1.0]),
        row("timm", [1.0], mfu=None, fused_attention=False, peak_mib=None),
        row("torch", [0.8]),
        row("keras_vit", [0.5], task="infer"),
        row("timm", [], task="infer", failure="out of memory"),
    ]
    table = format_gpu(
        {"device": "NVIDIA H100 80GB HBM3", "platform": "gpu", "driver": None, "dtype": "bfloat16",
         "peak_flops": 989e12, "missing": ["torchvision"], "rows": rows}
    )  # fmt: skip
    lines = table.splitlines()
    assert lines[0].startswith("NVIDIA H100 80GB HBM3 (gpu; no nvidia-smi), bfloat16")
    assert "989 TFLOP/s" in lines[0] and lines[1] == "not installed: torchvision"
    assert lines[2] == "ViT_B16 224 infer timm: out of memory"
    cells = [line.split() for line in lines[4:]]
    # 4 steps of 8 images in half a second; the fastest peer makes 40.
    assert cells[0][3:] == [
        "keras_vit", "8", "64.0", "32.0-128.0", "1.60", "52.5%", "yes", "2,048",
    ]  # fmt: skip
    assert cells[1][3:] == ["timm", "8", "32.0", "32.0-32.0", "-", "-", "no", "-"]
    assert cells[3][7] == "-" and set(cells[4][5:]) == {"-"}
    assert len({len(line) for line in lines[3:]}) == 1


def test_an_unknown_peak_is_said_to_be():
    table = format_gpu(
        {"device": "cpu", "platform": "cpu", "driver": None, "dtype": "float32",
         "peak_flops": None, "missing": [], "rows": [row("keras_vit", [1.0], mfu=None)]}
    )  # fmt: skip
    assert "peak unknown" in table and "not installed" not in table
