"""Speed and memory of a model, beside its peers and the limit of the machine."""

from keras_vit.benchmark.flops import forward_flops
from keras_vit.benchmark.report import format_table, write_json
from keras_vit.benchmark.runner import measure, measure_imports
from keras_vit.benchmark.subjects import SUBJECTS, available_peers

__all__ = [
    "SUBJECTS",
    "available_peers",
    "format_table",
    "forward_flops",
    "measure",
    "measure_imports",
    "write_json",
]
