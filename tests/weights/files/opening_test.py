import shutil

import numpy as np
import pytest

from keras_vit.weights.files.npz import NpzFile
from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.files.safetensors import SafetensorsFile


def test_the_kind_is_told_by_the_suffix_and_a_folder_is_looked_into(golden):
    assert isinstance(open_checkpoint(golden("google/vit_token").source), NpzFile)
    folder = open_checkpoint(golden("hf/vit_classifier").folder)
    assert isinstance(folder, SafetensorsFile)
    assert folder.config["model_type"] == "vit"


def test_what_lies_beside_is_read_when_it_is_asked_for(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(1, "float32"))
    (tmp_path / "preprocessor_config.json").write_text('{"do_resize": true}')
    (tmp_path / "config.json").write_text("{")
    file = open_checkpoint(tmp_path / "a.npz")
    assert file.preprocessor == {"do_resize": True}
    assert file.beside("open_clip_config.json") == {}
    with pytest.raises(ValueError, match=r"config\.json"):
        _ = file.config


def test_a_folder_with_one_file_will_do_and_several_are_named(tmp_path, golden):
    shutil.copy(golden("google/vit_token").source, tmp_path / "one.npz")
    assert open_checkpoint(tmp_path).path.endswith("one.npz")
    np.savez(tmp_path / "two.npz", a=np.zeros(1))
    with pytest.raises(ValueError, match=r"several: \['one.npz', 'two.npz'\]"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("files", "said", "way_on"),
    [
        (
            {"pytorch_model.bin": "x", "training_args.bin": "x"},
            "pytorch_model.bin",
            r"for f in \['[^,]*pytorch_model.bin'\].*weights_only=True.*model\.safetensors",
        ),
        ({"a.bin": "", "b.bin": ""}, "only", r"a\.bin.*b\.bin.*weights_only=True"),
        (
            {
                "config.json": '{"module": "keras_hub.src", "class_name": "DINOV3Backbone"}',
                "model.weights.h5": "x",
            },
            "a DINOV3Backbone of keras-hub",
            "list_weights",
        ),
        (
            {"model.keras": "x", "summary.json": "{}"},
            "summary.json",
            r"Name the file.*model\.keras",
        ),
        ({"flax_model.msgpack": "x"}, r"only \['flax_model.msgpack'\]\.$", ""),
    ],
)
def test_a_folder_without_a_checkpoint_says_what_is_there_and_the_way_on(
    tmp_path, files, said, way_on
):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{said}.*{way_on}") as error:
        open_checkpoint(tmp_path)
    assert "fetch it again" not in str(error.value)


def test_pickles_of_torch_are_refused_and_other_suffixes_too(tmp_path):
    for name, message in (
        ("model.pth", "never read.*weights_only=True"),
        ("model.txt", "Expected a .npz"),
    ):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ValueError, match=message) as error:
            open_checkpoint(tmp_path / name)
        assert "fetch it again" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="gone"):
        open_checkpoint(tmp_path / "gone")
