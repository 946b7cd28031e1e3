"""What the tests of exports share: small models, pictures, and one model in every form."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit.export.forms import FORMS

LABELS = ["ant", "bee", "cow", "dog"]


def small_model(
    *, activation="softmax", dtype=None, preprocessing=None, input_tensor=None, **config
):
    values = {"image_size": (16, 24), "patch_size": 8, "hidden_size": 64, "num_layers": 1,
              "num_heads": 2, "mlp_dim": 64, "num_classes": 4} | config  # fmt: skip
    model = keras_vit.VisionTransformer(
        keras_vit.VisionTransformerConfig(**values),
        classifier_activation=activation,
        preprocessing=preprocessing,
        input_tensor=input_tensor,
        dtype=dtype,
    )
    return filled(model)


def filled(model):
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.2, weight.shape))
    return model


@pytest.fixture(scope="session")
def make_model():
    """Makes a model of four classes and (16, 24, 3) images, different for each argument."""
    return small_model


@pytest.fixture(scope="session")
def fill():
    """Gives a model random weights."""
    return filled


@pytest.fixture(scope="session")
def images():
    """Five prepared images."""
    return np.random.default_rng(1).normal(size=(5, 16, 24, 3)).astype("float32")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Five files, the second and the last of which are no images."""
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 30, 3), "uint8")
        Image.fromarray(pixels).save(path)
    paths[1].write_text("no image")
    paths[4].write_bytes(paths[4].read_bytes()[:300])
    return paths


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """A model, and a function from a form's name to where it was exported to, each only once."""
    model, folder, written = small_model(), tmp_path_factory.mktemp("exports"), {}

    def path(name):
        form = FORMS[name]
        for package in form.needs:
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"needs {package}")
        if name not in written:
            written[name] = form.write(model, folder / f"model{form.suffix}", labels=LABELS)
        return written[name]

    return model, path
