"""Does an exported model still say the same as the model that it came from?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from keras_vit.export.exportable import Exportable
from keras_vit.export.runtimes import Runner


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far an output of an exported form is from the model's.

    Attributes:
        output: its name.
        largest: absolute; NaN where the form gives NaN.
        scale: the largest absolute value of the model's.
    """

    output: str
    largest: float
    scale: float

    @classmethod
    def between(cls, output: str, received: np.ndarray, expected: np.ndarray) -> Difference:
        """Compares two arrays of one shape."""
        largest = np.abs(np.asarray(received, "float64") - expected).max(initial=0.0)
        return cls(output, float(largest), float(np.abs(expected).max(initial=1e-6)))

    def check(self, title: str, tolerance: float) -> None:
        """Refuses a difference beyond `tolerance`, a share of the scale.

        Raises:
            RuntimeError: it is larger.
        """
        share = self.largest / self.scale
        if not share <= tolerance:
            raise RuntimeError(
                f"Expected `{self.output}` of the {title} within {tolerance} of the model's, "
                f"relative to the largest value. Received: {share:.3g}."
            )


def sample_pictures(exportable: Exportable, count: int) -> np.ndarray:
    """Returns random pictures as the model takes them: uint8 (count, height, width, channels)."""
    shape = (count, *exportable.image_shape)
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def differences(run: Runner, exportable: Exportable, images: np.ndarray) -> Iterator[Difference]:
    """Compares what an exported form says with its model, on all images and on the first alone.

    They are prepared, float32 (batch, height, width, channels).

    Yields:
        The difference of each output.

    Raises:
        RuntimeError: an output is missing, or has another shape.
    """
    expected = exportable.outputs(images)
    for count in dict.fromkeys((1, len(images))):
        received = run(images[:count])
        for name, values in expected.items():
            wanted = values[:count]
            if name not in received or received[name].shape != wanted.shape:
                shapes = {key: value.shape for key, value in received.items()}
                raise RuntimeError(
                    f"Expected `{name}` of shape {wanted.shape}. Received: {shapes}."
                )
            yield Difference.between(name, received[name], wanted)
