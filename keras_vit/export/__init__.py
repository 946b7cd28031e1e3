"""Models out of Python: a SavedModel for TF Serving, LiteRT, ONNX, OpenVINO, and their checks."""

from keras_vit.export.agreement import check
from keras_vit.export.classify import classify_files
from keras_vit.export.exported import ExportedModel, open_exported
from keras_vit.export.litert_file import litert
from keras_vit.export.onnx_file import onnx
from keras_vit.export.openvino_files import openvino
from keras_vit.export.serving import saved_model

__all__ = [
    "ExportedModel",
    "check",
    "classify_files",
    "litert",
    "onnx",
    "open_exported",
    "openvino",
    "saved_model",
]
