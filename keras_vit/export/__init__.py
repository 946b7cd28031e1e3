"""Models out of Python: a SavedModel for TF Serving, a LiteRT file, and checks of what they say."""

from keras_vit.export.agreement import check
from keras_vit.export.classify import classify_files
from keras_vit.export.litert_file import litert
from keras_vit.export.serving import saved_model

__all__ = ["check", "classify_files", "litert", "saved_model"]
