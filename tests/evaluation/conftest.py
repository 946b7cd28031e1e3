"""Fixtures of the evaluation room."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def image_sets():
    """The module `tests/image_sets.py`."""
    path = Path(__file__).parents[1] / "image_sets.py"
    spec = importlib.util.spec_from_file_location("image_sets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
