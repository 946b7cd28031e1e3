"""Features of many image files, kept on the disk: what looks like this, and what is there twice.

A file is known by its path, size and time of change, a model by its weights: each image is looked
at once. The vectors stay on the disk; a few thousand are held at a time, however many there are.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.checks import check_int, check_number
from keras_vit.evaluation.frozen_features import check_finite, feature_model
from keras_vit.files import each_path, replacing, write_json
from keras_vit.images.pillow_decoding import load_image
from keras_vit.images.reading import read_ahead
from keras_vit.models.config import config_of
from keras_vit.weights.download import cache_folder

CHUNK = 2048  # images in a file of the cache, and vectors held at a time
NEAR_DUPLICATE = 0.97  # `docs/features.md` has figures


class ImageIndex:
    """Feature vectors of length one by file, on the disk.

    Args:
        paths: the files.
        unreadable: files that are left out, each with the reason.
        places: (file of the cache, row in it) for each path.
        width: numbers a vector.

    Attributes:
        paths: the files, in their order.
        unreadable: files that are left out, each with the reason.
        width: numbers a vector.
    """

    def __init__(
        self,
        paths: Sequence[str],
        unreadable: dict[str, str],
        places: Sequence[tuple[Path, int]],
        width: int,
    ):
        self.paths, self.unreadable, self.width = tuple(paths), dict(unreadable), width
        self._files = list(dict.fromkeys(file for file, _ in places))
        number = {file: index for index, file in enumerate(self._files)}
        self._file = np.array([number[file] for file, _ in places], np.int32)
        self._row = np.array([row for _, row in places], np.int32)

    def vectors(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Reads the vectors of some files.

        Args:
            start: the first of them.
            stop: behind the last; None is the end.

        Returns:
            (files, width) float32.
        """
        files, rows = self._file[start:stop], self._row[start:stop]
        found = np.empty((len(files), self.width), np.float32)
        for number in np.unique(files):
            here = files == number
            found[here] = np.load(self._files[number], mmap_mode="r")[rows[here]]
        return found

    def nearest(self, vectors: Any, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Finds the files most like others.

        Args:
            vectors: (queries, width) of any length, such as `vectors` of another index of the same
                model.
            k: files for each, at least 1; all where there are fewer.

        Returns:
            Cosine similarities (queries, k) float32, highest first, and the numbers of the files.

        Raises:
            ValueError: vectors of another width, or `k` below 1.
        """
        check_int("k", k, 1)
        vectors = np.asarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise ValueError(
                f"Expected vectors of shape (queries, {self.width}). Received: {vectors.shape}."
            )
        from sklearn.neighbors import NearestNeighbors

        best = np.empty((len(vectors), 0), np.float32)
        places = np.empty((len(vectors), 0), np.int64)
        for start, part in self._parts(len(self.paths)):
            finder = NearestNeighbors(
                n_neighbors=min(k, len(part)), algorithm="brute", metric="cosine"
            )
            distances, found = finder.fit(part).kneighbors(vectors)
            best = np.concatenate([best, np.float32(1 - distances)], axis=1)
            places = np.concatenate([places, start + found], axis=1)
            order = np.argsort(-best, axis=1, kind="stable")[:, :k]
            best, places = (np.take_along_axis(each, order, axis=1) for each in (best, places))
        return best, places

    def near_duplicates(self, threshold: float = NEAR_DUPLICATE) -> list[list[tuple[int, float]]]:
        """Finds files that are nearly the same picture.

        A file belongs to the first one that it is like; so do all that are like it.

        Args:
            threshold: least cosine similarity, in (0, 1].

        Returns:
            Groups of at least two, each the numbers of its files in their order, and for each the
            similarity to the first one that it is like (1 for the first of the group).
        """
        check_number("threshold", threshold, "(0, 1]")
        count = len(self.paths)
        like, alike = np.arange(count), np.ones(count, np.float32)
        for start, later in self._parts(count):
            own, known = np.arange(start, start + len(later)), np.zeros(len(later), bool)
            for first, earlier in self._parts(start + len(later)):
                cosines = later @ earlier.T
                cosines[own[:, None] <= np.arange(first, first + len(earlier))] = -1
                near = cosines >= threshold
                new = near.any(axis=1) & ~known
                column = near[new].argmax(axis=1)
                like[own[new]], alike[own[new]] = first + column, cosines[new, column]
                known |= new
        groups: dict[int, list[tuple[int, float]]] = {}
        for number in np.flatnonzero(like != np.arange(count)).tolist():
            first = like[number] = int(like[like[number]])
            groups.setdefault(first, [(first, 1.0)]).append((number, float(alike[number])))
        return [groups[first] for first in sorted(groups)]

    def _parts(self, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, stop, CHUNK):
            yield start, self.vectors(start, min(start + CHUNK, stop))


def index_images(
    model: Any,
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    pooling: str | None = None,
    cache: str | os.PathLike | None = None,
    batch_size: int = 32,
    progress: Callable[[int, int], Any] | None = None,
) -> ImageIndex:
    """Looks at image files, or remembers what was seen of them.

    Args:
        model: a `keras_vit.VisionTransformer`, whose features are taken.
        paths: JPEG, PNG, GIF, BMP or WebP files. One that cannot be read is left out and named.
        pooling: see `feature_model`; None is the model's own.
        cache: the folder that keeps the vectors; None is `features` where downloads are kept.
        batch_size: images at a time.
        progress: told how many of how many files that are new have been looked at; None for nobody.

    Returns:
        The index of all files that can be read. Its vectors are those of the signature `embed` of
        an exported model, divided by their length.

    Raises:
        ValueError: another kind of model, a pooling that it has not, or features that are not
            finite.
    """
    check_int("batch_size", batch_size, 1)
    config_of(model)
    network = feature_model(model, pooling=pooling)
    folder = Path(cache_folder() / "features" if cache is None else cache).expanduser()
    store = _Store(folder / _fingerprint(model, network, pooling), network.output_shape[-1])
    keys, unreadable = {}, {}
    for path in dict.fromkeys(map(os.fspath, each_path(paths))):
        try:
            keys[path] = _file_key(path)
        except OSError as error:
            unreadable[path] = f"Expected an image file. Received: {path!r}: {error.strerror}."
    new = [path for path, key in keys.items() if key not in store.places]
    done = 0
    try:
        for chunk in read_ahead(
            new, lambda path: load_image(path, model.preprocessing), batch_size
        ):
            unreadable |= {path: error for path, _, error in chunk if error is not None}
            good = [(path, image) for path, image, error in chunk if error is None]
            if good:
                vectors = network.predict_on_batch(np.stack([image for _, image in good]))
                store.add([keys[path] for path, _ in good], vectors)
            done += len(chunk)
            if progress is not None:
                progress(done, len(new))
    finally:  # what was looked at stays, whatever ended it
        store.write()
    found = [path for path in keys if path not in unreadable]
    return ImageIndex(found, unreadable, [store.places[keys[path]] for path in found], store.width)


class _Store:
    """What is known of the images that one model has seen: pairs of files, keys and vectors.

    Pairs are only ever added, the keys last, so that processes may share the folder and a killed
    one leaves nothing that is half known.
    """

    def __init__(self, folder: Path, width: int):
        self.folder, self.width = folder, width
        self.places: dict[str, tuple[Path, int]] = {}
        self._keys: list[str] = []
        self._vectors: list[np.ndarray] = []
        for path in sorted(folder.glob("[0-9a-f]*.json")):
            file = path.with_suffix(".npy")
            try:
                keys = json.loads(path.read_text(encoding="utf-8"))
                whole = np.load(file, mmap_mode="r").shape == (len(keys), width)
            except (OSError, ValueError):
                continue
            if whole:
                self.places |= {key: (file, row) for row, key in enumerate(keys)}

    def add(self, keys: Sequence[str], vectors: Any) -> None:
        """Keeps vectors, which are divided by their length."""
        vectors = np.asarray(vectors, np.float32)
        check_finite(vectors)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._keys += keys
        self._vectors.append(vectors / np.maximum(lengths, 1e-12))
        if len(self._keys) >= CHUNK:
            self.write()

    def write(self) -> None:
        """Writes what is not on the disk yet."""
        if not self._keys:
            return
        file = self.folder / f"{uuid.uuid4().hex}.npy"
        with replacing(file) as path:
            np.save(path, np.concatenate(self._vectors))
        write_json(file.with_suffix(".json"), self._keys)
        self.places |= {key: (file, row) for row, key in enumerate(self._keys)}
        self._keys, self._vectors = [], []


def _file_key(path: str) -> str:
    status = os.stat(path)
    return f"{status.st_size} {status.st_mtime_ns} {os.path.realpath(path)}"


def _fingerprint(model: Any, network: keras.Model, pooling: str | None) -> str:
    """A name for what turns a file into a vector: weights, architecture and preparation."""
    told = [model.config.to_dict(), model.preprocessing.to_dict(), pooling, model.dtype_policy.name]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    for weight in network.weights:
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()[:32]
