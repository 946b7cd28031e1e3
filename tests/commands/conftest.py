"""Commands run in the process of the tests, which has TensorFlow already."""

import contextlib
import io
import sys
import types
import warnings

import pytest
from absl import flags

from keras_vit import commands


@pytest.fixture(scope="module", autouse=True)
def _digits_is_small():
    """The model `digits` has one block here; as it is, it is what the quick start trains."""
    from keras_vit.training import models

    small = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "mlp_dim": 32}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.SMALL_MODELS, "digits", models.SMALL_MODELS["digits"].replace(**small))
        yield


@pytest.fixture(scope="session")
def run():
    """A function that runs a command with its flags and says how it ended."""
    return _run


def _run(name, *arguments, cwd="."):
    _forget_flags()
    output, errors, status = io.StringIO(), io.StringIO(), 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(cwd))
        stack.enter_context(contextlib.redirect_stdout(output))
        stack.enter_context(contextlib.redirect_stderr(errors))
        warned = stack.enter_context(warnings.catch_warnings(record=True))
        stack.callback(_end_determinism)
        try:
            commands.run(name, list(map(str, arguments)))
        except SystemExit as end:  # what Python makes of it at the end of a process
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                errors.write(end.code + "\n")
    errors.writelines(f"{warning.message}\n" for warning in warned)
    return types.SimpleNamespace(
        returncode=status, stdout=output.getvalue(), stderr=errors.getvalue()
    )


def _end_determinism():
    """Switches off what --deterministic leaves on to the end of a process, by the only way back."""
    config = sys.modules.get("tensorflow.python.framework.config")
    if config is not None:
        config.disable_op_determinism()


def _forget_flags():
    """Takes away the flags of the command before, which has some of the same names."""
    modules = flags.FLAGS.flags_by_module_dict()
    for module in [*modules]:
        if module.startswith(("keras_vit.commands.", "benchmarks.")):
            for flag in [*modules.pop(module)]:
                delattr(flags.FLAGS, flag.name)
            package, _, name = module.rpartition(".")
            del sys.modules[module]
            delattr(sys.modules[package], name)
