"""The SavedModel in the hands of programs that nobody here wrote: the C library, the CLI, Node.js.

TF Serving itself cannot be installed from a package registry; the C program in native/ loads a
SavedModel through the same call.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vit.images.preprocessing import preprocess_input

NATIVE = pathlib.Path(__file__).parent / "native"
LABELS = ["ant", "bee", "cow", "dog"]


@pytest.fixture(scope="module")
def exported(exports, tmp_path_factory):
    """A version folder, three files (a JPEG, a text, a PNG), and what the model says of two."""
    model, path = exports
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), "uint8")
    files = [folder / "one.jpg", folder / "two.txt", folder / "three.png"]
    Image.fromarray(pixels[0]).save(files[0], quality=95)
    files[1].write_text("no image")
    Image.fromarray(pixels[1]).save(files[2])
    jpeg, png = files[0].read_bytes(), files[2].read_bytes()
    decoded = [tf.io.decode_jpeg(jpeg, dct_method="INTEGER_ACCURATE"), tf.io.decode_png(png)]
    expected = model(preprocess_input(tf.stack(decoded), model)).numpy()
    return path("saved_model"), files, expected


def tensors(folder):
    """The names of the tensors of `classify_bytes`, read from the file itself."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signature = file.meta_graphs[0].signature_def["classify_bytes"]
    outputs = {name: tensor.name for name, tensor in signature.outputs.items()}
    return signature.inputs["image_bytes"].name, outputs["labels"], outputs["scores"]


def agree(labels, scores, expected):
    order = np.argsort(-expected)
    assert list(labels) == [LABELS[column] for column in order]
    np.testing.assert_allclose(np.float32(scores), expected[order], atol=1e-5)


@pytest.mark.slow
def test_a_c_program_names_the_same_classes(exported, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    root = pathlib.Path(tf.__file__).parent
    library = next(iter(sorted(root.glob("libtensorflow_cc.so*"))), None)
    if not compiler or not library:
        pytest.skip("needs a C compiler and a TensorFlow wheel with libtensorflow_cc")
    program = tmp_path / "classify"
    command = [
        compiler, "-std=c11", "-Wall", "-Werror", str(NATIVE / "classify.c"), "-o", str(program),
        f"-I{root / 'include'}", str(library), *map(str, root.glob("libtensorflow_framework.so*")),
        f"-Wl,-rpath,{root}",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    folder, files, expected = exported
    result = subprocess.run(
        [program, folder, *tensors(folder), *files], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(lines) == 3
    agree(lines[0][::2], lines[0][1::2], expected[0])
    assert lines[1] == ["", "0"] * 4
    agree(lines[2][::2], lines[2][1::2], expected[1])


# What the command of that name does, for several commands with one TensorFlow.
SAVED_MODEL_CLI = """
import json, sys
from absl import flags
from tensorflow.python.tools import saved_model_cli

flags.FLAGS.mark_as_parsed()
for arguments in json.loads(sys.argv[1]):
    saved_model_cli.create_parser().parse_args(arguments).func()
"""


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_it(exported, tmp_path):
    folder, files, expected = exported
    np.save(tmp_path / "images.npy", np.array([files[2].read_bytes()]))
    here = ["--dir", str(folder), "--tag_set", "serve", "--signature_def", "classify_bytes"]
    given = ["--inputs", f"image_bytes={tmp_path / 'images.npy'}", "--outdir", str(tmp_path)]
    commands = [["show", *here], ["run", *here, *given]]
    done = subprocess.run(
        [sys.executable, "-c", SAVED_MODEL_CLI, json.dumps(commands)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("image_bytes", "classes", "scores", "labels", "valid"):
        assert re.search(rf"\['{name}'\]", done.stdout), done.stderr
    labels = [label.decode() for label in np.load(tmp_path / "labels.npy", allow_pickle=True)[0]]
    agree(labels, np.load(tmp_path / "scores.npy")[0], expected[1])


@pytest.fixture(scope="module")
def node_modules():
    """The folder that holds tfjs-node, its binding built against TensorFlow's own wheel."""
    modules = pathlib.Path(os.environ.get("TFJS_NODE_MODULES", "nowhere")).absolute()
    package = modules / "@tensorflow" / "tfjs-node"
    if not package.is_dir():
        pytest.skip(
            "needs TFJS_NODE_MODULES, the node_modules folder that "
            "`npm install @tensorflow/tfjs-node --ignore-scripts` made"
        )
    headers = pathlib.Path(os.environ.get("NODE_INCLUDE", "/usr/include/node"))
    if not shutil.which("node") or not shutil.which("g++") or not headers.is_dir():
        pytest.skip("needs node, its headers (NODE_INCLUDE) and g++")
    root = pathlib.Path(tf.__file__).parent
    binding = package / "lib" / "napi-v8" / "tfjs_binding.node"
    binding.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "g++", "-std=c++17", "-fPIC", "-shared", "-w", "-DNAPI_VERSION=8",
        "-DBUILDING_NODE_EXTENSION", f"-I{headers}", f"-I{package}", f"-I{root / 'include'}",
        *map(str, (package / "binding").glob("*.cc")), "-o", str(binding),
        *map(str, root.glob("libtensorflow_cc.so.*")),
        *map(str, root.glob("libtensorflow_framework.so.*")), f"-Wl,-rpath,{root}",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return modules


@pytest.mark.slow
def test_node_names_the_same_classes(exported, node_modules):
    folder, files, expected = exported
    result = subprocess.run(
        ["node", NATIVE / "classify.js", node_modules, folder, *files],
        capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert [row["valid"] for row in rows] == [True, False, True]
    agree(rows[0]["labels"], rows[0]["scores"], expected[0])
    assert rows[1]["labels"] == [""] * 4 and rows[1]["scores"] == [0] * 4
    agree(rows[2]["labels"], rows[2]["scores"], expected[1])
