"""Trains, evaluates, looks inside and exports a small ViT on handwritten digits, and sums it up.

Each step is a command of its own, printed before it runs. How long it will take is said first.

With --photos it learns what small cuts of photographs show (fur, wood, sky, ...), and its maps are
drawn over the whole photographs. Parts of these it has seen: they show how to read such pictures,
not how well a model does. Needs scikit-image: pip install scikit-image.

Examples:
  keras-vit quickstart
  keras-vit quickstart --photos
  keras-vit quickstart --output_dir=digits --seed=1
"""

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from absl import flags

from keras_vit.files import read_json
from keras_vit.tables import align

NEEDS_KERAS = False
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder for all results; default: outputs/quickstart, or outputs/photos."
)
_PHOTOS = flags.DEFINE_bool("photos", False, "Photographs of scikit-image in place of the digits.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the training run.", lower_bound=0)


# Fewer and larger steps than the recipe `digits` has.
SETTINGS = ("epochs=60", "batch_size=64", "learning_rate=3e-3", "label_smoothing=0.05")
_PHOTO_SETTINGS = ("epochs=30", "label_smoothing=0.05", "augmentation.color_jitter=0.3")
# Seconds of a processor that the steps took, with digits and with photos, and beside them the work
# of `estimate`.
_MEASURED = {False: (88.0, 0.32), True: (150.0, 0.32)}


def estimate(photos: bool = False) -> float:
    """Returns the seconds that the steps will take here, roughly: as a fixed piece of work says."""
    import numpy as np

    values = np.ones((64, 64), np.float32)
    start = time.perf_counter()
    for _ in range(50_000):
        values = values @ values * np.float32(1 / 64)
    seconds, work = _MEASURED[photos]
    return (time.perf_counter() - start) / work * seconds


def steps(folder: Path, seed: int) -> dict[str, list[str]]:
    """Returns the commands in their order, by what each is for."""
    model, data = f"--model={folder}/model.keras", ["--dataset=digits", f"--data_dir={folder}/data"]
    settings = [f"--set={setting}" for setting in SETTINGS]
    return {
        "train": ["train", *data, f"--output_dir={folder}", f"--seed={seed}", *settings],
        "evaluate": ["evaluate", model, *data],
        "look inside": ["visualize", model, *data, f"--output_dir={folder}/pictures"],
        "export": ["export", model, f"--output_dir={folder}/saved_model"],
    }


def photo_steps(folder: Path, seed: int) -> dict[str, list[str]]:
    """Returns the commands of --photos, likewise; `write_crops` has written what they read."""
    model, data = f"--model={folder}/model.keras", [f"--dataset={folder}/crops"]
    settings = [f"--set={setting}" for setting in _PHOTO_SETTINGS]
    return {
        "train": ["train", *data, f"--output_dir={folder}", f"--seed={seed}", *settings],
        "evaluate": ["evaluate", model, *data],
        "look at photographs": [
            "visualize", model, f"--images={folder}/photographs", "--image_size=256",
            f"--output_dir={folder}/pictures",
        ],
    }  # fmt: skip


def summary(folder: Path, seconds: dict[str, float]) -> str:
    """Sums up what the steps left in their files, and how long each took."""
    evaluation = read_json(folder / "evaluation.json")
    training = read_json(folder / "summary.json")
    rows = {f"ViT, {evaluation['split']} accuracy": f"{100 * evaluation['top1']:.2f} %"}
    for name, accuracy in evaluation["baselines"].items():
        rows[f"{name}, beside it"] = f"{100 * accuracy:.2f} %"
    smoothing = training["recipe"]["label_smoothing"]
    rows["calibration error"] = (
        f"{100 * evaluation['calibration_error']:.1f} %; labels were smoothed by "
        f"{100 * smoothing:.0f} %, so that the model never says it is sure"
    )
    rows["training"] = f"{training['images_per_second']:,.0f} img/s, {training['steps']:,} steps"
    speed = evaluation["images_per_second"]
    rows["inference"] = f"{speed:,.0f} img/s, other steps beside it"
    rows["time"] = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    files = {
        "model": "model.keras",
        "training curves": "curves.png",
        "history": "history.jsonl",
        "TensorBoard": "tensorboard",
        "confusion matrix": "confusion_matrix.png",
        "predictions and attention": "pictures/predictions.png",
        "report": "pictures/report.html",
    }
    if any("export" in name for name in seconds):
        files["SavedModel"] = "saved_model"
    missing = [name for name in files.values() if not (folder / name).exists()]
    if missing:
        raise RuntimeError(f"Expected all results in {folder}. Missing: {', '.join(missing)}.")
    rows.update({what: str(folder / name) for what, name in files.items()})
    return "\n".join(f"  {line}" for line in align(list(rows.items()), left=2))


def run_together(
    commands: dict[str, list[str]], open_output: Callable[..., IO[str] | None]
) -> dict[str, float]:
    """Runs steps side by side, since most of a short one is to load its libraries.

    Args:
        commands: by what each is for.
        open_output: makes the file that holds what a step says until its turn to be shown; None
            is the standard output itself.

    Returns:
        The seconds of all together, by their names.

    Raises:
        RuntimeError: one failed.
    """
    start, running = time.perf_counter(), {}
    for what, arguments in commands.items():
        output = open_output(mode="w+")
        if output is None:
            _announce(what, arguments)
        command = [sys.executable, "-m", "keras_vit_command", *arguments]
        running[what] = output, subprocess.Popen(command, stdout=output, stderr=output)
    for what, (output, process) in running.items():
        failed = process.wait()
        if output is not None:
            _announce(what, commands[what])
            output.seek(0)
            print(output.read(), flush=True)
            output.close()
        if failed:
            raise RuntimeError(f"The step '{what}' failed; its last lines say why.")
    return {" and ".join(commands): time.perf_counter() - start}


def _announce(what: str, arguments: list[str]) -> None:
    print(f"\n== {what}: keras-vit {shlex.join(arguments)}", flush=True)


def run() -> None:
    """Runs the steps, each in a process of its own, and prints the summary.

    The first one trains; the others, which need its model alone, run side by side.
    """
    photos = _PHOTOS.value
    folder = Path(_OUTPUT_DIR.value or ("outputs/photos" if photos else "outputs/quickstart"))
    commands = (photo_steps if photos else steps)(folder, _SEED.value)
    minutes = max(1, round(estimate(photos) / 60))
    print(
        f"{len(commands)} steps, {minutes} to {2 * minutes} minutes here; the first is most of it."
    )
    if photos:
        from keras_vit.data.photo_crops import write_crops, write_photographs

        write_crops(folder / "crops")
        write_photographs(folder / "photographs")
    first, *others = commands
    seconds = run_together({first: commands[first]}, lambda **_: None)
    seconds |= run_together({what: commands[what] for what in others}, tempfile.TemporaryFile)
    print(f"\n== Summary\n{summary(folder, seconds)}")
    print(
        f"\nOpen first: {folder / 'pictures' / 'report.html'}, what the model sees, in a browser."
    )
    if photos:
        print(
            "What it calls a whole photograph says little, since it has learned small cuts of one"
        )
        print("thing; what its maps find there says more.")
    print("Then a folder of your own photos, with a subfolder a class:")
    print("  keras-vit train --dataset=FOLDER --model=ViT_S16 --weights=imagenet --output_dir=mine")
