"""What is stored where, from the manifest alone: no shard is opened for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import StoreError
from ausynth.store.manifest import MANIFEST_FILE, Damaged, Drop, Entry, expand, parse

__all__ = ["ROW_BITS", "Catalogue"]

Integers = NDArray[np.int64]

ROW_BITS: Final = 20
"""A place is the shard's number, and in so many lower bits the row in it."""


class _Seen(NamedTuple):
    """How much of which file has been read."""

    file: int = -1
    changed: int = -1
    size: int = 0
    read: int = 0


_NOTHING_SEEN: Final = _Seen()


@dataclass(frozen=True, eq=False)
class _Runs:
    """Where the numbers of one plan lie: R runs of neighbouring numbers in neighbouring rows, ascending."""

    firsts: Integers
    ends: Integers
    shifts: Integers

    @property
    def count(self) -> int:
        return int((self.ends - self.firsts).sum())

    def find(self, numbers: Integers) -> Integers:
        run = self.firsts.searchsorted(numbers, "right") - 1
        # A number before all runs looks at the last one, beyond whose first it is not: asked for explicitly.
        there = (numbers < self.ends[run]) & (numbers >= self.firsts[run])
        return np.where(there, numbers + self.shifts[run], -1)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What a store's manifest lists: it does not change; `advanced` returns the next one.

    Attributes:
        entries: by the number of the shard, in the order in which they were listed; what was dropped since keeps its
            number, which is never given again.
        live: name of each shard that is listed -> its number.
        damaged: lines that are not as they were written.
        reread: how often the file had been replaced, and was read from the start.
    """

    entries: tuple[Entry, ...] = ()
    live: Mapping[str, int] = field(default_factory=dict)
    damaged: int = 0
    reread: int = 0
    seen: _Seen = _NOTHING_SEEN

    def __len__(self) -> int:
        return sum(runs.count for runs in self.plans.values())

    @property
    def bytes(self) -> int:
        """Return the size of all listed shards."""
        return sum(self.entries[number].bytes for number in self.live.values())

    @cached_property
    def plans(self) -> Mapping[str, _Runs]:
        """Return where the numbers of each plan lie."""
        numbers: dict[str, list[int]] = {}
        for number in self.live.values():
            numbers.setdefault(self.entries[number].plan, []).append(number)
        return {plan: _runs((number, self.entries[number].ranges) for number in of) for plan, of in numbers.items()}

    def find(self, plan: str, numbers: Integers) -> Integers:
        """Return the place of each number (B,) of a plan, -1 where it is not stored."""
        runs = self.plans.get(plan)
        return np.full(np.shape(numbers), -1, np.int64) if runs is None else runs.find(numbers)

    def numbers(self, plan: str) -> Integers:
        """Return the stored numbers of a plan, ascending."""
        runs = self.plans.get(plan)
        return np.empty(0, np.int64) if runs is None else expand(np.stack([runs.firsts, runs.ends - 1], axis=1))

    def advanced(self, folder: Path) -> Catalogue:
        """Return the catalogue after what has been listed since, itself where nothing has.

        Raises:
            StoreError: the manifest cannot be read.
        """
        path = folder / MANIFEST_FILE
        try:
            status = path.stat()
            now = _Seen(status.st_ino, status.st_mtime_ns, status.st_size, self.seen.read)
            if now == self.seen:
                return self
            file = path.open("rb")
        except FileNotFoundError:
            return self if self.seen == _NOTHING_SEEN else Catalogue(self.entries, reread=self.reread + 1)
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror})", expected="the list of a store") from error
        with file:
            status = os.fstat(file.fileno())
            grown = self.seen.file in {-1, status.st_ino} and status.st_size >= self.seen.size
            file.seek(self.seen.read if grown else 0)
            data = file.read()
        lines, size = parse(data)
        read = size + (self.seen.read if grown else 0)
        seen = _Seen(status.st_ino, status.st_mtime_ns, status.st_size, read)
        return self._after(lines, seen) if grown else self._replaced(lines, seen)

    def _after(self, lines: Iterable[Entry | Drop | Damaged], seen: _Seen) -> Catalogue:
        entries, live, damaged = list(self.entries), dict(self.live), self.damaged
        for line in lines:
            if isinstance(line, Damaged):
                damaged += 1
            elif isinstance(line, Drop):
                live.pop(line.shard, None)
            elif line.shard not in live:
                live[line.shard] = len(entries)
                entries.append(line)
        return Catalogue(tuple(entries), live, damaged, self.reread, seen)

    def _replaced(self, lines: Iterable[Entry | Drop | Damaged], seen: _Seen) -> Catalogue:
        """Return the catalogue of a manifest that was written anew; what it still lists keeps its places."""
        fresh = Catalogue()._after(lines, seen)
        known = {(entry.shard, entry.head): number for number, entry in enumerate(self.entries)}
        entries, live = list(self.entries), {}
        for name, number in fresh.live.items():
            entry = fresh.entries[number]
            live[name] = known.get((name, entry.head), len(entries))
            if live[name] == len(entries):
                entries.append(entry)
        return Catalogue(tuple(entries), live, fresh.damaged, self.reread + 1, seen)


def _runs(shards: Iterable[tuple[int, Integers]]) -> _Runs:
    """Return the runs of all shards of a plan; a number that is in several is taken from the first listed."""
    parts = [(number, ranges, ranges[:, 1] - ranges[:, 0] + 1) for number, ranges in shards]
    firsts = np.concatenate([ranges[:, 0] for _, ranges, _ in parts])
    lengths = np.concatenate([length for _, _, length in parts])
    places = np.concatenate([(number << ROW_BITS) + np.cumsum(length) - length for number, _, length in parts])
    order = np.argsort(firsts, kind="stable")
    runs = _Runs(firsts[order], (firsts + lengths)[order], (places - firsts)[order])
    if (runs.firsts[1:] >= runs.ends[:-1]).all():
        return runs
    numbers = expand(np.stack([firsts, firsts + lengths - 1], axis=1))
    each = numbers + np.repeat(places - firsts, lengths)
    numbers, first = np.unique(numbers, return_index=True)  # the first of equals, which is of the shard listed first
    each = each[first]
    # Runs end where either numbers or rows have a gap.
    cuts = np.flatnonzero((np.diff(numbers) != 1) | (np.diff(each) != 1)) + 1
    begins, stops = np.append(0, cuts), np.append(cuts, len(numbers))
    return _Runs(numbers[begins], numbers[stops - 1] + 1, each[begins] - numbers[begins])
