"""Draws the figures of the paper that look inside a model: a PDF, PNGs, and the numbers as CSV.

Figures 6 (attention over images) and 7 (filters, positions, distances) are of the first model;
Figures 10 (positions) and 11 (distances) have a panel for each. Figures are as wide as a column of
the paper, 5.5 inches.

Examples:
  keras-vit figures --model=runs/digits/model.keras --dataset=digits --output_dir=figures
  keras-vit figures --model=ViT-L_32.npz --model=ViT-L_16.npz --images=photos --output_dir=figures
"""

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands.sources import SampleFlags, check_model_file, image_size_flag

section("What is drawn")
_MODEL = flags.DEFINE_multi_string(
    "model",
    None,
    "A `.keras` file, or a checkpoint (.npz, .safetensors, hf://owner/repo); may be repeated.",
)
_SAMPLES = SampleFlags()
_SHOWN = flags.DEFINE_integer("shown", 6, "Images of Figure 6, evenly spread.", lower_bound=1)
_COUNT = flags.DEFINE_integer(
    "count", 128, "Images that distances are averaged over; the paper has 128.", lower_bound=1
)

section("How")
_MAP = flags.DEFINE_enum(
    "map",
    "rollout",
    ["rollout", "late_rollout", "relevance", "foreground", "attention"],
    "The map of Figure 6; the paper's is the rollout.",
)
_IMAGE_SIZE = image_size_flag()
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Images at a time.", lower_bound=1)

section("Output")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for the PDF, PNG and CSV files.")
flags.mark_flags_as_required(["model", "output_dir"])


def check() -> None:
    """Refuses what is not there, and images from two places."""
    _SAMPLES.check()
    for model in _MODEL.value:
        check_model_file(model)


def run() -> None:
    """Loads models and images, draws, and says where everything is."""
    from keras_vit.applications.model_files import display_name, load_model
    from keras_vit.interpret import paper_figures

    models = {}
    for source in _MODEL.value:
        model = load_model(source, _IMAGE_SIZE.value)
        name = display_name(model, source)
        models[f"{name} ({len(models) + 1})" if name in models else name] = model

    print(f"Looking into {', '.join(models)}", flush=True)
    files = paper_figures.write_figures(
        models, _SAMPLES.take, _OUTPUT_DIR.value, shown=_SHOWN.value, count=_COUNT.value,
        method=_MAP.value, batch_size=_BATCH_SIZE.value,
    )  # fmt: skip
    for name, path in files.items():
        print(f"  {name:<24} {path}")
