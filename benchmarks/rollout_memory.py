"""Peak memory of rollout beside that of the forward pass, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np

from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.runner import Worker
from keras_vit.benchmark.work import Work
from keras_vit.benchmark.worker import ANSWER, peak_memory_mib

MODES = ("forward", "rollout")


def measure_memory(model: str = "DINOv2_B14", *, image_size: int = 518) -> dict[str, Any]:
    """Runs one image through a model, and its attention rollout.

    Args:
        model: name of a variant, which gets random weights.
        image_size: side of the image in pixels.

    Returns:
        `forward_mib` and `rollout_mib`, the most that each process held, `imported_mib`, what it
        held before the model was there, and `map_mib`, the size of the attention of one block.
    """
    figures: dict[str, Any] = {"model": model, "image_size": image_size}
    for mode in MODES:
        order = json.dumps([mode, model, image_size])
        work = Work("keras_vit", model)
        with contextlib.closing(Worker(work, module=__name__, order=order)) as worker:
            answer = worker.read()
        figures |= {f"{mode}_mib": answer.pop("peak_mib"), **answer}
    return {**figures, "machine": describe_machine()}


def serve(text: str) -> None:
    """Runs one mode and answers with the memory that it took.

    Args:
        text: JSON of the mode, the variant and the size of the image.
    """
    import keras_vit
    from keras_vit import interpret

    mode, name, size = json.loads(text)
    build, rollout = getattr(keras_vit, name), interpret.attention_rollout
    imported = peak_memory_mib()
    model = build(include_top=False, input_shape=(size, size, 3))
    image = np.random.default_rng(0).normal(size=(1, size, size, 3)).astype("float32")
    if mode == "forward":
        model.predict_on_batch(image)
    else:
        rollout(model, image)
    config = model.config
    answer = {
        "imported_mib": imported,
        "map_mib": 4 * config.num_heads * config.num_tokens**2 / 2**20,
        "peak_mib": peak_memory_mib(),
    }
    print(ANSWER + json.dumps(answer), flush=True)


def format_memory(result: dict[str, Any]) -> str:
    """Formats what `measure_memory` returned."""
    forward, rollout, imports = (
        result[key] for key in ("forward_mib", "rollout_mib", "imported_mib")
    )
    return (
        f"{result['model']} at {result['image_size']} px: forward pass {forward:,.0f} MiB, rollout "
        f"{rollout:,.0f} MiB, {rollout / forward:.2f} times (without the {imports:,.0f} MiB of the "
        f"imports {(rollout - imports) / (forward - imports):.2f}); a map has "
        f"{result['map_mib']:,.0f} MiB"
    )
