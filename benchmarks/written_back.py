"""Whether timm and transformers read what `save_checkpoint` writes, and compute the same.

    python -m benchmarks.written_back write FOLDER OUT     where keras_vit is
    python -m benchmarks.written_back read OUT             where torch, timm and transformers are

FOLDER has a folder for each model of another library, and `NAME.io.npz` or `NAME/io.npz` with its
images, `x` (batch, channels, height, width) or `images` (batch, height, width, channels).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

_FILES = {"timm": "model.safetensors", "huggingface": ""}
_OUTPUTS = ("logits", "image_embeds", "pooler_output", "last_hidden_state")


def write(folder: Path, out: Path) -> None:
    """Loads every model of a folder and writes it in each layout, with what it computes.

    Args:
        folder: models of another library.
        out: the folder to write to.
    """
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            _write_case(case, out)
        except ValueError as error:
            print(f"refused  {case.name:56s} {str(error)[:160]!r}", flush=True)


def _write_case(case: Path, out: Path) -> None:
    import keras

    import keras_vit
    from keras_vit.weights.layouts import layout_for

    beside = case.with_name(f"{case.name}.io.npz")
    with np.load(beside if beside.exists() else case / "io.npz") as arrays:
        images = arrays["images"] if "images" in arrays else arrays["x"].transpose(0, 2, 3, 1)
    model = keras_vit.from_checkpoint(case, classifier_activation=None, decoder=False)
    output = keras.ops.convert_to_numpy(model(images))
    for layout, file in _FILES.items():
        reasons = layout_for(layout, model.config).obstacles(model.config)
        if reasons:
            print(f"load only {case.name:55s} {layout:12s} {'; '.join(reasons)}", flush=True)
            continue
        target = out / layout / case.name
        target.mkdir(parents=True, exist_ok=True)
        keras_vit.save_checkpoint(model, target / file, layout)
        again = keras_vit.from_checkpoint(target, classifier_activation=None)
        others = {
            name: (getattr(model.config, name), getattr(again.config, name))
            for name in model.config.to_dict()
            if getattr(model.config, name) != getattr(again.config, name)
        }
        found = keras.ops.convert_to_numpy(again(images))
        changed = found.shape == output.shape and np.abs(found - output).max() > 1e-6
        if others or changed:
            print(f"{'wrong' if changed else 'other':8s} {case.name:56s} {layout:12s} {others}")
        np.savez(target / "io.npz", x=images.transpose(0, 3, 1, 2), output=output)
    keras.backend.clear_session()


def read(out: Path) -> bool:
    """Loads every model that `write` wrote by the library of its layout, strictly.

    Args:
        out: the folder that was written to.

    Returns:
        Whether each has the same names and the same numbers, to 1e-4 of their scale.
    """
    import torch

    worst, count, fine = {}, {}, True
    for target in sorted(out.glob("*/*/io.npz")):
        layout, name = target.parts[-3:-1]
        with np.load(target) as arrays:
            images, expected = torch.from_numpy(arrays["x"]), arrays["output"]
        try:
            found = _READERS[layout](target.parent, images)
        except Exception as error:
            print(f"failed   {name:56s} {layout:12s} {error!r:.300}", flush=True)
            fine = False
            continue
        differences = [
            np.abs(each - expected).max() / np.abs(expected).max()
            for each in found
            if each.shape == expected.shape
        ]
        difference = min(differences, default=np.inf)
        # timm has an epsilon of its own where a warning says so, and config.json.
        own = layout == "timm" and "layer_norm_epsilon" in _config(target.parent)
        if own:
            layout = "timm, of another epsilon"
        if not difference < (1e-3 if own else 1e-4):
            print(f"wrong    {name:56s} {layout:12s} {difference:.1e}", flush=True)
            fine = False
        worst[layout] = max(worst.get(layout, 0.0), float(difference))
        count[layout] = count.get(layout, 0) + 1
    print(json.dumps({"models": count, "largest difference": worst}))
    return fine


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def _read_timm(folder: Path, images: Any) -> list[np.ndarray]:
    import timm
    import torch

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        return [model(images).numpy()]


def _read_transformers(folder: Path, images: Any) -> list[np.ndarray]:
    import safetensors
    import torch
    import transformers

    name = _config(folder)["architectures"][0]
    with safetensors.safe_open(folder / "model.safetensors", "np") as file:
        pooler = {"add_pooling_layer": any("pooler." in key for key in file.keys())}  # noqa: SIM118
    options = pooler if name in ("ViTModel", "DeiTModel") else {}
    model, report = getattr(transformers, name).from_pretrained(
        folder, output_loading_info=True, **options
    )
    left = {kind: names for kind, names in report.items() if names}
    if left:
        raise ValueError(f"Expected all names and no others. Received: {left}.")
    with torch.no_grad():
        outputs = model.eval()(images)
    found = [outputs[key].numpy() for key in _OUTPUTS if outputs.get(key) is not None]
    tokens = outputs.get("last_hidden_state")  # some pool outside of their class
    return found if tokens is None else [*found, tokens[:, 0].numpy(), tokens.mean(1).numpy()]


_READERS = {"timm": _read_timm, "huggingface": _read_transformers}


if __name__ == "__main__":
    mode, *paths = sys.argv[1:]
    raise SystemExit(not read(Path(paths[0])) if mode == "read" else write(*map(Path, paths)))
