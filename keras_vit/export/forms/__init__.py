"""The forms in which a model leaves Python: one file and one row each.

A row says what the command line, `open_exported` and the checks need to know; the function of its
name writes it. Runtimes and converters are imported where they are used.
"""

from keras_vit.export.forms.litert_file import LITERT, litert
from keras_vit.export.forms.onnx_file import ONNX, onnx
from keras_vit.export.forms.openvino_files import OPENVINO, openvino
from keras_vit.export.forms.saved_model_folder import SAVED_MODEL, saved_model

FORMS = {form.name: form for form in (SAVED_MODEL, LITERT, ONNX, OPENVINO)}

__all__ = ["litert", "onnx", "openvino", "saved_model"]
