"""Patches that a model uses as scratch are found and can be left out."""

import numpy as np
import pytest
from keras import ops

from keras_vit import interpret
from keras_vit.interpret import artifacts


class Walk:
    """In the place of a walk over the blocks: two of them, two images of 2 x 3 patches."""

    tokens = np.ones((2, 7, 4), "float32")
    maps = np.full((2, 2, 2, 7, 7), 1 / 7, "float32")

    def __init__(self, model, images):
        self.tokens = ops.convert_to_tensor(self.tokens[: len(images)])

    def __iter__(self):
        return iter(self.maps)


@pytest.fixture
def walk(monkeypatch):
    monkeypatch.setattr(artifacts, "AttentionWalk", Walk)
    monkeypatch.setattr(Walk, "tokens", Walk.tokens.copy())
    monkeypatch.setattr(Walk, "maps", Walk.maps.copy())
    return Walk


def test_an_even_model_has_none(walk, make, images):
    assert not interpret.artifact_patches(make(), images()).any()


def test_features_that_are_far_longer_than_others_are_found(walk, make, images):
    walk.tokens[0, 0] *= 100  # the class token is no patch
    walk.tokens[0, 1 + 4] *= 3.3
    walk.tokens[1, 1 + 2] *= 3.0
    found = interpret.artifact_patches(make(), images())
    assert np.argwhere(found).tolist() == [[0, 1, 1]]


def test_a_patch_that_one_head_gives_nearly_all_is_found(walk, make, images):
    walk.maps[1, 1, 0] = 0
    walk.maps[1, 1, 0, :4, 1 + 5] = 1  # by four of the seven tokens: 0.57
    walk.maps[1, 1, 0, 4:, 0] = 1  # the class token may be a sink
    found = interpret.artifact_patches(make(), images())
    assert np.argwhere(found).tolist() == [[1, 1, 2]]


@pytest.mark.few(12)
def test_every_kind_of_model_can_be_asked(model, images):
    found = interpret.artifact_patches(model, images(), batch_size=1)
    assert found.shape == (2, 2, 3) and found.dtype == bool


def test_what_is_left_out_is_filled_from_around():
    maps = np.arange(12, dtype="float32").reshape(1, 3, 4)
    left_out = np.zeros((1, 3, 4), bool)
    left_out[0, 1, 1] = left_out[0, 0, 0] = True
    filled = interpret.fill_patches(maps, left_out)
    assert filled[0, 1, 1] == pytest.approx(np.mean([1, 2, 4, 6, 8, 9, 10]))
    assert filled[0, 0, 0] == pytest.approx(np.mean([1, 4]))
    np.testing.assert_array_equal(filled[~left_out], maps[~left_out])
    assert (interpret.fill_patches(maps, np.ones_like(left_out)) == 0).all()
    with pytest.raises(ValueError, match="of the same shape"):
        interpret.fill_patches(maps, left_out[0])
