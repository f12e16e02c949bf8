"""Reads pictures and columns by their place: many in few system calls, each checked, memory flat."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, DamagedError, FrameError
from ausynth.sources.images import decode_image, decode_whole
from ausynth.store.catalogue import ROW_BITS, Catalogue
from ausynth.store.columns import Columns
from ausynth.store.gather import PieceError, gather
from ausynth.store.handles import Descriptor, Descriptors, Recent
from ausynth.store.recipe import Recipe
from ausynth.store.samples import Samples
from ausynth.store.shard import DamageError, ShardPixels, checksums_of
from ausynth.store.userblock import Header, read_arrays, read_header

__all__ = ["Reader", "Verify"]

Integers = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Verify = Literal["read", "open", "never"]

_ROW: Final = (1 << ROW_BITS) - 1
_COLUMNS: Final = 64 << 20
"""Bytes of columns that are kept in memory."""
_AT_ONCE: Final = 256
"""Pictures that are read by one call."""


class Reader:
    """Reads what a store's catalogue lists.

    Safe in threads and after a fork: what is kept of a shard does not change, and is replaced in one step.

    Args:
        folder: of the store.
        recipe: of the store.
        verify: when pictures are checked: each time, all of a shard when it is opened, or never.
    """

    def __init__(self, folder: Path, recipe: Recipe, verify: Verify) -> None:
        self._folder, self._recipe, self._verify = folder, recipe, verify
        self._coded = recipe.codec == "jpeg"
        self.forget()

    def forget(self) -> None:
        """Forget what is known of all shards: their files may have been replaced."""
        self._descriptors = Descriptors()
        self._pixels: dict[int, ShardPixels] = {}
        self._columns: Recent[Columns] = Recent(_COLUMNS, lambda columns: columns.nbytes)

    def read(self, catalogue: Catalogue, places: Integers, out: Pixels) -> None:
        """Read the pictures at `places` (B,) into `out` (B, S, S, 3); see `Store.read`."""
        places_B = _require_places(places, catalogue)
        _require_room(out, (len(places_B), self._recipe.image_size))
        bad: list[int] = []
        for first in range(0, len(places_B), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            pieces = self._locate(catalogue, places_B[some])
            rows = list(out[some])
            wrong = self._decode(pieces, rows) if self._coded else self._read_raw(pieces, rows)
            bad += [first + row for row in wrong]
        if bad:
            raise self._samples_damaged(catalogue, places_B, np.unique(bad))

    def encoded(self, catalogue: Catalogue, place: int) -> bytes:
        """Return the stored bytes of one picture; see `Store.encoded`."""
        places_B = _require_places(np.array([place]), catalogue)
        number, row = place >> ROW_BITS, place & _ROW
        try:
            pixels = self._pixels_of(catalogue, number)
            if row >= pixels.count:
                raise _no_row(row, catalogue, number)
            data = pixels.read_coded(self._open(catalogue, number).number, row, row + 1)
        except (DamageError, OSError) as error:
            raise self._shard_damaged(catalogue, number, error, places_B) from error
        bad = pixels.bad_N is not None and bool(pixels.bad_N[row])
        if bad or (self._verify == "read" and checksums_of(data)[0] != pixels.checksums_N[row]):
            raise self._samples_damaged(catalogue, places_B, np.zeros(1, np.int64))
        return data[0]

    def samples(self, catalogue: Catalogue, places: Integers) -> Samples:
        """Return the columns of the samples at `places` (B,), in that order; see `Store.samples`."""
        places_B = _require_places(places, catalogue)
        return Columns.gather(self._recipe.aus, self._parts(catalogue, places_B), len(places_B))

    def columns(self, catalogue: Catalogue, number: int) -> Columns:
        """Return all columns of a shard; raise DamagedError."""
        columns = self._columns.get(number)
        if columns is not None:
            return columns
        try:
            header, arrays = self._arrays(catalogue, number)
        except (DamageError, OSError) as error:
            raise self._shard_damaged(catalogue, number, error, np.empty(0, np.int64)) from error
        return self._columns.put(number, Columns(header.recipe.aus, arrays))

    def _parts(self, catalogue: Catalogue, places_B: Integers) -> Iterator[tuple[Columns, Integers, Any]]:
        numbers_B, rows_B = places_B >> ROW_BITS, places_B & _ROW
        order = np.argsort(numbers_B, kind="stable")
        edges = [0, *(np.flatnonzero(np.diff(numbers_B[order])) + 1).tolist(), len(order)]
        for start, end in itertools.pairwise(edges):
            if start == end:
                continue
            to = order[start:end]
            number = int(numbers_B[to[0]])
            try:
                columns = self.columns(catalogue, number)
            except DamagedError as error:
                reason = error.__cause__
                assert isinstance(reason, DamageError | OSError)
                raise self._shard_damaged(catalogue, number, reason, places_B) from reason
            if rows_B[to].max() >= len(columns):
                raise _no_row(int(rows_B[to].max()), catalogue, number)
            yield columns, rows_B[to], to

    def _locate(self, catalogue: Catalogue, places_B: Integers) -> _Pieces:
        """Return where the bytes of the pictures at `places` (B,) lie."""
        numbers_B, rows_B = places_B >> ROW_BITS, places_B & _ROW
        pieces = _Pieces.of(places_B, self, catalogue)
        numbers = sorted(set(numbers_B.tolist()))
        for number in numbers:
            try:
                pixels, file = self._pixels_of(catalogue, number), self._open(catalogue, number)
            except (DamageError, OSError) as error:
                raise self._shard_damaged(catalogue, number, error, places_B) from error
            mine: Any = slice(None) if len(numbers) == 1 else numbers_B == number
            rows = rows_B[mine]
            last = int(rows.max())
            if last >= pixels.count:
                raise _no_row(last, catalogue, number)
            pieces.offsets[mine], pieces.sizes[mine] = pixels.spans(rows)
            pieces.expected[mine] = pixels.checksums_N[rows]
            pieces.files[mine] = file.number
            pieces.held.append(file)
            if pixels.bad_N is not None:
                pieces.bad[mine] = pixels.bad_N[rows]
        return pieces

    def _read_raw(self, pieces: _Pieces, rows: list[Pixels]) -> list[int]:
        """Read raw pictures into `rows`; return the positions of those that are bad."""
        pieces.read(rows)
        bad: list[int] = np.flatnonzero(pieces.bad).tolist()
        if self._verify == "read":
            expected = pieces.expected.tolist()
            found = [xxhash.xxh3_64_intdigest(row.data) for row in rows]
            if found != expected:
                bad += [row for row, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1]]
        return bad

    def _decode(self, pieces: _Pieces, rows: list[Pixels]) -> list[int]:
        """Read and decode JPEGs into `rows`; return the positions of those that are bad."""
        ends = np.cumsum(pieces.sizes)
        arena = np.empty(int(ends[-1]), np.uint8)
        coded = [arena[end - size : end] for end, size in zip(ends.tolist(), pieces.sizes.tolist(), strict=True)]
        pieces.read(coded)
        bad: list[int] = np.flatnonzero(pieces.bad).tolist()
        for row, (data, out, expected) in enumerate(zip(coded, rows, pieces.expected.tolist(), strict=True)):
            # What is as it was written needs no second look for its end.
            checked = self._verify == "read"
            if checked and xxhash.xxh3_64_intdigest(data.data) != expected:
                bad.append(row)
                continue
            image = decode_whole(data) if checked else _decoded(data.tobytes())
            if image is None or image.shape != out.shape:
                bad.append(row)
            else:
                out[...] = image
        return bad

    def _open(self, catalogue: Catalogue, number: int) -> Descriptor:
        return self._descriptors.get(number, self._folder / catalogue.entries[number].shard)

    def _pixels_of(self, catalogue: Catalogue, number: int) -> ShardPixels:
        pixels = self._pixels.get(number)
        if pixels is None:
            pixels = ShardPixels(*self._arrays(catalogue, number))
            if self._verify == "open":
                bad_N = pixels.failing(self._open(catalogue, number).number)
                pixels.bad_N = bad_N if bad_N.any() else None
            self._pixels[number] = pixels
        return pixels

    def _arrays(self, catalogue: Catalogue, number: int) -> tuple[Header, dict[str, NDArray[Any]]]:
        file = self._open(catalogue, number)
        header = read_header(file.number)
        if header.head != catalogue.entries[number].head:
            raise DamageError("it is another shard than the manifest lists under this name")
        if header.recipe != self._recipe:
            raise DamageError(f"it belongs to another store: {'; '.join(header.recipe.differences(self._recipe))}")
        return header, read_arrays(file.number, header)

    def _shard_damaged(
        self, catalogue: Catalogue, number: int, reason: DamageError | OSError, places_B: Integers
    ) -> DamagedError:
        """Return the error for all places of a shard that cannot be read at all."""
        text = "the file is missing" if isinstance(reason, FileNotFoundError) else str(reason)
        if isinstance(reason, OSError) and reason.strerror and not isinstance(reason, FileNotFoundError):
            text = reason.strerror
        concerned = np.flatnonzero(places_B >> ROW_BITS == number)
        return self._error(catalogue, number, text, places_B, concerned)

    def _samples_damaged(self, catalogue: Catalogue, places_B: Integers, positions: Integers) -> DamagedError:
        """Return the error for pictures that are not as they were written."""
        place = int(places_B[positions[0]])
        what = f"the checksum of sample {place & _ROW} does not match"
        if positions.size > 1:
            what = f"the checksums of {positions.size} samples do not match, the first of them sample {place & _ROW}"
        return self._error(catalogue, place >> ROW_BITS, what, places_B, positions)

    def _error(
        self, catalogue: Catalogue, number: int, what: str, places_B: Integers, positions: Integers
    ) -> DamagedError:
        path = self._folder / catalogue.entries[number].shard
        error = DamagedError(
            f"shard {path} is damaged: {what}",
            expected="the bytes that were written",
            do=f"run `ausynth cache repair {self._folder}`, then again what filled the store, which makes what is lost",
        )
        error.shard = str(path)
        error.position = int(positions[0]) if positions.size == 1 else None
        error.places = tuple(places_B[positions].tolist())
        return error


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Where the bytes of B pictures lie, and what they hash to.

    Attributes:
        files, offsets, sizes, expected, bad: (B,) of each picture.
        held: the files, which are not closed meanwhile.
        damaged: makes the error for the picture that lies beyond its file's end, or cannot be read.
    """

    files: Integers
    offsets: Integers
    sizes: Integers
    expected: NDArray[np.uint64]
    bad: NDArray[np.bool_]
    held: list[Descriptor]
    damaged: Callable[[int, DamageError | OSError], DamagedError]

    @classmethod
    def of(cls, places_B: Integers, reader: Reader, catalogue: Catalogue) -> _Pieces:
        """Return room for what is known of each."""
        count = len(places_B)

        def damaged(row: int, error: DamageError | OSError) -> DamagedError:
            return reader._shard_damaged(catalogue, int(places_B[row]) >> ROW_BITS, error, places_B)

        files, offsets, sizes = (np.empty(count, np.int64) for _ in range(3))
        return cls(files, offsets, sizes, np.empty(count, np.uint64), np.zeros(count, bool), [], damaged)

    def read(self, into: Sequence[Pixels]) -> None:
        """Read them all."""
        try:
            short = gather(self.files, self.offsets, self.sizes, into)
        except PieceError as error:
            raise self.damaged(error.piece, error.error) from error.error
        if short.size:
            cut = DamageError("it ends before its pictures do")
            raise self.damaged(int(short[0]), cut) from cut


def _decoded(data: bytes) -> Pixels | None:
    try:
        return decode_image(data, "a stored picture")
    except FrameError:
        return None


def _require_places(places: Integers, catalogue: Catalogue) -> Integers:
    places_B = np.asarray(places, dtype=np.int64)
    if places_B.ndim != 1:
        raise ConfigurationError(f"places of shape {places_B.shape}", expected="(B,)")
    if places_B.size and (places_B.min() < 0 or places_B.max() >> ROW_BITS >= len(catalogue.entries)):
        raise ConfigurationError(
            f"places from {places_B.min()} to {places_B.max()}",
            expected=f"places that find() or places() returned, in {len(catalogue.entries)} shards",
            do="leave out those that find() did not find (-1)",
        )
    return places_B


def _no_row(row: int, catalogue: Catalogue, number: int) -> ConfigurationError:
    entry = catalogue.entries[number]
    return ConfigurationError(f"row {row} of shard {entry.shard}", expected=f"a row of its {entry.samples:,} samples")


def _require_room(out: Pixels, expected: tuple[int, int]) -> None:
    count, side = expected
    if out.dtype != np.uint8 or out.shape != (count, side, side, 3) or not out.flags.writeable:
        raise ConfigurationError(f"out is {out.dtype} {out.shape}", expected=f"uint8 ({count}, {side}, {side}, 3)")
    if count and out.strides[1:] != (side * 3, 3, 1) and not out[0].flags.c_contiguous:
        raise ConfigurationError(f"out with strides {out.strides}", expected="rows that are contiguous, each by itself")
