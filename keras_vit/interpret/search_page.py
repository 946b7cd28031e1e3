"""What a search found -> one HTML page of thumbnails, and the same as JSON."""

import html
import io
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from keras_vit.evaluation.image_index import NEAR_DUPLICATE, ImageIndex
from keras_vit.files import write_json
from keras_vit.interpret.html_page import image, section, write_page

SIDE = 160  # pixels of a thumbnail
MAX_GROUPS, MAX_FILES = 50, 12  # of near-duplicates on the page; the JSON has all
MAX_NAMED = 50


def write_search(
    index: ImageIndex,
    queries: ImageIndex,
    output_dir: str | os.PathLike,
    *,
    count: int = 8,
    threshold: float = NEAR_DUPLICATE,
    title: str = "Search",
    facts: Iterable[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Searches an index and writes `search.html` and `search.json`.

    Args:
        index: of all images.
        queries: of those that are looked for, by the same model.
        output_dir: the folder; made if there is none.
        count: images shown for each query, without the query itself.
        threshold: least cosine similarity of near-duplicates.
        title: of the page.
        facts: what else stands on top of it, names and values.

    Returns:
        What the JSON holds: `queries`, each `{"file", "nearest": [{"file", "similarity"}]}`;
        `near_duplicates`, groups of `{"file", "similarity"}`; and `unreadable`, file to reason.
    """
    found = _nearest(index, queries, count) if queries.paths else []
    groups = [
        [_match(index, number, similarity) for number, similarity in group]
        for group in index.near_duplicates(threshold)
    ]
    values = {
        "queries": found,
        "near_duplicates": groups,
        "unreadable": index.unreadable | queries.unreadable,
    }
    copies = sum(map(len, groups)) - len(groups)
    sections = [
        section(
            pathlib.Path(query["file"]).name,
            "The most similar images, and the cosine similarity of their features.",
            _row([_thumbnail(query["file"], "query"), *map(_shown, query["nearest"])]),
        )
        for query in found
    ]
    sections.append(_duplicates(groups, threshold))
    if values["unreadable"]:
        sections.append(_left_out(values["unreadable"]))
    folder = pathlib.Path(output_dir)
    told = [
        ("Images", f"{len(index.paths):,}"),
        ("Left out", f"{len(values['unreadable']):,} that cannot be read"),
        ("Near-duplicates", f"{copies:,} beside {len(groups):,} images"),
        ("Features", f"{index.width:,} numbers"),
    ]
    write_page(folder / "search.html", title, [*facts, *told], sections)
    write_json(folder / "search.json", values)
    return values


def _nearest(index: ImageIndex, queries: ImageIndex, count: int) -> list[dict[str, Any]]:
    found = []
    similarities, numbers = index.nearest(queries.vectors(), count + 1)
    for path, values, places in zip(queries.paths, similarities, numbers, strict=True):
        matches = [
            _match(index, number, similarity)
            for number, similarity in zip(places, values, strict=True)
            if os.path.realpath(index.paths[number]) != os.path.realpath(path)
        ]
        found.append({"file": path, "nearest": matches[:count]})
    return found


def _match(index: ImageIndex, number: int, similarity: float) -> dict[str, Any]:
    return {"file": index.paths[number], "similarity": round(float(similarity), 4)}


def _duplicates(groups: Sequence[Sequence[dict[str, Any]]], threshold: float) -> str:
    caption = f"Images of a cosine similarity of at least {threshold:g}, beside the first of them."
    if not groups:
        return section("Near-duplicates", caption, "<p>None.</p>")
    rows = [_row([_shown(match) for match in group[:MAX_FILES]]) for group in groups[:MAX_GROUPS]]
    if len(groups) > MAX_GROUPS or any(len(group) > MAX_FILES for group in groups):
        caption += (
            f" Shown: {min(len(groups), MAX_GROUPS)} of {len(groups):,} groups, at most "
            f"{MAX_FILES} images of each; search.json has all."
        )
    return section("Near-duplicates", caption, "\n".join(rows))


def _left_out(unreadable: dict[str, str]) -> str:
    named = list(unreadable.values())[:MAX_NAMED]
    more = len(unreadable) - len(named)
    listed = "".join(f"<li>{html.escape(reason)}</li>" for reason in named)
    return section(
        "Left out",
        f"Files that cannot be read{f'; {more:,} more stand in search.json' if more else ''}.",
        f"<ul>{listed}</ul>",
    )


def _row(thumbnails: Sequence[str]) -> str:
    return f'<div class="row">{"".join(thumbnails)}</div>'


def _shown(match: dict[str, Any]) -> str:
    return _thumbnail(match["file"], f"{match['similarity']:.3f}")


def _thumbnail(path: str, note: str) -> str:
    from PIL import Image

    from keras_vit.images.pillow_decoding import decode_image

    photo = Image.fromarray(decode_image(path))
    photo.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=80)
    name = os.path.join(*pathlib.Path(path).parts[-2:])
    kind = ' class="query"' if note == "query" else ""
    return (
        f"<figure{kind}>{image(data.getvalue(), name)}"
        f"<figcaption>{html.escape(note)} · {html.escape(name)}</figcaption></figure>"
    )
