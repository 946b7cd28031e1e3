"""Small data sets that tests make: folders of images, and sets that live in memory."""

import io

import numpy as np
from PIL import Image

from keras_vit.data.dataset import ImageDataset, Split


def encode(pixels, kind="PNG"):
    """Returns an image file of a uint8 array (height, width[, channels]) as bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def picture(label, number, size=(8, 8), channels=3):
    """Returns pixels that tell the label by the bright row, and the number by their noise."""
    noise = np.random.default_rng([label, number]).integers(0, 60, (*size, channels))
    noise[label % size[0]] += 190
    return noise.astype(np.uint8).squeeze()


def write_folder(folder, counts, suffix=".png", size=(8, 8)):
    """Writes `counts[name]` images for each class into `folder/name/`; returns the folder."""
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            kind = {".png": "PNG", ".jpg": "JPEG", ".gif": "GIF", ".bmp": "BMP", ".webp": "WebP"}
            data = encode(picture(label, number, size), kind[suffix])
            (folder / name / f"{number:03d}{suffix}").write_bytes(data)
    return folder


def split_in_memory(images, labels, name="train"):
    """Returns a `Split` of uint8 images (examples, height, width[, channels])."""
    import tensorflow as tf

    labels = np.asarray(labels)
    labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64)
    examples = {"image": [encode(image) for image in images], "label": labels}
    return Split(
        name=name,
        num_examples=len(labels),
        references=lambda: tf.data.Dataset.from_tensor_slices(examples),
    )


def data_in_memory(train=24, test=8, classes=2, channels=1):
    """Returns an `ImageDataset` of easy 8x8 images, the classes in turn."""

    def split(count, first, name):
        labels = np.arange(count) % classes
        images = [picture(label, first + i, channels=channels) for i, label in enumerate(labels)]
        return split_in_memory(images, labels, name)

    names = tuple("abcdefghij"[:classes])
    return ImageDataset(
        "easy", names, train=split(train, 0, "train"), test=split(test, 999, "test")
    )


def write_photos(folder):
    """Writes a data set of two classes: pieces of scikit-learn's two photographs."""
    from sklearn.datasets import load_sample_images

    sample = load_sample_images()
    photos = dict(zip(sample.filenames, sample.images, strict=True))
    for kind, name, source in (
        ("flowers", "dahlia", "flower.jpg"),
        ("buildings", "temple", "china.jpg"),
    ):
        path = folder / "photos" / kind
        path.mkdir(parents=True)
        photo = next(image for key, image in photos.items() if key.endswith(source))
        Image.fromarray(photo).save(path / f"{name}.jpg")
        for number in range(5):
            piece = photo[20 * number : 300 + 20 * number, 30 * number : 400 + 30 * number]
            Image.fromarray(piece).save(path / f"{name}_{number}.jpg")
