import dataclasses

import numpy as np
import pytest

from keras_vit.weights.binding import bind
from keras_vit.weights.files.opening import open_checkpoint


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


def test_an_array_of_very_many_blocks_is_no_reason_to_take_long(golden):
    bound = bind(open_checkpoint(golden("big_vision/vit_scan").source))
    stacked = next(each.sources[0] for each in bound.bindings if each.row.stacked is not None)
    spec = bound.file.specs[stacked]
    bound.file.specs[stacked] = dataclasses.replace(spec, shape=(10**9, *spec.shape[1:]))
    assert len(bind(bound.file).bindings) < 10_000


def test_a_file_of_something_else_shows_its_names(tmp_path):
    np.savez(tmp_path / "resnet.npz", **{"conv1/kernel": np.zeros(3)})
    with pytest.raises(ValueError, match="conv1/kernel"):
        bind(open_checkpoint(tmp_path / "resnet.npz"))


def test_arrays_that_cannot_be_what_they_are_named_are_misfits(shapes_file):
    bound = bind(
        shapes_file(
            {
                "embedding/kernel": (4, 4, 3, 16),
                "Transformer/encoderblock_0/LayerNorm_0/scale": (16,),
                "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel": (16, 16),
                "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/key/kernel": (16, 2, 8),
            }
        )
    )
    assert len(bound.misfits) == 1 and "value/kernel" in bound.misfits[0]


def test_the_same_variable_twice_is_a_misfit(shapes_file):
    bound = bind(
        shapes_file(
            {
                "embedding/kernel": (4, 4, 3, 16),
                "pos_embedding": (1, 16, 16),
                "Transformer/posembed_input/pos_embedding": (1, 16, 16),
            }
        )
    )
    assert "a second time" in bound.misfits[0]
