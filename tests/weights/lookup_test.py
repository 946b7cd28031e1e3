import pytest

from keras_vit.models.variants import VARIANTS
from keras_vit.weights.download import cached_path
from keras_vit.weights.lookup import find_checkpoint, list_weights, locate, markdown_table
from keras_vit.weights.published import CHECKPOINTS


def test_the_names_of_the_contract_are_there():
    names = list_weights("ViT_B16")
    assert names[0] == "imagenet"
    assert {"imagenet21k", "imagenet21k+imagenet2012"} <= set(names)
    assert find_checkpoint("ViT_B16", "imagenet").top1 == 85.49
    address = find_checkpoint("ViT_B16", "imagenet21k").address
    assert address == "https://storage.googleapis.com/vit_models/imagenet21k/ViT-B_16.npz"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("ViT_H14", "imagenet21k"), ("ViT_B32", "sam-imagenet"), ("DeiT_B16", "imagenet"),
        ("DeiT_B16", "distilled-imagenet2012"), ("DeiT3_L16", "imagenet"),
        ("DINOv2_g14", "lvd142m"), ("DINOv2_S14", "registers-lvd142m"),
        ("SigLIP_So400m14", "webli-384"), ("CLIP_L14", "openai"), ("CLIP_B16", "openai"),
        ("R50_L32", "imagenet"), ("ViT_Ti16", "augreg-imagenet21k+imagenet2012-224"),
    ],
)  # fmt: skip
def test_every_family_is_there(model, name):
    assert find_checkpoint(model, name).model == model


def test_all_models_are_listed():
    table = list_weights()
    assert table.keys() == VARIANTS.keys()
    assert table["ViT_g14"] == [] and "imagenet" in table["ViT_S16"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="'imagenet21k'"):
        find_checkpoint("ViT_B16", "imagnet21k")
    with pytest.raises(ValueError, match="'ViT_B16'"):
        list_weights("ViT_B15")
    with pytest.raises(ValueError, match="None are published for ViT_G14"):
        find_checkpoint("ViT_G14", "imagenet")


def test_what_looks_like_a_path_is_one(tmp_path):
    assert locate("ViT_B16", "weights.npz") == ("weights.npz", None)
    assert locate("ViT_B16", tmp_path) == (str(tmp_path), None)
    with pytest.raises(ValueError, match="a file or an address.*'imagenet'"):
        locate("ViT_B16", "imagenett")


def test_a_name_is_fetched_to_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path))
    row = find_checkpoint("ViT_B16", "imagenet21k")
    by_hand = cached_path(row.address)
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(b"put here by hand")
    assert locate("ViT_B16", "imagenet21k") == (str(by_hand), row)


def test_the_table_is_markdown():
    lines = markdown_table().splitlines()
    assert len(lines) == len(CHECKPOINTS) + 2
    assert len({line.count("|") for line in lines}) == 1
