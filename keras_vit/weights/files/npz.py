"""Reads `.npz` files without trusting them: no pickles, sizes and checksums verified.

Headers are compared with sizes by hand, since `numpy.load` makes room for whatever a header
promises. Members as NumPy writes them are read in place; `zipfile` reads all others, and says what
is wrong with them.
"""

import os
import re
import struct
import zipfile
import zlib
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from keras_vit.weights.files.arrays import (
    ArrayFile,
    ArraySpec,
    broken,
    check_count,
    check_readable,
    empty,
    unfit,
)

_KIND = "a .npz file"
# A real checkpoint hardly compresses. A file that would grow more than this is refused unread.
_MAX_GROWTH = 100
_ALWAYS_ALLOWED_BYTES = 256 * 2**20
_CHUNK = 2**18  # what is read at once stays in the processor's cache until it is copied
_DAMAGES = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, NotImplementedError,
    UnicodeDecodeError, OverflowError,
)  # fmt: skip
_LOCAL_HEADER = struct.Struct("<4s2xH18xHH")  # signature, flags, bytes of the name, of the rest
_LOCAL_SIGNATURE = b"PK\x03\x04"
_UNUSUAL_FLAGS = 0x1 | 0x20 | 0x40  # encrypted or patched
_FIRST_BYTES = 1024  # enough for both headers of a member, unless its name is very long
_USUAL_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)(\{'descr': '([<>|](?:f[248]|[iu][1248]|b1|V2))', "
    rb"'fortran_order': (True|False), 'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18})+)\), \} *\n)",
    re.DOTALL,
)


class _Member(NamedTuple):
    """An array in the archive.

    Attributes:
        info: its entry in the directory.
        start: bytes of the header before its values.
        dtype: as stored.
        fortran: whether the first axis runs fastest.
        place: of its values in the file; None where `zipfile` reads it.
        checksum: of the header.
    """

    info: zipfile.ZipInfo
    start: int
    dtype: np.dtype
    fortran: bool
    place: int | None = None
    checksum: int = 0


class NpzFile(ArrayFile):
    """An `.npz` file whose names, sizes and headers were checked before any value is read.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything else than a whole archive of plain arrays; the message names the file.
    """

    def __init__(self, path: Any):
        size = check_readable(path, _KIND)
        self._members: dict[str, _Member] = {}
        specs = {}
        try:
            self._archive = zipfile.ZipFile(path)
            infos = self._archive.infolist()
            _check_directory(path, infos, size)
            with open(path, "rb", buffering=0) as file:
                for info in infos:
                    specs[info.filename.removesuffix(".npy")] = self._read_header(path, file, info)
        except _DAMAGES as error:
            raise broken(path, f"{type(error).__name__}: {error}", _KIND) from error
        super().__init__(path, specs)

    def _read_header(self, path: Any, file: Any, info: zipfile.ZipInfo) -> ArraySpec:
        found = _usual_header(file, info)
        if found is None:
            with self._archive.open(info) as opened:
                shape, fortran, dtype = _npy_header(path, opened, info)
                found = shape, _Member(info, opened.tell(), dtype, fortran)
        shape, member = found
        promised = member.dtype.itemsize
        for side in shape:
            promised *= side
        if member.start + promised != info.file_size:
            held = info.file_size - member.start
            what = f"{info.filename!r} promises {promised} bytes and holds {held}"
            raise broken(path, what, _KIND)
        self._members[info.filename.removesuffix(".npy")] = member
        # NumPy has no bfloat16 of its own and stores it as two plain bytes.
        dtype = member.dtype
        spelled = "bfloat16" if dtype.str in ("|V2", "<V2") else dtype.newbyteorder("=").name
        return ArraySpec(shape, spelled)

    def _read_raw(self, name: str) -> np.ndarray:
        member, shape = self._members[name], self.specs[name].shape
        stored = "<u2" if member.dtype.kind == "V" else member.dtype
        array = empty(shape[::-1] if member.fortran else shape, stored)
        read = self._unpack if member.place is None else self._read_in_place
        try:
            read(member, memoryview(array.reshape(-1).view(np.uint8)))
        except _DAMAGES as error:
            what = f"{member.info.filename!r} cannot be read, {error}"
            raise broken(self.path, what, _KIND) from error
        return array.transpose() if member.fortran else array

    def _read_in_place(self, member: _Member, target: memoryview) -> None:
        checksum = member.checksum
        with open(self.path, "rb", buffering=0) as file:
            file.seek(member.place)
            for start in range(0, len(target), _CHUNK):
                chunk = target[start : start + _CHUNK]
                if file.readinto(chunk) != len(chunk):
                    raise EOFError("the file was cut off")
                checksum = zlib.crc32(chunk, checksum)
        if checksum != member.info.CRC:
            raise zipfile.BadZipFile("its CRC-32 is another")

    def _unpack(self, member: _Member, target: memoryview) -> None:
        filled = 0
        with self._archive.open(member.info) as file:
            file.read(member.start)
            while chunk := file.read(_CHUNK):  # the last one compares the checksum
                target[filled : filled + len(chunk)] = chunk
                filled += len(chunk)


def _check_directory(path: Any, infos: list[zipfile.ZipInfo], size: int) -> None:
    """Checks names and promised sizes before anything is unpacked."""
    check_count(path, len(infos))
    twice = [name for name, count in Counter(info.filename for info in infos).items() if count > 1]
    if twice:
        raise unfit(path, f"members that occur twice: {twice[:5]}", _KIND)
    for info in infos:
        if not info.filename.endswith(".npy"):
            raise unfit(path, f"a member that is no array, {info.filename!r}", _KIND)
        if info.flag_bits & 0x1:
            raise unfit(path, f"an encrypted member, {info.filename!r}", _KIND)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise unfit(path, f"an unusual compression of {info.filename!r}", _KIND)
        if info.compress_size > size or (
            info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size
        ):
            raise broken(path, f"a wrong size of {info.filename!r}", _KIND)
    total = sum(info.file_size for info in infos)
    if total > max(_MAX_GROWTH * size, _ALWAYS_ALLOWED_BYTES):
        raise unfit(path, f"{size} bytes that would grow to {total}", _KIND)


def _usual_header(file: Any, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], _Member] | None:
    """Reads both headers of a stored member at once; None for anything unusual."""
    if info.compress_type != zipfile.ZIP_STORED or not info.orig_filename.isascii():
        return None
    file.seek(info.header_offset)
    head = file.read(_FIRST_BYTES)
    if len(head) < _LOCAL_HEADER.size:
        return None
    signature, flags, name_size, rest_size = _LOCAL_HEADER.unpack_from(head)
    name = head[_LOCAL_HEADER.size : _LOCAL_HEADER.size + name_size]
    if signature != _LOCAL_SIGNATURE or flags & _UNUSUAL_FLAGS:
        return None
    begin = _LOCAL_HEADER.size + name_size + rest_size
    found = _USUAL_HEADER.match(head, begin)
    if found is None or name != info.orig_filename.encode():
        return None
    size, text, dtype, order, sides = found.groups()
    if int.from_bytes(size, "little") != len(text):
        return None
    shape = tuple(int(side) for side in sides.split(b",") if side)
    length, place = found.end() - begin, info.header_offset + found.end()
    checksum = zlib.crc32(found.group())
    return shape, _Member(info, length, np.dtype(dtype.decode()), order == b"True", place, checksum)


def _npy_header(path: Any, file: Any, info: zipfile.ZipInfo):
    """Reads shape, order and dtype of one member; refuses pickles and records."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"unknown .npy version {version}")
    except Exception as error:  # of many kinds: NumPy evaluates the header as Python
        what = f"{info.filename!r} is no .npy array, {type(error).__name__}: {error}"
        raise broken(path, what, _KIND) from error
    if dtype.hasobject:
        raise ValueError(
            f"Expected plain arrays in {os.fspath(path)!r}. Received: {info.filename!r} is a "
            "pickle (dtype object), which could run code and is never read. Save float arrays."
        )
    if dtype.names is not None or dtype.subdtype is not None or any(side < 0 for side in shape):
        raise unfit(path, f"{info.filename!r} of dtype {dtype} and shape {shape}", _KIND)
    return shape, fortran, dtype
