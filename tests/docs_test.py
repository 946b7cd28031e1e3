"""What the guides show, runs: page by page, with the published model's name on a small one."""

import pathlib
import re

import pytest

import keras_vit

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).as_posix(): re.findall(
        r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL
    )
    for path in sorted([*DOCS.glob("*.md"), *DOCS.glob("guides/*.md")])
    if path.name != "features.md" or path.parent.name == "guides"  # it has a test of its own
}


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
def test_the_code_of_a_page_runs(page, reader):
    names = {"__name__": page}
    for block in PAGES[page]:
        exec(compile(block, page, "exec"), names)


def test_every_public_name_stands_in_the_reference():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    factories = set(keras_vit.list_models()) - {"ViT_B16"}  # all others are like it
    for name in set(keras_vit.__all__) - factories - {"__version__"}:
        assert re.search(rf":: (keras_vit\.)?{name}$", text, re.MULTILINE), name
