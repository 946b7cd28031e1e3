"""`keras-vit figures`, from flags to files."""

import csv

import numpy as np
import pytest
from PIL import Image

from keras_vit import VisionTransformer, VisionTransformerConfig


def test_draws_two_models_of_one_name(run, tmp_path):
    config = VisionTransformerConfig(
        image_size=8, patch_size=4, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=24,
        num_classes=2,
    )  # fmt: skip
    VisionTransformer(config, name="tiny").save(tmp_path / "model.keras")
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), "uint8")
    Image.fromarray(picture).save(tmp_path / "photo.png")
    result = run(
        "figures", "--model=model.keras", "--model=model.keras", "--images=photo.png",
        "--output_dir=out", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Looking into tiny, tiny (2)" in result.stdout and "figures.pdf" in result.stdout
    with open(tmp_path / "out" / "figure_11.csv", newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {"tiny", "tiny (2)"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=a.keras"], "Error: Expected either --images or --dataset."),
        (["--model=a.keras", "--dataset=digits"], "Error: Expected the file of a model"),
    ],
)
def test_a_mistake_is_one_line(run, tmp_path, flags, message):
    result = run("figures", f"--output_dir={tmp_path / 'out'}", *flags, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(message)
