"""Looks at every byte of a store, and says what is whole, what is not, and which samples are lost by that."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import StoreError
from ausynth.store.files import storage_error, unseal
from ausynth.store.look import Damage, FileState, Looked, compared, look_at, union
from ausynth.store.manifest import MANIFEST_FILE, Damaged, Drop, Entry, read_lines
from ausynth.store.recipe import RECIPE_FILE, Recipe, require_schema

__all__ = ["Examination", "Numbers", "Progress", "Verification", "examine", "verify"]

Integers = NDArray[np.int64]
Numbers = Mapping[str, Integers]
"""Numbers of samples, ascending, by their plan."""
Progress = Callable[[int, int, str], None]
"""Told how many samples of how many were looked at, and the shard that comes next."""

# Files with other names are somebody else's.
_SHARD_NAME: Final = re.compile(r"[0-9a-f]{32}\.h5")


@dataclass(frozen=True)
class Verification:
    """What a look at every byte of a store found.

    Attributes:
        folder: of the store.
        shards, samples, bytes: what the manifest lists.
        damaged: shards that are not as they were written, or gone.
        lines: how many lines of the manifest cannot be read.
        recipe_problem: what is wrong with store.json, "" if nothing is.
        unlisted: whole shards that are not on the list; the next writer lists them.
        leftovers: unfinished files of writers that work or were killed; the next writer clears them up.
        foreign: shards of another recipe or schema that are not on the list; they are let alone.
        lost: what was stored and is whole nowhere in the store.
        unknown: damaged shards of which nothing tells any more what they held.
    """

    folder: Path
    shards: int
    samples: int
    bytes: int
    damaged: tuple[Damage, ...] = ()
    lines: int = 0
    recipe_problem: str = ""
    unlisted: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    lost: Numbers = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether everything that is listed is whole, and the list itself."""
        return not (self.damaged or self.lines or self.recipe_problem)


def verify(folder: str | os.PathLike[str], progress: Progress | None = None) -> Verification:
    """Read every sample of a store, and compare it with its checksum.

    Changes nothing and waits for nobody; what others write or repair meanwhile does not count as damage.

    Args:
        folder: of the store.
        progress: told how far it is.

    Raises:
        StoreError: there is no store, it is of another schema, or a file may not be read.
    """
    seen = examine(Path(folder), progress)
    return Verification(
        folder=seen.folder,
        shards=len(seen.entries),
        samples=sum(entry.samples for entry in seen.entries),
        bytes=sum(entry.bytes for entry in seen.entries),
        damaged=tuple(looked.damage() for looked in seen.damaged()),
        lines=seen.lines,
        recipe_problem=seen.recipe_problem,
        unlisted=tuple(looked.name for looked in seen.unlisted()),
        leftovers=tuple(_leftovers(seen)),
        foreign=tuple(looked.name for looked in seen.looked if looked.foreign and looked.entry is None),
        lost=seen.lost(),
        unknown=seen.unknown(),
    )


@dataclass(frozen=True, eq=False)
class Examination:
    """Everything that is known about a store whose every byte was read.

    Attributes:
        folder: of the store.
        recipe: that of store.json or, where that is damaged, of its shards; None where nothing tells it.
        recipe_problem: what is wrong with store.json, "" if nothing is.
        dropped: names that the manifest took off the list.
        lines: how many lines of the manifest cannot be read.
        looked: all shard files, listed or not, and those that are listed and gone.
    """

    folder: Path
    recipe: Recipe | None
    recipe_problem: str
    dropped: frozenset[str]
    lines: int
    looked: tuple[Looked, ...]

    @property
    def entries(self) -> list[Entry]:
        """Return the lines that list a shard."""
        return [looked.entry for looked in self.looked if looked.entry is not None]

    def damaged(self) -> Iterator[Looked]:
        """Return the shards that are not as they were written, those without a line among them."""
        for looked in self.looked:
            if not looked.sound and (looked.entry is not None or not (looked.foreign or looked.name in self.dropped)):
                yield looked

    def unlisted(self) -> Iterator[Looked]:
        """Return whole shards that are not on the list."""
        return (looked for looked in self.looked if looked.sound and looked.entry is None)

    def residue(self) -> Iterator[Looked]:
        """Return the shards that a repair took off the list, and was stopped before it removed them."""
        for looked in self.looked:
            if not looked.sound and looked.entry is None and not looked.foreign and looked.name in self.dropped:
                yield looked

    def lost(self) -> dict[str, Integers]:
        """Return the numbers that were stored and are whole nowhere, by plan; without plans that lost none."""
        missing: dict[str, list[Integers]] = {}
        for looked in self.damaged():
            for entry in (looked.entry, looked.found):
                if entry is not None:
                    missing.setdefault(entry.plan, []).append(entry.numbers)
        lost = {plan: np.setdiff1d(union(parts), self.whole(plan)) for plan, parts in missing.items()}
        return {plan: numbers for plan, numbers in sorted(lost.items()) if numbers.size}

    def whole(self, plan: str) -> Integers:
        """Return the numbers of a plan that are whole in any of the shards, ascending."""
        residue = {looked.name for looked in self.residue()}
        return union(each.whole_numbers for each in self.looked if each.plan == plan and each.name not in residue)

    def unknown(self) -> tuple[str, ...]:
        """Return the damaged shards of which nothing tells any more what they held."""
        return tuple(looked.name for looked in self.damaged() if looked.entry is None and looked.found is None)


def examine(folder: Path, progress: Progress | None = None) -> Examination:
    """Read every byte of a store; see `verify`."""
    problem, recipe = _look_at_recipe(folder)
    # The files first: a shard gets its name before it is listed, so one without a line is rare from here on.
    files = [path.name for path in folder.glob("*.h5") if _SHARD_NAME.fullmatch(path.name)]
    lines = _read_manifest(folder)
    if problem and not files and not lines:
        raise StoreError(f"{folder} holds no store", expected="a folder that ausynth has filled")
    listed, _ = _listed(lines)
    looked = list(_look_at_all(folder, sorted({*listed, *files}), listed, progress))
    recipe = recipe or _told_by(looked)
    # Others may have written or repaired in the meantime.
    lines_now = _read_manifest(folder)
    listed_now, dropped = _listed(lines_now)
    settled = _settled(folder, looked, listed_now)
    damaged = [line for line in lines if isinstance(line, Damaged) and line in lines_now]
    final = tuple(compared(each, recipe) for each in settled)
    return Examination(folder, recipe, problem, dropped, len(damaged), final)


def _look_at_recipe(folder: Path) -> tuple[str, Recipe | None]:
    """Return what is wrong with store.json, and what it says."""
    path = folder / RECIPE_FILE
    try:
        facts = unseal(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return "it is missing", None
    except OSError as error:
        raise storage_error(error, path) from error
    if facts is None:
        return "its checksum does not match", None
    require_schema(facts.get("schema"), path)
    return "", Recipe.from_json(facts["recipe"])


def _read_manifest(folder: Path) -> list[Entry | Drop | Damaged]:
    try:
        return read_lines(folder)
    except NotADirectoryError:
        return []
    except OSError as error:
        raise storage_error(error, folder / MANIFEST_FILE) from error


def _listed(lines: Iterable[Entry | Drop | Damaged]) -> tuple[dict[str, Entry], frozenset[str]]:
    """Return the line of each listed shard, and the names of those that were taken off the list."""
    listed: dict[str, Entry] = {}
    dropped = set()
    for line in lines:
        if isinstance(line, Entry):
            listed.setdefault(line.shard, line)
            dropped.discard(line.shard)
        elif isinstance(line, Drop):
            listed.pop(line.shard, None)
            dropped.add(line.shard)
    return listed, frozenset(dropped)


def _look_at_all(
    folder: Path, names: list[str], listed: Mapping[str, Entry], progress: Progress | None
) -> Iterator[Looked]:
    done, total = 0, sum(entry.samples for entry in listed.values())
    for name in names:
        if progress is not None:
            progress(done, total, name)
        looked = look_at(folder / name, listed.get(name))
        if looked.entry is not None:
            done += looked.entry.samples
        elif looked.found is not None:
            done, total = done + looked.found.samples, total + looked.found.samples
        yield looked
    if progress is not None:
        progress(done, total, "")


def _told_by(looked: Iterable[Looked]) -> Recipe | None:
    """Return the recipe that most shards have, whole ones before damaged ones."""
    ranked: dict[Recipe, int] = {}
    for each in sorted(looked, key=lambda each: each.found is None):
        if each.recipe is not None:
            ranked[each.recipe] = ranked.get(each.recipe, 0) + (1 if each.found is None else 1 << 20)
    return max(ranked, key=lambda recipe: ranked[recipe]) if ranked else None


def _settled(folder: Path, looked: Iterable[Looked], listed: Mapping[str, Entry]) -> Iterator[Looked]:
    """Look again at the shards whose file or line has changed since; leave out those that are gone and not listed."""
    for each in looked:
        entry = listed.get(each.name)
        same = each.state == FileState.of(folder / each.name)
        if same and (entry and entry.head) == (each.entry and each.entry.head):
            yield each
            continue
        again = look_at(folder / each.name, entry)
        if again.state is not None or entry is not None:
            yield again


def _leftovers(seen: Examination) -> Iterator[str]:
    for pattern in ("*.part", "*.tmp"):
        yield from sorted(path.name for path in seen.folder.glob(pattern))
    yield from (looked.name for looked in seen.residue())
