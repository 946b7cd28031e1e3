"""The model that `compile` and `fit` train: the same step on one replica and on many.

TensorFlow's `TrainableModel` is in `distributed`; on JAX and torch it is Keras's own model with the
same `compile`. How a step goes, top to bottom, is in `step`; what an optimizer is made to do in
`updates`.
"""

import keras

from keras_vit.fitting.options import StepOptions

if keras.backend.backend() == "tensorflow":
    from keras_vit.fitting.distributed import TrainableModel
else:
    from keras_vit.fitting.plain import TrainableModel

__all__ = ["StepOptions", "TrainableModel"]
