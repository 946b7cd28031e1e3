"""How commands begin and end: quietly, and with one line for an error that a user can mend."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from absl import app, logging


def command(run: Callable[..., None], *, takes_arguments: bool = False) -> Callable:
    """Makes the `main` of a command.

    Args:
        run: does the work; called with the positional arguments when it takes them.
        takes_arguments: whether the command has arguments beside its flags.

    Returns:
        A function for `absl.app.run`; `--verbosity=1` shows where an error happened.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.set_verbosity(logging.WARNING)  # TensorFlow and TFDS tell much at the next level

    def main(argv: list[str]) -> None:
        if argv[1:] and not takes_arguments:
            raise app.UsageError(f"Expected flags alone. Received: {argv[1:]}.")
        try:
            run(*([argv[1:]] if takes_arguments else []))
        except (ValueError, RuntimeError, OSError, ImportError) as error:
            logging.debug("Where it happened:", exc_info=True)
            sys.exit(f"Error: {error}")

    return main
