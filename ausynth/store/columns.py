"""The columns of a shard: as arrays on the disk, and as rows that are gathered quickly in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ausynth.labels import Labels
from ausynth.store.samples import KEY_BYTES, Samples

__all__ = ["Columns", "as_arrays", "join_bytes"]

Integers = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]

# Where each column of `Samples` lies in the file, and what it is per sample; A stands for the action units.
_FIELDS: tuple[tuple[str, str, str, tuple[str | int, ...]], ...] = (
    ("number", "samples/number", "<i8", ()),
    ("key", "samples/key", "|u1", (KEY_BYTES,)),
    ("identity", "samples/identity", "<i8", ()),
    ("noise", "samples/noise", "<i8", ()),
    ("attempt", "samples/attempt", "<i8", ()),
    ("asked", "labels/asked", "<f4", ("A",)),
    ("intensity", "labels/intensity", "<f4", ("A",)),
    ("occurrence", "labels/occurrence", "<f4", ("A",)),
    ("confidence", "labels/confidence", "<f4", ("A",)),
)
# Paths come from file names, which may hold what is no Unicode character.
_CODING = ("utf-8", "surrogatepass")


def as_arrays(samples: Samples) -> dict[str, NDArray[Any]]:
    """Return the columns by their path in the file; texts end to end, with where each begins and the last ends."""
    arrays = {}
    for name, path, dtype, _ in _FIELDS:
        values = getattr(samples.labels if hasattr(samples.labels, name) else samples, name)
        arrays[path] = np.ascontiguousarray(values, dtype=dtype)
    arrays["labels/mask"] = samples.labels.mask  # follows from the occurrence: for other tools
    arrays["text/data"], arrays["text/offsets"] = join_bytes([text.encode(*_CODING) for text in samples.text])
    return arrays


def join_bytes(parts: Sequence[bytes]) -> tuple[NDArray[np.uint8], Integers]:
    """Return N byte strings end to end, and (N + 1,) where each begins and the last ends."""
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.frombuffer(b"".join(parts), np.uint8), offsets


class Columns:
    """The columns of a shard's N samples, kept row by row so that any B of them are gathered in one step.

    Args:
        aus: the action units of the labels.
        arrays: the columns by their path in the file.
    """

    def __init__(self, aus: tuple[int, ...], arrays: Arrays) -> None:
        self.aus = aus
        self._dtype = _row_dtype(len(aus))
        table = np.empty(len(arrays["samples/number"]), self._dtype)
        for name, path, _, _ in _FIELDS:
            table[name] = arrays[path]
        # As bytes: numpy gathers rows of a structured type several times slower.
        self._bytes = table.view(np.uint8).reshape(len(table), self._dtype.itemsize)
        self._text = arrays["text/data"].tobytes()
        self._offsets = arrays["text/offsets"].copy() if self._text else None

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def nbytes(self) -> int:
        """Return how much memory they take."""
        return self._bytes.nbytes + len(self._text) + (0 if self._offsets is None else self._offsets.nbytes)

    def samples(self, rows: Any = slice(None)) -> Samples:
        """Return some rows, or all."""
        rows = np.arange(len(self))[rows]
        return Columns.gather(self.aus, [(self, rows, slice(None))], len(rows))

    @classmethod
    def gather(cls, aus: tuple[int, ...], parts: Iterable[tuple[Columns, Integers, Any]], count: int) -> Samples:
        """Return `count` samples: each part is columns, the rows wanted of them, and where in the answer they go."""
        dtype = _row_dtype(len(aus))
        gathered = np.empty((count, dtype.itemsize), np.uint8)
        text: list[str] = [""] * count
        for columns, rows, to in parts:
            gathered[to] = columns._bytes[rows]
            if columns._offsets is not None:
                starts, ends = columns._offsets[rows].tolist(), columns._offsets[rows + 1].tolist()
                for place, start, end in zip(np.arange(count)[to].tolist(), starts, ends, strict=True):
                    text[place] = columns._text[start:end].decode(*_CODING)
        table = gathered.view(dtype)[:, 0]
        cells = {name: np.ascontiguousarray(table[name]) for name, _, _, _ in _FIELDS}
        # They were checked when they were written, and their bytes are those that were written.
        labels = Labels._of_checked(aus, *(cells.pop(name) for name in ("intensity", "occurrence", "confidence")))
        return Samples(labels=labels, text=tuple(text), **cells)


def _row_dtype(aus: int) -> np.dtype[Any]:
    return np.dtype([(name, dtype, tuple(aus if n == "A" else n for n in shape)) for name, _, dtype, shape in _FIELDS])
