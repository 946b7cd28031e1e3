"""Reads and writes `.safetensors` files, single or in shards, one array at a time.

The `safetensors` library checks the header. Values are read with plain file reads, since a mapped
file that shrinks under the reader would end the process. Files are written by hand, since the
library writes to a temporary file of its own, which a killed process leaves and only its owner may
read.
"""

import json
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_vit.files import read_json
from keras_vit.weights.files.arrays import (
    ArrayFile,
    ArraySpec,
    broken,
    check_readable,
    empty,
    unfit,
)
from keras_vit.weights.files.suffixes import SAFETENSORS

_KIND = "a .safetensors file"
_MAX_HEADER_BYTES = 16 * 2**20
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
    "BOOL": "bool",
}  # fmt: skip
_CODES = {name: code for code, name in DTYPES.items()}


class SafetensorsFile(ArrayFile):
    """A `.safetensors` file whose header was checked before any value is read.

    Args:
        path: the file.

    Attributes:
        metadata: what the header says beside the arrays; texts by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything else than a whole file of this format; the message names the file.
    """

    def __init__(self, path: Any):
        size = check_readable(path, _KIND)
        header, begin = _read_header(path, size)
        _check_with_library(path)
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        self._offsets = {}
        specs = {}
        for name, entry in header.items():
            start, _ = entry["data_offsets"]
            self._offsets[name] = begin + start
            dtype = DTYPES.get(entry["dtype"], entry["dtype"].lower())
            specs[name] = ArraySpec(tuple(entry["shape"]), dtype)
        super().__init__(path, specs)

    def stored(self, name: str) -> np.ndarray:
        """Reads one array as it is stored, of any dtype.

        Args:
            name: a key of `specs`.

        Raises:
            ValueError: the file was cut off after it was opened.
        """
        return self._read_raw(name).view(self.specs[name].dtype)

    def _read_raw(self, name: str) -> np.ndarray:
        spec = self.specs[name]
        stored = "uint16" if spec.dtype == "bfloat16" else spec.dtype
        array = empty(spec.shape, np.dtype(stored).newbyteorder("<"))
        if array.size:
            with open(self.path, "rb") as file:
                file.seek(self._offsets[name])
                target = _bytes(array)
                if file.readinto(target) != len(target):
                    raise broken(self.path, f"{name!r} is cut off", _KIND)
        return array


class ShardedFile(ArrayFile):
    """Several `.safetensors` files that an index holds together.

    Args:
        index_path: the `model.safetensors.index.json`.

    Raises:
        FileNotFoundError: a shard is missing.
        ValueError: a broken index or shard, or an array that only one of the two knows.
    """

    def __init__(self, index_path: Any):
        weight_map = read_index(index_path)
        folder = os.path.dirname(os.fspath(index_path))
        shards = {
            file_name: SafetensorsFile(os.path.join(folder, file_name))
            for file_name in sorted(set(weight_map.values()))
        }
        specs = {}
        self._shards = {}
        for name, file_name in weight_map.items():
            if name not in shards[file_name].specs:
                raise broken(index_path, f"{name!r} is not in {file_name}", "an index that fits")
            specs[name] = shards[file_name].specs[name]
            self._shards[name] = shards[file_name]
        unlisted = {name for shard in shards.values() for name in shard.specs} - specs.keys()
        if unlisted:
            what = f"shards with {sorted(unlisted)[:5]}, which it does not name"
            raise broken(index_path, what, "an index that fits")
        super().__init__(index_path, specs)

    def _read_raw(self, name: str) -> np.ndarray:
        return self._shards[name]._read_raw(name)


def read_index(path: Any) -> dict[str, str]:
    """Reads which shard has an array, by the name of the array.

    Args:
        path: a `model.safetensors.index.json`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another file, or shards that are no plain names of `.safetensors` files.
    """
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise unfit(path, "no `weight_map`", "an index of .safetensors shards")
    for name in weight_map.values():
        if not isinstance(name, str) or os.path.basename(name) != name:
            raise unfit(path, f"a shard named {name!r}", "plain file names")
        if not name.endswith(SAFETENSORS):
            raise unfit(path, f"a shard named {name!r}", f"names of {SAFETENSORS} files")
    return weight_map


def write_safetensors(
    path: Any, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a `.safetensors` file.

    Args:
        path: the file; `keras_vit.files.replacing` makes it whole or not there.
        arrays: values by name, of any of the dtypes that the format has. Wide ones come first in
            the file, so that all are aligned; those of one width keep their order.
        metadata: texts by name.
    """
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        code = _CODES[array.dtype.name]
        header[name] = {"dtype": code, "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(_bytes(np.ascontiguousarray(array)))


def _bytes(array: np.ndarray) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))


def _read_header(path: Any, size: int) -> tuple[dict[str, Any], int]:
    """Returns the header and the position of the first value."""
    with open(path, "rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise broken(path, f"{size} bytes", _KIND)
        (length,) = struct.unpack("<Q", start)
        if length > min(_MAX_HEADER_BYTES, size - 8):
            raise broken(path, f"a header of {length} bytes in a file of {size}", _KIND)
        text = file.read(length)

    def unique(pairs):
        value = dict(pairs)
        if len(value) != len(pairs):
            raise ValueError("a name that occurs twice")
        return value

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise broken(path, f"a damaged header, {error}", _KIND) from error
    if not isinstance(header, dict):
        raise broken(path, "a header that is no JSON object", _KIND)
    return header, 8 + length


def _check_with_library(path: Any) -> None:
    """Lets the library check offsets, sizes and overlaps of all arrays."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise broken(path, f"a header that does not fit, {error}", _KIND) from error
