"""Published checkpoints: found, fetched, read, checked, loaded and saved.

A checkpoint passes through these files in order: `checkpoints` (the table), `download`, `sources`
(`npz`, `safetensors`), `binding` (with the tables of `names` and the `forms` of arrays),
`architecture` and `conventions` (the config), `load`; and back through `save`.
"""

from keras_vit.weights.load import LoadReport, load_weights

__all__ = ["LoadReport", "load_weights"]
