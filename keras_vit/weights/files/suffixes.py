"""What the names of checkpoint files end in."""

import os
from typing import Any

NPZ, SAFETENSORS = ".npz", ".safetensors"
KERAS, KERAS_WEIGHTS = ".keras", ".weights.h5"
SUFFIXES = (NPZ, SAFETENSORS, KERAS, KERAS_WEIGHTS)
# The file of a repository of the hub, and the index that holds its shards together.
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
INDEX_SUFFIX = ".safetensors.index.json"
# Pickles, which could run code and are never read.
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle")


def is_keras_model(source: Any) -> bool:
    """Whether a path or address is that of a whole model of Keras."""
    return os.fspath(source).endswith(KERAS)


def needs_model(source: Any) -> bool:
    """Whether the file behind a path or address holds weights alone, not their architecture."""
    return os.fspath(source).endswith(KERAS_WEIGHTS)
