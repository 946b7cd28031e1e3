"""What all tests share: the backend they run on, and what it keeps out."""

import importlib.abc
import importlib.util
import os
import pathlib
import sys

import pytest

BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Rooms and scripts that are TensorFlow's alone, and what need not run twice.
NEEDS_TENSORFLOW = (
    "benchmark", "benchmarks", "commands", "data", "evaluation", "export", "fitting", "training",
    "images/gif_test.py", "images/graph_decoding_test.py", "images/header_test.py",
)  # fmt: skip
NEEDS_NO_BACKEND = ("house_test.py", "readme_test.py", "files_test.py")
BLOCKED = ("tensorflow", "keras_cv", "tensorflow_datasets")

collect_ignore = []


class _Blocker(importlib.abc.MetaPathFinder):
    """Makes packages impossible to import, as on a machine that does not have them."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {fullname!r} (blocked by the tests)")


# The tests run many small programs once each: compiling them fast matters, running them does not.
FAST_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ.setdefault("XLA_FLAGS", FAST_COMPILATION)

# Each command starts processes of its own, and each of those imports TensorFlow. The measures run
# operation by operation, which JAX compiles one by one.
LONG = {"tensorflow": ("commands",), "jax": ("interpret",)}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name in LONG.get(BACKEND, ()):
            item.add_marker("slow")


if BACKEND != "tensorflow":
    sys.meta_path.insert(0, _Blocker())
    collect_ignore.extend([*NEEDS_TENSORFLOW, *NEEDS_NO_BACKEND])


@pytest.fixture(scope="session")
def image_sets():
    """The module `image_sets.py` beside this file."""
    path = pathlib.Path(__file__).with_name("image_sets.py")
    spec = importlib.util.spec_from_file_location("image_sets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
