"""What the README shows, runs; what it tables, is so."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

import keras_vit
from keras_vit.weights.download import cached_path
from keras_vit.weights.lookup import find_checkpoint, markdown_table

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"(keras-vit (?:train|visualize) --[^`]*)`", README)


def put_photos(folder):
    """Writes a data set of two classes: pieces of scikit-learn's two photographs."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    sample = load_sample_images()
    photos = dict(zip(sample.filenames, sample.images, strict=True))
    for kind, name, source in (
        ("flowers", "dahlia", "flower.jpg"),
        ("buildings", "temple", "china.jpg"),
    ):
        path = folder / "photos" / kind
        path.mkdir(parents=True)
        photo = next(image for key, image in photos.items() if key.endswith(source))
        Image.fromarray(photo).save(path / f"{name}.jpg")
        for number in range(5):
            piece = photo[20 * number : 300 + 20 * number, 30 * number : 400 + 30 * number]
            Image.fromarray(piece).save(path / f"{name}_{number}.jpg")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with photos, and a cache that holds random weights where the published ones go."""
    folder = tmp_path_factory.mktemp("readme")
    put_photos(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_VIT_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        row = find_checkpoint("ViT_Ti16", "imagenet")
        model = keras_vit.ViT_Ti16(input_shape=(*row.image_size, 3), classes=row.classes)
        generator = np.random.default_rng(0)
        head = model.get_layer("head")
        head.kernel.assign(generator.normal(size=head.kernel.shape) * 0.1)
        path = cached_path(row.address)
        path.parent.mkdir(parents=True)
        keras_vit.save_checkpoint(model, path, layout=row.layout)
        yield folder


@pytest.mark.slow
def test_the_examples_run_in_their_order(place):
    assert len(PYTHON) == 6
    for example in PYTHON:
        names = {}
        exec(compile(example, "README.md", "exec"), names)
        if "vector" in names:
            assert names["vector"].shape == (1, 192)
            assert names["tokens"].shape == (1, 181, 192)
        if "rollout" in names:
            assert names["rollout"].shape == (1, 24, 24)
            assert names["distance"].shape == (12, 3)
    assert (place / "served" / "photos" / "1" / "saved_model.pb").exists()

    # The commands continue with what the examples have left.
    assert len(COMMANDS) == 2
    for line in COMMANDS:
        arguments = shlex.split(line.replace("\\\n", " "))[1:]
        if arguments[0] == "train":  # as written, but for three steps
            arguments += ["--set", "steps=3", "--set", "batch_size=4"]
        subprocess.run(
            [sys.executable, "-m", "keras_vit_command", *arguments],
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert (place / "outputs" / "photos" / "model.keras").exists()
    assert (place / "outputs" / "looks" / "report.html").exists()


def test_the_table_of_weights_is_the_generated_one():
    table = README.split("<!-- table -->\n")[1].split("<!-- end of table -->")[0]
    assert table == markdown_table()


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
