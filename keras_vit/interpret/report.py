"""A model and sample images -> all pictures, and one HTML file that holds them.

The HTML needs no network and no other file: pictures stand in it as data URIs, there is no script,
and a policy forbids the browser to load anything else.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.files import replacing
from keras_vit.interpret import attention_measures, dense_features, embedding, plot
from keras_vit.interpret.observe import batches, check_images, check_model, grid_of, to_array
from keras_vit.interpret.relevance import class_relevance
from keras_vit.interpret.samples import Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DETAILED_IMAGES = 4


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


def predict(model: Any, images: np.ndarray, *, batch_size: int = 8) -> np.ndarray:
    """Returns the scores of all classes.

    Args:
        model: a `keras_vit.VisionTransformer` with a head.
        images: prepared images, (batch, height, width, channels).
        batch_size: images at a time.

    Returns:
        (batch, classes) float32, the probabilities.
    """
    images = check_images(model, images)
    return np.concatenate(
        [
            to_array(model.probabilities(model(piece, training=False)))
            for piece in batches(images, batch_size)
        ]
    )


def class_names_for(model: Any, samples: Samples) -> list[str]:
    """Returns a name for each class: the samples' own, ImageNet's, or the number.

    Raises:
        ValueError: another number of names than the model has classes.
    """
    from keras_vit.images.labels import CLASS_SETS, check_labels, imagenet_classes

    count = check_model(model).num_classes
    if samples.class_names is not None:
        return check_labels(samples.class_names, count)
    if count in CLASS_SETS:
        return [name.replace("_", " ") for _, name in imagenet_classes(count)]
    return [str(index) for index in range(count)]


def pictures(model: Any, samples: Samples, *, batch_size: int = 8) -> Iterator[Picture]:
    """Yields the pictures that a model and its images allow, one after the other.

    Args:
        model: a `keras_vit.VisionTransformer`.
        samples: prepared images, names and labels.
        batch_size: images at a time; bounds the memory.

    Raises:
        ValueError: another kind of model, or images that it does not take.
    """
    config = check_model(model)
    images = check_images(model, samples.images)
    shown = plot.displayable(images, model.preprocessing)
    rollout = attention_measures.attention_rollout(model, images, batch_size=batch_size)
    yield from _of_images(model, samples, images, shown, rollout, batch_size)

    first = attention_measures.attention_maps(model, images[:1])
    name = f"Image: {samples.names[0]}."
    yield Picture(
        "attention_heads",
        "Every head of every block",
        f"What each head looks at, blocks downwards, on the grid of patches. {name} Each cell is "
        "coloured over its own range.",
        lambda: plot.attention_heads(
            [one[0] for one in first],
            config.num_prefix_tokens,
            grid_of(model, images),
            query=0 if config.class_token else "patches",
        ),
    )
    distances = attention_measures.attention_distance(model, images, batch_size=batch_size)
    yield Picture(
        "attention_distance",
        "Attention distance by depth",
        "How far each head looks, in pixels of the image, averaged over patches and "
        f"{len(images)} images (arXiv 2010.11929, Figure 11).",
        lambda: plot.attention_distance(distances, image_size=images.shape[1:3]),
    )
    yield Picture(
        "position_similarity",
        "Position embeddings",
        "Each tile belongs to one patch and shows how alike its position embedding is to that of "
        "every patch (arXiv 2010.11929, Figure 7).",
        lambda: plot.position_similarity(embedding.position_similarity(model)),
    )
    if config.hybrid is None:
        yield Picture(
            "embedding_filters",
            "Patch embedding",
            "Principal components of the filters that turn the pixels of a patch into a token, "
            "strongest first (arXiv 2010.11929, Figure 7).",
            lambda: plot.embedding_filters(embedding.embedding_filters(model)),
        )


def _of_images(
    model: Any,
    samples: Samples,
    images: np.ndarray,
    shown: np.ndarray,
    rollout: np.ndarray,
    batch_size: int,
) -> Iterator[Picture]:
    """The pictures that show the images themselves."""
    predicted = None
    if model.config.num_classes:
        names = class_names_for(model, samples)
        scores = predict(model, images, batch_size=batch_size)
        best = scores.argmax(axis=-1)
        predicted = [names[index] for index in best]
        true = None if samples.labels is None else [names[index] for index in samples.labels]
        yield Picture(
            "predictions",
            "Predictions and attention rollout",
            "Each image beside what reached the answer through the attention of all blocks: yellow "
            "most, violet least. Above: the predicted class and its score.",
            lambda: plot.predictions(
                shown,
                predicted,
                rollout,
                true=true,
                scores=scores.max(axis=-1),
                title="Predictions and attention rollout",
            ),
        )
    few = slice(0, DETAILED_IMAGES)
    patches = [
        np.unravel_index(one.argmax(), one.shape) for one in rollout[few]
    ]  # the patch that the model looks at most
    maps = {"Rollout": rollout[few]}
    if predicted is not None:
        maps["For the class"] = class_relevance(model, images[few], batch_size=batch_size)
    maps["Like the framed\npatch"] = np.concatenate(
        [
            dense_features.patch_similarity(model, images[index : index + 1], patch)
            for index, patch in enumerate(patches)
        ]
    )
    maps["Features as\ncolours"] = dense_features.feature_pca(
        model, images[few], batch_size=batch_size
    )
    relevance = (
        "For the class: what of it speaks for the predicted class (arXiv 2103.15679). "
        if predicted is not None
        else ""
    )
    yield Picture(
        "measures",
        "Several looks at the same images",
        f"Rollout: what reached the answer (arXiv 2005.00928). {relevance}Like the framed patch: "
        "cosine similarity of the last features to those of the patch with the most rollout. "
        "Features as colours: three principal components of the last features.",
        lambda: plot.heat_map_rows(
            shown[few],
            maps,
            row_labels=predicted[few] if predicted is not None else samples.names[few],
            marks={"Like the framed\npatch": patches},
        ),
    )
    uniform = rollout[0].size
    yield Picture(
        "rollout",
        "Rollout in numbers",
        f"Image: {samples.names[0]}. 1 is the share that every patch would have if none stood out.",
        lambda: plot.heat_map(
            shown[0], rollout[0] * uniform, label="Attention rollout (× even share)"
        ),
    )


def _facts(model: Any) -> list[tuple[str, str]]:
    config = model.config
    tokens = [
        name
        for name, present in (
            ("class", config.class_token),
            ("distillation", config.distillation_token),
            (f"{config.num_register_tokens} registers", config.num_register_tokens),
        )
        if present
    ]
    size = "any size, positions stored at " if config.dynamic_image_size else ""
    return [
        ("Model", model.name),
        ("Parameters", f"{model.count_params():,}"),
        ("Image", f"{size}{config.image_size[0]} × {config.image_size[1]}, "
                  f"{config.in_channels} channel{'s' * (config.in_channels > 1)}"),
        ("Patches", f"{config.grid_size[0]} × {config.grid_size[1]}, "
                    f"{config.patch_stride} pixels apart"),
        ("Blocks", f"{config.num_layers} of {config.num_heads} heads, width {config.hidden_size}"),
        ("Tokens in front", ", ".join(tokens) or "none"),
        ("Pooling", config.pooling),
        ("Classes", str(config.num_classes or "none")),
    ]  # fmt: skip


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #f5f5f3; margin: 0; }}
main {{ max-width: 52rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }}
h1 {{ font-size: 1.6rem; margin: 0 0 1rem; }}
h2 {{ font-size: 1.15rem; margin: 0 0 .25rem; }}
section, dl {{ background: #fff; border: 1px solid #ddd; border-radius: 6px; padding: 1rem 1.25rem;
  margin: 0 0 1.25rem; }}
dl {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .6rem; }}
dt {{ font-size: .8rem; color: #555; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
p {{ margin: 0 0 .75rem; color: #444; font-size: .92rem; }}
img {{ display: block; max-width: 100%; height: auto; margin: 0 auto; }}
@media print {{ body {{ background: #fff; }} section {{ break-inside: avoid; }} }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<dl>
{facts}
</dl>
{sections}
</main>
</body>
</html>
"""

_SECTION = """<section>
<h2>{title}</h2>
<p>{caption}</p>
<img src="data:image/png;base64,{data}" alt="{title}. {caption}">
</section>"""


def write(
    model: Any, samples: Samples, output_dir: str | os.PathLike, *, batch_size: int = 8
) -> dict[str, pathlib.Path]:
    """Draws all pictures as PNG files and writes the report that holds them.

    Args:
        model: a `keras_vit.VisionTransformer`.
        samples: prepared images, names and labels.
        output_dir: the folder; made if there is none. Files of the same names are replaced.
        batch_size: images at a time; bounds the memory.

    Returns:
        Name -> path of each picture, and of the page as `"report"`.

    Raises:
        ValueError: another kind of model, or images that it does not take.
    """
    folder = pathlib.Path(output_dir)
    written, sections = {}, []
    for picture in pictures(model, samples, batch_size=batch_size):
        path = plot.save(picture.draw(), folder / f"{picture.name}.png")
        written[picture.name] = path
        sections.append(
            _SECTION.format(
                title=html.escape(picture.title),
                caption=html.escape(picture.caption),
                data=base64.b64encode(path.read_bytes()).decode("ascii"),
            )
        )
    facts = "\n".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in _facts(model)
    )
    title = html.escape(f"What {model.name} sees")
    page = _PAGE.format(title=title, facts=facts, sections="\n".join(sections))
    written["report"] = folder / "report.html"
    with replacing(written["report"]) as path:
        path.write_text(page, encoding="utf-8")
    return written
