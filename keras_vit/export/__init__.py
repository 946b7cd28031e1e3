"""Models out of Python: a SavedModel for TF Serving, LiteRT, ONNX, OpenVINO, and their checks.

`forms` has one file for each form and one row for all that is known of it; `form` writes, compares
and moves into place.
"""

from typing import TYPE_CHECKING

from keras_vit.export.forms import *
from keras_vit.export.forms import __all__ as _forms
from keras_vit.on_demand import on_demand

if TYPE_CHECKING:
    from keras_vit.export.classify import classify_files
    from keras_vit.export.exported import ExportedModel, check, compiled, open_exported

__all__ = [*_forms, "ExportedModel", "check", "classify_files", "compiled", "open_exported"]

__getattr__, __dir__ = on_demand(__name__)
