"""Brings a damaged store back to what is whole of it, and says what has to be made again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ausynth.durable import sync_folder
from ausynth.errors import StoreError
from ausynth.store.adoption import tidy
from ausynth.store.catalogue import Catalogue
from ausynth.store.files import storage_error
from ausynth.store.look import Damage, FileState, Looked, union
from ausynth.store.manifest import Drop, Entry, append, locked, rewrite
from ausynth.store.recipe import RECIPE_FILE, save_recipe
from ausynth.store.shard import Shard, checksums_of
from ausynth.store.store import Store
from ausynth.store.verify import Examination, Numbers, Progress, examine
from ausynth.store.writing import PreparedShard

__all__ = ["Repair", "repair"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Attributes:
        folder: of the store.
        kept: how many samples the store holds now.
        dropped: the shards that are gone; what was whole in them lies in new ones.
        relisted: whole shards that were not on the list.
        manifest_rebuilt, recipe_rebuilt: whether manifest.jsonl and store.json were damaged.
        lost: what must be made again.
        unknown: dropped shards of which nothing tells any more what they held.
    """

    folder: Path
    kept: int
    dropped: tuple[Damage, ...] = ()
    relisted: tuple[str, ...] = ()
    manifest_rebuilt: bool = False
    recipe_rebuilt: bool = False
    lost: Numbers = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Return whether there was anything to repair."""
        return bool(self.dropped or self.relisted or self.manifest_rebuilt or self.recipe_rebuilt)


def repair(folder: str | os.PathLike[str], progress: Progress | None = None) -> Repair:
    """Drop what is damaged, keep all that is whole, and say what must be made again.

    Whole samples of a damaged shard go into a new one before the old is dropped, so that being killed at any moment
    loses nothing more; the same call goes on. Others may read and write the store meanwhile.

    Args:
        folder: of the store.
        progress: told how far the look at every byte is.

    Raises:
        StoreError: there is no store, it cannot be written, or nothing tells any more what it was.
    """
    seen = examine(Path(folder), progress)
    try:
        return _repaired(seen)
    except OSError as error:
        raise storage_error(error, seen.folder) from error


def _repaired(seen: Examination) -> Repair:
    folder = seen.folder
    if seen.recipe is None:
        raise StoreError(
            f"{folder / RECIPE_FILE}: {seen.recipe_problem}, and no shard is whole enough to tell what it said",
            expected="one whole shard, or the file",
            do="remove the folder, and run again what filled it",
        )
    if seen.recipe_problem:
        with locked(folder):
            save_recipe(folder, seen.recipe)
    if seen.lines:
        _rebuild_manifest(seen)
    store = Store(folder)
    tidy(folder, store.recipe, Catalogue().advanced(folder))  # lists what is whole and was not listed
    store.refresh()
    _Rescue(store, seen).run()
    store.refresh()
    return Repair(
        folder=folder,
        kept=len(store),
        dropped=tuple(looked.damage() for looked in seen.damaged()),
        relisted=tuple(looked.name for looked in seen.unlisted()),
        manifest_rebuilt=seen.lines > 0,
        recipe_rebuilt=bool(seen.recipe_problem),
        lost=seen.lost(),
        unknown=seen.unknown(),
    )


def _rebuild_manifest(seen: Examination) -> None:
    """Write the manifest anew, without the lines that cannot be read, and with the shards that they listed."""
    with locked(seen.folder):
        catalogue = Catalogue().advanced(seen.folder)
        entries = [catalogue.entries[number] for number in catalogue.live.values()]
        for looked in seen.unlisted():
            unchanged = looked.state == FileState.of(seen.folder / looked.name)
            if looked.found is not None and looked.name not in catalogue.live and unchanged:
                entries.append(looked.found)
        rewrite(seen.folder, entries)


class _Rescue:
    """Brings what is whole in damaged shards to safety, then drops those.

    Args:
        store: where they lie.
        seen: what is known about all its shards.
    """

    def __init__(self, store: Store, seen: Examination) -> None:
        self.store, self.seen = store, seen
        self.doomed = {looked.name: looked for looked in (*seen.damaged(), *seen.residue())}
        self.safe: dict[str, Integers] = {}

    def run(self) -> None:
        """Do it."""
        for looked in self.seen.damaged():
            if looked.whole_numbers.size and looked.bad.size:
                self._rescue(looked)
        self._drop(list(self.doomed.values()))

    def _rescue(self, looked: Looked) -> None:
        """Write the whole samples of a shard that lie nowhere else."""
        shard = Shard(self.store.folder / looked.name)
        samples = shard.columns.samples()
        plan = shard.header.plan
        if plan not in self.safe:
            self.safe[plan] = union(
                each.whole_numbers for each in self.seen.looked if each.plan == plan and each.name not in self.doomed
            )
        wanted_N = ~np.isin(samples.number, self.safe[plan])
        wanted_N[looked.bad] = False
        rows = np.flatnonzero(wanted_N)
        if not rows.size:
            return
        images = shard.images(rows)
        whole = checksums_of(list(images)) == shard.pixels.checksums_N[rows]
        if not whole.all():
            raise StoreError(
                f"shard {shard.path} reads differently each time", expected="a disk that gives back what it holds"
            )
        chosen, configuration = samples.rows(rows), shard.header.configuration
        name = PreparedShard(self.store.recipe, chosen, images, plan, configuration).name
        if name in self.doomed:
            # An older repair wrote this very shard, and it was damaged since: everything in it is whole here.
            self._drop([self.doomed.pop(name)])
            self.store.refresh()
        self.store.write(chosen, images, plan=plan, configuration=configuration)
        self.safe[plan] = union([self.safe[plan], chosen.number])

    def _drop(self, shards: Iterable[Looked]) -> None:
        """Take shards off the list and remove their files, unless others have put them right since."""
        folder = self.store.folder
        with locked(folder):
            live = Catalogue().advanced(folder)
            same = [looked for looked in shards if looked.state == FileState.of(folder / looked.name)]
            lines: list[Entry | Drop] = []
            for looked in same:
                if looked.name in live.live:
                    lines.append(Drop(looked.name))
                if looked.found is not None and not looked.bad.size and not looked.foreign:
                    lines.append(looked.found)  # whole, but not what was listed: listed as what it is
            if lines:
                append(folder, lines)
            for looked in same:
                if not looked.foreign and (looked.found is None or looked.bad.size):
                    (folder / looked.name).unlink(missing_ok=True)
            if same:
                sync_folder(folder)
