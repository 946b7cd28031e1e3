"""One uploaded picture -> the best classes, and a map over it; what the demo page shows.

Nothing here knows the page: bytes and choices in, scores and pixels out.
"""

import collections
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_vit.interpret import plot
from keras_vit.interpret.attention_measures import head_attention
from keras_vit.interpret.dense_features import feature_pca
from keras_vit.interpret.leading_maps import SALIENCIES, saliencies
from keras_vit.interpret.pictures import class_names_for, predict
from keras_vit.interpret.relevance import class_relevance
from keras_vit.interpret.samples import seen_photo
from keras_vit.models.config import config_of

RELEVANCE = SALIENCIES["relevance"].title
HEAD = "One block"
COLORS = "Features as colours"
MAX_BYTES = 20 * 2**20


def _told_apart(names: list[str]) -> list[str]:
    """Adds the number of the class to names that occur twice (ImageNet has two cranes)."""
    counts = collections.Counter(names)
    return [
        f"{name} (class {index})" if counts[name] > 1 else name for index, name in enumerate(names)
    ]


class Upload(NamedTuple):
    """One picture.

    Attributes:
        images: as the model takes it, (1, height, width, channels) float32.
        photo: what the model sees of it, at its own resolution, (height, width, 1 or 3) uint8.
    """

    images: np.ndarray
    photo: np.ndarray


class Explainer:
    """Says of one picture after the other what a model sees.

    Args:
        model: a `keras_vit.VisionTransformer`, with or without a head.
        labels: names of its classes; None for ImageNet's where the number fits, else numbers.

    Attributes:
        model: the model.
        labels: names of its classes, empty without a head.
        measures: the maps that it can draw, the one that leads first.

    Raises:
        ValueError: another kind of model, or another number of labels.
    """

    def __init__(self, model: Any, labels: Sequence[str] | None = None):
        config = config_of(model)
        self.model = model
        self.labels: list[str] = []
        self._ways = {way.title: way for way in saliencies(model).values()}
        self.measures = (*self._ways, HEAD, COLORS)
        if config.num_classes:
            self.labels = _told_apart(class_names_for(model, labels))

    @property
    def tells_values(self) -> bool:
        """Whether the model tells values, and not classes or labels."""
        return self.model.config.values is not None

    def read(self, path: str | os.PathLike) -> Upload:
        """Reads a picture.

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
        images = load_image(data, self.model)[None]
        return Upload(images, seen_photo(data, self.model.preprocessing))

    def best(self, images: np.ndarray, top: int = 5) -> list[tuple[str, float]]:
        """Returns the best classes, or the values of a regression.

        Returns:
            (name, score) best first, or (name, value) of all; empty for a model without a head.
        """
        if not self.labels:
            return []
        if self.tells_values:
            values = np.asarray(self.model.predict_on_batch(images))[0]
            return list(zip(self.labels, values.tolist(), strict=True))
        scores = predict(self.model, images)[0]
        order = np.argsort(-scores, kind="stable")[:top]
        return [(self.labels[index], float(scores[index])) for index in order]

    def heat(
        self,
        images: np.ndarray,
        measure: str | None = None,
        *,
        label: str | None = None,
        block: int = -1,
        head: int | None = None,
    ) -> np.ndarray:
        """Returns the map of a picture.

        Args:
            images: of a picture from `read`.
            measure: one of `measures`: a way of `keras_vit.interpret.saliency`; `HEAD`, what one
                block looks at; or `COLORS`, see `feature_pca`. None is the one that leads.
            label: for `RELEVANCE`, the class; None is the predicted one.
            block: for `HEAD`, counted from 0.
            head: for `HEAD`, counted from 0; None is the mean over all heads.

        Returns:
            (grid rows, grid columns) float32; for `COLORS` with four channels.

        Raises:
            ValueError: an unknown measure, class, block or head.
        """
        measure = self.measures[0] if measure is None else measure
        if measure not in self.measures:
            raise ValueError(f"Expected one of {self.measures}. Received: {measure!r}.")
        if measure == COLORS:
            return feature_pca(self.model, images)[0]
        if measure == HEAD:
            heads = self.model.config.num_heads
            if head is not None and not 0 <= head < heads:
                raise ValueError(f"Expected a head from 0 to {heads - 1}. Received: {head!r}.")
            maps = head_attention(self.model, images, block)[0]
            return maps.mean(axis=0) if head is None else maps[head]
        if measure == RELEVANCE and label is not None:
            if label not in self.labels:
                raise ValueError(f"Expected one of the model's classes. Received: {label!r}.")
            return class_relevance(self.model, images, self.labels.index(label))[0]
        return self._ways[measure].measure(self.model, images, batch_size=1)[0]

    def draw(self, photo: np.ndarray, heat: np.ndarray, title: str) -> np.ndarray:
        """Draws a picture and the map over it side by side.

        Args:
            photo: of a picture from `read`.
            heat: from `heat`.
            title: what the map shows.

        Returns:
            (height, width, 3) uint8.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        if heat.ndim == 3:
            figure = plot.heat_map_rows([photo], {title: heat[None]})
        else:
            figure = plot.heat_map(photo, heat, title=title, label="")
        figure.set_dpi(130)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
