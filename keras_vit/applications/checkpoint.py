"""A checkpoint becomes a model: the architecture is read from it, then the weights."""

from collections.abc import Sequence
from typing import Any

from keras_vit.applications.building import BuildArguments
from keras_vit.checks import check_choice
from keras_vit.models.vision_transformer import VisionTransformer
from keras_vit.weights.architecture import infer_config
from keras_vit.weights.load import open_source


def from_checkpoint(
    source: Any,
    *,
    include_top: bool = True,
    pooling: str | None = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int | None = None,
    classifier_activation: Any = "softmax",
    decoder: bool | None = None,
    channels: Sequence[int | None] | None = None,
    **config_overrides: Any,
) -> VisionTransformer:
    """Builds the model that a checkpoint was saved from, and loads it.

    The architecture is read from names and shapes. What they do not tell comes from
    `config_overrides`, else from a `config.json` beside the file, else from the convention of the
    layout: 64 numbers a head (unless a published variant of these sizes has another number), a
    square grid of positions, and for GELU and epsilon what google-research, timm or Hugging Face
    use.

    Args:
        source: an `.npz`, `.safetensors` or `.keras` file, a folder with one, a keras-hub preset
            (its folder), or an address (`"hf://owner/repo"`, `"https://..."`).
        include_top: whether the head is part of the model.
        pooling: as in the model factories; None is the checkpoint's own with a head, and all tokens
            without one.
        input_shape: (height, width, channels) in pixels; the position embedding is resized to it.
            `(None, None, channels)` takes any size. None is the size of the checkpoint.
        classes: number of classes; None keeps the checkpoint's head, another number than its own
            makes a fresh one.
        classifier_activation: activation of the head; None returns logits.
        decoder: False loads the encoder alone of a checkpoint that has the decoder of its
            pre-training too, which is an error otherwise.
        channels: which channels of the checkpoint those of the images are read as, as in
            `load_weights`.
        **config_overrides: fields of `keras_vit.VisionTransformerConfig`, `dtype`, `name` and
            `trainable`; and `stored_grid`, (rows, columns) of the stored position embedding, where
            nothing tells it.

    Returns:
        The model, with `config` and `preprocessing` of the checkpoint.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken file, no Vision Transformer, one with a decoder, or an argument that is
            needed or does not fit.
    """
    names = ("dtype", "name", "trainable")
    own = {name: config_overrides.pop(name) for name in names if name in config_overrides}
    arguments = BuildArguments(
        include_top=include_top,
        pooling=pooling,
        input_shape=input_shape,
        classes=classes,
        classifier_activation=classifier_activation,
        **own,
    )
    check_choice("decoder", decoder, (None, False))
    bound = open_source(source)
    if bound.decoder and decoder is None:
        raise ValueError(
            f"Expected no decoder in {bound.file.path!r}. Received: that of a pre-training, "
            f"{len(bound.decoder)} arrays such as {bound.decoder[0]}. Pass `decoder=False` for the "
            "encoder alone; `keras_vit.training.objectives.MaskedAutoencoder` and `keras-vit "
            "pretrain --decoder` go on with that of transformers' ViTMAEForPreTraining."
        )
    config = infer_config(bound, **{**config_overrides, **arguments.size_hint})
    return arguments.build_loaded(bound, config, channels=channels)
