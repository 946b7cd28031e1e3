"""Encoded images become pixels in a TensorFlow graph: for data sets and for exported models."""

from keras_vit.decoding.pixels import MAX_BYTES, decode_image, decode_window, upright

__all__ = ["MAX_BYTES", "decode_image", "decode_window", "upright"]
