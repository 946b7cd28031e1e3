import dataclasses

import numpy as np
import pytest

from keras_vit.weights.arrays import ArrayFile, ArraySpec
from keras_vit.weights.binding import bind
from keras_vit.weights.forms import FORMS, Sizes, joined, parted
from keras_vit.weights.names import LAYOUTS
from keras_vit.weights.rows import fill, match
from keras_vit.weights.sources import open_checkpoint


def test_every_array_of_every_golden_case_is_used_or_left_out_by_a_rule(case):
    bound = bind(open_checkpoint(case.source))
    assert bound.unexpected == () and bound.misfits == ()
    made = {name for binding in bound.bindings for name in binding.sources}
    assert made | set(bound.ignored) == set(bound.file.specs)
    decoys = {"siglip_full": 24, "clip_full": 24, "siglip_img": 8}
    masks = case.name.startswith("hf/") and "dinov2" in case.name
    assert len(bound.ignored) == decoys.get(case.name.split("/")[1], int(masks))


def test_shapes_are_those_of_the_arrays_that_are_made(case):
    bound = bind(open_checkpoint(case.source))
    made = {name: array.shape for name, array in bound.arrays(set(bound.shapes))}
    assert made == dict(bound.shapes)


def test_only_what_is_wanted_is_read(golden):
    bound = bind(open_checkpoint(golden("google/vit_token").source))
    read = []
    original = bound.file.read
    bound.file.read = lambda name: read.append(name) or original(name)
    assert [name for name, _ in bound.arrays({"head/bias"})] == ["head/bias"]
    assert read == ["head/bias"]


def test_stacked_blocks_are_read_once(golden):
    bound = bind(open_checkpoint(golden("big_vision/vit_scan").source))
    read = []
    original = bound.file.read
    bound.file.read = lambda name: read.append(name) or original(name)
    dict(bound.arrays(set(bound.shapes)))
    assert len(read) == len(set(read))


def test_a_file_of_something_else_shows_its_names(tmp_path):
    np.savez(tmp_path / "resnet.npz", **{"conv1/kernel": np.zeros(3)})
    with pytest.raises(ValueError, match="conv1/kernel"):
        bind(open_checkpoint(tmp_path / "resnet.npz"))


class _Shapes(ArrayFile):
    def __init__(self, **shapes):
        super().__init__("x", {n: ArraySpec(s, "float32") for n, s in shapes.items()})


def test_arrays_that_cannot_be_what_they_are_named_are_misfits():
    bound = bind(
        _Shapes(
            **{
                "embedding/kernel": (4, 4, 3, 16),
                "Transformer/encoderblock_0/LayerNorm_0/scale": (16,),
                "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel": (16, 16),
                "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/key/kernel": (16, 2, 8),
            }
        )
    )
    assert len(bound.misfits) == 1 and "value/kernel" in bound.misfits[0]


def test_the_same_variable_twice_is_a_misfit():
    bound = bind(
        _Shapes(
            **{
                "embedding/kernel": (4, 4, 3, 16),
                "pos_embedding": (1, 16, 16),
                "Transformer/posembed_input/pos_embedding": (1, 16, 16),
            }
        )
    )
    assert "a second time" in bound.misfits[0]


_SHAPES = {
    "same": (3, 4), "linear": (6, 4), "conv": (8, 3, 5, 5), "torch_patch": (6, 3, 4, 4),
    "flax_patch": (4, 4, 3, 6), "heads_kernel": (6, 2, 3), "heads_bias": (2, 3),
    "heads_output": (2, 3, 6), "flat": (8,), "token": (6,), "table": (5, 6),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms_come_back(name):
    stored = np.random.default_rng(0).normal(size=_SHAPES[name])
    form = FORMS[name]
    assert stored.ndim in form.ndims
    back = form.back(form.forward(stored), Sizes(patch_size=4, num_heads=2))
    np.testing.assert_array_equal(back, stored)


def test_patches_are_row_by_row_with_channels_last():
    flat = np.arange(4 * 4 * 3 * 2).reshape(4 * 4 * 3, 2)
    stored = FORMS["torch_patch"].back(flat, Sizes(4, 1))
    assert stored[1, 2, 0, 3] == flat[(0 * 4 + 3) * 3 + 2, 1]


def test_parts_are_cut_in_proportion():
    array = np.arange(18).reshape(2, 9)
    first, second = parted(array, (1, 2))
    assert first.shape == (2, 3) and second.shape == (2, 6)
    np.testing.assert_array_equal(joined([first, second]), array)
    with pytest.raises(ValueError, match="cut"):
        parted(array, (1, 1))


def test_names_are_filled_and_matched():
    pattern = "block{s+1}/unit{u+1}/conv1"
    assert fill(pattern, {"s": 0, "u": 2}) == "block1/unit3/conv1"
    assert match(pattern, "block1/unit3/conv1") == {"s": 0, "u": 2}
    for wrong in ("block0/unit1/conv1", "block01/unit1/conv1", "xblock1/unit1/conv1"):
        assert match(pattern, wrong) is None
    assert match("blocks.{i}.x", "blocks.12.x") == {"i": 12}
    assert match("blocks.{i}.x", "blocksa12.x") is None


@pytest.mark.parametrize("layout", LAYOUTS, ids=[f"{x.name}-{x.signature}" for x in LAYOUTS])
def test_tables_are_well_formed(layout):
    for row in layout.rows:
        assert row.form in FORMS, row
        assert len(row.shares) == len(row.targets), row
        places = {part[1] for source in row.sources for part in source.split("{")[1:]}
        assert row.stacked or len(places) <= 2
    names = [(source, row.when, row.unless) for row in layout.rows for source in row.sources]
    assert len(names) == len(set(names))
    assert dataclasses.is_dataclass(layout)
