"""What the guides show, runs: page by page, with the published model's name on a small one."""

import dataclasses
import pathlib
import re

import numpy as np
import pytest

import keras_vit
from keras_vit.models.variants import VARIANTS
from keras_vit.weights.download import cached_path
from keras_vit.weights.lookup import find_checkpoint

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).as_posix(): re.findall(
        r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL
    )
    for path in sorted([*DOCS.glob("*.md"), *DOCS.glob("guides/*.md")])
    if path.name != "features.md" or path.parent.name == "guides"  # it has a test of its own
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, image_sets):
    """A folder with photos, where `ViT_Ti16` and its published weights are small and random."""
    folder = tmp_path_factory.mktemp("docs")
    image_sets.write_photos(folder)
    small = dataclasses.replace(
        VARIANTS["ViT_Ti16"], hidden_size=12, mlp_dim=24, num_heads=3, num_layers=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "ViT_Ti16", small)
        patch.setenv("KERAS_VIT_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        row = find_checkpoint("ViT_Ti16", "imagenet")
        model = keras_vit.ViT_Ti16(input_shape=(*row.image_size, 3), classes=row.classes)
        head = model.get_layer("head")
        head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape) * 0.1)
        path = cached_path(row.address)
        path.parent.mkdir(parents=True)
        keras_vit.save_checkpoint(model, path, layout=row.layout)
        yield folder


TRAIN_OR_EXPORT = (
    "guides/adapters.md", "guides/augmentation.md", "guides/devices.md", "guides/exporting.md",
    "guides/fine_tuning.md", "guides/labels.md", "guides/probes.md", "guides/serving.md",
    "training.md",
)  # fmt: skip


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page in TRAIN_OR_EXPORT else [])
        for page, blocks in PAGES.items()
        if blocks
    ],
)
def test_the_code_of_a_page_runs(page, place):
    names = {"__name__": page}
    for block in PAGES[page]:
        exec(compile(block, page, "exec"), names)


def test_every_public_name_stands_in_the_reference():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    factories = set(keras_vit.list_models()) - {"ViT_B16"}  # all others are like it
    for name in set(keras_vit.__all__) - factories - {"__version__"}:
        assert re.search(rf":: (keras_vit\.)?{name}$", text, re.MULTILINE), name
