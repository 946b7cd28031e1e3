"""From encoded images to the input of a model, inside a TensorFlow graph.

The same steps as `keras_vit.load_image`, in operations that a SavedModel can carry. One bad image
does not spoil its batch.
"""

from typing import Any

import tensorflow as tf

from keras_vit.images.graph_decoding import decode_image
from keras_vit.images.preprocessing import preprocess_input
from keras_vit.images.spec import Preprocessing


def decode_batch(image_bytes: Any, preprocessing: Preprocessing) -> tuple[Any, Any]:
    """Decodes and prepares a batch; images that cannot be decoded become zeros.

    Args:
        image_bytes: string tensor (batch,) of JPEG, PNG, GIF, BMP or WebP images; the batch may be
            empty.
        preprocessing: of 1 or 3 channels.

    Returns:
        float32 (batch, *size, channels), and bool (batch,): whether each could be decoded.
    """

    @tf.autograph.experimental.do_not_convert  # which would read all of the decoding again
    def numbered(index, data):
        return index, prepare(data, preprocessing)

    batch = tf.size(image_bytes, tf.int64)
    shape = [*preprocessing.size, len(preprocessing.mean)]
    decoded = (
        tf.data.Dataset.from_tensor_slices(image_bytes)
        .enumerate()
        .map(numbered, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
        .ignore_errors()
    )
    # A spare row behind the batch, so that there is one to take even where every image is bad.
    spare = tf.data.Dataset.from_tensors((batch, tf.zeros(shape)))
    rows, images = decoded.concatenate(spare).batch(batch + 1).get_single_element()
    rows = rows[:, tf.newaxis]
    images = tf.scatter_nd(rows, images, [batch + 1, *shape])[:batch]
    valid = tf.scatter_nd(rows, tf.ones_like(rows[:, 0]), [batch + 1])[:batch]
    return images, valid > 0


def prepare(data: Any, preprocessing: Preprocessing) -> Any:
    """Decodes, rotates, resizes, crops and normalises one image to float32 (*size, channels).

    Raises:
        tf.errors.InvalidArgumentError: as the graph runs, for what `decode_image` refuses.
    """
    return preprocess_input(decode_image(data, len(preprocessing.mean)), preprocessing)
