import pytest

from keras_vit.models.variants import VARIANTS
from keras_vit.weights.download import cached_path
from keras_vit.weights.published import CHECKPOINTS

LICENCES = ("Apache-2.0", "MIT", "CC-BY-NC-4.0", "DINOv3 License", "Apple ASCL")


def test_every_row_is_one_of_its_kind():
    names = [(row.model, row.name) for row in CHECKPOINTS]
    assert len(names) == len(set(names))
    assert len({row.address for row in CHECKPOINTS}) == len(CHECKPOINTS)
    recommended = [row.model for row in CHECKPOINTS if row.recommended]
    assert len(recommended) == len(set(recommended))


@pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: f"{row.model}-{row.name}")
def test_rows_make_sense(row):
    config = VARIANTS[row.model]
    assert row.layout in ("google", "timm", "huggingface")
    assert row.address.startswith("https://" if row.layout == "google" else "hf://")
    assert row.address.endswith(".npz") or row.layout != "google"
    assert cached_path(row.address).is_absolute()
    assert row.image_size[0] % config.patch_stride in (0, 384 % 14)  # SigLIP cuts 384 to 378
    assert row.classes in (0, 1000, 21843) and row.licence in LICENCES
    assert ("DINOv3" in row.model) == (row.licence == "DINOv3 License")
    assert (row.top1 is None or 70 < row.top1 < 90) and (row.top1 is None or row.classes == 1000)
    config.replace(**row.config)
