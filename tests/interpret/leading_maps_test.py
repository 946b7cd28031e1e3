"""The map that is shown first."""

import numpy as np
import pytest

from keras_vit import interpret
from keras_vit.interpret.leading_maps import saliencies


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", ["class token", "DINOv3", "BEiT"])
def test_every_way_is_the_measure_it_names(kind, make, images):
    model, x = make(kind), images()
    for method, expected in {
        None: interpret.attention_rollout(model, x, first_block=1),
        "relevance": interpret.class_relevance(model, x),
        "foreground": interpret.feature_foreground(model, x),
        "attention": interpret.head_attention(model, x).mean(1),
    }.items():
        result = interpret.saliency(model, x, method, batch_size=1)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_a_model_without_classes_is_not_asked_for_one(make, images):
    assert "relevance" not in saliencies(make("no pooling"))
    with pytest.raises(ValueError, match="`method` to be one of .*Received: method='relevance'"):
        interpret.saliency(make("no pooling"), images(), "relevance")
