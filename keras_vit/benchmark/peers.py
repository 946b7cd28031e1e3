"""The same architecture as others build it, and every subject by its name.

All have random weights, 1000 classes and float32 images; what they compute in is the `dtype` of the
work. Training is one step of AdamW on cross-entropy.
"""

import importlib.util
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vit.benchmark import subjects
from keras_vit.benchmark.subjects import Subject
from keras_vit.benchmark.work import Work

TIMM_NAMES = {
    "ViT_Ti16": "vit_tiny_patch16_224",
    "ViT_S32": "vit_small_patch32_224",
    "ViT_S16": "vit_small_patch16_224",
    "ViT_B32": "vit_base_patch32_224",
    "ViT_B16": "vit_base_patch16_224",
    "ViT_B8": "vit_base_patch8_224",
    "ViT_L32": "vit_large_patch32_224",
    "ViT_L16": "vit_large_patch16_224",
    "ViT_H14": "vit_huge_patch14_224",
}


def build_keras_hub(work: Work) -> Subject:
    """Builds the model of the same shape from keras-hub."""
    import keras_hub

    subjects.set_keras_policy(work.dtype)
    config = work.config
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(*config.image_size, 3),
        patch_size=config.patch_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_size,
        mlp_dim=config.mlp_dim,
    )
    built = keras_hub.models.ViTImageClassifier(backbone, num_classes=1000, preprocessor=None)
    return subjects.keras_subject(built, *subjects.random_batch(work.batch_size, config.image_size))


def _torch_subject(
    built: Any, work: Work, logits_of: Callable[[Any], Any], compiled: bool = False
) -> Subject:
    """Wraps a PyTorch module; bfloat16 is autocast, as PyTorch's users do it."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    built = built.to(device)
    images, labels = subjects.random_batch(work.batch_size, work.config.image_size)
    images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)
    labels = torch.from_numpy(labels).to(device)
    optimizer = torch.optim.AdamW(built.parameters(), 1e-4)
    model = torch.compile(built) if compiled else built

    def forward():
        with torch.autocast(device, torch.bfloat16, enabled=work.dtype == "bfloat16"):
            return logits_of(model(images))

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


def _timm_model(work: Work) -> Any:
    import timm

    return timm.create_model(
        TIMM_NAMES[work.model], pretrained=False, img_size=work.config.image_size
    )


def build_timm(work: Work) -> Subject:
    """Builds the model of the same shape from timm, eager."""
    return _torch_subject(_timm_model(work), work, lambda logits: logits)


def build_timm_compiled(work: Work) -> Subject:
    """Builds the model of the same shape from timm, through `torch.compile`."""
    return _torch_subject(_timm_model(work), work, lambda logits: logits, compiled=True)


def build_transformers(work: Work) -> Subject:
    """Builds the model of the same shape from transformers, eager."""
    import transformers

    config = work.config
    built = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=config.image_size[0],
            patch_size=config.patch_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.mlp_dim,
            num_labels=1000,
        )
    )
    return _torch_subject(built, work, lambda outputs: outputs.logits)


def _timm_onnx(work: Work, folder: str) -> tuple[str, np.ndarray]:
    """Writes timm's model as ONNX with its batch size, and returns the path and a batch."""
    import torch

    images, _ = subjects.random_batch(work.batch_size, work.config.image_size)
    images = images.transpose(0, 3, 1, 2).copy()
    path = str(pathlib.Path(folder) / "timm.onnx")
    example = (torch.from_numpy(images),)
    torch.onnx.export(_timm_model(work).eval(), example, path, dynamo=True, verbose=False)
    return path, images


def build_timm_onnxruntime(work: Work) -> Subject:
    """Opens timm's ONNX export in ONNX Runtime."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path, images = _timm_onnx(work, folder)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return Subject(lambda: session.run(None, {name: images}), None)


def build_timm_openvino(work: Work) -> Subject:
    """Opens timm's ONNX export in OpenVINO."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path, images = _timm_onnx(work, folder)
        core = openvino.Core()
        precision = "bf16" if work.dtype == "bfloat16" else "f32"
        options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        compiled = core.compile_model(core.read_model(path), "CPU", options)
    return Subject(lambda: compiled([images]), None)


SUBJECTS: dict[str, Callable[[Work], Subject]] = {
    "keras_vit": subjects.build_keras_vit,
    "matrix_product": subjects.build_matrix_product,
    "keras_hub": build_keras_hub,
    "timm": build_timm,
    "timm_compiled": build_timm_compiled,
    "transformers": build_transformers,
    "timm_onnxruntime": build_timm_onnxruntime,
    "timm_openvino": build_timm_openvino,
}

OURS = ("keras", "keras_vit.export")
# What each subject imports, and what has to be installed for it.
LIBRARIES = {
    "keras_vit": OURS,
    "matrix_product": ("keras",),
    "keras_hub": ("keras", "keras_hub"),
    "timm": ("timm",),
    "timm_compiled": ("timm",),
    "transformers": ("transformers", "torch"),
    "timm_onnxruntime": ("timm", "onnxscript", "onnxruntime"),
    "timm_openvino": ("timm", "onnxscript", "openvino"),
}

# Of what peers compute in, if not in float32 and bfloat16: ONNX Runtime's CPU kernels know no
# bfloat16, and keras-hub takes any policy.
_DTYPES = {
    "timm_onnxruntime": ("float32",),
    "keras_hub": ("float32", "bfloat16", "float16"),
}


def uses_torch(subject: str) -> bool:
    """Says whether a subject imports PyTorch, which may crash beside TensorFlow in one process."""
    return bool({"torch", "timm"} & set(LIBRARIES.get(subject, ())))


def available_peers(model: str, dtype: str = "float32") -> list[str]:
    """Returns the peers that are installed and have the model.

    Args:
        model: name of one of our variants.
        dtype: what they compute in; a peer that would compute in another type is left out.

    Returns:
        Keys of `SUBJECTS`.
    """
    peers = []
    for subject, libraries in LIBRARIES.items():
        if subject in ("keras_vit", "matrix_product"):
            continue
        if dtype not in _DTYPES.get(subject, ("float32", "bfloat16")):
            continue
        known = model in TIMM_NAMES if "timm" in libraries else model.startswith("ViT_")
        if known and all(importlib.util.find_spec(library) for library in libraries):
            peers.append(subject)
    return peers
