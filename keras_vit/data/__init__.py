"""Image data sets: a TFDS name, our digits, or a folder with a subfolder a class.

From source to batch, in the order a reader needs it: `loading` finds the source (`tfds_source`,
`folders`, `digits`), `dataset` is what all of them become, `pipeline` makes batches of it,
`augment` is the one place that changes images at random, by the settings in `augmentation`, and
`targets` says what is learned of them. Keras, TensorFlow and TensorFlow Datasets are imported when
they are needed.
"""

from typing import TYPE_CHECKING

from keras_vit.on_demand import on_demand

if TYPE_CHECKING:
    from keras_vit.data.augmentation import Augmentation
    from keras_vit.data.dataset import ImageDataset, Split
    from keras_vit.data.loading import load
    from keras_vit.data.pipeline import evaluation_batches, training_batches

__all__ = [
    "Augmentation",
    "ImageDataset",
    "Split",
    "evaluation_batches",
    "load",
    "training_batches",
]

__getattr__, __dir__ = on_demand(__name__)
