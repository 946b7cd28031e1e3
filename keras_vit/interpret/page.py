"""The page to try a model: drop pictures, see the best classes and what the model looked at.

Needs the extra `demo` (Gradio). The page asks nothing of any other host: no analytics, no fonts
from elsewhere.
"""

import logging
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_vit.interpret.explainer import HEAD, MAX_BYTES, RELEVANCE, Explainer

PREDICTED = "the predicted one"
ALL_HEADS = "mean of all"
_LIMITS = (
    f"JPEG, PNG, GIF, BMP or WebP, at most {MAX_BYTES // 2**20} MB. The picture stays on the "
    "computer that runs this page."
)


def visit(explainer: Explainer, path, measure, label, block, head) -> tuple[dict | None, Any, str]:
    """One visit: file and choices -> scores, picture, message.

    Args:
        explainer: of the model.
        path: the file, or None.
        measure: which map, as the page names it.
        label: the class that the map explains, or None for the best.
        block: of a map that belongs to one, from 1.
        head: of a map that belongs to one, or None for all.
    """
    if not path:
        return None, None, "Drop a picture to begin."
    try:
        images, photo = explainer.read(path)
        best = explainer.best(images)
        chosen = None if label in (None, PREDICTED) else label
        number = None if head in (None, ALL_HEADS) else int(head)
        heat = explainer.heat(images, measure, label=chosen, block=int(block), head=number)
        title = measure
        if measure == RELEVANCE:
            title = f"Relevance for “{chosen or best[0][0]}”"
        elif measure == HEAD:
            who = ALL_HEADS + " heads" if number is None else f"head {number}"
            title = f"Attention in block {int(block)}, {who}"
        picture = explainer.draw(photo, heat, title)
    except ValueError as error:
        return None, None, f"**This did not work.** {error}"
    except Exception:  # the server lives on, whatever a file does to it
        logging.getLogger(__name__).exception("a picture failed")
        return None, None, "**This did not work.** The server's log says why."
    if explainer.tells_values:
        return None, picture, "  \n".join(f"**{name}: {value:.4g}**" for name, value in best)
    return dict(best) or None, picture, ""


def shown_file(paths: Sequence[str] | None, shown: int | None) -> str | None:
    """The file that is shown; the last one where a longer list was shorter again."""
    return paths[min(shown or 0, len(paths) - 1)] if paths else None


def build_page(explainer: Explainer, name: str | None = None) -> Any:
    """Builds the page.

    Returns:
        A `gradio.Blocks`; `launch` serves it.

    Raises:
        ImportError: Gradio is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise ImportError(
            "Expected Gradio for the demo page. Received: no such package. pip install "
            '"keras-vit[demo]"'
        ) from error
    config = explainer.model.config

    def answer(paths, shown, *choices):
        return visit(explainer, shown_file(paths, shown), *choices)

    def name_files(paths):
        names = [(f"{n + 1}: {pathlib.Path(path).name}", n) for n, path in enumerate(paths or ())]
        return gradio.update(choices=names, value=0 if names else None, visible=len(names) > 1)

    def only_what_counts(measure):
        return (
            gradio.update(visible=measure == RELEVANCE),
            gradio.update(visible=measure == HEAD and config.num_layers > 1),
            gradio.update(visible=measure == HEAD),
        )

    # Uploads are deleted ten minutes after they came.
    with gradio.Blocks(title="keras_vit", analytics_enabled=False, delete_cache=(600, 600)) as page:
        gradio.Markdown(f"# {name or explainer.model.name}\n{_LIMITS}")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                files = gradio.File(
                    label="Pictures", elem_id="picture", height=130, file_count="multiple"
                )
                shown = gradio.Radio([], label="Picture", elem_id="shown", visible=False)
                measure = gradio.Radio(
                    list(explainer.measures),
                    value=explainer.measures[0],
                    label="Map",
                    elem_id="measure",
                )
                label = gradio.Dropdown(
                    [PREDICTED, *explainer.labels], value=PREDICTED, label="Class",
                    elem_id="class", visible=explainer.measures[0] == RELEVANCE, filterable=True,
                )  # fmt: skip
                block = gradio.Slider(
                    0, max(1, config.num_layers - 1), value=config.num_layers - 1, step=1,
                    label="Block", elem_id="block", visible=False,
                )  # fmt: skip
                head = gradio.Dropdown(
                    [ALL_HEADS, *map(str, range(config.num_heads))], value=ALL_HEADS,
                    label="Head", elem_id="head", visible=False,
                )  # fmt: skip
            with gradio.Column(scale=2, min_width=320):
                message = gradio.Markdown("Drop a picture to begin.", elem_id="message")
                picture = gradio.Image(
                    label="Map", elem_id="map", interactive=False, format="png",
                    show_label=False, buttons=["download", "fullscreen"],
                )  # fmt: skip
                scores = gradio.Label(
                    num_top_classes=5, label="Best classes", elem_id="scores",
                    visible=bool(explainer.labels) and not explainer.tells_values,
                )  # fmt: skip
        choices = [files, shown, measure, label, block, head]
        results = [scores, picture, message]
        measure.change(
            only_what_counts, measure, [label, block, head], queue=False, show_progress="hidden"
        )
        ask = {"trigger_mode": "always_last", "api_visibility": "private"}
        named = files.change(name_files, files, shown, queue=False, api_visibility="private")
        named.then(answer, choices, results, api_visibility="private")
        for event in (shown.input, measure.change, label.change, block.change, head.change):
            event(answer, choices, results, **ask)
    return page


def launch(page: Any, *, host: str = "127.0.0.1", port: int | None = None) -> str:
    """Serves a page, and returns at once.

    Args:
        page: from `build_page`.
        host: address to listen on; the default takes visits from this computer alone.
        port: None takes the first free one from 7860.

    Returns:
        The address of the page, such as `"http://127.0.0.1:7860/"`.
    """
    import gradio

    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        max_file_size=MAX_BYTES,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        theme=gradio.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
    )
    return address
