"""HTML files that need no network and no other file.

Pictures stand in them as data URIs, there is no script, and a policy forbids the browser to load
anything else.
"""

import base64
import html
import os
import pathlib
from collections.abc import Iterable, Sequence

from keras_vit.files import replacing

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
.row {{ display: flex; flex-wrap: wrap; gap: .6rem; margin: 0 0 .75rem; }}
figure {{ width: 7.5rem; margin: 0; font-size: .75rem; overflow-wrap: anywhere; }}
figure img {{ width: 100%; height: 7.5rem; object-fit: contain; background: #f5f5f3; }}
figure.query img {{ outline: 2px solid #0072B2; }}
figcaption {{ color: #444; line-height: 1.3; }}
@media (max-width: 40rem) {{ section {{ overflow-x: auto; }}
  section > img {{ max-width: none; width: 44rem; }} }}
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


def image(data: bytes, alt: str) -> str:
    """Returns a picture as HTML."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img src="data:image/{kind};base64,{encoded}" alt="{html.escape(alt)}">'


def section(title: str, caption: str, content: str) -> str:
    """Returns a part of a page as HTML."""
    head = f"<h2>{html.escape(title)}</h2>\n<p>{html.escape(caption)}</p>"
    return f"<section>\n{head}\n{content}\n</section>"


def write_page(
    path: str | os.PathLike,
    title: str,
    facts: Iterable[tuple[str, str]],
    sections: Sequence[str],
) -> pathlib.Path:
    """Writes a page."""
    listed = "\n".join(
        f"<div><dt>{html.escape(fact)}</dt><dd>{html.escape(value)}</dd></div>"
        for fact, value in facts
    )
    page = _PAGE.format(title=html.escape(title), facts=listed, sections="\n".join(sections))
    path = pathlib.Path(path)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path
