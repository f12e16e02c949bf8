"""Lays out a shard as HDF5, so that other tools can read it, and says where in the file everything lies.

HDF5 does not come back from a full disk: a file that cannot be closed haunts the library until the process ends, badly.
So it writes through a Python object that remembers the first error and tells the library that all is well. Pixels do
not pass through it at all: their place is reserved, and they are written there afterwards.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

__all__ = ["PIXELS", "lay_out"]

PIXELS = "images/data"

# Readable by all HDF5 since 1.10, and attributes may be longer than 64 KiB.
_VERSIONS = ("v108", "v110")

Place = tuple[int, str, tuple[int, ...]]


def lay_out(
    descriptor: int,
    block: int,
    attributes: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    pixels: tuple[int, ...],
) -> tuple[dict[str, Place], tuple[int, int]]:
    """Write all of an HDF5 file but its user block and its pixels.

    Args:
        descriptor: the file, empty, open for reading and writing.
        block: size of the user block.
        attributes: of the file.
        arrays: path of each data set and its values.
        pixels: shape of the data set `images/data`, uint8.

    Returns:
        Path -> where each array begins in the file, its type and shape; and where the pixels begin and end.

    Raises:
        OSError: the file cannot be written.
    """
    import h5py

    file = _File(descriptor)
    try:
        with h5py.File(file, "w", userblock_size=block, libver=_VERSIONS) as shard:
            shard.attrs.update(attributes)
            for path, values in arrays.items():
                shard.create_dataset(path, data=values)
            start = _reserve(shard, pixels) or block
            places = {path: (_offset(shard[path]), values.dtype.str, values.shape) for path, values in arrays.items()}
    except BaseException:
        if file.error is not None:
            raise file.error from None
        raise
    if file.error is not None:
        raise file.error
    return places, (start, start + int(np.prod(pixels)))


def _reserve(shard: h5py.File, shape: tuple[int, ...]) -> int:
    import h5py

    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_layout(h5py.h5d.CONTIGUOUS)
    how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    group = shard.require_group(PIXELS.partition("/")[0])
    kind = h5py.h5t.py_create(np.dtype(np.uint8))
    space = h5py.h5s.create_simple(shape)
    return _offset(h5py.Dataset(h5py.h5d.create(group.id, PIXELS.partition("/")[2].encode(), kind, space, how)))


def _offset(data: h5py.Dataset) -> int:
    offset: int = data.id.get_offset() if data.size else 0
    return offset


class _File(io.RawIOBase):
    """A file for h5py that never fails: the first error is kept, and what comes after it is not written."""

    def __init__(self, descriptor: int) -> None:
        self.error: BaseException | None = None
        self._descriptor, self._place = descriptor, 0

    def seekable(self) -> Literal[True]:
        return True

    def readable(self) -> Literal[True]:
        return True

    def writable(self) -> Literal[True]:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}.get(whence)
        place = offset + (os.fstat(self._descriptor).st_size if start is None else start)
        self._place = place
        return place

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._descriptor, [buffer], self._place)
        self._place += count
        return count

    def write(self, data: Any) -> int:
        data = memoryview(data).cast("B")
        end: int = self._place + data.nbytes
        try:
            while data.nbytes and self.error is None:
                data = data[os.pwrite(self._descriptor, data, end - data.nbytes) :]
        except BaseException as error:  # an interruption as well: the library is to close the file in peace
            self.error = error
        size: int = end - self._place
        self._place = end
        return size

    def truncate(self, size: int | None = None) -> int:
        size = self._place if size is None else size
        try:
            if self.error is None:
                os.ftruncate(self._descriptor, size)
        except BaseException as error:
            self.error = error
        return size
