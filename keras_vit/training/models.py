"""From the text after `--model` to a model with the right head for a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vit.checks import check_name
from keras_vit.data.dataset import ImageDataset
from keras_vit.models.config import VisionTransformerConfig
from keras_vit.models.variants import VARIANTS
from keras_vit.training.recipes import AUTO, Recipe
from keras_vit.weights.download import is_address
from keras_vit.weights.files.suffixes import SUFFIXES
from keras_vit.weights.lookup import check_weights

if TYPE_CHECKING:
    from keras_vit.models.vision_transformer import VisionTransformer

# Small models that learn from scratch on a laptop; ours, not from a paper.
SMALL_MODELS: dict[str, VisionTransformerConfig] = {
    # For the embedded digits. Their 8x8 grey pixels are enlarged to 32x32, so that small turns and
    # shifts do not blur them; a patch is 2x2 pixels of the source, which makes 16 patches.
    "digits": VisionTransformerConfig(
        image_size=32,
        in_channels=1,
        patch_size=8,
        hidden_size=64,
        num_layers=4,
        num_heads=4,
        mlp_dim=128,
        num_classes=10,
    ),
    # For photos: 64x64 RGB pixels, 64 patches.
    "small": VisionTransformerConfig(
        image_size=64, patch_size=8, hidden_size=128, num_layers=6, num_heads=4, mlp_dim=256
    ),
}


def default_model(data: ImageDataset) -> str:
    """Returns the small model that suits a data set."""
    return "digits" if data.name == "digits" else "small"


def scratch_recipe(data: ImageDataset) -> str:
    """Returns the name of the recipe for a model that begins with nothing learned."""
    return "digits" if data.name == "digits" else "scratch_small"


def is_checkpoint(spec: str) -> bool:
    """Says whether a spec names a file, folder or hub address of weights and not a model."""
    if spec in SMALL_MODELS or spec in VARIANTS:
        return False
    return is_address(spec) or spec.endswith(SUFFIXES) or Path(spec).exists()


def known_config(spec: str) -> VisionTransformerConfig | None:
    """Returns the config of a small model or a variant, None for a checkpoint."""
    return SMALL_MODELS.get(spec) or VARIANTS.get(spec)


def check_model(spec: str, weights: str | None = None) -> None:
    """Refuses what `build_model` cannot build, and unknown names of weights; needs no Keras.

    Raises:
        ValueError: an unknown name (with the nearest ones), or weights given for a model that takes
            none.
    """
    if spec in VARIANTS:
        if weights is not None:
            check_weights(spec, weights)
    elif weights is not None:
        raise ValueError(
            "Expected `weights` only for a variant such as 'ViT_S16'. "
            f"Received: weights={weights!r} with model {spec!r}."
        )
    elif not is_checkpoint(spec):
        what = "a small model, a variant or the path of a checkpoint that exists"
        check_name(what, spec, [*SMALL_MODELS, *VARIANTS])


def build_model(
    spec: str | os.PathLike,
    data: ImageDataset | None,
    recipe: Recipe,
    *,
    weights: str | None = None,
    image_size: int | None = None,
    dtype: Any = None,
) -> VisionTransformer:
    """Builds or loads a model with a head for the classes of a data set.

    Sets Keras's global seed to the recipe's first, so the same seed gives the same model.

    Args:
        spec: a key of `SMALL_MODELS`; a variant such as `"ViT_S16"`; or a checkpoint: a path to
            `.keras`, `.npz`, `.safetensors` or `.weights.h5`, or `"hf://owner/repo"`.
        data: gives the head: its number of outputs and what they mean, for a regression mean and
            spread of the values; None for a model without a head, with the pooling that it
            would have under one.
        recipe: gives the seed, and the rates of dropout and drop path, rematerialisation, dtype and
            image size where it has any.
        weights: for a variant, what its factory takes as `weights`; None for initial values.
        image_size: side of the square image in pixels; None for the recipe's, else the model's own.
        dtype: dtype or policy of the layers; None for the recipe's, else Keras's global one;
            `"auto"` for what `choose_dtype` finds faster here.

    Returns:
        The model, with a fresh head where its own has another number of classes.

    Raises:
        ValueError: as `check_model`.
    """
    import keras

    spec = os.fspath(spec)
    check_model(spec, weights)
    dtype = dtype or recipe.dtype
    if dtype == AUTO:
        from keras_vit.training.precision import choose_dtype

        dtype = choose_dtype(known_config(spec)).dtype
    keras.utils.set_random_seed(recipe.seed)
    overrides = {
        name: value
        for name in ("dropout_rate", "drop_path_rate", "rematerialize")
        if (value := getattr(recipe, name)) is not None
    }
    image_size = image_size or recipe.image_size
    top = {} if data is None else _top(data)
    if spec in SMALL_MODELS:
        from keras_vit.models.vision_transformer import VisionTransformer

        size = {} if image_size is None else {"image_size": image_size}
        fields = {"num_classes": top.pop("classes", 0)}
        activation = top.pop("classifier_activation", "softmax")
        config = SMALL_MODELS[spec].replace(**fields, **top, **overrides, **size)
        return VisionTransformer(config, classifier_activation=activation, name=spec, dtype=dtype)
    if dtype is not None:
        overrides["dtype"] = dtype
    if spec in VARIANTS:
        from keras_vit.applications import factories as applications

        top = top or {"include_top": False, "pooling": VARIANTS[spec].pooling}
        return getattr(applications, spec)(
            weights=weights,
            **top,
            input_shape=None if image_size is None else (image_size, image_size, 3),
            **overrides,
        )
    from keras_vit.applications.checkpoint import from_checkpoint

    if image_size is not None:
        overrides["image_size"] = image_size
    overrides["decoder"] = False  # the objective loads it
    if data is None:
        return _without_head(from_checkpoint(spec, **overrides))
    return from_checkpoint(spec, **top, **overrides)


def _top(data: ImageDataset) -> dict[str, Any]:
    """Returns the arguments of a model about the head that a data set asks for."""
    from keras_vit.training.objectives.regression import spread_of

    classes, task = {"classes": data.num_classes}, data.task
    values = spread_of(data) if task == "regression" else None
    activation = "softmax" if task == "classes" else "sigmoid"
    meaning = {"multi_label": task == "labels", "values": values}
    return {**classes, "classifier_activation": activation, **meaning}


def _without_head(model: VisionTransformer) -> VisionTransformer:
    """Returns the same weights in a model whose output is what the head reads."""
    if not model.config.num_classes:
        return model
    other = type(model).from_config(
        {**model.get_config(), "config": model.config.replace(num_classes=0).to_dict()}
    )
    for layer in other.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    return other
