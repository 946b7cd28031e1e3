"""A model and sample images -> the pictures of a report, one after the other."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.interpret import attention_measures, dense_features, embedding, plot
from keras_vit.interpret.artifacts import artifact_patches, fill_patches
from keras_vit.interpret.leading_maps import saliencies
from keras_vit.interpret.observe import batches, check_images, grid_of, to_array
from keras_vit.interpret.samples import Samples
from keras_vit.models.config import config_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIMILAR = "Like the framed\npatch"
_COLORS = "Features as\ncolours"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        name: of its file, without suffix.
        title: its heading.
        caption: how to read it.
        draw: makes the figure.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]


@dataclasses.dataclass(frozen=True)
class Seen:
    """Images, and what a model makes of them; what several pictures need is computed once.

    Attributes:
        model: a `keras_vit.VisionTransformer`.
        images: prepared, (batch, height, width, channels).
        photos: for the eye, each of its own resolution.
        names: one for each image.
        predicted: the predicted label of each image, or None without a head.
        scores: its probability, or None.
        true: the true labels, or None.
        maps: by name, as `saliencies` orders them, (batch, grid rows, grid columns).
        artifacts: the same shape, bool.
        batch_size: images at a time.
    """

    model: Any
    images: np.ndarray
    photos: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    predicted: list[str] | None
    scores: np.ndarray | None
    true: list[str] | None
    maps: dict[str, np.ndarray]
    artifacts: np.ndarray
    batch_size: int

    @property
    def leading(self) -> np.ndarray:
        """The map that is shown first."""
        return next(iter(self.maps.values()))

    @property
    def labels(self) -> list[str]:
        """The whole name of each image, and what the model says."""
        if self.predicted is None:
            return list(self.names)
        told = zip(self.names, self.predicted, self.scores, strict=True)
        return [f"{name}: {label} ({100 * score:.0f} %)" for name, label, score in told]


def look(
    model: Any,
    samples: Samples,
    *,
    batch_size: int = 8,
    leave_out_artifacts: bool = False,
    progress: Callable[[str], Any] | None = None,
) -> Seen:
    """Runs a model on sample images and takes the measures that pictures share.

    Args:
        model: a `keras_vit.VisionTransformer`.
        samples: prepared images, names and labels.
        batch_size: images at a time; bounds the memory.
        leave_out_artifacts: whether the rollout leaves out what `artifact_patches` finds, and
            other maps show the neighbours' mean there.
        progress: told each map when it is measured; None for nobody.

    Raises:
        ValueError: another kind of model, or images that it does not take.
    """
    images = check_images(model, samples.images)
    photos = samples.photos or tuple(plot.displayable(images, model.preprocessing))
    predicted = scores = true = None
    if model.config.num_classes and model.config.values is None:
        names = class_names_for(model, samples.class_names)
        probabilities = predict(model, images, batch_size=batch_size)
        scores = probabilities.max(axis=-1)
        predicted = [names[index] for index in probabilities.argmax(axis=-1)]
        true = None if samples.labels is None else [names[index] for index in samples.labels]
    artifacts = artifact_patches(model, images, batch_size=batch_size)
    maps = {}
    ways = saliencies(model)
    for name, way in ways.items():
        left_out = {"left_out": artifacts} if leave_out_artifacts and "rollout" in name else {}
        maps[name] = way.measure(model, images, batch_size=batch_size, **left_out)
        if leave_out_artifacts:
            maps[name] = fill_patches(maps[name], artifacts)
        if progress is not None:
            progress(f"measured, {len(maps)} of {len(ways)}: {way.title}")
    return Seen(
        model, images, photos, samples.names, predicted, scores, true, maps, artifacts, batch_size
    )


def predict(model: Any, images: np.ndarray, *, batch_size: int = 8) -> np.ndarray:
    """Returns the scores of all classes.

    Returns:
        (batch, classes) float32, the probabilities.
    """
    images = check_images(model, images)
    outputs = (model(piece, training=False) for piece in batches(images, batch_size))
    return np.concatenate([to_array(model.probabilities(output)) for output in outputs])


def class_names_for(model: Any, given: Sequence[str] | None = None) -> list[str]:
    """Returns a name for each class: the one that is given, ImageNet's, or the number.

    Raises:
        ValueError: another number of names than the model has classes.
    """
    from keras_vit.images.labels import CLASS_SETS, check_labels, imagenet_classes

    count = config_of(model).num_classes
    if given is not None:
        return check_labels(given, count)
    if count in CLASS_SETS:
        return [name.replace("_", " ") for _, name in imagenet_classes(count)]
    return [str(index) for index in range(count)]


def pictures(model: Any, samples: Samples, **options: Any) -> Iterator[Picture]:
    """Yields the pictures that a model and its images allow, one after the other.

    Raises:
        ValueError: another kind of model, or images that it does not take.
    """
    seen = look(model, samples, **options)
    yield from _of_the_images(seen)
    yield from _of_the_model(seen)


def _of_the_images(seen: Seen) -> Iterator[Picture]:
    """Pictures of where the model looks."""
    model, config, shown = seen.model, seen.model.config, f"Image: {seen.names[0]}."
    way = next(iter(saliencies(model).values()))
    if seen.predicted is not None:
        yield Picture(
            "predictions",
            "Predictions, and where they come from",
            f"Each image, and beside it as light {way.meaning}. Above: the predicted class and its "
            "score.",
            lambda: plot.predictions(
                seen.photos, seen.predicted, seen.leading, true=seen.true, scores=seen.scores,
                title=f"Predictions and {way.title.lower()}",
            ),
        )  # fmt: skip
    yield _measures(seen)
    yield Picture(
        "heads",
        "Heads of the last block",
        "What each head of the last block looks at, each coloured over its own range.",
        lambda: plot.heads_over_images(
            seen.photos,
            attention_measures.head_attention(model, seen.images, batch_size=seen.batch_size),
            row_labels=seen.labels,
        ),
    )
    yield Picture(
        "map",
        f"{way.title} in numbers",
        f"{shown} Crosses: artefacts, where there are any.",
        lambda: plot.heat_map(
            seen.photos[0], seen.leading[0], label=way.title, marks=seen.artifacts[0]
        ),
    )
    yield Picture(
        "attention_heads",
        "Every head of every block",
        f"What each head looks at, blocks downwards, on the grid of patches. {shown} Each cell is "
        "coloured over its own range.",
        lambda: plot.attention_heads(
            [one[0] for one in attention_measures.attention_maps(model, seen.images[:1])],
            config.num_prefix_tokens,
            grid_of(model, seen.images),
            query=0 if config.class_token else "patches",
        ),
    )


def _measures(seen: Seen) -> Picture:
    """All maps of every image, the one that leads first."""
    ways = saliencies(seen.model)
    titles = {name: "\n".join(textwrap.wrap(ways[name].title, 18)) for name in seen.maps}
    maps = {titles[name]: values for name, values in seen.maps.items()}
    patches = [np.unravel_index(one.argmax(), one.shape) for one in seen.leading]
    maps[_SIMILAR] = np.concatenate(
        [
            dense_features.patch_similarity(seen.model, image[None], patch)
            for image, patch in zip(seen.images, patches, strict=True)
        ]
    )
    maps[_COLORS] = dense_features.feature_pca(seen.model, seen.images, batch_size=seen.batch_size)
    explained = "".join(f"{way.title}: {way.meaning}. " for way in ways.values())
    found = int(seen.artifacts.sum())
    marked = (
        f"Crosses: {found} of {seen.artifacts.size:,} patches have outlying features or take over "
        "0.3 of a head's attention (arXiv 2309.16588, 2410.10781); maps may say little there. "
        if found
        else ""
    )
    return Picture(
        "measures",
        "Several looks at the same images",
        f"{explained}{marked}Like the framed patch: cosine similarity of the last features to "
        "those of the patch that the first map shows most. Features as colours: three principal "
        "components of the features of things, the same colours for all images.",
        lambda: plot.heat_map_rows(
            seen.photos,
            maps,
            row_labels=seen.labels,
            frames={_SIMILAR: patches},
            marks=dict.fromkeys(titles.values(), seen.artifacts),
        ),
    )


def _of_the_model(seen: Seen) -> Iterator[Picture]:
    """Pictures of what the model has learned, whatever the image."""
    model, images = seen.model, seen.images
    distances = attention_measures.attention_distance(model, images, batch_size=seen.batch_size)
    yield Picture(
        "attention_distance",
        "Attention distance by depth",
        "How far each head looks, in pixels of the image, averaged over patches and "
        f"{len(images)} images (arXiv 2010.11929, Figure 11).",
        lambda: plot.attention_distance(distances, image_size=images.shape[1:3]),
    )
    if model.config.position_embedding != "none":
        yield Picture(
            "position_similarity",
            "Position embeddings",
            "Each tile belongs to one patch and shows how alike its position embedding is to that "
            "of every patch (arXiv 2010.11929, Figure 7).",
            lambda: plot.position_similarity(embedding.position_similarity(model)),
        )
    if model.config.hybrid is None:
        yield Picture(
            "embedding_filters",
            "Patch embedding",
            "Principal components of the filters that turn the pixels of a patch into a token, "
            "strongest first (arXiv 2010.11929, Figure 7).",
            lambda: plot.embedding_filters(embedding.embedding_filters(model)),
        )
