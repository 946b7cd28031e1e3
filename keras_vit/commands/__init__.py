"""The commands of keras_vit: `keras-vit train` and so on; `scripts/train.py` in a checkout."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

COMMANDS = {
    "train": "train or fine-tune a model on a data set or a folder",
    "evaluate": "measure a saved model on a data set",
    "predict": "classify image files",
    "visualize": "draw what a model attends to",
    "demo": "serve a page to try a model",
    "export": "write a model for use outside Python",
    "weights": "list the published weights",
    "benchmark": "measure speed and memory, peers beside ours",
    "quickstart": "all of it on handwritten digits",
}
_MODULES = {name: f"keras_vit.commands.{name}" for name in COMMANDS}

_CHECKOUT = Path(__file__).parents[2]
if (_CHECKOUT / "benchmarks" / "studies.py").is_file():  # not installed
    COMMANDS["compare"] = "compare models with convolutional ones at equal training compute"
    _MODULES |= {"benchmark": "benchmarks.studies", "compare": "benchmarks.compare"}


def main() -> None:
    """Runs `keras-vit COMMAND [FLAGS]`; each command explains its flags with `--help`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        print("usage: keras-vit COMMAND [FLAGS]; keras-vit COMMAND --help explains the flags\n")
        print("\n".join(f"  {name:<12}{what}" for name, what in COMMANDS.items()))
        return
    if name not in COMMANDS:
        from keras_vit.checks import nearest_names

        sys.exit(f"Error: unknown command {name!r}. " + nearest_names(name, COMMANDS))
    run(name, [f"keras-vit {name}", *sys.argv[2:]])


def run(name: str, arguments: list[str] | None = None) -> None:
    """Runs one command.

    Args:
        name: a key of `COMMANDS`.
        arguments: the program's name and its flags; None takes those of the process.
    """
    from absl import app

    if _MODULES[name].startswith("benchmarks."):
        sys.path.insert(0, str(_CHECKOUT))
    module = importlib.import_module(_MODULES[name])
    app.run(module.main, argv=arguments)
