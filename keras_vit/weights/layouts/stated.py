"""What a config beside a file states: each value read by name, checked, and refused by name."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from keras_vit.checks import is_int, size_pair


class Stated:
    """A mapping of a JSON file, read value by value; null is as good as absent but where said.

    Args:
        values: the mapping.
        where: what it is, for errors, such as `"the config.json beside 'x.safetensors'"`.
        given: what the user says; a name in it is not compared with the arrays.
    """

    def __init__(self, values: Any, where: str, given: Mapping[str, Any] | None = None):
        if not isinstance(values, Mapping):
            raise ValueError(f"Expected an object as {where}. Received: {values!r}.")
        self.values = {name: value for name, value in values.items() if value is not None}
        self.nulls = values.keys() - self.values.keys()
        self.where = where
        self.given = given or {}

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def refusal(self, name: str, expected: str) -> ValueError:
        """Returns the error for a value.

        Args:
            name: its name.
            expected: what was wanted, such as `"an integer of at least 1"`.
        """
        return ValueError(
            f"Expected {name} in {self.where} to be {expected}. "
            f"Received: {name}={self.values.get(name)!r}."
        )

    def _get(self, name: str, default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
        if name not in self.values:
            return default
        if not fits(self.values[name]):
            raise self.refusal(name, expected)
        return self.values[name]

    def integer(self, name: str, default: int | None = None, minimum: int = 1) -> int | None:
        """Returns an integer of at least `minimum`."""
        return self._get(
            name,
            default,
            lambda value: is_int(value) and value >= minimum,
            f"an integer of at least {minimum}",
        )

    def number(self, name: str, default: float | None = None) -> float | None:
        """Returns a number above 0."""
        value = self._get(
            name,
            default,
            lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v < 1e9,
            "a number above 0",
        )
        return None if value is None else float(value)

    def number_or_none(self, name: str, default: float | None = None) -> float | None:
        """Returns a number above 0, or None where it is null or 0; `default` where it is absent."""
        null = name in self.nulls or self.values.get(name) == 0
        return None if null else self.number(name, default)

    def numbers(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """Returns finite numbers, one for each channel."""
        values = self.values.get(name, default)
        if (
            not isinstance(values, (list, tuple))
            or not values
            or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)
        ):
            raise self.refusal(name, "a number for each channel")
        return tuple(values)

    def flag(self, name: str, default: bool | None = None) -> bool | None:
        """Returns True or False."""
        return self._get(name, default, lambda value: isinstance(value, bool), "true or false")

    def text(self, name: str, default: str = "") -> str:
        """Returns a text."""
        return self._get(name, default, lambda value: isinstance(value, str), "a text")

    def size(self, name: str) -> tuple[int, int] | None:
        """Returns (height, width), of one number for a square, or None where there is none."""
        if name not in self.values:
            return None
        try:
            return size_pair(name, self.values[name])
        except ValueError:
            raise self.refusal(name, "a size in pixels, one or two integers") from None

    def choice(self, name: str, choices: Mapping[str, Any], default: Any) -> Any:
        """Returns what a text stands for, whatever its case."""
        if name not in self.values:
            return default
        key = str(self.values[name]).lower()
        if not isinstance(self.values[name], str) or key not in choices:
            raise self.refusal(name, f"one of {sorted(choices)}, which this package has")
        return choices[key]

    def must_be(self, name: str, value: Any, feature: str) -> None:
        """Refuses another value than the only one that a model of this package has.

        Args:
            name: of the value.
            value: what it must be where it is there.
            feature: what another value would mean, such as `"no final norm"`.
        """
        if name in self.values and self.values[name] != value:
            raise self.refusal(name, f"{value!r}, since this package has no {feature}")

    def agree(self, name: str, told: Any, field: str | None = None) -> None:
        """Refuses a value that is not what the arrays tell.

        Args:
            name: of the value.
            told: what the arrays tell.
            field: the field of `VisionTransformerConfig`; where the user gives it, nothing is
                compared.
        """
        if name in self.values and field not in self.given and self.values[name] != told:
            raise ValueError(
                f"Expected {self.where} to belong to the arrays. Received: "
                f"{name}={self.values[name]!r}, where the arrays have {told!r}. If it is of "
                "another file, move the weights to a folder of their own."
            )
