"""Published checkpoints: found, fetched, read, checked, loaded and saved.

A checkpoint passes through these files in order: `lookup` (with the table of `published`),
`download`, `files/` (what opens them), `binding` (with the `rows` of names and the `forms` of
arrays), `architecture` (the config), `load`; and back through `save`. `adapter_files` does the same
with adapters alone. All that is known of the files of one library stands in its own file in
`layouts/`.
"""

from typing import TYPE_CHECKING

from keras_vit.on_demand import on_demand

if TYPE_CHECKING:
    from keras_vit.weights.adapter_files import load_adapter, save_adapter
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
    "load_adapter",
    "load_weights",
    "save_adapter",
    "save_checkpoint",
]

__getattr__, __dir__ = on_demand(__name__)
