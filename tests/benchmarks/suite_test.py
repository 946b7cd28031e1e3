"""The suite: which works race, what is promised of them, and the drawing."""

import dataclasses
import importlib.util
import os

import pytest
from PIL import Image

import keras_vit
from benchmarks import suite
from benchmarks.suite_plot import plot_suite
from benchmarks.targets import Promise, format_promises, format_suite, promises, rates
from keras_vit.models.variants import VARIANTS

MACHINE = {"processor": "Abacus", "cores": 2, "backend": "tensorflow"}


def race(command, dtype, batch_size=8, **speeds):
    """A race in which each subject makes so many images a second, and holds 100 MiB less each."""
    subjects = []
    for index, (name, speed) in enumerate(speeds.items()):
        subject = {"subject": name.replace("__", " "), "build_s": 0.5, "first_call_s": 1.0}
        subject |= {"infer_s": [], "train_s": [], "infer_peak_mib": 0.0, "train_peak_mib": 0.0}
        seconds = batch_size / speed
        subject[f"{command}_s"] = [2 * seconds, seconds, seconds / 2]
        subject[f"{command}_peak_mib"] = 1000.0 - 100 * index
        subjects.append(subject)
    return {"model": "ViT_X", "dtype": dtype, "batch_size": batch_size, "gflop_per_image": 10.0,
            "machine": MACHINE, "matrix_product_gflops": 100.0, "subjects": subjects}  # fmt: skip


RESULT = {
    "model": "ViT_X",
    "machine": MACHINE,
    "races": {
        "inference float32": race("infer", "float32", keras_vit=8.0, keras_hub=6.0,
                                  timm_openvino=9.0, keras_vit__openvino=9.5,
                                  keras_vit__litert__int8=20.0),
        "training bfloat16": race("train", "bfloat16", keras_vit=3.0, keras_vit__rematerialized=2.4,
                                  keras_hub=2.0, timm=1.0, timm_compiled=1.5),
    },
    "fit": {"dtype": "float32", "ratio": 1.02, "bare_s": [2.0, 2.0, 4.0]},
    "start-up": {"import_s": {"tensorflow": 4.0, "keras_vit": 4.2},
                 "loading": {"read_s": 0.2, "load_s": 0.4, "fresh_s": 0.35},
                 "commands": {"keras-vit --help": 0.1, "a wrong flag": 2.0}},
    "small model": {"bare_s": 0.014, "bare_xla_s": 0.01, "ratio": 1.05, "call_s": 0.001,
                    "predict_s": 0.0036},
    "quick start": {"seconds": [60.0, 70.0, 90.0], "before_s": 280.0},
    "folder": {"photos": 80, "seconds": {"model": 8.0, "decode": 1.0, "read": 10.0,
                                         "evaluate": 8.0, "classify": 16.0}},
    "rollout memory": {"image_size": 518, "forward_mib": 1000.0, "rollout_mib": 1250.0},
    "exports": {"seconds": {"onnx": 1.25, "openvino": 2.3}},
    "growth": {
        "classes": [{"classes": 10, "train_s": 1.0, "decode_s": 1.0},
                    {"classes": 1_000, "train_s": 1.5, "decode_s": 1.0},
                    {"classes": 10_000, "train_s": 3.0, "decode_s": 12.0}],
        "files": [{"files": 10, "scan_s": 1.0, "mib": 50.0}],
    },
    "type": {"dtype": "float32", "why": "a block takes 1 ms"},
    "measured": {"fit": "2026-01-02", "folder": "2026-01-03"},
}  # fmt: skip


def test_promises_are_held_against_what_was_measured():
    rows = {(row.work, row.beside): row for row in promises(RESULT)}
    expected = {
        ("inference float32", "fastest peer: timm_openvino"): (8 / 9, False),
        ("inference float32, exported to OpenVINO", "timm_openvino"): (9.5 / 9, True),
        ("inference float32", "the machine's matrix product"): (0.8, False),
        ("int8, LiteRT", "our float32"): (2.5, True),
        ("training bfloat16", "keras_hub"): (1.5, True),
        ("training bfloat16", "timm_compiled"): (2.0, True),
        ("training bfloat16, peak memory", "keras_hub"): (1000 / 800, False),
        ("training bfloat16, peak memory, rematerialized", "keras_hub"): (900 / 800, False),
        ("training bfloat16, time, rematerialized", "not rematerialized"): (1.25, True),
        ("fit float32", "bare step"): (1.02, True),
        ("import, at most 0.3 s more", "import tensorflow"): (1.05, True),
        ("loading .npz", "reading its arrays"): (2.0, False),
        ("build", "0.7 s"): (0.5, True),
        ("keras-vit --help", "1 s"): (0.1, True),
        ("a wrong flag", "1 s"): (2.0, False),
        ("train, digits model", "bare compiled step"): (1.05, True),
        ("predict, one image", "compiled call + 2 ms"): (1.2, False),
        ("quick start", "before"): (0.25, True),
        ("evaluate a folder of photos", "the slower half alone"): (1.0, True),
        ("classify a folder of photos", "the slower half alone"): (10 / 16, False),
        ("rollout at 518 px, peak memory", "forward pass"): (1.25, True),
        ("export of the digits model, all forms", "before"): (0.5, True),
        ("train_s, 1,000 to 10,000 classes", "times as many classes"): (0.2, True),
        ("decode_s, 1,000 to 10,000 classes", "times as many classes"): (1.2, False),
    }
    assert rows.keys() == expected.keys()
    for key, (ratio, is_kept) in expected.items():
        assert rows[key].ratio == pytest.approx(ratio), key
        assert rows[key].is_kept == is_kept, key


def test_what_falls_short_is_named():
    rows = [
        Promise("a", "b", 1.0, 2.0, "s", 0.6, at_most=True),
        Promise("c", "d", 1.0, 2.0, "s", 1),
    ]
    lines = format_promises(rows).splitlines()
    assert lines[1].split()[-3:] == ["<=", "0.60", "yes"]
    assert lines[2].split()[-3:] == [">=", "1.00", "NO"]
    assert lines[-2:] == ["1 of 2 targets reached", "falls short: c against d: 0.50"]


def test_a_subject_that_failed_is_said_and_left_out():
    broken = race("infer", "float32", keras_vit=8.0)
    failed = {**broken["subjects"][0], "subject": "timm", "infer_s": [], "failure": "no compiler"}
    broken["subjects"].append(failed)
    assert rates(broken, "infer") == {"keras_vit": 8.0}
    text = format_suite({**RESULT, "races": {"inference float32": broken}})
    assert "timm: no compiler" in text and "folder: measured on 2026-01-03" in text
    assert "--dtype=auto chooses float32: a block takes 1 ms" in text


def test_what_is_not_measured_anew_is_kept_from_an_earlier_run(monkeypatch):
    monkeypatch.setattr(suite, "_section", lambda name, model, repeats: f"new {name}")
    result = suite.measure_suite("ViT_X", sections=("folder",), earlier=RESULT)
    assert result["folder"] == "new folder" and result["fit"] == RESULT["fit"]
    assert result["races"] == RESULT["races"] and result["measured"]["fit"] == "2026-01-02"
    assert result["measured"]["folder"] > "2026-01-03"


def test_the_drawing_is_a_picture(tmp_path):
    plot_suite(RESULT, tmp_path / "suite.png")
    with Image.open(tmp_path / "suite.png") as picture:
        assert picture.width > 800 and picture.height > 300
    assert [path.name for path in tmp_path.iterdir()] == ["suite.png"]


@pytest.mark.slow
def test_what_is_exported_races_beside_the_model(monkeypatch):
    """Each form at the batch of the race; integers where the others are float32."""
    raced = []

    def measure_works(works, commands, *, repeats):
        assert all(os.path.exists(work.model) for name, work in works.items() if name != suite.OURS)
        raced.append([*works])

    config = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_layers": 1,
              "num_heads": 2, "mlp_dim": 16, "num_classes": 3}  # fmt: skip
    tiny = keras_vit.VisionTransformer(keras_vit.VisionTransformerConfig(**config))
    monkeypatch.setattr(suite, "load_subject_model", lambda model: tiny)
    monkeypatch.setattr(suite, "measure_works", measure_works)
    sections = [name for name in suite.RACES if name.startswith("inference")]
    suite.measure_suite("ViT_Ti16", sections=sections, peers=[])
    forms = {"openvino": suite.OPENVINO, "ai_edge_litert": suite.INT8}
    forms = [name for tool, name in forms.items() if importlib.util.find_spec(tool)]
    vino = [name for name in forms if name == suite.OPENVINO]
    assert raced == [[suite.OURS, *forms], [suite.OURS, *vino], [suite.OURS, *vino]]


@pytest.mark.slow
def test_a_small_suite_runs_from_end_to_end(workers_here, monkeypatch):
    small = dataclasses.replace(VARIANTS["ViT_Ti16"], image_size=32, hidden_size=12, mlp_dim=24,
                                num_heads=3, num_layers=2)  # fmt: skip
    monkeypatch.setitem(VARIANTS, "ViT_Ti16", small)
    said = []
    result = suite.measure_suite("ViT_Ti16", sections=["training bfloat16"], repeats=1, peers=[],
                                 progress=said.append)  # fmt: skip
    assert said == [*result["races"]] == ["training bfloat16"]
    subjects = {each["subject"]: each for each in result["races"][said[0]]["subjects"]}
    assert [*subjects] == [suite.OURS, suite.REMATERIALIZED]
    assert all(each["failure"] is None and each["train_s"] for each in subjects.values())
    assert "targets reached" in format_suite(result)
