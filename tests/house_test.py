"""The house stands: rooms in order, documented names, a quick import, a full package list."""

import ast
import configparser
import inspect
import os
import pathlib
import re
import subprocess
import sys
from collections import Counter

import pytest

import keras_vit
from keras_vit.checks import nearest_names

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "keras_vit"
# Top to bottom: a room imports only from rooms below its own.
ROOMS = (
    "commands", "benchmark", "export", "interpret", "evaluation", "training", "data",
    "applications", "weights", "models", "images", "fitting", "layers", "files", "tables",
    "command_line", "checks", "vocabulary", "on_demand", "version",
)  # fmt: skip
HEIGHT = {room: len(ROOMS) - place for place, room in enumerate(ROOMS)}


def sources():
    """All modules by dotted name."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        modules[".".join(["keras_vit", *parts])] = path
    return modules


MODULES = sources()


def imports(name):
    """Yields the modules of ours that a module imports, and whether it does so when it loads."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    deferred = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        targets = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                targets.append(full if full in MODULES else node.module)
        for target in targets:
            if target.split(".")[0] == "keras_vit":
                yield target, node not in deferred


def room(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_room_has_its_place():
    rooms = {room(name) for name in MODULES if room(name)}
    assert rooms == set(ROOMS)


@pytest.mark.parametrize("name", [name for name in MODULES if room(name)])
def test_nothing_is_imported_from_a_room_above(name):
    for target, _ in imports(name):
        if room(target):  # the package itself is above all but the commands
            assert HEIGHT[room(target)] <= HEIGHT[room(name)], f"{name} imports {target}"
        else:
            assert room(name) in ("commands", "benchmark"), f"{name} imports the whole package"


def test_no_circle_of_imports():
    graph = {
        name: {target for target, loads in imports(name) if loads and target in MODULES} - {name}
        for name in MODULES
        if name != "keras_vit"
    }
    done, path = set(), []

    def visit(name):
        if name in done or name not in graph:
            return
        assert name not in path, f"circle: {' -> '.join([*path[path.index(name) :], name])}"
        path.append(name)
        for target in sorted(graph[name]):
            visit(target)
        done.add(path.pop())

    for name in graph:
        visit(name)


def test_no_name_that_a_package_hands_on_is_that_of_its_module():
    """Importing the module would put it in the place of the function."""
    for name, path in MODULES.items():
        if path.name != "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in MODULES and node.module != name:
                hidden = {alias.name for alias in node.names if f"{name}.{alias.name}" in MODULES}
                assert not hidden, f"{name} hands on {hidden}, which are modules too"


def documented(name, thing):
    assert inspect.getdoc(thing), f"{name} has no docstring"
    if inspect.isfunction(thing):
        text = inspect.getdoc(thing)
        parameters = [
            parameter.name
            for parameter in inspect.signature(thing).parameters.values()
            if parameter.name not in ("self", "cls")
        ]
        for parameter in parameters:
            assert f"{parameter}:" in text, f"{name} does not explain {parameter!r}"
        if "return" in thing.__annotations__ and thing.__annotations__["return"] not in (
            None, "None",
        ):  # fmt: skip
            assert "Returns" in text or "Yields" in text, f"{name} does not say what it returns"


@pytest.mark.parametrize("name", [name for name in dir(keras_vit) if not name.startswith("_")])
def test_every_public_name_is_documented(name):
    thing = getattr(keras_vit, name)
    if not inspect.ismodule(thing):
        documented(name, thing)
        return
    for inner in getattr(thing, "__all__", []):
        member = getattr(thing, inner)
        if inspect.isfunction(member) or inspect.isclass(member):
            documented(f"{name}.{inner}", member)


def test_import_is_light_and_registers_the_model():
    heavy = ["tensorflow_datasets", "keras_cv", "matplotlib", "sklearn", "pooch", "huggingface_hub"]
    # Keras itself imports some of them where they are installed; what counts is what we add.
    code = (
        f"import sys, keras; heavy = [m for m in {heavy} if m not in sys.modules]; "
        "import keras_vit; print([m for m in heavy if m in sys.modules], "
        "keras.saving.get_registered_object('keras_vit>VisionTransformer').__name__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.stdout.strip() == "[] VisionTransformer"  # `load_model` finds it by name


def test_setup_cfg_lists_every_package_and_bounds_every_requirement():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    packages = {
        ".".join(["keras_vit", *path.parent.relative_to(PACKAGE).parts])
        for path in PACKAGE.rglob("__init__.py")
    }
    assert listed == packages
    extras = setup["options.extras_require"].values()
    requirements = "\n".join([setup["options"]["install_requires"], *extras]).splitlines()
    for line in requirements:
        assert not line or line.startswith("#") or ">=" in line, line


def test_what_is_imported_is_required():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    texts = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    required = {re.split(r"[>\s]", line)[0] for line in "\n".join(texts).splitlines()}
    other = {
        "absl": "absl-py",
        "PIL": "pillow",
        "skimage": "scikit-image",
        "sklearn": "scikit-learn",
    }
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {each.split(".")[0] for each in found} - sys.stdlib_module_names:
                package = other.get(module, module)
                known = {package, package.replace("_", "-")} & required
                assert known or package in ("keras_vit", "keras_vit_command"), (
                    f"{name} imports {module}"
                )


def test_asserts_and_lambda_layers_are_in_tests_alone():
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Assert), f"{name}:{node.lineno}"
            assert not (isinstance(node, ast.Attribute) and node.attr == "Lambda"), name


def test_model_layers_and_weights_know_no_backend():
    backends = {"tensorflow", "jax", "torch"}
    for name, path in MODULES.items():
        if room(name) not in ("layers", "models", "weights"):
            continue
        if name in ("keras_vit.layers.seeds", "keras_vit.layers.xla"):
            continue  # replicas and parts that are compiled are TensorFlow's alone
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = {alias.name.split(".")[0] for alias in node.names} & backends
            elif isinstance(node, ast.ImportFrom):
                found = {(node.module or "").split(".")[0]} & backends
            else:
                continue
            assert not found, f"{name} imports {found}"


def test_the_guide_to_adding_things_names_few_files_that_are_there():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = (
        guide.split("## To add a ..., change ...\n")[1].split("| --- | --- |")[1].split("\n- ")[0]
    )
    rows = dict(re.findall(r"^\| ([^|`]+) \| (.*) \|$", table, re.MULTILINE))
    at_most = {
        "family of models": 4, "checkpoint of a known family": 1, "pooling": 2, "export form": 2,
        "objective of training": 2, "adapter of a layer": 2, "recipe": 1,
    }  # fmt: skip
    assert rows.keys() == at_most.keys()
    for kind, text in rows.items():
        names = re.findall(r"`([^`]+)`", text)
        assert 0 < len(names) <= at_most[kind], f"{kind}: {names}"
        for name in names:
            assert (ROOT / name).exists(), f"{kind}: {name}"


def test_nearest_names_suggests_or_lists():
    assert nearest_names("vit_b_16", ["ViT_B16", "DeiT_B16"]).startswith("Nearest: 'ViT_B16'")
    assert nearest_names("zzz", ["b", "a"]) == "Known: 'a', 'b'."
    assert nearest_names("zzz", map(str, range(99))) == "None of the 99 names is near."


# The names that several modules have, and why each means the same wherever it stands.
NAMES_OF_SEVERAL = {"__init__": "what a folder is for, and what it hands on"}


def test_a_name_of_a_module_means_one_thing():
    counts = Counter(path.stem for path in MODULES.values())
    assert {name for name, count in counts.items() if count > 1} == set(NAMES_OF_SEVERAL)


def test_tests_reach_for_no_private_name():
    """What a test calls is public at least among modules."""
    stems = "|".join(path.stem for path in MODULES.values() if path.stem != "__init__")
    private = re.compile(rf"from keras_vit\S* import .*\b_[a-z]|(?<![.\w])(?:{stems})\._[a-z]")
    texts = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py")}
    lines = [(path.name, line) for path, text in texts.items() for line in text.splitlines()]
    assert not [(name, line.strip()) for name, line in lines if private.search(line)]
