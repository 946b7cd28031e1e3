"""TensorBoard gets scalars over steps and the images that the model gets."""

import numpy as np
import pytest

from keras_vit.images.spec import Preprocessing
from keras_vit.training import tensorboard
from keras_vit.training.plan import Plan
from keras_vit.training.tensorboard import TensorBoardLog, image_grid

SPEC = Preprocessing(size=(4, 4))


def _events(folder):
    """Returns `{tag: [(step, value or picture)]}` of one run, in the order of the steps."""
    import tensorflow as tf

    found = {}
    for path in sorted(folder.glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                found.setdefault(value.tag, []).append((event.step, array))
    return found


def test_scalars_stand_at_their_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "_SECONDS_BETWEEN_POINTS", 0.0)
    log = TensorBoardLog(tmp_path, Plan(8, 3, 6, 3), lambda step: step / 8, SPEC)
    log.on_epoch_begin(1)
    for batch in range(3):
        log.on_train_batch_end(batch, {"loss": 0.5 - batch / 8, "accuracy": 0.5})
    log.on_epoch_end(1, {"loss": 0.25, "accuracy": 0.5, "val_loss": 0.75, "val_accuracy": 0.25,
                         "learning_rate": 9.0, "images_per_second": 64.0})  # fmt: skip
    log.close()
    train, validation = _events(tmp_path / "train"), _events(tmp_path / "validation")
    assert train["learning_rate"] == [(4, 0.375), (5, 0.5), (6, 0.625), (6, 0.625)]
    assert train["loss"] == [(4, 0.5), (5, 0.375), (6, 0.25), (6, 0.25)]
    assert train["images_per_second"] == [(6, 64.0)]
    assert validation == {"loss": [(6, 0.75)], "accuracy": [(6, 0.25)]}


def test_points_are_a_second_apart(tmp_path):
    log = TensorBoardLog(tmp_path, Plan(8, 100, 100), lambda step: 0.5, SPEC)
    log.on_epoch_begin(0)
    for batch in range(100):
        log.on_train_batch_end(batch, {"loss": 0.5})
    log.close()
    assert len(_events(tmp_path / "train")["loss"]) < 10


def test_augmented_images_are_one_picture(tmp_path):
    import tensorflow as tf

    log = TensorBoardLog(tmp_path, Plan(8, 1, 1), lambda step: 0.5, SPEC)
    log.write_pictures({"augmented": np.zeros((50, 4, 4, 3), "float32")})
    log.close()
    ((step, content),) = _events(tmp_path / "train")["augmented"]
    assert step == 0
    pixels = tf.io.decode_png(content[2]).numpy()
    assert pixels.shape == (29, 29, 3)
    assert (pixels[0, 0] == 128).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_undoes_the_normalising(channels):
    mean, std = (0.1, 0.2, 0.3)[:channels], (0.5, 0.25, 0.125)[:channels]
    preprocessing = Preprocessing(size=(2, 3), mean=mean, std=std)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 2, 3, channels)).astype("uint8")
    images = (pixels / 255 - mean) / std
    grid = image_grid(images.astype("float32"), preprocessing)
    assert grid.shape == (5, 11, channels)
    np.testing.assert_array_equal(grid[:2, :3], pixels[0])
    np.testing.assert_array_equal(grid[:2, 8:], pixels[2])
    np.testing.assert_array_equal(grid[3:, 4:7], pixels[4])
    assert (grid[3:, 8:] == 255).all() and (grid[2] == 255).all()


def test_a_grid_of_one_image_is_the_image():
    image = np.full((1, 2, 2, 1), 9.0)  # far out of range: white
    assert (
        image_grid(image, Preprocessing(size=2, mean=(0.5,), std=(0.5,))).tolist()
        == [[[255], [255]]] * 2
    )
