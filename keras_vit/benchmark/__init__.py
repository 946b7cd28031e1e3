"""Speed and memory of a model, beside its peers and the limit of the machine."""

from keras_vit.benchmark.machine import measure_imports
from keras_vit.benchmark.peers import SUBJECTS, available_peers
from keras_vit.benchmark.runner import measure, race
from keras_vit.benchmark.table import format_table
from keras_vit.benchmark.work import Work

__all__ = [
    "SUBJECTS",
    "Work",
    "available_peers",
    "format_table",
    "measure",
    "measure_imports",
    "race",
]
