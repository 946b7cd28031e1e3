"""What `gpu.py` times: one model of one library on one device, many steps in a row.

Images, labels and weights stay on the device, steps are enqueued without waiting, and the clock
stops when the last is done; so neither the transfer of images nor Python's part is timed, unless
Python cannot keep up. Each subject lives in a process of its own, which `serve` runs: a command a
line (the steps to run), an answer a line.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from typing import Any

import numpy as np

from keras_vit.benchmark.peers import TIMM_NAMES
from keras_vit.benchmark.worker import ANSWER
from keras_vit.models.variants import get_variant

CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class GpuWork:
    """One model of one library, and what it does.

    Attributes:
        subject: `"keras_vit"`, `"timm"`, or `"torch"` for PyTorch's own encoder layers.
        task: `"infer"` or `"train"`.
        model: name of a variant.
        size: height and width of the images in pixels.
        dtype: `"bfloat16"` or `"float32"`. bfloat16 is that of all weights in inference; in
            training weights are float32 and products bfloat16.
        batch_size: images a step.
        compile_mode: of `torch.compile`.
        class_token: whether there is one; without it the mean of the patches is classified. It
            makes the number of tokens odd, and JAX trains through cuDNN's attention only with an
            even one.
    """

    subject: str
    task: str
    model: str
    size: int
    dtype: str
    batch_size: int
    compile_mode: str = "default"
    class_token: bool = True

    @property
    def pooling(self) -> dict[str, Any]:
        """The fields of our config that `class_token` sets."""
        return {} if self.class_token else {"class_token": False, "pooling": "gap"}


class JaxSubject:
    """Our model, compiled by JAX, its state donated from step to step.

    A training step is the model's own `train_step`, which `fit` compiles too; `train_on_batch`
    would wait for the loss after each step.

    Args:
        work: what to build.

    Attributes:
        fused_attention: whether the compiled program calls cuDNN's attention.
    """

    def __init__(self, work: GpuWork):
        import jax
        import keras

        import keras_vit

        self._jax = jax
        low = "bfloat16" if work.task == "infer" else "mixed_bfloat16"
        model = getattr(keras_vit, work.model)(
            classes=CLASSES,
            classifier_activation=None,
            input_shape=(work.size, work.size, 3),
            dropout_rate=0.0,  # as timm's
            **work.pooling,
            dtype="float32" if work.dtype == "float32" else low,
        )
        images, labels = (jax.device_put(array) for array in _batch(work))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(1e-4), loss)
        variables = [model.trainable_variables, model.non_trainable_variables]
        if work.task == "train":
            model.optimizer.build(model.trainable_variables)
            variables += [model.optimizer.variables, model.metrics_variables]
        self._state = tuple([variable.value for variable in part] for part in variables)
        if work.task == "train":
            function, donated, self._data = model.train_step, (0,), ((images, labels),)
        else:
            function, donated, self._data = _forward_of(model), (), (images,)
        lowered = jax.jit(function, donate_argnums=donated).lower(self._state, *self._data)
        self._step = lowered.compile()
        self.fused_attention = "__cudnn$fmha" in self._step.as_text()
        self._is_training = work.task == "train"

    def run(self, steps: int) -> float:
        """Enqueues the steps, waits for the last, and returns the mean loss, or a logit."""
        value = None
        for _ in range(steps):
            value = self._step(self._state, *self._data)
            if self._is_training:
                value, self._state = value
        self._jax.block_until_ready((value, self._state))
        return float(value["loss"] if self._is_training else value[0, 0])

    def describe(self) -> dict[str, Any]:
        """Returns the device's name, its platform and the versions that matter."""
        from importlib import metadata

        device = self._jax.devices()[0]
        versions = {name: metadata.version(name) for name in ("jax", "jaxlib", "keras")}
        return {"device": device.device_kind, "platform": device.platform, "versions": versions}

    def peak_memory_mib(self) -> float | None:
        """Returns the most memory used on the device, in MiB; None where that is not counted."""
        counted = (self._jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        return None if counted is None else counted / 2**20


def _forward_of(model: Any) -> Any:
    def forward(state, images):
        return model.stateless_call(*state, images, training=False)[0]

    return forward


class TorchSubject:
    """A PyTorch model through `torch.compile`, with PyTorch's fused attention and fused AdamW.

    Args:
        work: what to build.

    Attributes:
        fused_attention: whether the model calls `scaled_dot_product_attention`.
    """

    def __init__(self, work: GpuWork):
        import torch

        self._torch, self._work = torch, work
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_float32_matmul_precision("high")  # what JAX does on a GPU by itself
        built = _timm_model(work) if work.subject == "timm" else _torch_model(work)
        self.fused_attention = _calls_fused_attention(built, work.subject)
        self._low = torch.bfloat16 if work.dtype == "bfloat16" else torch.float32
        built = built.to(self._device, memory_format=torch.channels_last)
        built = built.to(self._low).eval() if work.task == "infer" else built.train()
        images, labels = _batch(work)
        self._images = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)
        self._labels = torch.from_numpy(labels).long().to(self._device)
        self._model = torch.compile(built, mode=work.compile_mode)
        self._step = self._infer if work.task == "infer" else self._train
        if work.task == "train":
            options = {"fused": True} if self._device == "cuda" else {}
            self._optimizer = torch.optim.AdamW(built.parameters(), 1e-4, **options)

    def _infer(self) -> Any:
        with self._torch.inference_mode():
            return self._model(self._images.to(self._low))[0, 0]

    def _train(self) -> Any:
        torch = self._torch
        enabled = self._work.dtype == "bfloat16"
        with torch.autocast(self._device, torch.bfloat16, enabled=enabled):
            logits = self._model(self._images)
            loss = torch.nn.functional.cross_entropy(logits.float(), self._labels)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def run(self, steps: int) -> float:
        """Enqueues the steps, waits for the last, and returns its loss, or a logit."""
        for _ in range(steps):
            value = self._step()
        if self._device == "cuda":
            self._torch.cuda.synchronize()
        return float(value)

    def describe(self) -> dict[str, Any]:
        """Returns the device's name, its platform and the versions that matter."""
        from importlib import metadata

        packages = ("torch", "timm") if self._work.subject == "timm" else ("torch",)
        on_gpu = self._device == "cuda"
        return {
            "device": self._torch.cuda.get_device_name() if on_gpu else "cpu",
            "platform": "gpu" if on_gpu else "cpu",
            "versions": {name: metadata.version(name) for name in packages},
        }

    def peak_memory_mib(self) -> float | None:
        """Returns the most memory used on the device, in MiB; None where that is not counted."""
        on_gpu = self._device == "cuda"
        return self._torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None


def _batch(work: GpuWork) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.standard_normal((work.batch_size, work.size, work.size, 3), "float32")
    return images, random.integers(0, CLASSES, work.batch_size).astype("int32")


def _timm_model(work: GpuWork) -> Any:
    import timm

    pooling = {} if work.class_token else {"class_token": False, "global_pool": "avg"}
    name = TIMM_NAMES[work.model]
    return timm.create_model(name, num_classes=CLASSES, img_size=work.size, **pooling)


def _calls_fused_attention(model: Any, subject: str) -> bool:
    """Whether it does: timm tells for each block, PyTorch's own layers always do here."""
    return subject == "torch" or all(block.attn.fused_attn for block in model.blocks)


def _torch_model(work: GpuWork) -> Any:
    """Builds the same shape out of PyTorch's own encoder layers."""
    import torch

    config = get_variant(work.model)
    width, patch = config.hidden_size, config.patch_size
    tokens = (work.size // patch) ** 2 + work.class_token

    class VisionTransformer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = torch.nn.Conv2d(3, width, patch, patch)
            if work.class_token:
                self.class_token = torch.nn.Parameter(torch.zeros(1, 1, width))
            self.positions = torch.nn.Parameter(0.02 * torch.randn(1, tokens, width))
            self.blocks = torch.nn.ModuleList(
                torch.nn.TransformerEncoderLayer(
                    width,
                    config.num_heads,
                    config.mlp_dim,
                    dropout=0.0,
                    activation="gelu",
                    layer_norm_eps=1e-6,
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(config.num_layers)
            )
            self.norm = torch.nn.LayerNorm(width, 1e-6)
            self.head = torch.nn.Linear(width, CLASSES)

        def forward(self, images):
            x = self.patches(images).flatten(2).transpose(1, 2)
            if work.class_token:
                x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)
            x = x + self.positions
            for block in self.blocks:
                x = block(x)
            x = self.norm(x)
            return self.head(x[:, 0] if work.class_token else x.mean(1))

    return VisionTransformer()


def serve(text: str) -> None:
    """Builds a subject, runs it once, and answers with the time of the steps asked for.

    Args:
        text: a `GpuWork` as JSON.

    Raises:
        ValueError: a step without a finite result.
    """
    work = GpuWork(**json.loads(text))
    start = time.perf_counter()
    subject = (JaxSubject if work.subject == "keras_vit" else TorchSubject)(work)
    subject.run(1)  # torch compiles here
    ready = time.perf_counter() - start
    described = subject.describe() | {"fused_attention": subject.fused_attention}
    print(ANSWER + json.dumps(described | {"ready_s": ready}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        value = subject.run(int(line))
        seconds = time.perf_counter() - start
        if not math.isfinite(value):
            raise ValueError(f"Expected a finite loss or logit. Received: {value}.")
        answer = {"seconds": seconds, "peak_mib": subject.peak_memory_mib(), "value": value}
        print(ANSWER + json.dumps(answer), flush=True)
