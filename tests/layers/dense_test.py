"""The matrices of a block: their initial values."""

import numpy as np
import pytest

from keras_vit.layers.dense import Dense, values_follow


def kernel():
    layer = Dense(3)
    layer.build((None, 2))
    return np.asarray(layer.kernel)


def test_nothing_is_drawn_where_values_follow_and_everything_is_after_it():
    with values_follow():
        assert not kernel().any()
    assert kernel().all()
    with pytest.raises(ZeroDivisionError), values_follow():
        1 / 0  # noqa: B018
    assert kernel().all()
