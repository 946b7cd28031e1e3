"""Compares our models with convolutional ones of keras.applications at equal training compute.

What is compared: the accuracy that each model reaches with the same data, the same recipe (unless
--model_set or --baseline_set change it) and as many floating-point operations in training.
The operations of a forward pass are counted from each model's graph; a step costs three of them
for each image. So a small model gets many steps and a large one few. Every point is a run of its
own with its whole schedule, and each is repeated with several seeds. Accuracy is that of the last
weights on test images; nothing is chosen by it.

At the default small scale this says how the models use little compute on little data. It is not the
paper's comparison, which pre-trains on up to 300 million images (arXiv 2010.11929, Figure 5).

Finished runs are kept in --output_dir and are not run again: more seeds, shares or baselines can be
added later.

Examples:
  keras-vit compare --output_dir=runs/compare
  keras-vit compare --baseline=ResNet152V2 --baseline=MobileNetV2:alpha=0.35 --output_dir=cnns
  keras-vit compare --model=ViT_S16 --weights=imagenet --baseline_weights=imagenet --output_dir=out
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from keras_vit.command_line import section

section("Data")
_DATASET = flags.DEFINE_string(
    "dataset",
    "digits",
    "`digits`, the name of a TFDS data set, or a folder with a subfolder a class.",
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps its files; default: its own.")

section("Models")
_MODEL = flags.DEFINE_multi_string(
    "model", [], "One of ours, as in train.py; may be repeated. Default: one that suits the data."
)
_WEIGHTS = flags.DEFINE_string("weights", None, "For our variants: name or path of weights.")
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of our models' input in pixels; default: their own.", lower_bound=1
)
_BASELINE = flags.DEFINE_multi_string(
    "baseline", ["ResNet152V2"], "A model of keras.applications, with `:argument=value` if need be."
)
_BASELINE_WEIGHTS = flags.DEFINE_string(
    "baseline_weights", None, "`imagenet`, or a file of weights without top; default: from scratch."
)
_BASELINE_IMAGE_SIZE = flags.DEFINE_integer(
    "baseline_image_size", None, "Side of the baselines' input; default: ours, but 32 at least."
)

section("Training")
_RECIPE = flags.DEFINE_string("recipe", None, "Name of a recipe; default: one that suits.")
_SET = flags.DEFINE_multi_string("set", [], "A field of the recipe, as field=value, for all.")
_MODEL_SET = flags.DEFINE_multi_string("model_set", [], "Likewise, for our models alone.")
_BASELINE_SET = flags.DEFINE_multi_string("baseline_set", [], "Likewise, for the baselines alone.")
_EPOCHS = flags.DEFINE_integer(
    "epochs", None, "Largest budget: epochs of our first model. Default: those of the recipe."
)
_GFLOP = flags.DEFINE_float("gflop", None, "Largest budget in GFLOP, instead of --epochs.")
_SHARES = flags.DEFINE_list("shares", ["0.25", "0.5", "1"], "Parts of the budget, a run each.")
_SEEDS = flags.DEFINE_integer("seeds", 2, "Runs of each model at each budget.", lower_bound=1)

section("Output")
_KEEP_MODELS = flags.DEFINE_bool("keep_models", False, "Whether trained weights stay.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for runs, table and plot.")
flags.mark_flag_as_required("output_dir")


def check() -> None:
    """Refuses flags that do not go together, and names that nothing stands for."""
    from keras_vit.data.loading import check_source
    from keras_vit.training.models import check_model
    from keras_vit.training.recipe_table import get_recipe

    if _EPOCHS.value is not None and _GFLOP.value is not None:
        raise ValueError("Expected one of --epochs and --gflop. Received both.")
    check_source(_DATASET.value)
    for spec in _MODEL.value:
        check_model(spec, _WEIGHTS.value)
    for settings in (_MODEL_SET.value, _BASELINE_SET.value):
        get_recipe(_RECIPE.value or "digits").with_settings([*_SET.value, *settings])


def run() -> None:
    """Builds the candidates, trains what is not yet trained, prints, writes and draws."""
    from benchmarks import equal_compute, equal_compute_report
    from keras_vit import data as data_room
    from keras_vit.files import replacing, write_json

    data = data_room.load(_DATASET.value, data_dir=_DATA_DIR.value)
    print(f"Data: {data.describe()}", flush=True)
    runs = equal_compute.compare(
        candidates(data),
        data,
        output_dir=_OUTPUT_DIR.value,
        budget=None if _GFLOP.value is None else 1e9 * _GFLOP.value,
        shares=[float(share) for share in _SHARES.value],
        seeds=range(_SEEDS.value),
        keep_models=_KEEP_MODELS.value,
        report=lambda line: print(line, flush=True),
    )
    rows = equal_compute_report.summarize_runs(runs)
    table = equal_compute_report.comparison_table(rows)
    folder = Path(_OUTPUT_DIR.value)
    write_json(folder / "comparison.json", {"dataset": data.name, "rows": rows, "runs": runs})
    with replacing(folder / "comparison.md") as path:
        path.write_text(table + "\n", encoding="utf-8")
    equal_compute_report.plot_comparison(
        rows,
        folder / "comparison.png",
        title=f"{data.name}: equal training compute, {_SEEDS.value} seeds",
    )
    print(f"\n{table}\n")
    for suffix in ("json", "md", "png"):
        print(f"  {folder / f'comparison.{suffix}'}")


def candidates(data) -> list:
    """Returns our models and their baselines with the recipe of each."""
    from benchmarks import candidates as taking_part
    from keras_vit import training
    from keras_vit.training import models

    specs = _MODEL.value or [models.default_model(data)]
    pretrained = _WEIGHTS.value is not None or models.is_checkpoint(specs[0])
    name = _RECIPE.value or ("finetune_small" if pretrained else models.scratch_recipe(data))
    recipe = training.get_recipe(name).with_settings(_SET.value)
    ours = recipe.with_settings(_MODEL_SET.value)
    if _EPOCHS.value is not None:
        ours = ours.replace(epochs=_EPOCHS.value, steps=None)
    theirs = recipe.with_settings(_BASELINE_SET.value)
    chosen = [
        taking_part.our_candidate(
            spec, data, ours, weights=_WEIGHTS.value, image_size=_IMAGE_SIZE.value
        )
        for spec in specs
    ]
    preprocessing = chosen[0].build(ours).preprocessing
    for spec in _BASELINE.value:
        chosen.append(
            taking_part.baseline_candidate(
                spec,
                data,
                theirs,
                weights=_BASELINE_WEIGHTS.value,
                image_size=_BASELINE_IMAGE_SIZE.value,
                preprocessing=preprocessing,
            )
        )
    print(f"Recipe: {name}", flush=True)
    return chosen
