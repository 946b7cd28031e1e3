"""Models out of Python: one SavedModel for TF Serving, and a check that it runs without Keras."""

from keras_vit.export.check import check
from keras_vit.export.classify import classify_files
from keras_vit.export.serving import saved_model

__all__ = ["check", "classify_files", "saved_model"]
