"""Every recipe trains at its smoke size."""

import keras
import numpy as np
import pytest

from keras_vit.data.dataset import ImageDataset
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.training import train
from keras_vit.training.recipe_table import RECIPES

pytestmark = pytest.mark.slow
SMOKE = [name for name in RECIPES if name.endswith("_smoke")]
SMALL = VisionTransformerConfig(image_size=16, patch_size=8, hidden_size=8, num_layers=2,
                                num_heads=2, mlp_dim=16, num_classes=2)  # fmt: skip


@pytest.mark.parametrize("name", SMOKE)
def test_it_trains_and_writes_its_files(name, image_sets, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12, 20, 24, 3)).astype("uint8")
    split = image_sets.split_in_memory(images, [0, 1] * 6)
    data = ImageDataset("noise", ("a", "b"), train=split, validation=split)
    recipe = RECIPES[name].replace(steps=2)
    keras.utils.set_random_seed(0)
    rates = {
        field: value
        for field in ("dropout_rate", "drop_path_rate")
        if (value := getattr(recipe, field)) is not None
    }
    result = train(recipe, VisionTransformer(SMALL.replace(**rates)), data, output_dir=tmp_path,
                   verbose=0)  # fmt: skip
    assert result.summary["steps"] == 2
    assert np.isfinite(result.summary["validation_loss"])
    assert result.files["model"].exists()
