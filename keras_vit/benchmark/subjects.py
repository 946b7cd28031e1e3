"""What is measured: our model, the same model of each peer, and the bare matrix product.

Each subject is built in a process of its own (`worker.py`), so that libraries share neither threads
nor memory, and imports its library there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np


class Subject:
    """One thing to time; `infer` and `train` return when the work is done.

    Attributes:
        infer: runs one batch forward; None where it has no meaning.
        train: runs one training step (AdamW); None where it has no meaning.
    """

    def __init__(self, infer: Callable[[], Any] | None, train: Callable[[], Any] | None):
        self.infer = infer
        self.train = train


def _batch(batch_size: int, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch_size, *image_size, 3)).astype("float32")
    return images, generator.integers(0, 1000, batch_size)


def _keras_subject(model: Any, images: np.ndarray, labels: np.ndarray) -> Subject:
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


def _set_keras_policy(dtype: str) -> None:
    import keras

    keras.config.set_dtype_policy("float32" if dtype == "float32" else f"mixed_{dtype}")


def sample_pictures(model: Any, count: int, seed: int = 0) -> np.ndarray:
    """Cuts pictures at random out of scikit-learn's two photographs.

    Args:
        model: a `keras_vit.VisionTransformer` of three channels.
        count: how many.
        seed: of the places and sizes.

    Returns:
        Prepared images, float32 (count, height, width, 3).
    """
    from sklearn.datasets import load_sample_images

    from keras_vit.preprocessing import preprocess_input

    photographs = load_sample_images().images
    random = np.random.default_rng(seed)
    pictures = []
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        side = int(random.integers(100, min(photograph.shape[:2])))
        top, left = (int(random.integers(0, length - side)) for length in photograph.shape[:2])
        cut = photograph[top : top + side, left : left + side]
        pictures.append(np.asarray(preprocess_input(cut[None], model.preprocessing), "float32")[0])
    return np.stack(pictures)


def load_subject_model(model: str) -> Any:
    """Returns our model: that of a file, or a variant with random weights, those of its head too.

    Args:
        model: name of a variant, or a `.keras` file.
    """
    if model.endswith(".keras"):
        from keras_vit.model_files import load_model

        return load_model(model)
    import keras_vit

    built = getattr(keras_vit, model)(classes=1000)
    kernel = built.get_layer("head").kernel
    kernel.assign(np.random.default_rng(0).normal(0, 0.02, kernel.shape))
    return built


def build_keras_vit(model: str, dtype: str, batch_size: int) -> Subject:
    """Builds our model as a subject: a variant, or the model of a `.keras` file."""
    import keras_vit

    _set_keras_policy(dtype)
    if model.endswith(".keras"):
        built = load_subject_model(model)
        shape = (batch_size, *built.preprocessing.size, built.config.in_channels)
        images = np.random.default_rng(0).normal(size=shape).astype("float32")
        return _keras_subject(built, images, np.zeros(batch_size, int))
    built = getattr(keras_vit, model)(classes=1000, classifier_activation=None)
    return _keras_subject(built, *_batch(batch_size, built.config.image_size))


def build_exported(model: str, dtype: str, batch_size: int) -> Subject:
    """Opens an exported file or folder in its own runtime."""
    from keras_vit.export import open_exported

    exported = open_exported(model, precision="bf16" if dtype == "bfloat16" else "f32")
    preprocessing = exported.preprocessing
    shape = (batch_size, *preprocessing.size, len(preprocessing.mean))
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    return Subject(lambda: exported(images), None)


def build_keras_hub(model: str, dtype: str, batch_size: int) -> Subject:
    """Builds the model of the same shape from keras-hub."""
    import keras_hub

    from keras_vit.variants import get_variant

    _set_keras_policy(dtype)
    config = get_variant(model)
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(*config.image_size, 3),
        patch_size=config.patch_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_size,
        mlp_dim=config.mlp_dim,
    )
    built = keras_hub.models.ViTImageClassifier(backbone, num_classes=1000, preprocessor=None)
    return _keras_subject(built, *_batch(batch_size, config.image_size))


TIMM_NAMES = {
    "ViT_Ti16": "vit_tiny_patch16_224",
    "ViT_S32": "vit_small_patch32_224",
    "ViT_S16": "vit_small_patch16_224",
    "ViT_B32": "vit_base_patch32_224",
    "ViT_B16": "vit_base_patch16_224",
    "ViT_B8": "vit_base_patch8_224",
    "ViT_L32": "vit_large_patch32_224",
    "ViT_L16": "vit_large_patch16_224",
}


def build_timm(model: str, dtype: str, batch_size: int) -> Subject:
    """Builds the model of the same shape from timm, eager, with autocast for bfloat16."""
    import timm
    import torch

    from keras_vit.variants import get_variant

    device = "cuda" if torch.cuda.is_available() else "cpu"
    built = timm.create_model(TIMM_NAMES[model], pretrained=False).to(device)
    images, labels = _batch(batch_size, get_variant(model).image_size)
    images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)
    labels = torch.from_numpy(labels).to(device)
    optimizer = torch.optim.AdamW(built.parameters(), 1e-4)

    def forward():
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            return built(images)

    def infer():
        built.eval()
        with torch.inference_mode():
            return forward().float().cpu()

    def train():
        built.train()
        loss = torch.nn.functional.cross_entropy(forward().float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return Subject(infer, train)


# The largest matrix product of a ViT-B/16 block at batch 8: all tokens by the first MLP matrix.
MATRIX_PRODUCT = (8 * 197, 768, 3072)


def build_matrix_product(model: str, dtype: str, batch_size: int) -> Subject:
    """Builds one large matrix product, the limit that the machine sets; `infer` runs it 8 times."""
    import keras
    from keras import ops

    rows, inner, columns = MATRIX_PRODUCT
    generator = np.random.default_rng(0)
    a, b = (
        ops.cast(generator.normal(size=shape).astype("float32"), dtype)
        for shape in ((rows, inner), (inner, columns))
    )

    if keras.backend.backend() == "jax":
        import jax

        product = jax.jit(ops.matmul)
        return Subject(lambda: jax.block_until_ready([product(a, b) for _ in range(8)]), None)
    return Subject(lambda: [ops.matmul(a, b) for _ in range(8)], None)


SUBJECTS: dict[str, Callable[[str, str, int], Subject]] = {
    "keras_vit": build_keras_vit,
    "exported": build_exported,
    "keras_hub": build_keras_hub,
    "timm": build_timm,
    "matrix_product": build_matrix_product,
}


def available_peers(model: str) -> list[str]:
    """Returns the peers that are installed and have the model.

    Args:
        model: name of one of our variants.

    Returns:
        Keys of `SUBJECTS`.
    """
    peers = []
    if model.startswith("ViT_") and importlib.util.find_spec("keras_hub"):
        peers.append("keras_hub")
    if model in TIMM_NAMES and importlib.util.find_spec("timm"):
        peers.append("timm")
    return peers
