"""Requests that TF Serving replays when it loads a model, so that the first user need not wait.

A `PredictionLog` is a few nested messages, so it is written here field by field, and TF Serving's
own Python package is not needed; a test reads it back with that package.
"""

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_vit.export.exportable import Exportable


def write_warmup(
    folder: pathlib.Path, name: str, requests: Mapping[str, Mapping[str, Any]]
) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests` in a version folder.

    The name is that under which the model is served; a request has the inputs of a signature.

    Reference: `prediction_log.proto`, `predict.proto` and `model.proto` of TF Serving's API.
    """
    import tensorflow as tf

    extra = folder / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for signature, inputs in requests.items():
            writer.write(prediction_log(name, signature, inputs))


def prediction_log(name: str, signature: str, inputs: Mapping[str, Any]) -> bytes:
    """Returns a serialised `PredictionLog` that holds one request to a signature of a model."""
    import tensorflow as tf

    model_spec = _field(1, name.encode()) + _field(3, signature.encode())
    request = _field(1, model_spec)
    for key, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, key.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))  # PredictionLog.predict_log.request


def sample_requests(
    exportable: Exportable, signatures: list[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Returns a request of one image for each signature: zeros, or a small PNG."""
    prepared = {"images": np.zeros((1, *exportable.image_shape), "float32")}
    grey = encode_png(np.full((32, 32, 3), 128, "uint8"))
    encoded = {"image_bytes": np.array([grey], object)}
    return {name: encoded if name == "classify_bytes" else prepared for name in signatures}


def encode_png(picture: np.ndarray) -> bytes:
    """Returns a picture, uint8 (height, width, 1 or 3), as the content of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture if picture.shape[-1] == 3 else picture[..., 0]).save(buffer, "PNG")
    return buffer.getvalue()


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
