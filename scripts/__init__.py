"""The commands of keras_vit, installed as `keras_vit.commands`: `keras-vit train` and so on."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable

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


def command(run: Callable[..., None], *, takes_arguments: bool = False) -> Callable:
    """Makes the `main` of a command; an error that a user can mend becomes one line.

    Args:
        run: does the work; called with the positional arguments when it takes them.
        takes_arguments: whether the command has arguments beside its flags.

    Returns:
        A function for `absl.app.run`.
    """
    from absl import app, logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow and TFDS tell much; --verbosity=0 brings it back.
    logging.set_verbosity(logging.WARNING)

    def main(argv: list[str]) -> None:
        if argv[1:] and not takes_arguments:
            raise app.UsageError(f"Expected flags alone. Received: {argv[1:]}.")
        try:
            run(*([argv[1:]] if takes_arguments else []))
        except (ValueError, RuntimeError, OSError, ImportError) as error:
            logging.debug("Where it happened:", exc_info=True)  # shown with --verbosity=1
            sys.exit(f"Error: {error}")

    return main


def main() -> None:
    """Runs `keras-vit COMMAND [FLAGS]`; each command explains its flags with `--help`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        print("usage: keras-vit COMMAND [FLAGS]; keras-vit COMMAND --help explains the flags\n")
        print("\n".join(f"  {name:<12}{what}" for name, what in COMMANDS.items()))
        return
    if name not in COMMANDS:
        from keras_vit.configs import nearest_names

        sys.exit(f"Error: unknown command {name!r}. " + nearest_names(name, COMMANDS))
    from absl import app

    module = importlib.import_module(f"keras_vit.commands.{name}")
    app.run(module.main, argv=[f"keras-vit {name}", *sys.argv[2:]])
