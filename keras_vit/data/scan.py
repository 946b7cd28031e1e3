"""A quick look at every file before training: is it a whole image that the pipeline can decode?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

MAX_NAMED = 10


def check_images(
    folder: Path, paths: Sequence[Path], *, skip_corrupt: bool = False
) -> frozenset[Path]:
    """Decodes every file once, JPEG at an eighth of its size, and names those that fail.

    Args:
        folder: what the names in the error are relative to.
        paths: the files; a folder among them counts as foreign.
        skip_corrupt: whether files that are not whole images are left out with a warning.

    Returns:
        The files to leave out; none without `skip_corrupt`.

    Raises:
        ValueError: some of them are not whole images; up to ten are named with the reason.
    """
    broken = unreadable_images(paths)
    if not broken:
        return frozenset()
    named = [
        f"'{path.relative_to(folder)}' ({why})" for path, why in list(broken.items())[:MAX_NAMED]
    ]
    more = f" and {len(broken) - MAX_NAMED} more" if len(broken) > MAX_NAMED else ""
    if not skip_corrupt:
        raise ValueError(
            f"Expected whole JPEG, PNG, GIF, BMP or WebP images in '{folder}'. Received "
            f"{len(broken)} that cannot be read: {', '.join(named)}{more}. Repair or remove them, "
            "or leave them out with skip_corrupt=True."
        )
    warnings.warn(
        f"{len(broken)} of {len(paths)} files in '{folder}' are left out, as they cannot be read: "
        f"{', '.join(named)}{more}.",
        stacklevel=2,
    )
    return frozenset(broken)


def unreadable_images(paths: Sequence[Path]) -> dict[Path, str]:
    """Returns the files that cannot be decoded and a short reason for each."""
    import tensorflow as tf

    if not paths:
        return {}
    names = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
    decoded = names.enumerate().map(_index_and_size, num_parallel_calls=tf.data.AUTOTUNE)
    whole = {index for index, _ in decoded.ignore_errors(log_warning=False).as_numpy_iterator()}
    return {path: _reason(path) for index, path in enumerate(paths) if index not in whole}


def _index_and_size(index: tf.Tensor, name: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the index, and the number of values so that the decoding is not optimised away."""
    import tensorflow as tf

    return index, tf.size(_decode_small(name))


def _decode_small(name: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    from keras_vit.images.graph_decoding import decode_image

    contents = tf.io.read_file(name)
    return tf.cond(
        tf.io.is_jpeg(contents),
        lambda: tf.io.decode_jpeg(contents, channels=3, ratio=8),
        lambda: decode_image(contents),
    )


def _reason(path: Path) -> str:
    """Says in a few words what is wrong with a file that does not decode."""
    import tensorflow as tf

    from keras_vit.images.header import UNKNOWN, image_kind

    if path.is_dir():
        return "a folder"
    if path.stat().st_size == 0:
        return "empty file"
    try:
        _decode_small(str(path))
    except tf.errors.OpError as error:
        if "PermissionDenied" in type(error).__name__:
            return "no permission to read it"
        if image_kind(path.read_bytes()) == UNKNOWN:
            return "not an image"
        return "corrupt or cut short"
    return "read on a second try"
