"""What leaves Python of a model: its outputs by name, how its images are prepared, its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.images.labels import CLASS_SETS, check_labels, imagenet_classes


class Exportable:
    """A model that can be exported.

    Args:
        model: a `keras_vit.VisionTransformer`, or a functional or sequential model with one inside
            and classes as its output; with one input, on Keras's TensorFlow backend, and a
            preprocessing that makes images of the shape that it takes.

    Attributes:
        model: the model.
        backbone: the Vision Transformer.
        preprocessing: how an image becomes the input.
        num_classes: columns of the logits; 0 without a head.
        kept: what forms that are written one after the other share, such as graphs.

    Raises:
        ValueError: another model, or another backend.
    """

    def __init__(self, model: Any):
        import keras

        from keras_vit.images.preprocessing import get_preprocessing
        from keras_vit.models.inside import find_vision_transformer

        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Expected Keras's TensorFlow backend to export a model. Received: "
                f"{keras.backend.backend()!r}. Save the model as .keras and export it in a process "
                "with KERAS_BACKEND=tensorflow."
            )
        self.backbone = find_vision_transformer(model)
        self.model = model
        self.kept: dict[Any, Any] = {}
        inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
        if not inputs or len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(
                "Expected a functional or sequential model with one input and one output. "
                f"Received: {model!r} with inputs {inputs} and outputs {outputs}."
            )
        self.num_classes = self._count_classes()
        self.preprocessing = get_preprocessing(model)
        self._check_shape()

    @classmethod
    def of(cls, model: Any) -> Exportable:
        """Returns the exportable of a model; where one is given, that, with what it has kept."""
        return model if isinstance(model, cls) else cls(model)

    def _count_classes(self) -> int:
        if self.model is self.backbone:
            return self.backbone.config.num_classes
        shape = tuple(self.model.outputs[0].shape)
        if len(shape) != 2 or shape[1] is None:
            raise ValueError(
                "Expected a model whose output is (batch, classes). "
                f"Received: {self.model!r} with an output of shape {shape}."
            )
        return shape[1]

    def _check_shape(self) -> None:
        shape = self.image_shape
        expected = tuple(self.model.inputs[0].shape[1:])
        if len(expected) != 3 or any(
            side not in (None, given) for side, given in zip(expected, shape, strict=True)
        ):
            raise ValueError(
                f"Expected `model.preprocessing` to make images of shape {expected}, as the model "
                f"takes. Received: shape {shape}. Set `model.preprocessing` to one that fits."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of a prepared image."""
        return (*self.preprocessing.size, len(self.preprocessing.mean))

    @property
    def output(self) -> str:
        """Which of the outputs by name the model itself returns."""
        from keras_vit.models.probability import output_meaning

        if not self.num_classes:
            return "features"
        meaning = output_meaning(self.model)
        return meaning if meaning in ("probabilities", "values") else "logits"

    @property
    def told(self) -> str:
        """Which output by name tells what is in an image: `"probabilities"` or `"values"`."""
        return "values" if self.output == "values" else "probabilities"

    @property
    def is_float32(self) -> bool:
        """Whether the model computes in float32."""
        return {layer.compute_dtype for layer in self.model.layers} <= {"float32"}

    @property
    def quantization_modes(self) -> set[str]:
        """To what `model.quantize` has brought layers, such as `{"int8"}`."""
        from keras_vit.fitting.keras_internals import quantization_modes

        return quantization_modes(self.model)

    def in_float32(self) -> Exportable:
        """Returns the same weights in a model that computes in float32."""
        from keras_vit.applications.model_files import in_float32

        if self.is_float32:
            return self
        if "float32" not in self.kept:
            self.kept["float32"] = Exportable(in_float32(self.model))
        return self.kept["float32"]

    def names(self, labels: Sequence[str] | None) -> list[str]:
        """Returns a name for each class: those given, ImageNet's own, or numbers.

        Raises:
            ValueError: labels that do not fit.
        """
        if labels is not None:
            return check_labels(labels, self.num_classes)
        if self.num_classes in CLASS_SETS:
            return [name for _, name in imagenet_classes(self.num_classes)]
        return [str(column) for column in range(self.num_classes)]

    def prepare(self, pictures: np.ndarray) -> np.ndarray:
        """Makes pictures, uint8 (batch, height, width, channels), the input of the model."""
        from keras_vit.images.preprocessing import preprocess_input

        return np.asarray(preprocess_input(pictures, self.preprocessing), "float32")

    def forward(self) -> Any:
        """Returns the function behind all forms.

        Returns:
            A function of images (batch, height, width, channels) to float32 tensors by name:
            `features`, what the head reads or the Vision Transformer inside gives; with a head
            `probabilities`, as `keras_vit.models.probability` defines them, and `logits`; of a
            regression `values` in their place. A user's own model of probabilities has no `logits`,
            and no `features` where the Vision Transformer is not one of its own layers.
        """
        import keras

        from keras_vit.fitting.keras_internals import tensors_around
        from keras_vit.models.probability import output_meaning, probabilities

        model, meaning = self.model, output_meaning(self.model)
        symbols = {"output": model.outputs[0]}
        if model is self.backbone:
            logits = None if meaning == "values" else model.logits
            symbols |= {"features": model.features, "logits": logits}
        else:
            around = tensors_around(model, self.backbone)
            symbols |= {"features": around and around[1]}
            symbols |= {"logits": None if meaning == "probabilities" else model.outputs[0]}
        inner = keras.Model(
            model.inputs[0], {name: s for name, s in symbols.items() if s is not None}
        )

        def run(images):
            values = inner(images, training=False)
            values = {name: keras.ops.cast(value, "float32") for name, value in values.items()}
            output = values.pop("output")
            if meaning == "values":
                values["values"] = output
            elif self.num_classes:
                values["probabilities"] = probabilities(output, meaning)
            return values

        return run

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs prepared images through the model itself; returns as arrays what `forward` gives."""
        return {name: np.asarray(value) for name, value in self.forward()(images).items()}
