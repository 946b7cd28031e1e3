"""What simple methods reach on the bare pixels of the same split: the figures to beat."""

import numpy as np

from keras_vit.data.dataset import ImageDataset, Split
from keras_vit.data.pipeline import evaluation_batches
from keras_vit.images.graph_decoding import decode_image
from keras_vit.images.spec import Preprocessing

MAX_TRAIN_EXAMPLES = 10_000
MAX_SIDE = 32


def score_pixel_baselines(
    data: ImageDataset, role: str, preprocessing: Preprocessing, *, max_side: int = MAX_SIDE
) -> dict[str, float]:
    """Scores 3 nearest neighbours and an RBF support vector machine on raw pixels.

    Both learn from the whole training split and are tested on the same images as the model. The SVM
    has C = 10 and scikit-learn's `gamma="scale"`, which were not tuned on any data set.

    Args:
        data: has a training split.
        role: the split to score on.
        preprocessing: of the model, for its channels and its crop.
        max_side: pixels; larger images are shrunk to this side for both methods. No image is
            enlarged as it may be for the model.

    Returns:
        Accuracies, 0 to 1: `{"3-NN on pixels": ..., "RBF SVM on pixels": ...}`. Empty where there
        is no training split, where it is the one that is scored, or where it has more than 10,000
        images, for which these methods are too slow.
    """
    train = data.splits.get("train")
    if train is None or role == "train" or train.num_examples > MAX_TRAIN_EXAMPLES:
        return {}
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    size = _size(train, preprocessing, max_side)
    channels = len(preprocessing.mean)
    plain = preprocessing.replace(size=size, mean=(0.0,) * channels, std=(1.0,) * channels)
    learned_from = _pixels(train, plain, data.num_classes)
    tested_on = _pixels(data.split(role), plain, data.num_classes)
    methods = {
        "3-NN on pixels": KNeighborsClassifier(n_neighbors=min(3, train.num_examples)),
        "RBF SVM on pixels": SVC(kernel="rbf", C=10.0, gamma="scale"),
    }
    return {
        name: float(method.fit(*learned_from).score(*tested_on)) for name, method in methods.items()
    }


def _size(split: Split, preprocessing: Preprocessing, max_side: int) -> tuple[int, int]:
    """Returns the size that the methods see: the model's, but no larger than the first image."""
    first = next(iter(split.references().map(split.read)))
    stored = decode_image(first["image"], len(preprocessing.mean)).shape[:2]
    height, width = (min(pair) for pair in zip(stored, preprocessing.size, strict=True))
    share = min(1.0, max_side / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))


def _pixels(
    split: Split, preprocessing: Preprocessing, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels `(examples, values)` and the labels `(examples,)` of a split."""
    batches = list(
        evaluation_batches(split, preprocessing, batch_size=256, num_classes=num_classes)
    )
    images = np.concatenate([image.numpy() for image, _ in batches])
    labels = np.concatenate([label.numpy().argmax(axis=-1) for _, label in batches])
    return images.reshape(len(images), -1), labels
