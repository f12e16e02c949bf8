"""The record that a practice copy carries, and the rules about whose folder may be written into."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout

import ausynth
from ausynth.errors import ConfigurationError
from ausynth.generators.base import Generator
from ausynth.simulated.files import flush
from ausynth.sources.folds import subject_order

if TYPE_CHECKING:
    from ausynth.simulate import Simulation

__all__ = ["ASIDE", "claim", "only_one", "read_record"]

ASIDE: Final = ".making-"
"""How the names of unfinished files begin."""

_RECORD: Final = "simulate.json"
_LOCK: Final = ".simulate.lock"
_DATA_FOLDERS: Final = (
    *("2D", "AUCoding", "ActionUnit_Labels", "aligned_images"),
    *("Videos_LeftCamera", "Video_LeftCamera", "Videos_RightCamera", "Video_RightCamera"),
)


def claim(root: Path, simulation: Simulation, generator: Generator, *, force: bool) -> None:
    """Write the tree's record into the folder, after making sure that nothing else is lost by it."""
    record = {
        "made_by": "ausynth simulate",
        "ausynth": ausynth.__version__,
        "generator": generator.name,
        "generator_fingerprint": generator.fingerprint,
        "options": asdict(simulation),
        "people": {who: simulation.identity(who) for who in simulation.people},
    }
    record = json.loads(json.dumps(record))
    there = read_record(root)
    others = {entry.name for entry in root.iterdir() if not entry.name.startswith((ASIDE, _LOCK))}
    if there is not None:
        differs = [key for key in ("generator_fingerprint", "options") if there.get(key) != record[key]]
        if differs and not force:
            raise ConfigurationError(
                f"{root} holds a practice copy with other {' and '.join(differs)}: {_difference(there, record)}",
                expected="the same, to complete it",
                do="give another folder, or --force to make it anew",
            )
        if force:
            for name in _folders(there):
                shutil.rmtree(root / name, ignore_errors=True)
    elif others:
        data = others & {*_DATA_FOLDERS, *subject_order("disfa"), *subject_order("bp4d")}
        if data or not force:
            raise ConfigurationError(
                f"{root} is not empty ({', '.join(sorted(others)[:5])}) and no practice copy made by simulate",
                expected="an empty or new folder",
                do="give another folder" if data else "give another folder, or --force to write beside what is there",
            )
    for stale in root.glob(f"{ASIDE}*"):
        shutil.rmtree(stale, ignore_errors=True)
    _write_text(root / _RECORD, json.dumps(record, indent=2) + "\n")
    if "README.txt" not in others or there is not None:
        _write_text(root / "README.txt", _readme(simulation, generator))


def read_record(root: Path) -> dict[str, Any] | None:
    """Return the record of the practice copy in the folder, or None where there is none."""
    try:
        record = json.loads((root / _RECORD).read_text())
    except (FileNotFoundError, ValueError):
        return None
    ours = isinstance(record, dict) and record.get("made_by") == "ausynth simulate"
    return record if ours else None


def _folders(record: dict[str, Any]) -> tuple[str, ...]:
    if record.get("options", {}).get("dataset") == "bp4d":
        return ("AUCoding", "2D")
    return ("ActionUnit_Labels", "aligned_images", "Videos_LeftCamera")


def _difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    old, new = there.get("options") or {}, wanted["options"]
    changed = [f"{key} {old.get(key)} there, {new[key]} asked" for key in new if old.get(key) != new[key]]
    return "; ".join(changed) or f"made by {there.get('generator')} of ausynth {there.get('ausynth')}"


def _write_text(path: Path, text: str) -> None:
    aside = path.with_name(f"{ASIDE}{path.name}")
    aside.write_text(text)
    flush(aside)
    aside.replace(path)


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the folder against a second run of `simulate`."""
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigurationError(
            f"another run is writing {root}", expected="one run a folder", do="wait for it, or give another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
        (root / _LOCK).unlink(missing_ok=True)


def _people(generator: Generator, name: str) -> str:
    """Return the sentence about who is to be seen."""
    if getattr(generator, "look", "procedural") != "portrait":
        return f"No person is shown, and nothing here was taken from {name}."
    terms = getattr(generator, "licence", "")
    return f"They show people of a face bank making expressions that they never made. Terms: {terms}."


def _readme(simulation: Simulation, generator: Generator) -> str:
    name = simulation.dataset.upper()
    return f"""\
THIS IS NOT {name}.

These pictures are rendered faces, made by `ausynth simulate {simulation.dataset}` (ausynth {ausynth.__version__},
generator "{generator.name}"). {_people(generator, name)} Only the folder layout, the
subject names, the rates of the action units and their main correlations follow what was published about {name}, so that
software for it can be tried without a licence of it. Do not report results on these data as results on {name}.

The label files hold what the generator says that the pictures show. Options, seed and the generator's fingerprint are
in {_RECORD}: the same command makes the same tree.
"""
