"""The golden cases, and small files to break."""

import json
import pathlib

import numpy as np
import pytest

from keras_vit.weights.files.arrays import ArrayFile, ArraySpec

GOLDEN = pathlib.Path(__file__).parents[1] / "fixtures" / "golden"
CASES = sorted(str(path.parent.relative_to(GOLDEN)) for path in GOLDEN.glob("*/*/case.json"))


class Case:
    """One golden case: where it lies, what it says, and the arguments that no key tells."""

    def __init__(self, name):
        self.name = name
        self.folder = GOLDEN / name
        self.description = json.loads((self.folder / "case.json").read_text())
        self.config = self.description["config"]
        self.resized = self.config["image_size"] != self.config["weights_image_size"]

    @property
    def source(self):
        """A Hugging Face folder, or the file."""
        if self.name.startswith("hf/"):
            return self.folder
        return self.folder / self.description["weights"]["file"]

    @property
    def arguments(self):
        """As few as there can be: timm packs the heads and does not store its GELU."""
        arguments = {}
        if self.name.startswith("timm/"):
            arguments["num_heads"] = self.config["num_heads"]
            if self.config["gelu"] in ("quick", "tanh"):
                arguments["gelu"] = self.config["gelu"]
        return arguments

    @property
    def input_shape(self):
        """Given where the stored position embedding does not tell the size."""
        fixed = self.config["position_embedding"] == "sincos2d"
        return (*self.config["image_size"], 3) if self.resized or fixed else None

    def expected(self):
        with np.load(self.folder / "io.npz") as arrays:
            return dict(arrays)


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", map(Case, CASES), ids=CASES)
    if "resized_case" in metafunc.fixturenames:
        cases = [case for case in map(Case, CASES) if case.resized]
        metafunc.parametrize("resized_case", cases, ids=[case.name for case in cases])


@pytest.fixture
def golden():
    """Returns a function: the name of a case, such as "google/vit_token", to the case."""
    return Case


class _Shapes(ArrayFile):
    """A file of shapes alone, for models too big to write."""

    def __init__(self, shapes, config=None):
        specs = {name: ArraySpec(tuple(shape), "float32") for name, shape in shapes.items()}
        super().__init__("shapes.safetensors", specs, config)


def _timm_shapes(hidden, mlp, layers, patch=16, tokens=197, **more):
    shapes = {
        "cls_token": (1, 1, hidden),
        "pos_embed": (1, tokens, hidden),
        "patch_embed.proj.weight": (hidden, 3, patch, patch),
        "patch_embed.proj.bias": (hidden,),
        "norm.weight": (hidden,),
        "norm.bias": (hidden,),
    }
    for index in range(layers):
        block = f"blocks.{index}."
        shapes |= {
            f"{block}norm1.weight": (hidden,), f"{block}norm1.bias": (hidden,),
            f"{block}attn.qkv.weight": (3 * hidden, hidden), f"{block}attn.qkv.bias": (3 * hidden,),
            f"{block}attn.proj.weight": (hidden, hidden), f"{block}attn.proj.bias": (hidden,),
            f"{block}norm2.weight": (hidden,), f"{block}norm2.bias": (hidden,),
            f"{block}mlp.fc1.weight": (mlp, hidden), f"{block}mlp.fc1.bias": (mlp,),
            f"{block}mlp.fc2.weight": (hidden, mlp), f"{block}mlp.fc2.bias": (hidden,),
        }  # fmt: skip
    return shapes | more


@pytest.fixture
def shapes_file():
    """Returns the class of files that have names and shapes alone, for models too big to write."""
    return _Shapes


@pytest.fixture
def timm_shapes():
    """Returns a function: sizes to the names and shapes that timm gives such a model."""
    return _timm_shapes
