"""The list of a store's shards: a file to which lines are only ever added.

Each line is JSON and carries its own checksum. A writer that is killed leaves at most half a line at the end, which the
next one removes; a line that fails its checksum is passed over and counted, and the shard it named is found again in
the folder by the next writer, or by a repair.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ausynth.durable import sync_folder, write_aside
from ausynth.errors import StoreError
from ausynth.store.files import read_whole, seal, storage_error, unseal

__all__ = ["MANIFEST_FILE", "Damaged", "Drop", "Entry", "append", "format_numbers", "locked", "parse", "parse_numbers"]
__all__ += ["ranges_of", "read_lines", "rewrite"]

Integers = NDArray[np.int64]

MANIFEST_FILE: Final = "manifest.jsonl"
_LOCK_FILE: Final = ".lock"
_PATIENCE: Final = 600.0
"""Seconds that a writer waits for others to list what they wrote, which takes them milliseconds."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A line that lists a shard.

    Attributes:
        shard: name of the file.
        samples: how many it holds.
        bytes: size of the file.
        plan: what the numbers are numbers of.
        ranges: (R, 2) int64, first and last number of each run of numbers without a gap, ascending: row after row.
        head: xxh3_128 of the shard's user block, hex: it stands for the whole content.
    """

    shard: str
    samples: int
    bytes: int
    plan: str
    ranges: Integers
    head: str

    def to_json(self) -> dict[str, Any]:
        """Return the line's facts."""
        facts = {name: getattr(self, name) for name in ("shard", "samples", "bytes", "plan", "head")}
        return {**facts, "numbers": _spell(self.ranges)}

    @property
    def numbers(self) -> Integers:
        """Return the (N,) numbers of the rows, ascending."""
        return expand(self.ranges)


@dataclass(frozen=True)
class Drop:
    """A line that takes a shard off the list."""

    shard: str


@dataclass(frozen=True)
class Damaged:
    """A line that is not as it was written."""

    data: bytes


def ranges_of(numbers: Integers) -> Integers:
    """Return (R, 2) first and last of each run without a gap in ascending numbers.

    >>> ranges_of(np.array([0, 1, 2, 7])).tolist()
    [[0, 2], [7, 7]]
    """
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    firsts, ends = np.append(0, cuts), np.append(cuts, len(numbers))
    return np.stack([numbers[firsts], numbers[ends - 1]], axis=1) if len(numbers) else np.empty((0, 2), np.int64)


def expand(ranges: Integers) -> Integers:
    """Return the numbers that `ranges` stands for."""
    lengths = ranges[:, 1] - ranges[:, 0] + 1
    starts = np.cumsum(lengths) - lengths
    numbers: Integers = np.arange(lengths.sum()) + np.repeat(ranges[:, 0] - starts, lengths)
    return numbers


def format_numbers(numbers: Integers) -> str:
    """Return ascending numbers as text.

    >>> format_numbers(np.array([0, 1, 2, 7, 9, 10]))
    '0-2,7,9-10'
    """
    return _spell(ranges_of(np.asarray(numbers, np.int64)))


def parse_numbers(text: str) -> Integers:
    """Return the (R, 2) ranges that `format_numbers` spelled.

    >>> parse_numbers("0-2,7").tolist()
    [[0, 2], [7, 7]]
    """
    pairs = [part.partition("-") for part in text.split(",")] if text else []
    return np.array([(int(first), int(last or first)) for first, _, last in pairs], np.int64).reshape(-1, 2)


def _spell(ranges: Integers) -> str:
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges.tolist())


def parse(data: bytes) -> tuple[list[Entry | Drop | Damaged], int]:
    """Return what the lines in `data` say, and how many bytes they have; the half line at the end is left for later."""
    whole = data.rfind(b"\n") + 1
    return [_parse_line(line + b"\n") for line in data[:whole].split(b"\n")[:-1]], whole


def _parse_line(line: bytes) -> Entry | Drop | Damaged:
    facts = unseal(line)
    if facts is None:
        return Damaged(line)
    if "drop" in facts:
        return Drop(facts["drop"])
    known = {name: facts[name] for name in ("shard", "samples", "bytes", "plan", "head")}
    return Entry(**known, ranges=parse_numbers(facts["numbers"]))


def read_lines(folder: Path) -> list[Entry | Drop | Damaged]:
    """Return what all lines of a store's manifest say, half a line at the end among the damaged; [] without one."""
    try:
        data = (folder / MANIFEST_FILE).read_bytes()
    except FileNotFoundError:
        return []
    lines, whole = parse(data)
    return [*lines, *([Damaged(data[whole:])] if whole < len(data) else [])]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep all other writers, of this machine and of those that share the folder, from changing what is listed.

    Raises:
        StoreError: the file system has no locks, is full, or another process holds the lock for ten minutes.
    """
    lock = FileLock(folder / _LOCK_FILE, timeout=_PATIENCE, poll_interval=0.005, is_singleton=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"another process has held {folder / _LOCK_FILE} for {_PATIENCE:.0f} s",
            expected="milliseconds",
            do="look for a writer of this store that hangs, and end it",
        ) from error
    except NotImplementedError as error:
        raise StoreError(f"{folder} lies on a file system without locks (flock)", expected="one with") from error
    except OSError as error:
        raise storage_error(error, folder / _LOCK_FILE) from error
    try:
        yield
    finally:
        lock.release()


def append(folder: Path, lines: Sequence[Entry | Drop]) -> None:
    """Add lines, so that all are on the disk when this returns, or none; the caller holds the lock.

    Raises:
        OSError: the file cannot be written.
    """
    data = b"".join(seal({"drop": line.shard} if isinstance(line, Drop) else line.to_json()) for line in lines)
    path = folder / MANIFEST_FILE
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        before = _without_half_line(descriptor)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
    if new:
        sync_folder(folder)


def rewrite(folder: Path, entries: Sequence[Entry]) -> None:
    """Replace the whole list in one step; the caller holds the lock. Raise OSError where that cannot be."""
    write_aside(folder / MANIFEST_FILE, b"".join(seal(entry.to_json()) for entry in entries))


def _without_half_line(descriptor: int) -> int:
    """Remove what a killed writer left behind the last line, and return the size of the file."""
    size = os.fstat(descriptor).st_size
    start = size
    tail = b""
    while start and b"\n" not in tail:
        start = max(0, start - 65536)
        tail = read_whole(descriptor, start, size - start)
    half = len(tail) - (tail.rfind(b"\n") + 1)
    if half and unseal(tail[-half:] + b"\n") is not None:  # only the end of the line is missing
        os.write(descriptor, b"\n")
        return size + 1
    if half:
        os.ftruncate(descriptor, size - half)
    return size - half
