"""Evaluates a saved model on a split, beside simple methods on the same images.

Of a data set of labels it tells mean average precision, ROC AUC and the error by label, of one of
values their errors and R^2.

`--probes` measures its frozen features: k nearest neighbours, a linear probe and the paper's
few-shot regression learn from the training split. A model without a head, or with one for other
classes, has its features measured alone.

Examples:
  keras-vit evaluate --model=runs/digits/model.keras --dataset=digits
  keras-vit evaluate --model=hf://facebook/dinov2-small --dataset=photos/ --probes=all
  keras-vit evaluate --model=runs/digits/model.keras --probes=few_shot --shots=1,5
"""

from pathlib import Path

from absl import flags

from keras_vit.command_line import section
from keras_vit.commands.sources import (
    check_model_file,
    dataset_flag,
    image_size_flag,
    split_flag,
    task_flag,
    text_flag,
)
from keras_vit.tables import align

section("What is measured")
_MODEL = text_flag("model")
_DATASET = dataset_flag()
_DATA_DIR = text_flag("data_dir")
_SPLIT = split_flag()
_TASK = task_flag()

section("How")
_IMAGE_SIZE = image_size_flag()
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Images a batch.", lower_bound=1)
_BASELINES = flags.DEFINE_bool(
    "baselines", True, "Whether to score 3-NN and an RBF SVM on the same pixels."
)

section("Frozen features")
_PROBES = flags.DEFINE_list(
    "probes", [], "What to measure of the frozen features: any of knn, linear, few_shot; or all."
)
_NEIGHBOURS = flags.DEFINE_list("k", ["1", "5", "10", "20"], "Numbers of neighbours of knn.")
_SHOTS = flags.DEFINE_list("shots", ["1", "5", "10", "25"], "Images a class of few_shot.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Draws of few_shot, averaged.", lower_bound=1)
_L2 = flags.DEFINE_float("l2", 2.0**10, "Penalty of few_shot.", lower_bound=0.0)
_TOKENS = flags.DEFINE_enum(
    "tokens", None, ["class", "mean"], "Features of a model that returns all its tokens."
)

section("Output")
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder for evaluation.json and confusion_matrix.png; default: the model's."
)
flags.mark_flag_as_required("model")


def check() -> None:
    """Refuses a model or a data set that is not there."""
    from keras_vit.data.loading import check_source

    check_model_file(_MODEL.value)
    check_source(_DATASET.value)


def run() -> None:
    """Loads, measures, prints and writes."""
    from keras_vit import data as data_room
    from keras_vit.evaluation.classifiers import count_classes, load_classifier
    from keras_vit.files import write_json

    path = Path(_MODEL.value)
    model = load_classifier(_MODEL.value, _IMAGE_SIZE.value)
    data = data_room.load(_DATASET.value, data_dir=_DATA_DIR.value, task=_TASK.value)
    role = _SPLIT.value or next(
        role for role in ("test", "validation", "train") if role in data.splits
    )
    folder = Path(_OUTPUT_DIR.value or (path.parent if path.exists() else "."))
    classes = count_classes(model)
    classifies = classes == data.num_classes
    if not classifies and not _PROBES.value:
        raise ValueError(
            f"Expected a model with {data.num_classes} classes, as {data.name!r} has. Received: "
            f"{classes or 'a model without a head'}. Use --probes=all to measure its features."
        )
    if _PROBES.value and data.task != "classes":
        raise ValueError(
            f"Expected a data set of one class an image for --probes. Received: {data.describe()}."
        )
    print(f"{_MODEL.value} on {data.describe()}; measured on {role}\n", flush=True)
    values = {"model": _MODEL.value, "dataset": data.name, "split": role}
    if classifies and data.task != "classes":
        values |= measure_labels(model, data, role)
    elif classifies:
        values |= measure_classifier(model, data, role, folder)
    else:
        print(
            f"The model has {classes or 'no'} classes of its own: its features alone are measured."
        )
    if _PROBES.value:
        values["probes"] = measure_features(model, data, role)
    write_json(folder / "evaluation.json", values)
    print(f"\n  evaluation        {folder / 'evaluation.json'}")
    if classifies and data.task == "classes":
        print(f"  confusion matrix  {folder / 'confusion_matrix.png'}")


def measure_labels(model, data, role: str) -> dict:
    """Prints how well labels or values are told, each and all."""
    from keras_vit import evaluation

    result = evaluation.evaluate(
        model,
        data.split(role),
        data.class_names,
        task=data.task,
        batch_size=_BATCH_SIZE.value,
        verbose=1,
    )
    print(result.table(), "\n")
    print("\n".join(align(result.headline(), left=2)))
    return {"task": data.task, **result.to_dict()}


def measure_classifier(model, data, role: str, folder: Path) -> dict:
    """Prints accuracy and calibration beside the baselines, and draws the confusion matrix."""
    from keras_vit import evaluation
    from keras_vit.data.pass_progress import show_speed
    from keras_vit.evaluation.accuracy import MOST_IN_MATRIX

    result = evaluation.evaluate(
        model, data.split(role), data.class_names, batch_size=_BATCH_SIZE.value, verbose=1
    )
    baselines = {}
    if _BASELINES.value:
        baselines = evaluation.score_pixel_baselines(data, role, model.preprocessing)
    print(result.table(), "\n")
    rows = {Path(_MODEL.value).stem: result.top1, **baselines}
    cells = [(name, f"accuracy {100 * accuracy:.2f} %") for name, accuracy in rows.items()]
    print("\n".join(align(cells, left=2)), "\n")
    cells = [
        ("Balanced accuracy", f"{100 * result.balanced_accuracy:.2f} %"),
        ("Calibration error", f"{100 * result.calibration_error:.2f} %"),
    ]
    if result.top5 is not None:
        cells.insert(0, ("Top-5 accuracy", f"{100 * result.top5:.2f} %"))
    if result.images_per_second is not None:
        speed = f"{show_speed(result.images_per_second)} (batch {_BATCH_SIZE.value})"
        cells.append(("Speed", speed))
    print("\n".join(align(cells, left=2)))
    if len(data.class_names) <= MOST_IN_MATRIX:
        of = f"{100 * result.top1:.2f} % of {result.num_examples:,} images"
        evaluation.plot_confusion_matrix(
            result.confusion,
            data.class_names,
            folder / "confusion_matrix.png",
            title=f"{data.name}, {role}: {of}",
        )
    return {**result.to_dict(), "baselines": baselines}


def measure_features(model, data, role: str) -> dict:
    """Prints what simple methods make of the frozen features."""
    from keras_vit import evaluation

    names = _PROBES.value
    result = evaluation.probe(
        model,
        data,
        role,
        methods=evaluation.probes.METHODS if "all" in names else names,
        k=_numbers("k", _NEIGHBOURS.value),
        shots=_numbers("shots", _SHOTS.value),
        l2=_L2.value,
        seeds=range(_SEEDS.value),
        tokens=_TOKENS.value,
        batch_size=_BATCH_SIZE.value,
        verbose=1,
    )
    print(
        f"\nFrozen features of {result.width} numbers; {result.train_images:,} images to learn from"
    )
    print(result.table())
    return result.to_dict()


def _numbers(flag: str, texts: list[str]) -> list[int]:
    if not all(text.strip().isdigit() and int(text) for text in texts):
        raise ValueError(f"Expected --{flag} as integers of at least 1. Received: {texts}.")
    return [int(text) for text in texts]
