"""Speed and memory of a model, beside its peers and the limit of the machine."""

from keras_vit.benchmark.exported import measure_exported
from keras_vit.benchmark.flops import count_flops, forward_flops, graph_flops
from keras_vit.benchmark.loading import format_loading, measure_loading
from keras_vit.benchmark.pipeline import format_pipeline, measure_pipeline
from keras_vit.benchmark.report import format_exported_table, format_table
from keras_vit.benchmark.runner import measure, measure_imports
from keras_vit.benchmark.subjects import SUBJECTS, available_peers, sample_pictures

__all__ = [
    "SUBJECTS",
    "available_peers",
    "count_flops",
    "format_exported_table",
    "format_loading",
    "format_pipeline",
    "format_table",
    "forward_flops",
    "graph_flops",
    "measure",
    "measure_exported",
    "measure_imports",
    "measure_loading",
    "measure_pipeline",
    "sample_pictures",
]
