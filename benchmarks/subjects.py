"""What studies measure besides variants: the model of a file, and exported forms."""

from typing import Any

import numpy as np

from keras_vit.benchmark import subjects
from keras_vit.benchmark.subjects import Subject
from keras_vit.benchmark.work import Work
from keras_vit.images.spec import Preprocessing
from keras_vit.weights.files.suffixes import is_keras_model

# As `Work.subject`.
OF_A_FILE = f"{__name__}:build_model"
EXPORTED = f"{__name__}:build_exported"


def load_subject_model(model: str) -> Any:
    """Returns our model: that of a file, or a variant with random weights, those of its head too.

    Args:
        model: name of a variant, or a `.keras` file.
    """
    if is_keras_model(model):
        from keras_vit.applications.model_files import load_model

        return load_model(model)
    from keras_vit.applications import factories

    built = getattr(factories, model)(classes=1000)
    kernel = built.get_layer("head").kernel
    kernel.assign(np.random.default_rng(0).normal(0, 0.02, kernel.shape))
    return built


def build_model(work: Work) -> Subject:
    """Builds our model as a subject: a variant, or the model of a `.keras` file."""
    if not is_keras_model(work.model):
        return subjects.build_keras_vit(work)
    subjects.set_keras_policy(work.dtype)
    built = load_subject_model(work.model)
    images = _random_images(work.batch_size, built.preprocessing)
    return subjects.keras_subject(built, images, np.zeros(work.batch_size, int))


def build_exported(work: Work) -> Subject:
    """Opens an exported file or folder in its own runtime."""
    from keras_vit.export import open_exported

    precision = "bf16" if work.dtype == "bfloat16" else "f32"
    exported = open_exported(work.model, precision=precision)
    images = _random_images(work.batch_size, exported.preprocessing)
    return Subject(lambda: exported(images), None)


def _random_images(batch_size: int, preprocessing: Preprocessing) -> np.ndarray:
    shape = (batch_size, *preprocessing.size, len(preprocessing.mean))
    return np.random.default_rng(0).normal(size=shape).astype("float32")
