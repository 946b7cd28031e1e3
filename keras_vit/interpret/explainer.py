"""One uploaded picture -> the best classes, and a map over it; what the demo page shows.

Nothing here knows the page: bytes and choices in, scores and pixels out.
"""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.interpret import attention_measures, plot
from keras_vit.interpret.observe import block_numbers, check_model, grid_of
from keras_vit.interpret.relevance import class_relevance
from keras_vit.interpret.report import class_names_for, predict
from keras_vit.interpret.samples import Samples

ROLLOUT = "Attention rollout"
RELEVANCE = "Relevance for a class"
HEAD = "One block"
MAX_BYTES = 20 * 2**20


def _told_apart(names: list[str]) -> list[str]:
    """Adds the number of the class to names that occur twice (ImageNet has two cranes)."""
    counts = collections.Counter(names)
    return [
        f"{name} (class {index})" if counts[name] > 1 else name for index, name in enumerate(names)
    ]


class Explainer:
    """Looks at one picture after the other with one model.

    Args:
        model: a `keras_vit.VisionTransformer`, with or without a head.
        labels: names of its classes; None for ImageNet's where the number fits, else numbers.

    Attributes:
        model: the model.
        labels: names of its classes, empty without a head.
        measures: the maps that it can draw, of `ROLLOUT`, `RELEVANCE` and `HEAD`.

    Raises:
        ValueError: another kind of model, or another number of labels.
    """

    def __init__(self, model: Any, labels: Sequence[str] | None = None):
        config = check_model(model)
        self.model = model
        self.labels: list[str] = []
        self.measures = (ROLLOUT, HEAD)
        if config.num_classes:
            nothing = np.zeros((0, *config.image_size, config.in_channels), np.float32)
            names = None if labels is None else tuple(labels)
            self.labels = _told_apart(
                class_names_for(model, Samples(nothing, (), class_names=names))
            )
            self.measures = (ROLLOUT, RELEVANCE, HEAD)

    def read(self, path: str | os.PathLike) -> np.ndarray:
        """Reads a picture as the model takes it.

        Args:
            path: of an image file.

        Returns:
            (1, height, width, channels) float32.

        Raises:
            ValueError: no image, a broken one, or one that is too large; written for the visitor.
        """
        from keras_vit.images.pillow_decoding import load_image

        try:
            data = pathlib.Path(path).read_bytes()
        except OSError as error:
            raise ValueError("Expected a picture. Received: a file that cannot be read.") from error
        if len(data) > MAX_BYTES:
            raise ValueError(
                f"Expected a picture of at most {MAX_BYTES // 2**20} MB. "
                f"Received: {len(data) / 2**20:.0f} MB."
            )
        return load_image(data, self.model)[None]

    def best(self, images: np.ndarray, top: int = 5) -> list[tuple[str, float]]:
        """Returns the best classes.

        Args:
            images: one picture from `read`.
            top: how many classes at most.

        Returns:
            (name, score) best first; empty for a model without a head.
        """
        if not self.labels:
            return []
        scores = predict(self.model, images)[0]
        order = np.argsort(-scores, kind="stable")[:top]
        return [(self.labels[index], float(scores[index])) for index in order]

    def heat(
        self,
        images: np.ndarray,
        measure: str = ROLLOUT,
        *,
        label: str | None = None,
        block: int = -1,
        head: int | None = None,
    ) -> np.ndarray:
        """Returns the map of a picture.

        Args:
            images: one picture from `read`.
            measure: `ROLLOUT`; `RELEVANCE`; or `HEAD`, what one block looks at: the class token's
                attention, or without one that of the mean patch.
            label: for `RELEVANCE`, the class; None is the predicted one.
            block: for `HEAD`, counted from 0.
            head: for `HEAD`, counted from 0; None is the mean over all heads.

        Returns:
            (grid rows, grid columns) float32.

        Raises:
            ValueError: an unknown measure, class, block or head.
        """
        config = self.model.config
        if measure not in self.measures:
            raise ValueError(f"Expected one of {self.measures}. Received: {measure!r}.")
        if measure == ROLLOUT:
            return attention_measures.attention_rollout(self.model, images)[0]
        if measure == RELEVANCE:
            if label is not None and label not in self.labels:
                raise ValueError(f"Expected one of the model's classes. Received: {label!r}.")
            chosen = None if label is None else self.labels.index(label)
            return class_relevance(self.model, images, chosen)[0]
        block_numbers(config, [block])
        if head is not None and not 0 <= head < config.num_heads:
            raise ValueError(
                f"Expected a head from 0 to {config.num_heads - 1}. Received: {head!r}."
            )
        (maps,) = attention_measures.attention_maps(self.model, images, [block])
        looks = maps[0].mean(axis=0) if head is None else maps[0, head]
        prefix = config.num_prefix_tokens
        row = looks[0] if config.class_token else looks[prefix:].mean(axis=0)
        return row[prefix:].reshape(grid_of(self.model, images))

    def draw(self, images: np.ndarray, heat: np.ndarray, title: str) -> np.ndarray:
        """Draws a picture and the map over it side by side.

        Args:
            images: one picture from `read`.
            heat: from `heat`.
            title: what the map shows.

        Returns:
            (height, width, 3) uint8.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        shown = plot.displayable(images, self.model.preprocessing)[0]
        figure = plot.heat_map(
            shown, heat * heat.size / max(float(heat.sum()), 1e-12), title=title,
            label="times the even share",
        )  # fmt: skip
        figure.set_dpi(130)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
