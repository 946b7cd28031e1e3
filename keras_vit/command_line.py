"""How commands begin and end: flags first, a quiet start, one line for what a user can mend."""

import contextlib
import gc
import importlib.util
import inspect
import os
import re
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from types import ModuleType

from absl import flags, logging

from keras_vit.checks import import_keras, nearest_names

FLAGS = flags.FLAGS
HELP = ("-h", "-help", "--help", "--helpfull")
_WIDTH, _INDENT = 100, 26
_sections: list[tuple[str, frozenset[str]]] = []


def section(title: str) -> None:
    """Puts the flags that a command defines from here on under a title in its help."""
    _sections.append((title, frozenset(FLAGS)))


def _in_flags(message: str) -> str:
    """Names what a user can switch on as the flag that it is here."""
    return re.sub(
        r"\b(\w+)=True\b", lambda name: f"--{name[1]}" if name[1] in FLAGS else name[0], message
    )


def start(name: str, module: ModuleType, arguments: Sequence[str]) -> None:
    """Runs a command, or shows its help.

    Args:
        name: of the command.
        module: its docstring has description and examples. Its `run` does the work; before, its
            `check` refuses what can be refused while Keras, which takes seconds, is not there.
            Both get the positional arguments where `run` takes any. Keras and TensorFlow are
            loaded in between, quietly, unless the module says `NEEDS_KERAS = False`.
        arguments: flags and what else stands behind the command.
    """
    before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if set(HELP) & set(before_dashes):
        print(help_text(name, module))
        return
    logging.use_absl_handler()
    _, *others = _parse([name, *arguments])
    given = [others] if inspect.signature(module.run).parameters else []
    try:
        if others and not given:
            raise ValueError(f"Expected flags alone. Received: {' '.join(others)}.")
        if hasattr(module, "check"):
            module.check(*given)
        if getattr(module, "NEEDS_KERAS", True):
            load_libraries()
        module.run(*given)
    except BrokenPipeError:
        raise
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        logging.debug("Where it happened:", exc_info=True)
        message = str(error)
        if message == f"No module named {getattr(error, 'name', None)!r}":
            message = f"Expected {error.name!r} to be installed. Received: no such package."
        sys.exit(f"Error: {_in_flags(message)}")


def help_text(name: str, module: ModuleType) -> str:
    """Returns what a command does, examples, and all its flags in their sections."""
    lines = [f"usage: keras-vit {name} [FLAGS]", "", module.__doc__.strip()]
    width = min(_WIDTH, shutil.get_terminal_size().columns)
    title = None
    for flag in _own_flags():
        fitting = [title for title, before in _sections if flag.name not in before]
        if (here := fitting[-1] if fitting else "Flags") != title:
            title = here
            lines += ["", f"{title}:"]
        shown = f"  {_shown(flag)}"
        text = textwrap.wrap(_meaning(flag), width - _INDENT, break_on_hyphens=False)
        if len(shown) > _INDENT - 2:
            lines.append(shown)
            shown = ""
        for line in text:
            lines.append(f"{shown:<{_INDENT}}{line}")
            shown = ""
    lines += ["", "--verbosity=1 shows where an error happened."]
    return "\n".join(lines)


def _own_flags() -> list[flags.Flag]:
    """Returns the flags of the command, in the order of their definitions."""
    return [
        flag
        for home, defined in FLAGS.flags_by_module_dict().items()
        if home.startswith(("keras_vit.", "benchmarks."))
        for flag in defined
    ]


def _shown(flag: flags.Flag) -> str:
    """Returns a flag with its default, its choices, or the kind of its value."""
    if flag.boolean:
        return f"--[no]{flag.name}" if flag.default else f"--{flag.name}"
    value = flag.default
    if choices := getattr(flag.parser, "enum_values", None):
        value = "|".join(choices)
    elif value in (None, []):
        value = "NUMBER" if flag.flag_type() in ("int", "float") else "..."
    elif isinstance(value, list):
        value = ",".join(value)
    return f"--{flag.name}={value}"


def _meaning(flag: flags.Flag) -> str:
    """Returns the help of a flag without what absl adds to it."""
    text = re.sub(r"^<[^>]*>: |;\s+repeat this option.*$", "", flag.help, flags=re.DOTALL)
    if getattr(flag.parser, "enum_values", None) and flag.default:
        text += f" Default: {flag.default}."
    return text


def _parse(argv: list[str]) -> list[str]:
    """Reads the flags; what is wrong with them is one line."""
    names = [f"--{flag.name}" for flag in _own_flags()]
    try:
        return FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        message = f"unknown flag --{error.flagname}. {nearest_names('--' + error.flagname, names)}"
    except flags.Error as error:
        message = f"{error}."
        if missing := re.search(r"Flag (--\w+) must have a value", message):
            message = f"Expected {missing[1]}. Received: nothing."
        elif wrong := re.match(r"flag (--\w+)=(.*): (invalid literal|could not)", message):
            message = f"Expected a number for {wrong[1]}. Received: {wrong[2]!r}."
    sys.exit(f"Error: {message} See keras-vit {argv[0]} --help.")


def load_libraries() -> None:
    """Imports TensorFlow, where it is installed, and Keras, without what they print at the start.

    Where the user has set `TF_CPP_MIN_LOG_LEVEL`, everything is shown that this level lets through.

    Raises:
        ImportError: the backend of Keras is not installed.
    """
    is_new = "keras" not in sys.modules
    gc.disable()  # a quarter of the time would go through what imports make, which is no garbage
    try:
        with _quiet_start():
            if importlib.util.find_spec("tensorflow"):
                importlib.import_module("tensorflow")
            import_keras()
        if is_new:
            gc.freeze()
    finally:
        gc.enable()


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Keeps what libraries print while they load; after a failure it is shown.

    TensorFlow's first lines are written before it knows of any level, by C++ to the descriptor.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # "failed call to cuInit" where no GPU is, too
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(shown, kept.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
