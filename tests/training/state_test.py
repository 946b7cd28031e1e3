"""A checkpoint is whole or not there, says when it does not fit, and comes back bit for bit."""

import resource
import shutil

import keras
import numpy as np
import pytest

from keras_vit.training.state import (
    Checkpoints,
    differences,
    named_variables,
    read,
    restore,
    values_of,
)

ARRAYS = {
    "model/00000/kernel": np.arange(6, dtype="float32").reshape(2, 3),
    "model/00001/empty": np.zeros((0, 2), "float16"),
    "optimizer/00000/iteration": np.array(7, "int64"),
    "model/00002/seed": np.array([1, 2], "uint32"),
}
RECORD = {"recipe": {"epochs": 3}, "history": [{"loss": 0.1 + 0.2}], "name": "Möwe"}


@pytest.fixture
def folder(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", keep_last=2)


def names(folder):
    return sorted(path.name for path in folder.folder.iterdir())


def test_what_was_saved_is_read(folder):
    path = folder.save(12, ARRAYS, RECORD)
    assert path.name == "step_00000012.safetensors"
    found = folder.latest()
    assert (found.path, found.step, found.record) == (path, 12, RECORD)
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("shape", [(5, 3), ()])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_variables_of_any_float_come_back_bit_for_bit(folder, dtype, shape):
    values = np.random.default_rng(0).normal(size=shape)
    variable = keras.Variable(values, dtype=dtype)
    variables = named_variables(model=[variable])
    folder.save(1, values_of(variables), {})
    bits = variable.numpy().tobytes()
    variable.assign(np.zeros(shape))
    restore(variables, folder.latest().arrays)
    assert variable.numpy().tobytes() == bits


def test_the_last_ones_and_the_best_stay(folder):
    for step in range(1, 6):
        folder.save(step, {**ARRAYS, "n": np.array(step)}, RECORD)
        if step == 2:
            folder.keep_best(step)
    assert names(folder) == ["best.safetensors", "step_00000004.safetensors",
                             "step_00000005.safetensors"]  # fmt: skip
    assert read(folder.folder / "best.safetensors").arrays["n"] == 2
    folder.clear(but_last=True)
    assert names(folder) == ["best.safetensors", "step_00000005.safetensors"]
    folder.clear()
    assert names(folder) == []


def test_the_best_is_copied_where_the_disk_knows_no_second_name(folder, monkeypatch):
    def refuse(*names):
        raise PermissionError("no links here")

    monkeypatch.setattr("os.link", refuse)
    folder.save(1, ARRAYS, RECORD)
    assert read(folder.keep_best(1)).step == 1


def test_an_empty_folder_has_no_checkpoint(folder):
    assert folder.latest() is None
    folder.clear()
    assert not folder.folder.exists()


def test_keeping_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 1.*keep_last=0"):
        Checkpoints(tmp_path, keep_last=0)


def damage_by_cutting(path):
    path.write_bytes(path.read_bytes()[:-3])


def damage_by_emptying(path):
    path.write_bytes(b"")


def damage_by_another_kind(path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, "float32")}, path)


@pytest.mark.parametrize(
    "damage",
    [damage_by_cutting, damage_by_emptying, damage_by_another_kind],
)
def test_a_damaged_file_is_named_and_the_one_before_is_taken(folder, damage):
    folder.save(1, ARRAYS, RECORD)
    damage(folder.save(2, ARRAYS, RECORD))
    with pytest.warns(UserWarning, match="left out.*step_00000002.safetensors"):
        assert folder.latest().step == 1


def test_one_flipped_bit_anywhere_is_seen(folder):
    path = folder.save(1, ARRAYS, RECORD)
    content = path.read_bytes()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"step_00000001\.safetensors"):
            read(path)


def test_other_programs_read_the_arrays_and_the_mode_is_that_of_any_new_file(folder):
    from safetensors.numpy import load_file

    path = folder.save(1, ARRAYS, RECORD)
    found = load_file(path)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
    (folder.folder / "plain").touch()
    assert path.stat().st_mode == (folder.folder / "plain").stat().st_mode


def test_damaged_files_alone_are_no_fresh_start(folder):
    damage_by_cutting(folder.save(1, ARRAYS, RECORD))
    with pytest.warns(UserWarning), pytest.raises(OSError, match="Expected a whole checkpoint"):
        folder.latest()


def test_a_full_disk_is_named_and_the_older_checkpoint_is_whole(folder):
    """A limit on the size of a file stops the write half-way, as a full disk does."""
    folder.save(1, ARRAYS, RECORD)
    large = {"model/00000/kernel": np.zeros(2**20, "float32")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    try:
        with pytest.raises(OSError, match="step_00000002.*File too large.*step_00000001.*whole"):
            folder.save(2, large, RECORD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(folder) == ["step_00000001.safetensors"]
    assert folder.latest().step == 1


def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(OSError, match="/proc/nowhere/step_00000001.*there is none yet"):
        Checkpoints("/proc/nowhere").save(1, ARRAYS, RECORD)


def test_a_failed_write_leaves_nothing_half_written(folder, monkeypatch):
    def cut_short(path, arrays, metadata):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_vit.training.state.write_safetensors", cut_short)
    with pytest.raises(OSError, match="No space left"):
        folder.save(1, ARRAYS, RECORD)
    assert names(folder) == []


def test_what_a_kill_left_is_removed(folder):
    folder.save(1, ARRAYS, RECORD)
    for name in (".step_00000002.0123abcd.safetensors", ".step_00000003.4567cdef.safetensors"):
        shutil.copy(folder.path(1), folder.folder / name)
    (folder.folder / ".tmpAb3xYz").touch()  # of the library that wrote the files before
    folder.tidy()
    assert names(folder) == ["step_00000001.safetensors"]


def network(units=3):
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dropout(0.5)]
    )


def test_a_model_built_later_in_the_process_fits():
    one, other = network(), network()
    assert [v.path for v in one.variables] != [v.path for v in other.variables]
    restore(named_variables(model=other.variables), values_of(named_variables(model=one.variables)))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_misfit_is_listed_and_nothing_is_changed():
    model = network()
    variables = named_variables(model=model.variables)
    kernel, bias, seed = variables
    arrays = values_of(variables)
    before = dict(arrays)
    arrays[kernel] = arrays[kernel] + 1
    arrays[bias] = np.zeros((4,), "float32")
    arrays[seed] = arrays[seed].astype("int32")
    arrays["optimizer/00000/iteration"] = np.array(0)
    with pytest.raises(ValueError) as error:
        restore(variables, arrays)
    text = str(error.value)
    assert "3 differences" in text
    assert f"{bias} float32 (3,): the checkpoint has {bias} float32 (4,)" in text
    assert f"{seed} int" in text and "int32 (2,)" in text
    assert "optimizer/00000/iteration: only in the checkpoint" in text
    for name, variable in variables.items():
        np.testing.assert_array_equal(variable.numpy(), before[name])


def test_a_missing_array_and_another_name_are_misfits():
    variables = named_variables(model=network().variables)
    arrays = values_of(variables)
    kernel, bias, seed = arrays
    arrays["model/00001/scale"] = arrays.pop(bias)
    del arrays[seed]
    with pytest.raises(ValueError, match="2 differences(.|\n)*scale(.|\n)*not in the checkpoint"):
        restore(variables, arrays)


def test_differences_are_listed_field_by_field():
    saved = {"recipe": {"epochs": 3, "crop": {"area": 0.5}, "seed": 0}, "data": ["a"], "old": 1}
    now = {"recipe": {"epochs": 5, "crop": {"area": 0.7}, "seed": 0}, "data": ["a", "b"], "new": 2}
    assert differences(saved, now) == [
        "recipe.epochs: 3 in the checkpoint, 5 now",
        "recipe.crop.area: 0.5 in the checkpoint, 0.7 now",
        "data: ['a'] in the checkpoint, ['a', 'b'] now",
        "old: 1 in the checkpoint, None now",
        "new: None in the checkpoint, 2 now",
    ]
    assert differences(saved, saved) == []
