"""Our side of what is measured: the model, its exported forms, and the bare matrix product.

Each subject is built in a process of its own (`worker.py`), so that libraries share neither threads
nor memory, and imports its library there. The other side is in `peers.py`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vit.benchmark.work import Work
from keras_vit.weights.files.suffixes import is_keras_model


class Subject:
    """One thing to time; `infer` and `train` return when the work is done.

    Attributes:
        infer: runs one batch forward; None where it has no meaning.
        train: runs one training step (AdamW); None where it has no meaning.
    """

    def __init__(self, infer: Callable[[], Any] | None, train: Callable[[], Any] | None):
        self.infer = infer
        self.train = train


def random_batch(batch_size: int, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns normalised images `(batch, height, width, 3)` of noise and labels of 1000 classes."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch_size, *image_size, 3)).astype("float32")
    return images, generator.integers(0, 1000, batch_size)


def keras_subject(model: Any, images: np.ndarray, labels: np.ndarray) -> Subject:
    """Wraps a Keras model of logits: `predict_on_batch`, and `train_on_batch` with AdamW."""
    import keras

    # XLA is slower than TensorFlow's own kernels on a CPU; JAX always compiles.
    compiler = {"jit_compile": False} if keras.backend.backend() == "tensorflow" else {}
    model.compile(
        keras.optimizers.AdamW(1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **compiler,
    )
    return Subject(
        lambda: model.predict_on_batch(images), lambda: model.train_on_batch(images, labels)
    )


def set_keras_policy(dtype: str) -> None:
    """Makes models built from now on compute in `dtype`."""
    import keras

    keras.config.set_dtype_policy("float32" if dtype == "float32" else f"mixed_{dtype}")


def load_subject_model(model: str) -> Any:
    """Returns our model: that of a file, or a variant with random weights, those of its head too.

    Args:
        model: name of a variant, or a `.keras` file.
    """
    if is_keras_model(model):
        from keras_vit.applications.model_files import load_model

        return load_model(model)
    import keras_vit

    built = getattr(keras_vit, model)(classes=1000)
    kernel = built.get_layer("head").kernel
    kernel.assign(np.random.default_rng(0).normal(0, 0.02, kernel.shape))
    return built


def build_keras_vit(work: Work) -> Subject:
    """Builds our model as a subject: a variant, or the model of a `.keras` file."""
    import keras_vit

    set_keras_policy(work.dtype)
    if is_keras_model(work.model):
        built = load_subject_model(work.model)
        shape = (work.batch_size, *built.preprocessing.size, built.config.in_channels)
        images = np.random.default_rng(0).normal(size=shape).astype("float32")
        return keras_subject(built, images, np.zeros(work.batch_size, int))
    options = {"classes": 1000, "classifier_activation": None, **work.options}
    built = getattr(keras_vit, work.model)(**options)
    return keras_subject(built, *random_batch(work.batch_size, built.config.image_size))


def build_exported(work: Work) -> Subject:
    """Opens an exported file or folder in its own runtime."""
    from keras_vit.export import open_exported

    precision = "bf16" if work.dtype == "bfloat16" else "f32"
    exported = open_exported(work.model, precision=precision)
    preprocessing = exported.preprocessing
    shape = (work.batch_size, *preprocessing.size, len(preprocessing.mean))
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    return Subject(lambda: exported(images), None)


# The largest matrix product of a ViT-B/16 block at batch 8: all tokens by the first MLP matrix.
MATRIX_PRODUCT = (8 * 197, 768, 3072)


def build_matrix_product(work: Work) -> Subject:
    """Builds one large matrix product, the limit that the machine sets; `infer` runs it 8 times."""
    import keras
    from keras import ops

    rows, inner, columns = MATRIX_PRODUCT
    generator = np.random.default_rng(0)
    a, b = (
        ops.cast(generator.normal(size=shape).astype("float32"), work.dtype)
        for shape in ((rows, inner), (inner, columns))
    )

    if keras.backend.backend() == "jax":
        import jax

        product = jax.jit(ops.matmul)
        return Subject(lambda: jax.block_until_ready([product(a, b) for _ in range(8)]), None)
    return Subject(lambda: [ops.matmul(a, b) for _ in range(8)], None)
