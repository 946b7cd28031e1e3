"""`keras-vit visualize`, from flags to files."""

import numpy as np
import pytest
from PIL import Image

from keras_vit import VisionTransformer, VisionTransformerConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visualize")
    config = VisionTransformerConfig(
        image_size=8, patch_size=4, hidden_size=16, num_layers=2, num_heads=2, mlp_dim=24,
        num_classes=2,
    )  # fmt: skip
    VisionTransformer(config, name="tiny").save(folder / "model.keras")
    random = np.random.default_rng(0)
    for name in ("cats/1", "cats/2", "cats/3", "dogs/4", "dogs/5", "dogs/6"):
        path = folder / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 30, 3), "uint8")).save(path)
    (folder / "labels.txt").write_text("cat\ndog\n")
    return folder


@pytest.mark.parametrize(
    "flags",
    [["--images=photos/*/*.png", "--labels=labels.txt"], ["--dataset=photos", "--image_size=16"]],
    ids=["images", "dataset"],
)
def test_writes_pictures_and_report(run, folder, tmp_path, flags):
    result = run(
        "visualize",
        "--model=model.keras",
        f"--output_dir={tmp_path}",
        "--count=3",
        *flags,
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    assert "with tiny" in result.stdout and str(tmp_path / "report.html") in result.stdout
    assert (tmp_path / "predictions.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model=model.keras"], "Error: Expected either --images or --dataset."),
        (["--model=no.keras", "--images=photos"], "Error: Expected the file of a model"),
        (["--model=model.keras", "--images=nothing"], "Error: Expected an image file"),
    ],
)
def test_a_mistake_is_one_line(run, folder, tmp_path, flags, message):
    result = run("visualize", f"--output_dir={tmp_path / 'out'}", *flags, cwd=folder)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(message)
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
