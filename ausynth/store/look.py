"""Looks at one shard file: whether every byte of it is as it was written, and what of it is whole if not."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import StoreError
from ausynth.store.files import storage_error
from ausynth.store.handles import Descriptor
from ausynth.store.manifest import Entry
from ausynth.store.recipe import Recipe
from ausynth.store.shard import DamageError, Shard
from ausynth.store.userblock import read_header

__all__ = ["Damage", "FileState", "Looked", "compared", "look_at", "union"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Damage:
    """A shard that is not as it was written.

    Attributes:
        shard: name of the file.
        what: one clause that says what is wrong.
        rows: of the samples that fail, where the others are whole.
        whole: whether all of it is lost.
    """

    shard: str
    what: str
    rows: tuple[int, ...] = ()
    whole: bool = False


class FileState(NamedTuple):
    """What tells a file from another that took its name since."""

    inode: int
    changed: int
    size: int

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """Return the state of a file, None where it is not there."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        return cls(status.st_ino, status.st_mtime_ns, status.st_size)


@dataclass(frozen=True, eq=False)
class Looked:
    """One shard file, looked at.

    Attributes:
        name: of the file.
        state: of the file when it was looked at, None where it is gone.
        entry: the line that lists it, None without.
        found: the line that would list the file as it is, None where its structure is damaged or it is gone.
        recipe: what the file says it is of, None where it cannot tell.
        bad: rows whose pictures are not as they were written.
        reason: why the shard cannot be read as it is listed, "" where it can.
        foreign: whether it is of another recipe or schema.
    """

    name: str
    state: FileState | None = None
    entry: Entry | None = None
    found: Entry | None = None
    recipe: Recipe | None = None
    bad: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    reason: str = ""
    foreign: bool = False

    @property
    def sound(self) -> bool:
        """Return whether every byte is as it was written, and listed so."""
        return not self.reason and not self.bad.size

    @property
    def plan(self) -> str | None:
        """Return what its numbers are numbers of, None where the file cannot tell."""
        return None if self.found is None else self.found.plan

    @property
    def whole_numbers(self) -> Integers:
        """Return the numbers of its samples that are whole, ascending."""
        return np.empty(0, np.int64) if self.found is None or self.foreign else np.delete(self.found.numbers, self.bad)

    def damage(self) -> Damage:
        """Return what is wrong, in words."""
        if not self.bad.size:
            return Damage(self.name, self.reason, whole=not self.whole_numbers.size)
        assert self.found is not None
        what = f"{self.bad.size:,} of {self.found.samples:,} samples fail their checksum"
        what = f"{self.reason}, and {what}" if self.reason else what
        return Damage(self.name, what, tuple(self.bad.tolist()), whole=self.bad.size == self.found.samples)


def look_at(path: Path, entry: Entry | None) -> Looked:
    """Return what is found in a shard file that a line lists, or none.

    Raises:
        StoreError: the file may not be read.
    """
    state = FileState.of(path)
    try:
        shard = Shard(path)
        bad, found = _failing(shard), shard.entry()
    except DamageError as error:
        return Looked(path.name, state, entry, recipe=_recipe_of(path), reason=str(error))
    except StoreError as error:  # of another schema: nobody here can tell whether it is whole
        return Looked(path.name, state, entry, reason=error.what, foreign=True)
    except FileNotFoundError:
        return Looked(path.name, None, entry, reason="the file is missing")
    except OSError as error:
        return Looked(path.name, state, entry, reason=_disk_error(error, path))
    another = entry is not None and entry.head != found.head
    reason = "it is another shard than the manifest lists under this name" if another else ""
    return Looked(path.name, state, entry, found, shard.header.recipe, bad, reason)


def _recipe_of(path: Path) -> Recipe | None:
    """Return what the beginning of a damaged file still says."""
    with contextlib.suppress(DamageError, OSError):
        file = Descriptor(path)
        return read_header(file.number).recipe
    return None


def _failing(shard: Shard) -> Integers:
    """Return the rows whose pictures are not as they were written, those among them that the disk cannot read."""
    try:
        return shard.failing()
    except OSError as error:
        _disk_error(error, shard.path)
    return np.array([row for row in range(len(shard)) if not _is_whole(shard, row)], np.int64)


def _is_whole(shard: Shard, row: int) -> bool:
    try:
        return shard.is_whole(row)
    except OSError as error:
        _disk_error(error, shard.path)
        return False


def _disk_error(error: OSError, path: Path) -> str:
    """Return the reason where the disk has lost bytes; raise StoreError for what is no damage (missing rights)."""
    if error.errno == errno.EIO:
        return f"the disk cannot read it ({error.strerror})"
    raise storage_error(error, path) from error


def compared(looked: Looked, recipe: Recipe | None) -> Looked:
    """Return what was found, as foreign where it is of another recipe than the store."""
    if recipe is None or looked.recipe is None or looked.recipe == recipe:
        return looked
    reason = f"it belongs to another store: {'; '.join(looked.recipe.differences(recipe))}"
    return Looked(looked.name, looked.state, looked.entry, None, looked.recipe, reason=reason, foreign=True)


def union(parts: Iterable[Integers]) -> Integers:
    """Return the numbers that are in any of the parts, ascending, each once."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
