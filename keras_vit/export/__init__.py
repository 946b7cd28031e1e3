"""Models out of Python: a SavedModel for TF Serving, LiteRT, ONNX, OpenVINO, and their checks.

`forms` has one file for each form and one row for all that is known of it; `form` writes, compares
and moves into place.
"""

from keras_vit.export.classify import classify_files
from keras_vit.export.exported import ExportedModel, check, open_exported
from keras_vit.export.forms import *
from keras_vit.export.forms import __all__ as _forms

__all__ = [*_forms, "ExportedModel", "check", "classify_files", "open_exported"]
