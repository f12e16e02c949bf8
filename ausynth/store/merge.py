"""Brings several stores together in one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.durable import sync_folder
from ausynth.errors import ConfigurationError, DamagedError, StoreError
from ausynth.store.catalogue import Catalogue
from ausynth.store.embeddings import copy_embeddings
from ausynth.store.files import storage_error
from ausynth.store.manifest import Entry, append, locked
from ausynth.store.recipe import load_recipe
from ausynth.store.samples import Samples
from ausynth.store.shard import DamageError, Shard
from ausynth.store.store import Store
from ausynth.store.verify import Progress
from ausynth.store.writing import Part

__all__ = ["Merged", "merge"]

Integers = NDArray[np.int64]

# What file systems say that cannot give one file two names.
_NO_LINKS: Final = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        out: the store of all.
        shards, samples, bytes: what it holds now.
        linked, copied: shards of the inputs that were taken as they are.
        rewritten: those of which only some samples were missing.
        there: those of which nothing was missing.
        duplicates: samples of the inputs that were there already, or that several inputs have.
    """

    out: Path
    shards: int
    samples: int
    bytes: int
    linked: int
    copied: int
    rewritten: int
    there: int
    duplicates: int


def merge(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    link: bool = True,
) -> Merged:
    """Bring several stores of one recipe together in one, each sample of each plan once.

    A shard of which nothing is there yet is taken as it is; of others the samples that are missing. Every picture is
    checked before it is taken. Being killed at any moment leaves a whole store, and the same call goes on; the inputs
    are never changed.

    Args:
        inputs: folders of the stores; where they differ in what does not decide (`Recipe.about`), the first is right.
        out: folder of the store of all: a new one, or one to add to, which may be among the inputs.
        progress: told how far it is.
        link: give the inputs' files a second name instead of copying them, where the file system can.

    Raises:
        ConfigurationError: no inputs.
        DamagedError: a shard of an input is damaged.
        StoreError: recipes differ (the message names each difference), two inputs have different samples under one
            number of one plan, or `out` cannot be written.
    """
    sources = _opened(inputs)
    there = load_recipe(Path(out))
    recipe, whose = (sources[0].recipe, sources[0].folder) if there is None else (there, Path(out))
    for source in sources:
        differences = source.recipe.differences(recipe)
        if differences:
            raise StoreError(
                f"{source.folder} holds other samples than {whose}: its {', its '.join(differences)}",
                expected="stores of one recipe",
                do="merge those that agree",
            )
    target = Store.create(out, recipe)
    catalogues = [(source, Catalogue().advanced(source.folder)) for source in sources]
    total = sum(entry.samples for _, catalogue in catalogues for entry in _live(catalogue))
    work, done = _Merge(target, link=link), 0
    for source, catalogue in catalogues:
        for entry in _live(catalogue):
            if progress is not None:
                progress(done, total, entry.shard)
            if source.folder.resolve() != target.folder.resolve():
                work.take(source, entry)
            done += entry.samples
    for source in sources:
        copy_embeddings(source.folder, target.folder)
    if progress is not None:
        progress(done, total, "")
    now = Catalogue().advanced(target.folder)
    return Merged(target.folder, len(now.live), len(now), now.bytes, **work.counts)


def _opened(inputs: Sequence[str | os.PathLike[str]]) -> list[Store]:
    """Return the input stores, each once."""
    folders = {Path(folder).resolve(): Path(folder) for folder in reversed(inputs)}
    if not folders:
        raise ConfigurationError("no stores to merge", expected="one or more folders")
    return [Store(folder) for folder in reversed(folders.values())]


def _live(catalogue: Catalogue) -> Iterator[Entry]:
    return (catalogue.entries[number] for number in catalogue.live.values())


class _Merge:
    """Takes shards into a store.

    Args:
        target: the store of all.
        link: whether files get a second name instead of being copied.
    """

    def __init__(self, target: Store, *, link: bool) -> None:
        self.target, self.link = target, link
        self._catalogue = Catalogue()
        self.counts = dict.fromkeys(("linked", "copied", "rewritten", "there", "duplicates"), 0)

    def take(self, source: Store, entry: Entry) -> None:
        """Take the samples of a shard that are not there yet."""
        places_N = self.target.find(entry.plan, entry.numbers)
        missing_N = places_N < 0
        self.counts["duplicates"] += int((~missing_N).sum())
        if not missing_N.any() and self._has(entry):
            self.counts["there"] += 1
            return
        try:
            shard = Shard(source.folder / entry.shard)
            if shard.header.head != entry.head:
                raise DamageError("it is another shard than the manifest lists under this name")
            samples = shard.columns.samples()
            self._require_same(source, entry.plan, samples, places_N)
            if not missing_N.any():
                self.counts["there"] += 1
                return
            bad = shard.failing()
            if bad.size:
                raise DamageError(f"{bad.size:,} of {entry.samples:,} samples fail their checksum")
            if missing_N.all():
                self._take_file(shard.path, entry)
            else:
                rows = np.flatnonzero(missing_N)
                configuration = shard.header.configuration
                self.target.write(samples.rows(rows), shard.images(rows), plan=entry.plan, configuration=configuration)
                self.counts["rewritten"] += 1
        except (DamageError, FileNotFoundError) as error:
            raise _damaged(source.folder, entry.shard, error) from error
        except OSError as error:
            raise storage_error(error, self.target.folder) from error
        self.target.refresh()

    def _has(self, entry: Entry) -> bool:
        """Return whether the very shard is there, so that nothing of it need be compared."""
        number = self._listed().get(entry.shard)
        return number is not None and self._catalogue.entries[number].head == entry.head

    def _listed(self) -> Mapping[str, int]:
        """Return the names of what the target lists now."""
        self._catalogue = self._catalogue.advanced(self.target.folder)
        return self._catalogue.live

    def _require_same(self, source: Store, plan: str, samples: Samples, places_N: Integers) -> None:
        """Raise StoreError where the target has another sample under the number of one of these."""
        there = np.flatnonzero(places_N >= 0)
        keys = self.target.samples(places_N[there]).key
        other = there[(keys != samples.key[there]).any(axis=1)]
        if other.size:
            raise StoreError(
                f"number {samples.number[other[0]]} of plan {plan!r} is another sample in {source.folder} than in "
                f"{self.target.folder}",
                expected="one sample for each number of a plan",
                do="keep these stores apart: they were filled by streams that call different plans the same",
            )

    def _take_file(self, path: Path, entry: Entry) -> None:
        if self.link and self._linked(path, entry):
            self.counts["linked"] += 1
            return
        folder = self.target.folder
        with Part(folder, entry.shard) as part:
            with path.open("rb") as source, open(part.descriptor, "wb", closefd=False) as file:
                shutil.copyfileobj(source, file, 16 << 20)
            os.fsync(part.descriptor)
            if Shard(part.path).failing().size:
                raise DamageError("it reads differently each time")
            with locked(folder):
                if entry.shard not in self._listed():
                    part.publish(folder / entry.shard)
                    self._list(entry)
        self.counts["copied"] += 1

    def _linked(self, path: Path, entry: Entry) -> bool:
        """Give a file a second name in the target, and list it; return False where the file system cannot."""
        folder = self.target.folder
        with locked(folder):
            if entry.shard in self._listed():
                return True
            with contextlib.suppress(FileNotFoundError):
                # Not listed under the lock, and not adopted: damaged.
                (folder / entry.shard).unlink()
            try:
                os.link(path, folder / entry.shard)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return False
            self._list(entry)
        return True

    def _list(self, entry: Entry) -> None:
        """List a file that has its name; the caller holds the lock."""
        folder = self.target.folder
        try:
            sync_folder(folder)
            append(folder, [entry])
        except BaseException:
            # An interruption may come when the line is on the disk already: then the shard has to stay.
            if entry.shard not in self._listed():
                (folder / entry.shard).unlink(missing_ok=True)
            raise


def _damaged(folder: Path, shard: str, reason: DamageError | OSError) -> DamagedError:
    what = "the file is missing" if isinstance(reason, OSError) else str(reason)
    error = DamagedError(
        f"shard {folder / shard} is damaged: {what}",
        expected="the bytes that were written",
        do=f"run `ausynth cache repair {folder}`, then the same again: what was merged stays",
    )
    error.shard = str(folder / shard)
    return error
