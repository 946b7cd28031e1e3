"""A quick look at every file before training: is it a whole image that the pipeline can decode?"""

import os
import stat
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keras_vit.images.containers import MAX_BYTES, MAX_PIXELS

MAX_NAMED = 10
_MANY = 500  # files, from which on making a graph for them pays


def check_images(
    folder: Path, paths: Sequence[Path], *, skip_corrupt: bool = False
) -> frozenset[Path]:
    """Decodes every file once, JPEG at an eighth of its size, and names those that fail.

    Names are relative to `folder`. With `skip_corrupt` there is a warning in place of the error.

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
            f"Expected whole JPEG, PNG, GIF, BMP or WebP images of at most {MAX_PIXELS:,} pixels "
            f"and {MAX_BYTES:,} bytes in '{folder}'. Received "
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
    suspects = _suspects(paths) if len(paths) >= _MANY else paths
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = list(pool.map(_why_unreadable, suspects))
    return {path: why for path, why in zip(suspects, reasons, strict=True) if why}


def _suspects(paths: Sequence[Path]) -> list[Path]:
    """Returns the files that one graph over all of them did not decode, in their order.

    It takes half to three quarters of the time of a call for each file.
    """
    import tensorflow as tf

    from keras_vit.data.threads import CORES, untuned
    from keras_vit.images.graph_decoding import decode_eighth

    @tf.autograph.experimental.do_not_convert
    def decode(number, path):
        # The size is handed on, for what nobody asks for is not decoded.
        return number, tf.size(decode_eighth(tf.io.read_file(path)))

    whole = [number for number, path in enumerate(paths) if _is_worth_opening(path)]
    names = [os.fsencode(paths[number]) for number in whole]
    numbers = tf.data.Dataset.from_tensor_slices((whole, names))
    decoded = numbers.map(decode, num_parallel_calls=CORES).ignore_errors()
    good = set()
    for part, _ in untuned(decoded.batch(_MANY), deterministic=False):
        good.update(part.numpy().tolist())
    return [path for number, path in enumerate(paths) if number not in good]


def _is_worth_opening(path: Path) -> bool:
    try:
        return _why_unfit(path.stat()) is None
    except OSError:
        return False


def _why_unreadable(path: Path) -> str | None:
    import tensorflow as tf

    from keras_vit.images.graph_decoding import decode_eighth
    from keras_vit.images.pillow_decoding import why_refused

    try:
        if why := _why_unfit(path.stat()):
            return why
        data = path.read_bytes()
        decode_eighth(data)
    except FileNotFoundError:
        return "a link to nothing"
    except PermissionError:
        return "no permission to read it"
    except OSError as error:
        return f"not read: {error.strerror}"
    except tf.errors.OpError:
        return why_refused(data) or "damaged"
    return None


def _why_unfit(status: os.stat_result) -> str | None:
    """Says what stands there instead of a file that is worth reading."""
    if not stat.S_ISREG(status.st_mode):
        return "a folder" if stat.S_ISDIR(status.st_mode) else "not a file"
    if status.st_size == 0:
        return "an empty file"
    return f"a file of {status.st_size:,} bytes" if status.st_size > MAX_BYTES else None
