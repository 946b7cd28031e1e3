"""A classifier learns from labels and from what a teacher makes of the same images."""

import os
from typing import Any

import keras
from keras import ops

from keras_vit.checks import check_choice, check_number
from keras_vit.data.dataset import ImageDataset
from keras_vit.fitting import TrainableModel
from keras_vit.images.spec import Preprocessing
from keras_vit.models.probability import output_meaning
from keras_vit.training.objectives.classification import Classification, logits_of
from keras_vit.training.recipes import Recipe

KINDS = ("soft", "hard", "features")
_SMALLEST = 1e-30  # probability whose logarithm is taken


class Distillation(Classification):
    """Teaches a model the classes of images and what a teacher says of them.

    The loss is `(1 - alpha)` times the cross-entropy of the labels and `alpha` times that of the
    teacher: the divergence of both softened distributions times the squared temperature (`soft`),
    the cross-entropy with the teacher's best class (`hard`), or 1 less the cosine of the teacher's
    features and a projection of the model's (`features`). A model with a distillation token
    (`DeiT_S16(distilled=True)`) learns from the labels with the class token, from the teacher with
    the other. The teacher sees the same changed images, at its own size and normalisation; it is
    frozen, runs once a batch and is in no checkpoint.

    Args:
        teacher: a functional classifier with `preprocessing`, such as a
            `keras_vit.VisionTransformer`; or what opens one, as for `keras_vit.from_checkpoint`.
        kind: `"soft"`, `"hard"` or `"features"`.
        alpha: share of the teacher, in [0, 1].
        temperature: by which logits are divided for `"soft"`, above 0.

    Reference: "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531), section 2;
    "Training data-efficient image transformers" (arXiv 2012.12877), section 4.
    """

    weighs_classes = False

    def __init__(
        self,
        teacher: keras.Model | str | os.PathLike,
        kind: str = "soft",
        *,
        alpha: float = 0.5,
        temperature: float = 3.0,
    ):
        check_choice("kind", kind, KINDS)
        check_number("alpha", alpha, "[0, 1]")
        check_number("temperature", temperature, "(0, inf)")
        self.name = "a model" if isinstance(teacher, keras.Model) else os.fspath(teacher)
        self._teacher = teacher
        self.kind, self.alpha, self.temperature = kind, alpha, temperature

    @property
    def teacher(self) -> keras.Model:
        """The teacher, loaded when it is first asked for."""
        if not isinstance(self._teacher, keras.Model):
            from keras_vit.applications.model_files import load_model

            self._teacher = load_model(self._teacher)
        return self._teacher

    def check(self, recipe: Recipe, model: keras.Model, data: ImageDataset) -> None:
        """Refuses a model or a teacher with other classes than the data set."""
        super().check(recipe, model, data)
        if recipe.loss != "softmax":
            raise ValueError(
                'Expected loss="softmax" for a distillation. Received: '
                f"{recipe.loss!r}. Use recipe.replace(loss='softmax')."
            )
        taught = self._taught()
        if self.kind != "features" and taught.shape[-1] != data.num_classes:
            raise ValueError(
                f"Expected a teacher with {data.num_classes} classes, as {data.name!r} has. "
                f"Received: {self.name} with {taught.shape[-1]}. Fine-tune it first, or use "
                'kind="features".'
            )
        if self.kind == "features" and not hasattr(model, "features"):
            raise ValueError(
                'Expected a keras_vit.VisionTransformer for kind="features". Received: '
                f"{type(model).__name__} {model.name!r}."
            )

    def _taught(self) -> keras.KerasTensor:
        """Returns what the teacher tells: its features, or its logits."""
        teacher = self.teacher
        if self.kind == "features":
            return teacher.features if hasattr(teacher, "features") else teacher.outputs[0]
        logits = logits_of(teacher)
        if getattr(teacher, "logits", None) is None and output_meaning(teacher) == "probabilities":
            return ops.log(ops.maximum(logits, _SMALLEST))  # whose softmax they are
        return logits

    def network(self, model: keras.Model) -> TrainableModel:
        """Returns logits, what is compared with the teacher, and the teacher's, side by side."""
        images = model.inputs[0]
        taught = Teacher(
            keras.Model(self.teacher.inputs, self._taught()),
            model.preprocessing,
            self.teacher.preprocessing,
            name="teacher",
        )(images)
        logits = student = logits_of(model)
        if self.kind == "features":
            student = keras.layers.Dense(taught.shape[-1], name="to_teacher")(model.features)
        elif getattr(getattr(model, "config", None), "pooling", None) == "token+distillation":
            head = model.parts.head
            token, distillation = ops.split(model.features, 2, axis=-1)
            logits, student = head.token(token), head.distillation(distillation)
        parts = [ops.cast(part, "float32") for part in (logits, student, taught)]
        return TrainableModel(images, ops.concatenate(parts, axis=-1), name="trainer")

    def loss(self, recipe: Recipe, data: ImageDataset) -> keras.losses.Loss:
        """Returns the loss of labels and teacher."""
        return DistillationLoss(self.kind, self.alpha, self.temperature, recipe.label_smoothing)

    def metrics(self, data: ImageDataset) -> list[keras.metrics.Metric]:
        """Returns the accuracy of the model, of both its heads where it has two."""
        return [_Accuracy(self.kind != "features", name="accuracy")]

    def to_dict(self) -> dict[str, Any]:
        """Returns the arguments; of a path the last part counts."""
        return {
            **super().to_dict(),
            "teacher": os.path.basename(self.name),
            "kind": self.kind,
            "alpha": self.alpha,
            "temperature": self.temperature,
        }


class Teacher(keras.layers.Layer):
    """Runs a frozen model on the images of another; its weights are none of this layer.

    Args:
        model: what runs.
        given: how the images were prepared.
        wanted: how the model takes them.

    Input: `(batch, height, width, channels)`. Output: that of the model, in no gradient.
    """

    def __init__(
        self, model: keras.Model, given: Preprocessing, wanted: Preprocessing, **kwargs: Any
    ):
        super().__init__(trainable=False, **kwargs)
        self.given, self.wanted = given, wanted
        self.width = model.output_shape[-1]
        # A function is not tracked: the teacher is loaded from its own file, not from checkpoints.
        self._run = lambda images: model(images, training=False)

    def call(self, images):
        images = ops.cast(images, "float32")
        if self.given.size != self.wanted.size:
            images = ops.image.resize(
                images, self.wanted.size, interpolation="bicubic", antialias=True
            )
        if (self.given.mean, self.given.std) != (self.wanted.mean, self.wanted.std):
            pixels = images * ops.array(self.given.std) + ops.array(self.given.mean)
            images = (pixels - ops.array(self.wanted.mean)) / ops.array(self.wanted.std)
        return ops.stop_gradient(self._run(images))

    def compute_output_spec(self, images):
        return keras.KerasTensor((images.shape[0], self.width), "float32")


class DistillationLoss(keras.losses.Loss):
    """Weighs the loss of labels and that of the teacher.

    Args:
        kind: as in `Distillation`, and so the next two.
        alpha: see there.
        temperature: see there.
        label_smoothing: share of every label spread over all classes.

    `y_true` is `(batch, classes)`, `y_pred` the output of `Distillation.network`.
    """

    def __init__(self, kind: str, alpha: float, temperature: float, label_smoothing: float = 0.0):
        super().__init__(name="distillation", dtype="float32")
        self.kind, self.alpha, self.temperature = kind, alpha, temperature
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        classes = y_true.shape[-1]
        logits, rest = y_pred[:, :classes], y_pred[:, classes:]
        student, teacher = ops.split(rest, 2, axis=-1)
        labels = keras.losses.categorical_crossentropy(
            y_true, logits, from_logits=True, label_smoothing=self.label_smoothing
        )
        if self.kind == "features":
            taught = 1 + keras.losses.cosine_similarity(teacher, student)  # Keras's is negative
        elif self.kind == "hard":
            best = ops.one_hot(ops.argmax(teacher, axis=-1), classes)
            taught = keras.losses.categorical_crossentropy(best, student, from_logits=True)
        else:
            softened = [ops.log_softmax(each / self.temperature) for each in (student, teacher)]
            divergence = ops.exp(softened[1]) * (softened[1] - softened[0])
            taught = self.temperature**2 * ops.sum(divergence, axis=-1)
        return (1 - self.alpha) * labels + self.alpha * taught


class _Accuracy(keras.metrics.CategoricalAccuracy):
    """The accuracy of the logits at the head of the output, or of the mean of the first two."""

    def __init__(self, has_two: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.has_two = has_two

    def update_state(self, y_true, y_pred, sample_weight=None):
        classes = y_true.shape[-1]
        logits = y_pred[:, :classes]
        if self.has_two:
            logits = logits + y_pred[:, classes : 2 * classes]
        return super().update_state(y_true, logits, sample_weight)
