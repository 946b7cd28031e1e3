"""Trains a Vision Transformer on a labelled image data set.

An image may have one class, any of several labels, one label or not, or values: a folder says which
by its subfolders or its labels.csv.

A run that was cut short goes on when the same command is given again, from the last checkpoint in
its folder; a finished one is not trained again. --noresume replaces what is there. SIGTERM and
Ctrl-C save the run and end it with the status 143 or 130.

Several replicas train on the same batches to the same numbers. With --strategy=multi_worker the
same command runs on every machine, with TF_CONFIG set and an --output_dir that all of them see;
when one dies the others stop, and the command, given again on all, goes on.

Examples:
  keras-vit train --output_dir=runs/digits
  keras-vit train --dataset=photos/ --model=ViT_S16 --weights=imagenet --output_dir=runs/photos
  keras-vit train --recipe=digits --set epochs=10 --set augmentation.rotation=5 --output_dir=short
  keras-vit train --strategy=mirrored --replicas=2 --output_dir=runs/two
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands.sources import check_model_file, dataset_flag, task_flag, text_flag

if TYPE_CHECKING:
    from keras_vit.training.objectives import Objective
    from keras_vit.training.objectives.objective import Figure
    from keras_vit.training.precision import DtypeChoice
    from keras_vit.training.recipes import Recipe
    from keras_vit.training.run import TrainingResult

section("Data")
_DATASET = dataset_flag()
_DATA_DIR = text_flag("data_dir")
_TASK = task_flag()
_SKIP_CORRUPT = flags.DEFINE_bool(
    "skip_corrupt", False, "Leave out files of a folder that are not whole images, and say which."
)

section("Model")
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "A small model (`digits`, `small`), a variant (`ViT_S16`), or a checkpoint to start from "
    "(.keras, .npz, .safetensors, hf://owner/repo). Default: a small one that suits the data.",
)
_WEIGHTS = flags.DEFINE_string("weights", None, "For a variant: name or path of its weights.")
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size",
    None,
    "Side of the square input in pixels; default: the recipe's, else the model's own.",
    lower_bound=1,
)
_DTYPE = flags.DEFINE_string(
    "dtype",
    None,
    "Such as mixed_bfloat16; `auto` measures what is faster here; default: the recipe's, else "
    "float32.",
)

section("Teacher")
_TEACHER = flags.DEFINE_string(
    "teacher", None, "A model or checkpoint of the same classes whose answers are learned too."
)
_DISTILLATION = flags.DEFINE_enum(
    "distillation",
    "soft",
    ["soft", "hard", "features"],
    "What of it: softened probabilities, its best class, or its features.",
)

section("Training")
_RECIPE = flags.DEFINE_string(
    "recipe",
    None,
    "Name of a recipe; default: `auto`, which follows from data and model and says why.",
)
_SET = flags.DEFINE_multi_string(
    "set", [], "A field of the recipe, as field=value; may be repeated."
)
_AUGMENT = flags.DEFINE_string(
    "augment",
    None,
    "Layers of keras.layers or keras_cv.layers that change the training images, after those of the "
    'recipe: "GridMask, AugMix(severity=0.2)".',
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", None, "Passes over the training images; default: the recipe's.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Images a step; default: the recipe's.", lower_bound=1
)
_FREEZE = flags.DEFINE_string(
    "freeze",
    None,
    "What stays as it is: `backbone` (all but the head), `embedding`, or `blocks:0-8`.",
)
_KEEP = flags.DEFINE_enum(
    "keep",
    None,
    ["last", "best"],
    "Weights of the model at the end: of the last step, or of the best epoch; default: the "
    "recipe's, which is `last`.",
)
_SEED = flags.DEFINE_integer("seed", None, "Seed of the run; default: the recipe's.", lower_bound=0)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "Use operations that give the same bits each time; may be slower."
)

section("Output")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for the model and its record.")
_RESUME = flags.DEFINE_bool(
    "resume",
    True,
    "Go on with the run in the folder, if it is this one; --noresume removes its checkpoints.",
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every",
    None,
    "Steps from one checkpoint to the next; default: one at the end of each epoch.",
    lower_bound=1,
)
_KEEP_CHECKPOINTS = flags.DEFINE_integer(
    "keep_checkpoints", 3, "How many of the last checkpoints stay during training.", lower_bound=1
)
flags.mark_flag_as_required("output_dir")

section("Devices")
_STRATEGY = flags.DEFINE_enum(
    "strategy",
    "none",
    ["none", "mirrored", "multi_worker", "tpu"],
    "mirrored: all GPUs of this machine; multi_worker: the machines of TF_CONFIG.",
)
_REPLICAS = flags.DEFINE_integer(
    "replicas",
    None,
    "For mirrored: number of GPUs, or of parts of the processor where there is no GPU.",
    lower_bound=1,
)


def check() -> None:
    """Refuses names that nothing stands for."""
    from keras_vit.data.loading import check_source
    from keras_vit.training import models
    from keras_vit.training.recipe_table import get_recipe
    from keras_vit.weights.lookup import check_weights_reachable

    check_source(_DATASET.value)
    if _MODEL.value:
        models.check_model(_MODEL.value, _WEIGHTS.value)
        if _WEIGHTS.value:
            check_weights_reachable(_MODEL.value, _WEIGHTS.value)
        if models.is_checkpoint(_MODEL.value):
            check_model_file(_MODEL.value)
    if _TEACHER.value:
        check_model_file(_TEACHER.value)
    named = _RECIPE.value or "auto"
    changed(get_recipe("finetune_small" if named == "auto" else named))


def changed(recipe: Recipe) -> Recipe:
    """Returns a recipe with what the flags say of it."""
    layers = [f"augmentation.layers={_AUGMENT.value}"] if _AUGMENT.value else []
    recipe = recipe.with_settings([*_SET.value, *layers])
    if _EPOCHS.value:
        recipe = recipe.replace(epochs=_EPOCHS.value, steps=None)
    flagged = {
        "batch_size": _BATCH_SIZE.value,
        "seed": _SEED.value,
        "freeze": _FREEZE.value,
        "keep": _KEEP.value,
        "dtype": _DTYPE.value,
    }
    return recipe.replace(**{k: value for k, value in flagged.items() if value is not None})


def run() -> None:
    """Loads, builds, trains and says where everything is."""
    from keras_vit.training.objectives import Distillation

    train(Distillation(_TEACHER.value, _DISTILLATION.value) if _TEACHER.value else None)


def choose_dtype(spec: str, replicas: int) -> DtypeChoice:
    """Measures what is faster; a run that is gone on with keeps what it began with."""
    from pathlib import Path

    from keras_vit.training import models, precision

    if replicas > 1:
        raise ValueError(
            f"Expected dtype=auto with one replica. Received: {replicas}, which might choose "
            "differently. Name a type, such as mixed_bfloat16."
        )
    return precision.chosen_before(
        Path(_OUTPUT_DIR.value),
        lambda: precision.choose_dtype(models.known_config(spec)),
        resume=_RESUME.value,
    )


def train(objective: Objective | None = None, recipe_name: str | None = None) -> None:
    """Trains as the flags say.

    Args:
        objective: what is learned; None for what the data set has of each image. For one that
            needs no labels the model gets no head.
        recipe_name: of the recipe where no flag names one; None for one that suits.
    """
    from keras_vit import data as data_room
    from keras_vit import training
    from keras_vit.training import interruption, models, strategies
    from keras_vit.training.recipes import AUTO

    labelled = objective is None or objective.needs_labels
    strategy = strategies.make_strategy(_STRATEGY.value, replicas=_REPLICAS.value)
    data = data_room.load(
        _DATASET.value,
        data_dir=_DATA_DIR.value,
        skip_corrupt=_SKIP_CORRUPT.value,
        labelled=labelled,
        task=_TASK.value if labelled else None,
    )
    spec = _MODEL.value or models.default_model(data)
    recipe_name = _RECIPE.value or recipe_name or "auto"
    follows = recipe_name == "auto" and (_WEIGHTS.value or models.is_checkpoint(spec))
    if recipe_name == "auto" and not follows:
        recipe_name = models.scratch_recipe(data)
    recipe = changed(training.Recipe(epochs=1) if follows else training.get_recipe(recipe_name))
    why = ""
    if recipe.dtype == AUTO:
        chosen = choose_dtype(spec, strategy.num_replicas_in_sync)
        recipe, why = recipe.replace(dtype=chosen.dtype), chosen.why
    dtype = recipe.dtype
    with strategy.scope():
        model = training.build_model(
            spec,
            data if labelled else None,
            recipe,
            weights=_WEIGHTS.value,
            image_size=_IMAGE_SIZE.value,
        )
    reasons = ""
    if follows:
        choice = training.auto_recipe(data, model)
        recipe = changed(choice.recipe).replace(dtype=dtype)
        reasons = f"\n{choice.describe(recipe)}"
    height, width = model.preprocessing.size
    print(f"Data:   {data.describe()}" + f"; task: {data.task}" * labelled)
    print(f"Model:  {spec}, {model.count_params():,} parameters, {height} x {width} pixels")
    if why:
        print(f"Type:   {dtype}: {why}")
    print(f"Recipe: {recipe_name}, seed {recipe.seed}{reasons}", flush=True)
    try:
        result = training.train(
            recipe,
            model,
            data,
            output_dir=_OUTPUT_DIR.value,
            objective=objective,
            resume=_RESUME.value,
            checkpoint_every=_CHECKPOINT_EVERY.value,
            keep_checkpoints=_KEEP_CHECKPOINTS.value,
            deterministic=_DETERMINISTIC.value,
        )
    except interruption.TrainingInterrupted as interrupted:
        print(f"{interrupted} The same command goes on from there.", flush=True)
        raise
    figure = (objective or training.objectives.OF_TASKS[data.task]()).best_by
    _tell(result, data.watched, figure)


def _tell(result: TrainingResult, watched: str | None, figure: Figure) -> None:
    """Says what came of a run, by its figure on the split that was watched, and where it lies."""
    from keras_vit.data.pass_progress import show_speed

    summary = result.summary
    speed = summary["images_per_second"]
    print(f"\nTrained {summary['steps']:,} steps in {summary['seconds']:.0f} s", end="")
    print(f", {show_speed(speed)}." if speed else ".")
    name = f"{watched}_{figure.name}"
    if watched:
        print(f"On the {watched} split, {figure.label}: {figure.scale * summary[name]:.4g}")
    if best := summary["best_epoch"]:
        print(f"Best epoch: {best['epoch']}, {figure.scale * best[name]:.4g}", end="")
        is_kept = summary["recipe"]["keep"] == "best"
        print("; its weights are kept" if is_kept else "; the last one is kept")
    for name, path in result.files.items():
        print(f"  {name:<12} {path}")
