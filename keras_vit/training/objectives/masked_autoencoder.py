"""Most of an image is hidden, and the model learns to see what is not there: no label is needed."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_vit.checks import check_int, check_number
from keras_vit.data.dataset import ImageDataset
from keras_vit.files import replacing
from keras_vit.fitting import TrainableModel
from keras_vit.layers.token_state import TokenState
from keras_vit.training.objectives.decoder import build_decoder, load_decoder
from keras_vit.training.objectives.masking import VisibleTokens
from keras_vit.training.objectives.objective import Figure, Objective
from keras_vit.training.recipes import Recipe

EPSILON = 1e-6  # added to the variance of a patch
_HEAD_WIDTH = 32


class MaskedAutoencoder(Objective):
    """Teaches a Vision Transformer to fill in the hidden patches of an image.

    The encoder sees the visible patches alone; a small decoder makes all pixels of what it makes of
    them. The loss is the squared error of the hidden patches, each with a mean of 0 and a deviation
    of 1. Which patches are hidden depends on the seed of the run and the image's place in it, so
    the numbers stay on any number of replicas. The decoder is written beside the model.

    Args:
        mask_ratio: share of the patches that are hidden, in (0, 1).
        decoder_size: width of a token in the decoder; None for 512, or the encoder's if smaller.
        decoder_layers: blocks of the decoder; None for 8, or as many as the encoder has if fewer.
        decoder_heads: heads of a block; None for heads of 32 numbers.
        normalize_pixels: whether each patch is normalised before the error is taken.
        decoder: what the decoder begins with: the `decoder.keras` of another run, or a checkpoint
            of transformers' `ViTMAEForPreTraining`; None for initial values.

    Reference: "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377), section 3 and
    Table 1.
    """

    figures = (Figure("loss", "squared error of hidden patches"),)
    shows_outputs = True
    needs_labels = False

    def __init__(
        self,
        mask_ratio: float = 0.75,
        *,
        decoder_size: int | None = None,
        decoder_layers: int | None = None,
        decoder_heads: int | None = None,
        normalize_pixels: bool = True,
        decoder: str | os.PathLike | None = None,
    ):
        check_number("mask_ratio", mask_ratio, "(0, 1)")
        self.mask_ratio = mask_ratio
        self.decoder_size, self.decoder_layers = decoder_size, decoder_layers
        self.decoder_heads = decoder_heads
        for name in ("decoder_size", "decoder_layers", "decoder_heads"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)
        self.normalize_pixels = normalize_pixels
        self.decoder = None if decoder is None else os.fspath(decoder)

    def check(self, recipe: Recipe, model: keras.Model, data: ImageDataset) -> None:
        """Refuses what cannot be masked, and labels that nobody reads."""
        config = getattr(model, "config", None)
        if config is None or not hasattr(model, "parts"):
            raise ValueError(
                "Expected a keras_vit.VisionTransformer, whose patches can be left out. "
                f"Received: {type(model).__name__} {model.name!r}."
            )
        if config.hybrid is not None or any(config.merged_per_block):
            raise ValueError(
                "Expected a model that cuts patches from the image and keeps its tokens apart. "
                f"Received: {model.name!r} with "
                f"{'a ResNet in front' if config.hybrid else 'token merging'}."
            )
        if recipe.augmentation.mixes:
            raise ValueError(
                "Expected an augmentation that leaves images apart. Received: mixup_alpha="
                f"{recipe.augmentation.mixup_alpha}, cutmix_alpha="
                f"{recipe.augmentation.cutmix_alpha}. Set both to 0."
            )
        patches, visible = self._patches(model)
        if not 0 < visible < patches:
            raise ValueError(
                f"Expected a mask_ratio that hides some of {patches} patches and leaves some. "
                f"Received: {self.mask_ratio}, which leaves {visible}. Use larger images or "
                "another ratio."
            )

    def _grid(self, model: keras.Model) -> tuple[int, int]:
        rows, columns = (side // model.config.patch_size for side in model.preprocessing.size)
        return rows, columns

    def _patches(self, model: keras.Model) -> tuple[int, int]:
        """Returns how many patches an image has, and how many of them are visible."""
        patches = math.prod(self._grid(model))
        return patches, int(patches * (1 - self.mask_ratio))

    def targets(self, model: keras.Model, data: ImageDataset) -> MaskedPatches:
        """Returns what hides patches of an image at random."""
        return MaskedPatches(
            model.config.patch_size, self._patches(model)[1], self.normalize_pixels
        )

    def network(self, model: keras.Model) -> TrainableModel:
        """Returns encoder and decoder: image and order of its patches to all patches."""
        config, (patches, visible) = model.config, self._patches(model)
        order = keras.Input((patches,), dtype="int32", name="order")
        embedded = TokenState.of(model.parts.ways["embedded"].output)
        seen = VisibleTokens(config.num_prefix_tokens, visible, name="visible_tokens")(
            embedded.tokens, order, embedded.state
        )
        tokens = model.parts.finish(model.parts.run_blocks(seen)[-1].tokens)
        pixels = self._decoder(model)([tokens, order])
        return TrainableModel([model.inputs[0], order], pixels, name="trainer")

    def _decoder(self, model: keras.Model) -> keras.Model:
        config, shape = model.config, (self._grid(model), self._patches(model)[1])
        if self.decoder is not None:
            return load_decoder(self.decoder, config, *shape)
        size = self.decoder_size or min(512, config.hidden_size)
        return build_decoder(
            config,
            *shape,
            hidden_size=size,
            num_layers=self.decoder_layers or min(8, config.num_layers),
            num_heads=self.decoder_heads or max(1, size // _HEAD_WIDTH),
            dtype=model.dtype_policy,
        )

    def loss(self, recipe: Recipe, data: ImageDataset) -> keras.losses.Loss:
        """Returns the squared error, a mean over the patches that weigh: those that are hidden."""
        return keras.losses.MeanSquaredError(reduction="mean_with_sample_weight", dtype="float32")

    def output_pictures(self, network: keras.Model, batch: Any) -> dict[str, np.ndarray]:
        """Returns the images, what is visible of them, and what the network makes of that."""
        inputs, _, hidden = batch
        images, hidden = np.asarray(inputs[0]), np.asarray(hidden)[..., None]
        patch_size = math.isqrt(images.shape[1] * images.shape[2] // hidden.shape[1])
        patches = np.asarray(to_patches(images, patch_size))
        predicted = np.asarray(network(list(inputs), training=False))
        if self.normalize_pixels:
            mean = patches.mean(-1, keepdims=True)
            predicted = predicted * np.sqrt(patches.var(-1, ddof=1, keepdims=True) + EPSILON) + mean
        filled = np.where(hidden > 0, predicted, patches)
        masked = patches * (1 - hidden)
        return {
            "original": images,
            "masked": to_images(masked, images.shape),
            "reconstructed": to_images(filled, images.shape),
        }

    def save(self, network: keras.Model, folder: Path) -> dict[str, Path]:
        """Writes `decoder.keras`."""
        path = folder / "decoder.keras"
        with replacing(path) as temporary:
            network.get_layer("decoder").save(temporary)
        return {"decoder": path}

    def to_dict(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {
            **super().to_dict(),
            "mask_ratio": self.mask_ratio,
            "decoder_size": self.decoder_size,
            "decoder_layers": self.decoder_layers,
            "decoder_heads": self.decoder_heads,
            "normalize_pixels": self.normalize_pixels,
            "decoder": self.decoder and os.path.basename(self.decoder),
        }


@dataclasses.dataclass(frozen=True)
class MaskedPatches:
    """Makes of an image: it and a random order of its patches, all patches, and which are hidden.

    Attributes:
        patch_size: side of a patch in pixels.
        num_visible: patches at the head of the order, which the encoder sees.
        normalize: whether each patch gets a mean of 0 and a deviation of 1.
    """

    patch_size: int
    num_visible: int
    normalize: bool = True

    def __call__(self, image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> tuple:
        rows, columns = (side // self.patch_size for side in image.shape[:2])
        return self.hide(image, tf.random.stateless_uniform([rows * columns], seed))

    def hide(self, image: tf.Tensor, noise: tf.Tensor) -> tuple:
        """Makes the example in which the patches with the most noise are hidden.

        Args:
            image: float32 `(height, width, channels)`, as the model gets it.
            noise: `(patches,)`.

        Returns:
            `(image, order)`, patches `(patches, values)`, and 1 for each hidden patch, else 0.
        """
        patches = to_patches(image[tf.newaxis], self.patch_size)[0]
        order = tf.argsort(noise, stable=True)
        hidden = tf.cast(tf.argsort(order) >= self.num_visible, tf.float32)
        if self.normalize:
            count = patches.shape[1]
            mean, variance = tf.nn.moments(patches, [1], keepdims=True)
            variance *= count / max(count - 1, 1)  # as the released code estimates it
            patches = (patches - mean) / tf.sqrt(variance + EPSILON)
        return (image, order), patches, hidden


def to_patches(images: Any, patch_size: int) -> Any:
    """Cuts images in patches.

    Args:
        images: `(batch, height, width, channels)`, an array or a tensor.
        patch_size: side of a patch; divides both sides.

    Returns:
        `(batch, patches, patch_size * patch_size * channels)`, row by row.
    """
    _, height, width, channels = images.shape
    rows, columns = height // patch_size, width // patch_size
    x = ops.reshape(images, (-1, rows, patch_size, columns, patch_size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * columns, patch_size**2 * channels))


def to_images(patches: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Puts patches together again.

    Args:
        patches: `(batch, patches, values)`, as `to_patches` cuts them.
        shape: of the images.
    """
    batch, height, width, channels = shape
    side = math.isqrt(patches.shape[-1] // channels)
    x = patches.reshape(batch, height // side, width // side, side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(shape)
