"""From image files to named classes, with a Keras model or an exported one."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_vit.export.exported import ExportedModel, open_exported
from keras_vit.images.labels import check_labels, decode_predictions
from keras_vit.images.pillow_decoding import load_image
from keras_vit.images.preprocessing import get_preprocessing
from keras_vit.images.reading import read_ahead
from keras_vit.images.spec import Preprocessing
from keras_vit.models.probability import output_meaning, probabilities

Result = dict[str, Any]


def classify_files(
    model: Any,
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    top: int = 5,
    labels: Sequence[str] | None = None,
    batch_size: int = 8,
) -> Iterator[Result]:
    """Names the best classes of image files; a file that is no image does not stop the others.

    Files are decoded while the model works on those before them.

    Args:
        model: a `keras_vit.VisionTransformer` with a head, or a user's own model with one inside;
            what `open_exported` gives, or takes: a `.tflite`, `.onnx` or `.xml` file with its
            metadata beside it, or the folder of a SavedModel, the version itself or the folder of
            the versions (the latest is taken).
        paths: JPEG, PNG, GIF, BMP or WebP files.
        top: classes to name.
        labels: one name for each class, for a Keras model; None for ImageNet's own with 1000 or
            21,843 classes. An exported model has its own.
        batch_size: images at a time.

    Yields:
        For each file, in order, `{"file": path, "predictions": [...]}`, best first, each
        `{"class": WordNet id or column, "label": name, "score": probability}`; of a regression
        `{"file": path, "values": {name: value}}`; or `{"file": path, "error": what is wrong}`.

    Raises:
        ValueError: a model without head, a folder without SavedModel, or labels that do not fit.
    """
    if isinstance(model, (str, os.PathLike)):
        model = open_exported(model)
    if isinstance(model, ExportedModel) and labels is not None:
        raise ValueError(
            "Expected no `labels` with an exported model, which has its own. "
            f"Received: {len(labels)} labels."
        )
    preprocessing, count, classify, tells_values = _classifier(model)
    labels = getattr(model, "labels", labels)
    nothing = np.zeros((0, count))
    # Labels that do not fit are an error now, before the first image.
    if tells_values:
        labels = check_labels(labels or [str(column) for column in range(count)], count)
    else:
        decode_predictions(nothing, top=top, labels=labels)
    for chunk in read_ahead(paths, lambda path: load_image(path, preprocessing), batch_size):
        images = [image for _, image, error in chunk if error is None]
        scores = classify(np.stack(images)) if images else nothing
        found = iter(scores if tells_values else decode_predictions(scores, top=top, labels=labels))
        for path, _, error in chunk:
            result: Result = {"file": os.fspath(path)}
            if error is None and tells_values:
                result["values"] = dict(zip(labels, map(float, next(found)), strict=True))
            elif error is None:
                result["predictions"] = [
                    {"class": key, "label": label, "score": score}
                    for key, label, score in next(found)
                ]
            else:
                result["error"] = error
            yield result


def _classifier(model: Any) -> tuple[Preprocessing, int, Callable[[np.ndarray], Any], bool]:
    """Returns how images are prepared, how many classes there are, and what classifies images.

    The last one says whether it tells values, and not probabilities.
    """
    if isinstance(model, ExportedModel):
        preprocessing, count = model.preprocessing, len(model.labels)
        tells_values = model.metadata.get("output") == "values"

        def classify(images: np.ndarray) -> Any:
            return model(images)["values" if tells_values else "probabilities"]
    else:
        preprocessing, meaning = get_preprocessing(model), output_meaning(model)
        count = 0 if getattr(model, "logits", model) is None else model.output_shape[-1]
        tells_values = meaning == "values"

        def classify(images: np.ndarray) -> Any:
            outputs = model.predict_on_batch(images)
            return outputs if tells_values else probabilities(outputs, meaning)

    if not count:
        raise ValueError(f"Expected a model with a head. Received: {model!r}, which has none.")
    return preprocessing, count, classify, tells_values
