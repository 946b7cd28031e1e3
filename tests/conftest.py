"""What all tests share: the backend they run on, and what it keeps out."""

import collections
import dataclasses
import functools
import gc
import importlib.abc
import importlib.metadata
import importlib.util
import math
import os
import pathlib
import sys
import types

import pytest

BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Rooms that are TensorFlow's alone, and what reads files and text alone and need not run twice.
NEEDS_TENSORFLOW = (
    "benchmark", "benchmarks", "commands", "data", "evaluation", "export", "fitting", "training",
    "images/agreement_test.py", "images/gif_test.py", "images/graph_decoding_test.py",
    "images/header_test.py",
)  # fmt: skip
NEEDS_NO_BACKEND = (
    "house_test.py", "readme_test.py", "docs_test.py", "notebooks_test.py",
    "feature_guide_test.py", "files_test.py", "on_demand_test.py",
    "tables_test.py", "applications/factories_test.py", "models/config_test.py",
    "images/labels_test.py", "images/pillow_decoding_test.py", "images/carrier_test.py",
    "interpret/blending_test.py", "interpret/canvas_test.py", "interpret/charts_test.py",
    "interpret/explainer_test.py", "interpret/leading_maps_test.py", "interpret/overlays_test.py",
    "interpret/page_test.py", "interpret/paper_figures_test.py", "interpret/plot_test.py",
    "interpret/report_test.py", "interpret/samples_test.py", "weights/architecture_test.py",
    "weights/binding_test.py", "weights/download_test.py", "weights/layouts",
    "weights/lookup_test.py", "weights/published_test.py", "weights/rows_test.py",
    "weights/files/npz_test.py", "weights/files/safetensors_test.py",
)  # fmt: skip
# `etils` comes with the last of these, and looks for the first.
BLOCKED = ("tensorflow", "keras_cv", "tensorflow_datasets", "etils")


class _Blocker(importlib.abc.MetaPathFinder):
    """Makes packages impossible to import, as on a machine that does not have them."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {fullname!r} (blocked by the tests)")


# The tests run many small programs once each: compiling them fast matters, running them does not.
FAST_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
# Half of the time for small programs; a version that does not know a flag would end the process.
KNOWN_JAX = BACKEND == "jax" and importlib.metadata.version("jaxlib").startswith("0.10.")
if KNOWN_JAX:
    FAST_COMPILATION += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", FAST_COMPILATION)

# JAX compiles nothing twice, in whatever test or process.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Threads that share a product of small matrices wait for each other by turning in circles, which
# takes seconds from the tests beside; one takes none.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# TensorFlow uses oneDNN by itself on newer processors alone; here it does on all.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# What CI alone runs. A command goes all the way, from files to files; studies are not installed;
# the measures run operation by operation, which JAX compiles one by one.
LONG = {
    "tensorflow": {
        "commands", "benchmarks", "adapter_runs_test.py", "compiling_test.py", "values_test.py",
        "paper_figures_test.py",
    },
    "jax": {"interpret"},
}  # fmt: skip
SHORT = {
    "command_line_test.py", "quickstart_test.py",
    "few_labels_test.py", "recipes_test.py", "suite_test.py",
}  # fmt: skip
# Of the cases of a test that is marked `few` the default suite runs the first. So it does on JAX
# with every test, since TensorFlow computes all; but for the outputs of the references.
WHOLE_ON_JAX = {"golden_test.py"}


# What takes longest begins first, so that the processes which share the files end together.
FIRST = ("resume_test.py", "workers_test.py", "replicas_test.py", "train_test.py")


def pytest_collection_modifyitems(items):
    cases = collections.Counter()
    for item in items:
        name = item.path.name
        places = {name, item.path.parent.name}
        long = bool(places & LONG.get(BACKEND, set())) and name not in SHORT
        few = item.get_closest_marker("few")
        number = few.args[0] if few else math.inf
        if BACKEND == "jax" and name not in WHOLE_ON_JAX:
            number = 1
        cases[test := (item.path, item.originalname)] += 1
        if long or cases[test] > number:
            item.add_marker("slow")
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.name not in FIRST, item.path not in long))


# TensorFlow improves each graph before it runs; for graphs that run once that takes longer than it
# saves. Where numbers or times of improved graphs are the matter, it does so, as in programs that
# tests start.
IMPROVED = ("benchmark", "benchmarks", "export", "golden_test.py", "mlp_test.py", "zoo_test.py")


@pytest.fixture(scope="module", autouse=BACKEND == "tensorflow")
def _graphs_run_as_they_are(request):
    if tensorflow := sys.modules.get("tensorflow"):
        as_it_is = {"disable_meta_optimizer": set(IMPROVED).isdisjoint(request.path.parts)}
        tensorflow.config.optimizer.set_experimental_options(as_it_is)


@pytest.fixture(scope="module", autouse=True)
def _what_is_there_is_not_searched_again():
    """Keras collects garbage after each deletion; what other files have left is not looked at."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=KNOWN_JAX)
def _programs_share_a_context():
    """JAX makes one for each program, which takes a quarter of the time of small ones."""
    from jax._src.interpreters import mlir

    mlir.make_ir_context = functools.cache(mlir.make_ir_context)


class _Nothing(pytest.Module):
    """A file whose tests are for another backend; it is not imported."""

    def collect(self):
        return []


def pytest_pycollect_makemodule(module_path, parent):
    """Also where such a file is asked for by name, which `collect_ignore` would not heed."""
    if BACKEND == "tensorflow":
        return None
    place = module_path.relative_to(pathlib.Path(__file__).parent).as_posix()
    for left_out in (*NEEDS_TENSORFLOW, *NEEDS_NO_BACKEND):
        if place == left_out or place.startswith(f"{left_out}/"):
            return _Nothing.from_parent(parent, path=module_path)
    return None


if BACKEND == "jax":  # torch looks for TensorFlow by itself
    sys.meta_path.insert(0, _Blocker())


@pytest.fixture(scope="session")
def image_sets():
    """The module `image_sets.py` beside this file."""
    return _beside("image_sets")


@pytest.fixture(scope="session")
def gradients():
    """The function of `gradients.py` beside this file."""
    return _beside("gradients").gradients


def _beside(name):
    path = pathlib.Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The path of a saved model of one block, for two classes of images of 16 x 16 pixels."""
    from keras_vit import VisionTransformer, VisionTransformerConfig

    path = tmp_path_factory.mktemp("tiny") / "tiny.keras"
    VisionTransformer(
        VisionTransformerConfig(
            image_size=16, patch_size=8, hidden_size=16, num_layers=1, num_heads=2, mlp_dim=32,
            num_classes=2,
        )
    ).save(path)  # fmt: skip
    return str(path)


@pytest.fixture(scope="module")
def reader(tmp_path_factory, image_sets):
    """Who does what a page says: `folder` has photos, and `ViT_Ti16`, whose published weights are
    random, is as small as `config`."""
    import numpy as np

    import keras_vit
    from keras_vit.models.variants import VARIANTS
    from keras_vit.weights.download import cached_path
    from keras_vit.weights.lookup import find_checkpoint

    folder = tmp_path_factory.mktemp("reader")
    image_sets.write_photos(folder)
    sizes = {"hidden_size": 12, "mlp_dim": 24, "num_heads": 3, "num_layers": 2}
    small = dataclasses.replace(VARIANTS["ViT_Ti16"], **sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "ViT_Ti16", small)
        patch.setenv("KERAS_VIT_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        row = find_checkpoint("ViT_Ti16", "imagenet")
        model = keras_vit.ViT_Ti16(input_shape=(*row.image_size, 3), classes=row.classes)
        head = model.get_layer("head")
        head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape) * 0.1)
        path = cached_path(row.address)
        path.parent.mkdir(parents=True)
        keras_vit.save_checkpoint(model, path, layout=row.layout)
        yield types.SimpleNamespace(folder=folder, config=small)
