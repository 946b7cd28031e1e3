"""Bad values get one clear line: what was expected, what came, and what is near."""

import difflib
import math
import numbers
import os
from collections.abc import Iterable
from typing import Any

_MOST_NAMES = 40  # an error that lists more is not read


def nearest_names(name: str, names: Iterable[str]) -> str:
    """Returns the end of an error message: the names closest to `name`, or what there is.

    It is a sentence such as ``Nearest: 'ViT_B16', 'ViT_B8'.``
    """
    names = sorted(names)
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(str(name).lower(), lowered, n=5, cutoff=0.5)
    if not close and len(names) > _MOST_NAMES:
        return f"None of the {len(names)} names is near."
    chosen = [lowered[key] for key in close] or names
    return f"{'Nearest' if close else 'Known'}: {', '.join(map(repr, chosen))}."


def check_name(what: str, name: str, names: Iterable[str]) -> None:
    """Refuses a name that there is not, of `"a recipe"`, say; the error lists the nearest ones."""
    if name not in names:
        raise ValueError(f"Expected {what}. Received: {name!r}. {nearest_names(name, names)}")


def check_choice(field: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuses a value that is not one of the choices."""
    if value not in choices:
        raise ValueError(f"Expected `{field}` to be one of {choices}. Received: {field}={value!r}.")


def is_int(value: Any) -> bool:
    """Says whether a value counts as an integer; booleans do not."""
    return hasattr(value, "__index__") and not isinstance(value, bool)


def check_int(field: str, value: Any, minimum: int) -> None:
    """Refuses what is no integer, or one below the minimum."""
    if not is_int(value) or value < minimum:
        raise ValueError(
            f"Expected `{field}` to be an integer of at least {minimum}. "
            f"Received: {field}={value!r}."
        )


def check_bool(field: str, value: Any) -> None:
    """Refuses what is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"Expected `{field}` to be True or False. Received: {field}={value!r}.")


def check_number(field: str, value: Any, interval: str) -> None:
    """Refuses what is no number, or one outside an interval.

    Args:
        field: the name of the value.
        value: to be checked; booleans are no numbers.
        interval: such as `"[0, 1)"` or `"(0, inf)"`; a round bracket leaves its end out.
    """
    low, high = map(float, interval[1:-1].split(","))
    if (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and (value > low if interval[0] == "(" else value >= low)
        and (value < high if interval[-1] == ")" else value <= high)
    ):
        return
    expected = f"lie in {interval}"
    if high == math.inf:
        expected = f"be a number {'above' if interval[0] == '(' else 'of at least'} {low:g}"
    raise ValueError(f"Expected `{field}` to {expected}. Received: {field}={value!r}.")


def size_pair(field: str, value: Any) -> tuple[int, int]:
    """Turns 224 or (224, 224) into (224, 224)."""
    pair = (value, value) if is_int(value) else value
    if (
        isinstance(pair, (str, bytes))
        or not isinstance(pair, Iterable)
        or len(pair := tuple(pair)) != 2
        or not all(is_int(size) and size > 0 for size in pair)
    ):
        raise ValueError(
            f"Expected `{field}` to be a positive integer or a pair (height, width). "
            f"Received: {field}={value!r}."
        )
    return (int(pair[0]), int(pair[1]))


def import_keras() -> None:
    """Imports Keras, or says what its backend lacks.

    Raises:
        ModuleNotFoundError: the backend is not installed.
    """
    try:
        import keras  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "jax", "torch"):
            raise
        chosen = os.environ.get("KERAS_BACKEND")
        raise ModuleNotFoundError(
            f"Expected {error.name!r}, the backend that Keras takes "
            f"{'by KERAS_BACKEND' if chosen else 'where KERAS_BACKEND names no other'}. "
            "Received: no such package. Install it, or set KERAS_BACKEND to one that is installed "
            "(tensorflow, jax or torch).",
            name=error.name,
        ) from error
