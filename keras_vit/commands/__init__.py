"""The commands of keras_vit: `keras-vit train` and so on; `scripts/train.py` in a checkout."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_vit.tables import align
from keras_vit.version import __version__

COMMANDS = {
    "train": "train or fine-tune a model on a data set or a folder",
    "pretrain": "teach a model to fill in hidden patches, without labels",
    "evaluate": "measure a saved model on a data set",
    "predict": "classify image files",
    "visualize": "draw what a model attends to",
    "figures": "draw the paper's figures that look inside a model",
    "search": "find images that look like others, and near-duplicates",
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
    try:
        _answer()
        sys.stdout.flush()
    except BrokenPipeError:  # who read us, as `head` does, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answer() -> None:
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print("usage: keras-vit COMMAND [FLAGS]; keras-vit COMMAND --help explains the flags\n")
        print("\n".join(f"  {line}" for line in align(list(COMMANDS.items()), left=2)))
        print("\nkeras-vit --version says which version is installed.")
    elif name in ("--version", "version"):
        print(f"keras-vit {__version__}")
    else:
        run(name, arguments)


def run(name: str, arguments: Sequence[str] | None = None) -> None:
    """Runs one command; ends the process when the command does not know it or fails.

    Args:
        name: a key of `COMMANDS`.
        arguments: its flags; None takes those of the process.
    """
    if name not in COMMANDS:
        from keras_vit.checks import nearest_names

        sys.exit(f"Error: unknown command {name!r}. " + nearest_names(name, COMMANDS))
    from keras_vit.command_line import start

    if _MODULES[name].startswith("benchmarks."):
        sys.path.insert(0, str(_CHECKOUT))
    module = importlib.import_module(_MODULES[name])
    start(name, module, sys.argv[1:] if arguments is None else arguments)
