"""A model and sample images -> all pictures, and one HTML file that holds them.

The HTML needs no network and no other file: pictures stand in it as data URIs, there is no script,
and a policy forbids the browser to load anything else.
"""

from __future__ import annotations

import base64
import html
import os
import pathlib
from collections.abc import Callable
from typing import Any

from keras_vit.files import replacing
from keras_vit.interpret import plot
from keras_vit.interpret.pictures import pictures
from keras_vit.interpret.samples import Samples


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
    model: Any,
    samples: Samples,
    output_dir: str | os.PathLike,
    *,
    name: str | None = None,
    batch_size: int = 8,
    progress: Callable[[str], Any] | None = None,
) -> dict[str, pathlib.Path]:
    """Draws all pictures as PNG files and writes the report that holds them.

    Args:
        model: a `keras_vit.VisionTransformer`.
        samples: prepared images, names and labels.
        output_dir: the folder; made if there is none. Files of the same names are replaced.
        name: of the model, for the title; None is `model.name`.
        batch_size: images at a time; bounds the memory.
        progress: told the title of each picture when it is written; None for nobody.

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
        if progress is not None:
            progress(picture.title)
        sections.append(
            _SECTION.format(
                title=html.escape(picture.title),
                caption=html.escape(picture.caption),
                data=base64.b64encode(path.read_bytes()).decode("ascii"),
            )
        )
    facts = "\n".join(
        f"<div><dt>{html.escape(fact)}</dt><dd>{html.escape(value)}</dd></div>"
        for fact, value in _facts(model)
    )
    title = html.escape(name or model.name)
    page = _PAGE.format(title=title, facts=facts, sections="\n".join(sections))
    written["report"] = folder / "report.html"
    with replacing(written["report"]) as path:
        path.write_text(page, encoding="utf-8")
    return written
