"""The comparison that every exported file passes before it is kept."""

import numpy as np
import pytest

import keras_vit
from keras_vit.export import comparison
from keras_vit.export.agreement import model_outputs


@pytest.fixture(scope="module")
def model():
    config = keras_vit.VisionTransformerConfig(
        image_size=16, patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=16,
        num_classes=3,
    )  # fmt: skip
    model = keras_vit.VisionTransformer(config)
    model.get_layer("head").kernel.assign(np.random.default_rng(0).normal(size=(16, 3)))
    return model


@pytest.mark.parametrize(("error", "passes"), [(0.0, True), (0.5, False), (np.nan, False)])
def test_a_difference_beyond_the_tolerance_is_an_error(model, error, passes):
    def run(images):
        outputs = model_outputs(model, images)
        outputs["logits"] = outputs["logits"] * (1 + error)
        return outputs

    if passes:
        comparison.compare(model, run, 0.1, name="form")
    else:
        with pytest.raises(RuntimeError, match="`logits` of the form within 0.1"):
            comparison.compare(model, run, 0.1, name="form")


def test_a_form_that_fails_or_lacks_an_output_is_an_error(model):
    with pytest.raises(RuntimeError, match="The form does not run: division"):
        comparison.compare(model, lambda images: 1 / 0, 0.1, name="form")
    with pytest.raises(RuntimeError, match="Expected `features`"):
        comparison.compare(model, lambda images: {}, 0.1, name="form")


def test_only_the_batch_of_the_form_and_the_given_images_are_run(model):
    given, seen = comparison.sample_images(model, 7), []

    def run(images):
        seen.append(images)
        return model_outputs(model, images)

    comparison.compare(model, run, 0.1, batch_size=5, images=given, name="form")
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], given[:5])
