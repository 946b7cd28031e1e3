"""Speed and memory of a model, beside its peers and the limit of the machine."""

from keras_vit.benchmark.exported import measure_exported
from keras_vit.benchmark.flops import count_flops, forward_flops, graph_flops
from keras_vit.benchmark.loading import format_loading, measure_loading
from keras_vit.benchmark.peers import SUBJECTS, available_peers
from keras_vit.benchmark.pipeline import format_pipeline, measure_pipeline
from keras_vit.benchmark.report import format_exported_table, format_table
from keras_vit.benchmark.runner import measure, measure_imports, race
from keras_vit.benchmark.subjects import sample_pictures
from keras_vit.benchmark.work import Work

__all__ = [
    "SUBJECTS",
    "Work",
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
    "race",
    "sample_pictures",
]
