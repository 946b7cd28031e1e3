"""The `preprocessor_config.json` of transformers: how images are prepared, read and written."""

from collections.abc import Mapping
from typing import Any

from keras_vit.images.spec import Preprocessing
from keras_vit.weights.layouts.stated import Stated

_RESAMPLINGS = {2: "bilinear", 3: "bicubic"}  # as Pillow counts them


def read_processor(bound) -> dict[str, Any]:
    """Returns the fields of `Preprocessing` that the file beside the weights tells.

    What no field expresses is named in a warning.

    Raises:
        ValueError: a value of a wrong type or range.
    """
    where = f"the preprocessor_config.json beside {bound.file.path!r}"
    stated = Stated(bound.file.preprocessor, where)
    if not stated.values:
        return {}
    fields = _statistics(stated)
    resampling = stated.integer("resample", minimum=0)
    if resampling in _RESAMPLINGS:
        fields["resampling"] = _RESAMPLINGS[resampling]
    elif resampling is not None:
        bound.guess(f"images are not resampled as {where} says: resample={resampling}")
    if not stated.flag("do_resize", True):
        bound.guess(f"images are resized all the same, {where} says do_resize=False")
        return fields
    return {**fields, **_resizing(bound, stated)}


def _statistics(stated: Stated) -> dict[str, Any]:
    """Mean and standard deviation of values in [0, 1]."""
    unchanged = not stated.flag("do_normalize", True)
    if not unchanged and not {"image_mean", "image_std"} & stated.values.keys():
        return {}
    values = {}
    for name in () if unchanged else ("image_mean", "image_std"):
        if isinstance(stated.values.get(name), float):
            stated.values[name] = [stated.values[name]] * 3
        values[name] = stated.numbers(name, ())
    rescaled = stated.flag("do_rescale", True)
    scale = 255 * (stated.number("rescale_factor", 1 / 255) if rescaled else 1.0)
    if unchanged:
        values = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    if min(values["image_std"]) <= 0:
        raise stated.refusal("image_std", "numbers above 0")
    return {
        "mean": tuple(value / scale for value in values["image_mean"]),
        "std": tuple(value / scale for value in values["image_std"]),
    }


def _resizing(bound, stated: Stated) -> dict[str, Any]:
    resized, short_side = _sides(stated, "size")
    kept = _sides(stated, "crop_size")[0] if stated.flag("do_center_crop", False) else None
    if resized is None:
        return {}
    if kept is None:
        if short_side:
            bound.guess(
                f"images are cut to squares, {stated.where} says size={stated.values['size']!r} "
                "without a crop"
            )
        return {"resize": "crop" if short_side else "squash", "crop_fraction": 1.0}
    fraction = min(k / r for k, r in zip(kept, resized, strict=True))
    if fraction > 1:
        bound.guess(
            f"images are not padded as {stated.where} says: size={stated.values['size']!r}, "
            f"crop_size={stated.values['crop_size']!r}"
        )
    return {"resize": "crop" if short_side else "squash", "crop_fraction": min(fraction, 1.0)}


def _sides(stated: Stated, name: str) -> tuple[tuple[int, int] | None, bool]:
    """(height, width) that a size means, and whether it is that of the shorter side alone."""
    value = stated.values.get(name)
    if not isinstance(value, Mapping):
        size = stated.size(name)
        return size, False
    inner = Stated(value, f"{name} of {stated.where}")
    if "shortest_edge" in inner:
        side = inner.integer("shortest_edge")
        return (side, side), True
    height, width = inner.integer("height"), inner.integer("width")
    if height is None or width is None:
        return None, False
    return (height, width), False


def write_processor(preprocessing: Preprocessing) -> dict[str, Any]:
    """Returns the `preprocessor_config.json` that prepares images so."""
    height, width = preprocessing.size
    fraction, squash = preprocessing.crop_fraction, preprocessing.resize == "squash"
    resized = {"height": round(height / fraction), "width": round(width / fraction)}
    whole = squash and fraction == 1
    description = {
        "image_processor_type": "ViTImageProcessor" if whole else "BitImageProcessor",
        "do_resize": True,
        "size": resized if squash else {"shortest_edge": min(resized.values())},
        "resample": {name: key for key, name in _RESAMPLINGS.items()}[preprocessing.resampling],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }
    if not whole:
        description |= {"do_center_crop": True, "crop_size": {"height": height, "width": width}}
    return description
