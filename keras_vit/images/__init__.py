"""Images: how one becomes the input of a model, decoding by Pillow and in the graph, class names.

`spec` is the preparation as data, `preprocessing` carries it out; `pillow_decoding` reads one file
for a script, `graph_decoding` (with `gif` and `header`) does the same inside a TensorFlow graph.
"""

from typing import TYPE_CHECKING

from keras_vit.on_demand import on_demand

if TYPE_CHECKING:
    from keras_vit.images.labels import decode_predictions
    from keras_vit.images.pillow_decoding import load_image
    from keras_vit.images.preprocessing import preprocess_input
    from keras_vit.images.spec import Preprocessing

__all__ = ["Preprocessing", "decode_predictions", "load_image", "preprocess_input"]

__getattr__, __dir__ = on_demand(__name__)
