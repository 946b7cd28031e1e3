"""Evaluates a saved model on a split, beside simple methods on the same images.

Example:
  evaluate.py --model=runs/digits/model.keras --dataset=digits
"""

from __future__ import annotations

from pathlib import Path

from absl import app, flags

from keras_vit.command_line import command

_MODEL = flags.DEFINE_string(
    "model", None, "A `.keras` file, or a checkpoint (.npz, .safetensors, hf://owner/repo)."
)
_DATASET = flags.DEFINE_string(
    "dataset",
    "digits",
    "`digits`, the name of a TFDS data set, or a folder with a subfolder a class.",
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps its files; default: its own.")
_SPLIT = flags.DEFINE_enum(
    "split", None, ["train", "validation", "test"], "Default: test, else validation."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Images a batch.", lower_bound=1)
_YARDSTICKS = flags.DEFINE_bool(
    "yardsticks", True, "Whether to score 3-NN and an RBF SVM on the same pixels."
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder for evaluation.json and confusion_matrix.png; default: the model's."
)
flags.mark_flag_as_required("model")


def run() -> None:
    """Loads, measures, prints and writes."""
    from keras_vit import data as data_room
    from keras_vit import evaluation
    from keras_vit.files import write_json
    from keras_vit.model_files import load_model

    path = Path(_MODEL.value)
    model = load_model(_MODEL.value)
    data = data_room.load(_DATASET.value, data_dir=_DATA_DIR.value)
    role = _SPLIT.value or next(
        role for role in ("test", "validation", "train") if role in data.splits
    )
    result = evaluation.evaluate(
        model, data.split(role), data.class_names, batch_size=_BATCH_SIZE.value
    )
    yardsticks = {}
    if _YARDSTICKS.value:
        yardsticks = evaluation.pixel_yardsticks(data, role, model.preprocessing)

    print(f"{path} on {data.describe()}; measured on {role}\n")
    print(result.table(), "\n")
    rows = {path.stem: result.top1, **yardsticks}
    width = max(map(len, rows))
    for name, accuracy in rows.items():
        print(f"{name:<{width}}  accuracy {100 * accuracy:.2f} %")
    if result.top5 is not None:
        print(f"\nTop-5 accuracy     {100 * result.top5:.2f} %")
    print(f"Calibration error  {100 * result.calibration_error:.2f} %")
    if result.images_per_second is not None:
        print(
            f"Speed              {result.images_per_second:,.0f} img/s (batch {_BATCH_SIZE.value})"
        )
    folder = Path(_OUTPUT_DIR.value or path.parent)
    values = {"model": str(path), "dataset": data.name, "split": role, **result.to_dict()}
    write_json(folder / "evaluation.json", {**values, "yardsticks": yardsticks})
    evaluation.plot_confusion_matrix(
        result.confusion,
        data.class_names,
        folder / "confusion_matrix.png",
        title=f"{data.name}, {role}: {100 * result.top1:.2f} % of {result.num_examples:,} images",
    )
    print(f"\n  evaluation        {folder / 'evaluation.json'}")
    print(f"  confusion matrix  {folder / 'confusion_matrix.png'}")


main = command(run)

if __name__ == "__main__":
    app.run(main)
