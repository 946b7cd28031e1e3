"""Serves a page to try a model: drop a picture, see the best classes and what it looked at.

Needs the extra `demo`: pip install "keras-vit[demo]".

Examples:
  keras-vit demo
  keras-vit demo --model=hf://google/vit-base-patch16-224 --port=8000
"""

from pathlib import Path

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands.sources import (
    check_labels_file,
    check_model_file,
    image_size_flag,
    text_flag,
)

_QUICK_START = "outputs/quickstart/model.keras"
section("What is served")
_MODEL = flags.DEFINE_string(
    "model",
    _QUICK_START,
    "A `.keras` file, or a checkpoint (.npz, .safetensors, hf://owner/repo); default: the small "
    "model that the quick start trains.",
)
_LABELS = text_flag("labels")
_IMAGE_SIZE = image_size_flag()

section("Where")
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen on; 0.0.0.0 lets other computers in."
)
_PORT = flags.DEFINE_integer(
    "port", None, "Port; default: the first free one from 7860.", lower_bound=1, upper_bound=65535
)


def check() -> None:
    """Refuses files that are not there."""
    if _MODEL.value == _QUICK_START and not Path(_QUICK_START).is_file():
        raise ValueError(
            f"Expected the model of the quick start. Received: no file {_QUICK_START!r}. Run "
            "./scripts/quickstart.sh first, or name a model with --model."
        )
    check_model_file(_MODEL.value)
    check_labels_file(_LABELS.value)


def run() -> None:
    """Loads the model and serves the page until it is stopped."""
    from keras_vit.applications.model_files import display_name, load_labels, load_model
    from keras_vit.interpret import page
    from keras_vit.interpret.explainer import Explainer

    model = load_model(_MODEL.value, _IMAGE_SIZE.value)
    labels = load_labels(model, _MODEL.value, _LABELS.value)
    name = display_name(model, _MODEL.value)
    built = page.build_page(Explainer(model, labels), name)
    address = page.launch(built, host=_HOST.value, port=_PORT.value)
    print(f"Serving {name} at {address}\nStop with Ctrl+C.", flush=True)
    built.block_thread()
