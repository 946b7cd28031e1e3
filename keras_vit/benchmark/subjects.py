"""Our side of what is measured: the model, and the bare matrix product.

Each subject is built in a process of its own (`worker.py`), so that libraries share neither threads
nor memory, and imports its library there. The other side is in `peers.py`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_vit.benchmark.work import Work


class Subject(NamedTuple):
    """One thing to time; `infer` and `train` return when the work is done.

    Attributes:
        infer: runs one batch forward.
        train: runs one training step (AdamW); None where it has no meaning.
    """

    infer: Callable[[], Any]
    train: Callable[[], Any] | None


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


def build_keras_vit(work: Work) -> Subject:
    """Builds our model, a variant."""
    import keras_vit

    set_keras_policy(work.dtype)
    options = {"classes": 1000, "classifier_activation": None, **work.options}
    if work.image_size:
        options["input_shape"] = (work.image_size, work.image_size, 3)
    built = getattr(keras_vit, work.model)(**options)
    return keras_subject(built, *random_batch(work.batch_size, built.config.image_size))


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
