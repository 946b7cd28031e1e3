"""Folders of keras-hub's presets: opened whole or in shards, refused by name otherwise."""

import json
import pathlib
import shutil

import h5py
import numpy as np
import pytest

from keras_vit.weights.architecture import infer_config
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.load import open_source

ZOO = pathlib.Path(__file__).parents[2] / "fixtures" / "zoo"


@pytest.fixture
def preset(tmp_path):
    return pathlib.Path(shutil.copytree(ZOO / "keras_hub_vit", tmp_path / "preset"))


def edit(path, **values):
    content = json.loads(path.read_text())
    content["config"].update(values)
    path.write_text(json.dumps(content))


def test_shards_are_the_whole_file(preset):
    whole = open_checkpoint(ZOO / "keras_hub_vit")
    weight_map = {}
    with h5py.File(preset / "model.weights.h5") as source:
        for number, name in enumerate(n for n in whole.specs if not n.startswith("task/")):
            shard = f"model_{number % 2:05}.weights.h5"
            with h5py.File(preset / shard, "a") as target:
                target[name] = source[name][()]
            weight_map.setdefault(f"/{name.rpartition('/')[0]}", []).append(shard)
    (preset / "model.weights.h5").unlink()
    (preset / "model.weights.json").write_text(json.dumps({"weight_map": weight_map}))
    sharded = open_checkpoint(preset)
    assert sharded.specs == whole.specs
    for name in whole.specs:
        if "optimizer" not in name:
            np.testing.assert_array_equal(sharded.read(name), whole.read(name))


def test_the_file_in_the_folder_is_the_preset_too(preset):
    bound = open_source(preset / "model.weights.h5")
    assert infer_config(bound).num_classes == 3
    assert not bound.unexpected and not bound.misfits


def test_values_in_bfloat16_are_read(preset):
    name = "layers/vi_t_encoder/layer_norm/vars/0"
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        upper = (file[name][()].view("uint32") >> 16).astype("uint16")
        del file[name]
        file[name] = upper.view("V2")
        file[name].attrs["dtype"] = "bfloat16"
    expected = (upper.astype("uint32") << 16).view("float32")
    np.testing.assert_array_equal(open_checkpoint(preset).read(name), expected)


def test_values_of_another_file_are_refused(preset):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        file.create_dataset("secret", (4,), "f4", external=[("/etc/hostname", 0, 16)])
    with pytest.raises(ValueError, match="'secret', whose values lie in another file"):
        open_checkpoint(preset)


def test_a_damaged_file_is_said_to_be_one(preset):
    content = (preset / "model.weights.h5").read_bytes()
    (preset / "model.weights.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="a keras-hub preset.*fetch it again"):
        open_checkpoint(preset)


def test_what_no_field_expresses_is_refused(preset):
    edit(preset / "task.json", pooling="max")
    with pytest.raises(ValueError, match="pooling.*task.json.*Received: pooling='max'"):
        infer_config(open_source(preset))
    edit(preset / "config.json", mlp_dim=99)
    with pytest.raises(ValueError, match="belong to the arrays. Received: mlp_dim=99"):
        infer_config(open_source(preset))
    edit(preset / "config.json", image_shape=[3, 16, 16])
    with pytest.raises(ValueError, match="image_shape.*of 3 channels, at its end"):
        infer_config(open_source(preset), mlp_dim=12)


def test_images_are_prepared_as_the_converter_says(preset):
    def prepared():
        bound = open_source(preset)
        return bound.layout.preprocessing(bound, (16, 16), 3)

    told = prepared()
    np.testing.assert_allclose(told.mean, (0.485, 0.456, 0.406), rtol=1e-6)
    np.testing.assert_allclose(told.std, (0.229, 0.224, 0.225), rtol=1e-6)
    assert (told.resampling, told.resize, told.crop_offset) == ("bicubic", "crop", "down")
    edit(preset / "image_converter.json", scale=1 / 127.5, offset=-1, crop_to_aspect_ratio=False)
    np.testing.assert_allclose((prepared().mean, prepared().std), 0.5)
    assert prepared().resize == "squash"
    edit(preset / "image_converter.json", antialias=False, interpolation="nearest")
    with pytest.warns(UserWarning, match="antialias=False|nearest") as caught:
        prepared()
    assert len(caught) == 2
