"""`keras-vit search`, from flags to a page."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_vit import VisionTransformer, VisionTransformerConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    config = VisionTransformerConfig(
        image_size=8, patch_size=4, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=24,
        num_classes=2,
    )  # fmt: skip
    VisionTransformer(config, name="tiny").save(folder / "model.keras")
    random = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(4):
        picture = Image.fromarray(random.integers(0, 256, (20, 30, 3), "uint8"))
        picture.save(folder / "photos" / f"<{number}>.png")
    picture.save(folder / "photos" / "again.png")
    (folder / "photos" / "broken.png").write_text("nothing")
    return folder


def test_writes_a_page_and_names_what_is_left_out(run, folder, tmp_path):
    result = run(
        "search", "--model=model.keras", "--images=photos", "--query=photos/<0>.png",
        "photos/again.png", "--count=2", "--threshold=0.9999", f"--output_dir={tmp_path}",
        f"--cache_dir={tmp_path}/cache", cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "left out: " in result.stdout and "broken.png" in result.stdout
    page = (tmp_path / "search.html").read_text()
    assert page.count("<figure") == 2 + 2 * 2 + 2 and "&lt;0&gt;.png" in page and "<0>" not in page
    assert "Search with tiny" in page and "http" not in page.replace("http-equiv", "")
    found = json.loads((tmp_path / "search.json").read_text())
    first, second = found["queries"]
    assert [match["file"] for match in second["nearest"]][0] == "photos/<3>.png"
    assert second["nearest"][0]["similarity"] == 1
    assert "photos/<0>.png" not in [match["file"] for match in first["nearest"]]
    (group,) = found["near_duplicates"]
    assert [match["file"] for match in group] == ["photos/<3>.png", "photos/again.png"]
    assert list(found["unreadable"]) == ["photos/broken.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--images=photos", "--query=none.png"], "Error: Expected an image file"),
        (["--images=photos", "--pooling=map"], "Error: Expected a pooling without weights"),
    ],
)
def test_a_mistake_is_one_line(run, folder, tmp_path, flags, message):
    out = tmp_path / "out"
    result = run("search", "--model=model.keras", f"--output_dir={out}", *flags, cwd=folder)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(message)
    assert not out.exists()
