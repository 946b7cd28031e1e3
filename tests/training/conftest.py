"""What makes the runs of these tests quick and is not under test here."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _png_alone():
    """All their images are PNG: a pipeline that decodes nothing else is traced in a moment."""
    import tensorflow as tf

    from keras_vit.data import pipeline

    def decode_image(data, channels):
        return tf.io.decode_png(data, channels=channels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "decode_image", decode_image)
        yield
