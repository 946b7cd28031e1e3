"""Published checkpoints: found, fetched, read, checked, loaded and saved.

A checkpoint passes through these files in order: `lookup` (with the table of `checkpoints`),
`download`, `sources` (`npz`, `safetensors`, `keras_files`), `binding` (with the name tables of
`names` and the `forms` of arrays), `architecture` and `conventions` (the config), `load`; and back
through `save` (`expressible` says what a layout has a place for).
"""

from keras_vit.weights.load import LoadReport, load_weights
from keras_vit.weights.lookup import find_checkpoint, list_weights
from keras_vit.weights.published import CHECKPOINTS, Checkpoint
from keras_vit.weights.save import save_checkpoint

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "LoadReport",
    "find_checkpoint",
    "list_weights",
    "load_weights",
    "save_checkpoint",
]
