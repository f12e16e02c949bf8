"""What a writer does first: remove what killed writers left half done, and list what they left whole."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ausynth.errors import StoreError
from ausynth.store.catalogue import Catalogue
from ausynth.store.manifest import Entry, append, locked
from ausynth.store.recipe import Recipe
from ausynth.store.shard import DamageError, Shard
from ausynth.store.writing import SUFFIX, remove_dead_parts

__all__ = ["tidy"]


def tidy(folder: Path, recipe: Recipe, catalogue: Catalogue) -> None:
    """Remove parts whose writers are dead, and list shards that are whole, of this recipe and not on the list.

    A writer gives a shard its name and lists it under the manifest's lock, so whoever holds that lock and finds a shard
    that is not listed knows that its writer was killed between the two, or that the line was damaged since.

    Raises:
        StoreError, OSError: the folder cannot be read or written.
    """
    remove_dead_parts(folder)
    if not _unlisted(folder, catalogue) and not any(folder.glob("*.tmp")):
        return
    with locked(folder):
        for path in folder.glob("*.tmp"):  # written under this lock only
            path.unlink(missing_ok=True)
        unlisted = _unlisted(folder, catalogue.advanced(folder))
        entries = [entry for entry in (_sound_entry(path, recipe) for path in unlisted) if entry is not None]
        if entries:
            append(folder, entries)


def _unlisted(folder: Path, catalogue: Catalogue) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.name not in catalogue.live)


def _sound_entry(path: Path, recipe: Recipe) -> Entry | None:
    with contextlib.suppress(DamageError, StoreError, OSError):
        shard = Shard(path)
        if shard.header.recipe == recipe and not shard.failing().size:
            return shard.entry()
    return None
