"""The embedded default: 1,797 handwritten digits of scikit-learn as a TFDS data set.

Import this module only where the builder is used: it imports TensorFlow Datasets, which is slow.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from keras_vit.data.stratify import stratified_split

TEST_FRACTION = 0.2
SPLIT_SEED = 0

_DESCRIPTION = """\
Handwritten digits of 13 people, as `sklearn.datasets.load_digits` ships them: 1,797 grey images of
8x8 pixels. The values 0..16 of the source become round(value * 255 / 16), uint8, stored as PNG.
The split is stratified by class, 1,438 images to learn from and 359 to test, by a fixed seed. The
source does not say who wrote which image, so both sides hold images of the same people.
"""
_CITATION = """\
@misc{optical_recognition_of_handwritten_digits_80,
  author = {Alpaydin, E. and Kaynak, C.},
  title  = {Optical Recognition of Handwritten Digits},
  year   = {1998},
  note   = {UCI Machine Learning Repository}
}
"""


class Digits(tfds.core.GeneratorBasedBuilder):
    """Builder of the digits; needs no network.

    Each example is `{"image": (8, 8, 1) uint8, "label": 0..9, "index": int64}`; `index` is the
    image's place in scikit-learn's arrays.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            citation=_CITATION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                    "index": np.int64,
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # nothing is downloaded
        from sklearn.datasets import load_digits

        source = load_digits()
        train, test = stratified_split(source.target, TEST_FRACTION, SPLIT_SEED)
        return {
            "train": self._generate_examples(source, train),
            "test": self._generate_examples(source, test),
        }

    def _generate_examples(self, source, indices: np.ndarray) -> Iterator[tuple[int, dict]]:
        images = np.round(source.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
        for index in indices.tolist():
            label = int(source.target[index])
            yield index, {"image": images[index], "label": label, "index": index}
