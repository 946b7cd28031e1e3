"""A model and sample images -> all pictures, and one HTML file that holds them."""

import itertools
import os
import pathlib
from collections.abc import Callable
from typing import Any

from keras_vit.interpret import plot, reconstruction
from keras_vit.interpret.html_page import image, section, write_page
from keras_vit.interpret.pictures import pictures
from keras_vit.interpret.samples import Samples


def _facts(model: Any) -> list[tuple[str, str]]:
    config = model.config
    tokens = ["class"] * config.class_token + ["distillation"] * config.distillation_token
    if config.num_register_tokens:
        tokens.append(f"{config.num_register_tokens} registers")
    size = "any size, positions stored at " if config.dynamic_image_size else ""
    return [
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


def write(
    model: Any,
    samples: Samples,
    output_dir: str | os.PathLike,
    *,
    name: str | None = None,
    batch_size: int = 8,
    leave_out_artifacts: bool = False,
    decoder: str | os.PathLike | None = None,
    progress: Callable[[str], Any] | None = None,
) -> dict[str, pathlib.Path]:
    """Draws all pictures as PNG files and writes the report that holds them.

    Args:
        model: a `keras_vit.VisionTransformer`.
        samples: prepared images, names and labels.
        output_dir: the folder; made if there is none. Files of the same names are replaced.
        name: of the model, for the title; None is `model.name`.
        batch_size: images at a time; bounds the memory.
        leave_out_artifacts: whether maps leave out what `artifact_patches` finds; else it is marked
            alone.
        decoder: the `decoder.keras` of a masked autoencoder, to show what it fills in.
        progress: told what is measured and what is drawn, when it is; None for nobody.

    Returns:
        Name -> path of each picture, and of the page as `"report"`.

    Raises:
        ValueError: another kind of model, or images that it does not take.
    """
    folder = pathlib.Path(output_dir)
    written, sections = {}, []
    drawn = pictures(
        model,
        samples,
        batch_size=batch_size,
        leave_out_artifacts=leave_out_artifacts,
        progress=progress,
    )
    if decoder is not None:
        drawn = itertools.chain([reconstruction.picture(model, samples.images, decoder)], drawn)
    for picture in drawn:
        path = plot.save(picture.draw(), folder / f"{picture.name}.png")
        written[picture.name] = path
        if progress is not None:
            progress(f"drawn: {picture.title}")
        sections.append(
            section(
                picture.title,
                picture.caption,
                image(path.read_bytes(), f"{picture.title}. {picture.caption}"),
            )
        )
    written["report"] = write_page(
        folder / "report.html", name or model.name, _facts(model), sections
    )
    return written
