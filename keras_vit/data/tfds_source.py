"""Data sets of TensorFlow Datasets: registered builders, prepared folders and our digits."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.checks import check_name
from keras_vit.data.dataset import SPLITS, ImageDataset, Split

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

SHUFFLE_BYTES = 512 * 2**20
HELD_OUT_PERCENT = 20


def is_prepared_folder(folder: str | os.PathLike) -> bool:
    """Says whether TFDS has prepared a data set in this folder (one version of it)."""
    return (Path(folder) / "dataset_info.json").is_file()


def read_digits(data_dir: str | os.PathLike | None = None) -> ImageDataset:
    """Prepares our digits in TFDS's folder if they are not there yet, and reads them."""
    import tensorflow_datasets as tfds

    from keras_vit.data.digits import Digits

    builder = Digits(data_dir=_plain(data_dir), file_format="tfrecord")
    tfds.disable_progress_bar()
    try:
        # Two seconds' work without a download: TFDS's bars and its talk of one are left out.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    finally:
        tfds.enable_progress_bar()
    return _from_builder("digits", builder, None)


def read_prepared_folder(
    folder: str | os.PathLike, splits: Mapping[str, str] | None = None, *, labelled: bool = True
) -> ImageDataset:
    """Reads the folder of one version that TFDS has prepared; see `keras_vit.data.load`."""
    import tensorflow_datasets as tfds

    return _from_builder(
        os.fspath(folder), tfds.builder_from_directory(_plain(folder)), splits, labelled
    )


def check_data_name(name: str) -> None:
    """Refuses what is not the name of a data set; needs no TensorFlow.

    Raises:
        ValueError: an unknown name; the error lists the nearest ones.
    """
    import tensorflow_datasets as tfds

    known = {"digits", *tfds.list_builders(with_community_datasets=False)}
    if name.split("/")[0].split(":")[0] not in known:
        beside = {path.name for path in Path().iterdir() if path.is_dir()}
        what = "'digits', a folder that exists or the name of a TFDS data set"
        check_name(what, name, known | beside)


def read_tfds(
    name: str,
    data_dir: str | os.PathLike | None = None,
    splits: Mapping[str, str] | None = None,
    *,
    labelled: bool = True,
) -> ImageDataset:
    """Downloads and prepares a registered data set if it is not there yet, and reads it.

    Arguments are those of `keras_vit.data.load`; a name may have a config and a version, as in
    `"name/config:1.0.0"`.

    Raises:
        ValueError: an unknown name, or a data set that is not one of labelled images.
        RuntimeError: the data set could not be downloaded or prepared.
    """
    import tensorflow_datasets as tfds

    check_data_name(name)
    try:
        builder = tfds.builder(name, data_dir=_plain(data_dir))
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError) as error:
        raise ValueError(
            f"Expected a config and version that TFDS knows. Received: {name!r}. {error}"
        ) from error
    _known(name, builder, labelled)  # before the download
    unknown = [host for host in _hosts(builder) if not _has_address(host)]
    try:
        with _no_retries() if unknown else contextlib.nullcontext():
            builder.download_and_prepare()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if unknown:
            reason = f"No address is known of {' and '.join(unknown)}."
        raise RuntimeError(
            f"TFDS could not prepare {name!r} in {builder.data_dir!r}. Without network, copy a "
            f"prepared folder there. Reason: {reason}"
        ) from error
    return _from_builder(name, builder, splits, labelled)


def _hosts(builder: tfds.core.DatasetBuilder) -> list[str]:
    """Returns the servers of a data set that is not there yet, as far as TFDS tells."""
    if builder.is_prepared() or urllib.request.getproxies():
        return []
    names = (urllib.parse.urlsplit(url).hostname for url in builder.url_infos or ())
    return sorted({name for name in names if name})


def _has_address(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _no_retries() -> Iterator[None]:
    """Lets a download fail at once; TFDS tries ten times again, for three minutes."""
    from tensorflow_datasets.core.download import downloader

    usual = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 0
    try:
        yield
    finally:
        downloader.MAX_RETRIES = usual


def _plain(path: str | os.PathLike | None) -> str | None:
    return None if path is None else os.path.expanduser(os.fspath(path))


def _known(
    name: str, builder: tfds.core.DatasetBuilder, labelled: bool
) -> tuple[str, str, tuple[str, ...]]:
    """Returns the feature with the label, the task, and the names of classes, labels or values."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    found = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    if isinstance(found.get("image"), tfds.features.Image):
        if not labelled:
            return "", "classes", ()
        supervised = (builder.info.supervised_keys or (None, None))[1]
        for key in ("label", supervised, "labels"):
            feature = found.get(key) if isinstance(key, str) else None
            if told := _told(key, feature, tfds.features):
                return key, *told
    raise ValueError(
        "Expected a data set of images with labels: an Image feature 'image' and a feature 'label' "
        "that is a ClassLabel (one class), a Sequence of it (several labels), a bool or a float "
        f"(a value). Received: {name!r} with {features}."
    )


def _told(key: str, feature: Any, kinds: Any) -> tuple[str, tuple[str, ...]] | None:
    """Returns the task and the names that a feature of TFDS tells, or None."""
    inner = getattr(feature, "feature", None)  # of a sequence
    for task, label in (("classes", feature), ("labels", inner)):
        if isinstance(label, kinds.ClassLabel):
            return task, tuple(label.names or map(str, range(label.num_classes)))
    shape, dtype = getattr(feature, "shape", None), getattr(feature, "np_dtype", None)
    if shape == () and dtype is not None and np.issubdtype(dtype, np.bool_):
        return "binary", (key,)
    if dtype is not None and np.issubdtype(dtype, np.floating):
        if shape == ():
            return "regression", (key,)
        if len(shape) == 1 and shape[0]:
            return "regression", tuple(f"{key} {number}" for number in range(shape[0]))
    return None


def default_splits(available: Mapping) -> dict[str, str]:
    """Returns TFDS's splits by role; a training split alone holds out its end.

    Args:
        available: TFDS's splits by name.
    """
    splits = {role: role for role in SPLITS if role in available}
    if "train" in splits and len(splits) == 1:
        cut = 100 - HELD_OUT_PERCENT
        splits = {"train": f"train[:{cut}%]", "validation": f"train[{cut}%:]"}
    return splits


def _from_builder(
    name: str,
    builder: tfds.core.DatasetBuilder,
    splits: Mapping[str, str] | None,
    labelled: bool = True,
) -> ImageDataset:
    known = key, task, class_names = _known(name, builder, labelled)
    available = builder.info.splits
    splits = dict(default_splits(available) if splits is None else splits)
    if not splits or not splits.keys() <= set(SPLITS):
        raise ValueError(
            f"Expected `splits` to name TFDS splits by role, any of {SPLITS}. Received: {splits}; "
            f"{name!r} has {list(available)}."
        )
    made = {}
    for role, expression in splits.items():
        try:
            info = available[expression]
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"Expected a split of {name!r}, one of {list(available)} or a part such as "
                f"'train[:90%]'. Received: {expression!r}."
            ) from error
        bytes_each = max(1, builder.info.dataset_size // max(1, available.total_num_examples))
        made[role] = Split(
            name=expression,
            num_examples=info.num_examples,
            references=functools.partial(_references, builder, expression, *known),
            shuffle_buffer=max(1, min(info.num_examples, SHUFFLE_BYTES // bytes_each)),
        )
        if not info.num_examples:
            raise ValueError(
                f"Expected images in the split {expression!r} of {name!r}. Received 0."
            )
    return ImageDataset(name=name, class_names=class_names, task=task, **made)


def _references(
    builder: tfds.core.DatasetBuilder, split: str, key: str, task: str, names: Sequence[str]
) -> tf.data.Dataset:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(try_autocache=False),
    )

    def label(value):
        if task == "labels":  # a list of some
            return tf.reduce_max(
                tf.one_hot(tf.concat([value, tf.constant([-1], value.dtype)], 0), len(names)),
                axis=0,
            )
        return value if task == "classes" else tf.reshape(tf.cast(value, tf.float32), [len(names)])

    return examples.map(lambda example: {
        "image": example["image"], "label": label(example[key]) if names else 0
    })  # fmt: skip
