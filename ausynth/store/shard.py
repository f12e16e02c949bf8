"""One shard file, for reading: pixels without HDF5's global lock, and never a byte that is not as it was written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ausynth.store.columns import Columns
from ausynth.store.files import read_whole
from ausynth.store.handles import Descriptor
from ausynth.store.manifest import Entry, ranges_of
from ausynth.store.userblock import DamageError, Header, read_arrays, read_header

__all__ = ["DamageError", "Shard", "ShardPixels", "checksums_of"]

Integers = NDArray[np.int64]
Pixels = NDArray[np.uint8]

_STEP: Final = 8 << 20
"""Bytes of pictures that a check of the whole shard has in memory at a time."""


class ShardPixels:
    """Where the pictures of a shard lie and what they hash to: 8 bytes a sample, 16 of JPEG.

    Attributes:
        count: how many, N.
        start: where the first picture begins in the file.
        row_bytes: of one raw picture; 0 for JPEG.
        checksums_N: (N,) uint64, xxh3_64 of each picture's stored bytes.
        offsets_N: (N + 1,) where each JPEG begins, from `start`, and the last ends; None for raw pictures.
        bad_N: (N,) bool, which fail their checksum, where somebody has looked at all of them and some do.
    """

    __slots__ = ("bad_N", "checksums_N", "count", "offsets_N", "row_bytes", "start")

    def __init__(self, header: Header, arrays: dict[str, NDArray[Any]]) -> None:
        self.start = header.pixels[0]
        self.row_bytes = header.recipe.image_size**2 * 3 if header.recipe.codec == "raw" else 0
        # Copies: a view would keep all columns in memory.
        self.checksums_N: NDArray[np.uint64] = arrays["images/checksums"].copy()
        self.offsets_N: Integers | None = arrays["images/offsets"].copy() if not self.row_bytes else None
        self.bad_N: NDArray[np.bool_] | None = None
        self.count = header.samples

    def span(self, first: int, end: int) -> tuple[int, int]:
        """Return where in the file the pictures `first` to `end` begin, and how many bytes they have."""
        if self.offsets_N is None:
            return self.start + first * self.row_bytes, (end - first) * self.row_bytes
        return self.start + int(self.offsets_N[first]), int(self.offsets_N[end] - self.offsets_N[first])

    def spans(self, rows: Integers) -> tuple[Any, Any]:
        """Return where in the file the pictures `rows` (B,) begin, and how many bytes each has."""
        if self.offsets_N is None:
            return self.start + rows * self.row_bytes, self.row_bytes
        begin_B = self.offsets_N[rows]
        return self.start + begin_B, self.offsets_N[rows + 1] - begin_B

    def read_coded(self, descriptor: int, first: int, end: int) -> list[bytes]:
        """Return the stored bytes of the pictures `first` to `end`, unchecked; raise DamageError, OSError."""
        offset, length = self.span(first, end)
        data = read_whole(descriptor, offset, length)
        if len(data) != length:
            raise DamageError("it ends before its pictures do")
        if self.offsets_N is None:
            edges = list(range(0, length + 1, self.row_bytes))
        else:
            edges = (self.offsets_N[first : end + 1] - self.offsets_N[first]).tolist()
        return [data[edges[n] : edges[n + 1]] for n in range(end - first)]

    def failing(self, descriptor: int) -> NDArray[np.bool_]:
        """Return (N,) bool: which pictures are not as they were written; raise OSError."""
        bad_N = np.zeros(self.count, bool)
        total = self.span(0, self.count)[1]
        step = max(1, _STEP * self.count // max(total, 1))
        for first in range(0, self.count, step):
            end = min(first + step, self.count)
            try:
                bad_N[first:end] = checksums_of(self.read_coded(descriptor, first, end)) != self.checksums_N[first:end]
            except DamageError:
                bad_N[first:end] = True
        return bad_N


def checksums_of(pictures: Sequence[Any]) -> NDArray[np.uint64]:
    """Return (N,) uint64: xxh3_64 of each of N buffers."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, pictures), np.uint64, len(pictures))


class Shard:
    """A shard file, open and looked at on its own, without a store.

    Args:
        path: the file.

    Raises:
        DamageError: a byte outside the pictures is not as it was written.
        StoreError: another schema.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = Descriptor(path)
        self.header = read_header(self._descriptor.number)
        arrays = read_arrays(self._descriptor.number, self.header)
        self.columns = Columns(self.header.recipe.aus, arrays)
        self.pixels = ShardPixels(self.header, arrays)

    def __len__(self) -> int:
        return self.header.samples

    def entry(self) -> Entry:
        """Return the line that lists the shard."""
        header = self.header
        ranges = ranges_of(self.columns.samples().number)
        return Entry(self.path.name, header.samples, header.size, header.plan, ranges, header.head)

    def failing(self) -> Integers:
        """Return the rows whose pictures are not as they were written, ascending; read anew at each call."""
        return np.flatnonzero(self.pixels.failing(self._descriptor.number))

    def is_whole(self, row: int) -> bool:
        """Return whether one picture is as it was written; raise OSError where the disk cannot read it."""
        try:
            data = self.pixels.read_coded(self._descriptor.number, row, row + 1)
        except DamageError:
            return False
        return bool(checksums_of(data)[0] == self.pixels.checksums_N[row])

    def images(self, rows: Integers) -> Pixels | list[bytes]:
        """Return pictures as `Store.write` takes them, unchecked: (B, S, S, 3) uint8, or B byte strings."""
        coded = [self.pixels.read_coded(self._descriptor.number, row, row + 1)[0] for row in rows.tolist()]
        if self.header.recipe.codec == "jpeg":
            return coded
        side = self.header.recipe.image_size
        return np.frombuffer(b"".join(coded), np.uint8).reshape(len(coded), side, side, 3)
