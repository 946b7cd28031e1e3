"""Finds published weights by name, and shows the table of them."""

import os
from typing import Any

from keras_vit.checks import check_name, nearest_names
from keras_vit.models.variants import VARIANTS
from keras_vit.weights.download import check_reachable, fetch, is_address
from keras_vit.weights.published import CHECKPOINTS, Checkpoint

IMAGENET = "imagenet"


def list_weights(model: str | None = None) -> list[str] | dict[str, list[str]]:
    """Lists the names of published weights.

    Args:
        model: the name of a factory, such as `"ViT_B16"`; None lists all models.

    Returns:
        The names that `weights=` of this factory takes, `"imagenet"` (the recommended classifier)
        first where there is one; for None the names by model.

    Raises:
        ValueError: an unknown model; the error lists the nearest names.
    """
    if model is None:
        return {name: list_weights(name) for name in VARIANTS}
    check_name("the name of a model", model, VARIANTS)
    rows = [row for row in CHECKPOINTS if row.model == model]
    recommended = [IMAGENET] if any(row.recommended for row in rows) else []
    return recommended + [row.name for row in rows]


def find_checkpoint(model: str, weights: str) -> Checkpoint:
    """Returns a row of the table.

    Args:
        model: the name of a factory, such as `"ViT_B16"`.
        weights: a name from `list_weights(model)`.

    Raises:
        ValueError: an unknown name; the error lists the nearest ones, or says that there are none.
    """
    names = list_weights(model)
    for row in CHECKPOINTS:
        if row.model == model and (
            row.name == weights or (weights == IMAGENET and row.recommended)
        ):
            return row
    known = nearest_names(weights, names) if names else f"None are published for {model}."
    raise ValueError(
        f"Expected a name of weights of {model}, a file or an address. Received: {weights!r}. "
        + known
    )


def check_weights(model: str, weights: Any) -> None:
    """Refuses a word that is neither a name of weights nor looks like a path.

    Args:
        model: the name of the factory.
        weights: as in `locate`.

    Raises:
        ValueError: an unknown name; the error lists the nearest ones.
    """
    if isinstance(weights, str) and not (
        os.path.exists(weights) or os.sep in weights or "." in weights
    ):
        find_checkpoint(model, weights)


def check_weights_reachable(model: str, weights: Any) -> None:
    """Refuses weights that would have to be fetched from a server that does not answer.

    Args:
        model: the name of the factory.
        weights: as in `locate`.

    Raises:
        ConnectionError: the server cannot be reached.
        ValueError: as `locate`.
    """
    check_weights(model, weights)
    if weights in list_weights(model):
        check_reachable(find_checkpoint(model, weights).address)
    elif is_address(weights):
        check_reachable(weights)


def locate(model: str, weights: Any) -> tuple[str, Checkpoint | None]:
    """Returns what is behind `weights=` of a factory; a published file is fetched.

    Args:
        model: the name of the factory.
        weights: a name from `list_weights(model)`, an address, or a path.

    Returns:
        The path of the file and its row of the table if `weights` was a name; else `weights` as it
        is, and None.

    Raises:
        ValueError: neither a known name nor a file; the error lists the nearest names.
    """
    check_weights(model, weights)
    if isinstance(weights, str) and weights in list_weights(model):
        row = find_checkpoint(model, weights)
        path = fetch(row.address, checksum=row.checksum, names=list_weights(model))
        return path, row
    return os.fspath(weights), None


def markdown_table() -> str:
    """Returns the table of published checkpoints as Markdown, for `docs/weights.md`."""
    lines = [
        "| model | weights | layout | pixels | classes | top-1 % | licence | address |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in CHECKPOINTS:
        name = f"`{row.name}`" + (f" = `{IMAGENET}`" if row.recommended else "")
        name += f" ({row.note})" if row.note else ""
        top1 = "" if row.top1 is None else f"{row.top1:.2f}"
        cells = (row.model, name, row.layout, row.image_size[0], row.classes or "", top1)
        lines.append("| " + " | ".join(map(str, (*cells, row.licence, f"`{row.address}`"))) + " |")
    return "\n".join(lines) + "\n"
