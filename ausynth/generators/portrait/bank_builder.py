"""Builds a bank from photographs: each person's best one, and a record of who was left out and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.durable import write_aside
from ausynth.errors import AusynthError, ConfigurationError
from ausynth.generators.portrait.bank import FaceBank, StoredFace
from ausynth.generators.portrait.building import Finder, Photograph, build_face, photo_key
from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.quality import Limits

__all__ = ["REJECTED", "Report", "build_bank"]

Pixels = NDArray[np.uint8]

REJECTED: Final = "rejected.json"
"""File of a bank: name -> why none of the person's photographs would do."""


@dataclass
class Report:
    """What a build has done.

    Attributes:
        made: names of people that were added.
        found: names that were there already, made from the same photographs.
        rejected: name -> reasons, each with its photograph.
    """

    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    rejected: dict[str, list[str]] = field(default_factory=dict)


def build_bank(
    photographs: Iterable[Photograph],
    out: Path,
    head: IctHead,
    *,
    finder: Callable[[], Finder] | None = None,
    limits: Limits | None = None,
    allowed: Sequence[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Add a person to the bank `out` for everyone whom the photographs show, and return what was done.

    Of several photographs of a person the one that the head fits best is kept. Whoever was built or rejected before
    from the same photographs is not built again, so that an interrupted build goes on where it was.

    Args:
        photographs: grouped by `person.name`, in the order in which people are added.
        out: the bank's folder.
        head: what to fit.
        finder: makes what finds landmarks, perhaps a context manager; called once, if some photograph brings none.
        limits: what a photograph has to keep to.
        allowed: subjects that the bank may show, where others were held out; None: anyone.
        progress: called as (people done, people in all, name).

    Raises:
        ConfigurationError: `out` holds other files, or shows somebody who is held out now.
    """
    people: dict[str, list[Photograph]] = {}
    for photograph in photographs:
        people.setdefault(photograph.person.name, []).append(photograph)
    limits = limits or Limits()
    bank = _opened(out, allowed)
    rejections = _read_rejections(out)
    report = Report()
    with ExitStack() as stack:
        finding: Finder | None = None
        for done, (name, own) in enumerate(people.items()):
            if progress is not None:
                progress(done, len(people), name)
            images, problems = _loaded(own)
            key = _key([photo_key(image, head) for _, image in images], own, limits)
            if name in bank and bank.key(name) == key:
                report.found.append(name)
                continue
            if rejections.get(name, {}).get("key") == key:
                report.rejected[name] = [str(reason) for reason in rejections[name]["reasons"]]
                continue
            best: StoredFace | None = None
            for photograph, image in images:
                if photograph.landmarks is None and finding is None:
                    finding = _make_finder(finder, stack)
                landmarks = photograph.landmarks() if photograph.landmarks else finding(image) if finding else None
                face = build_face(image, landmarks, photograph.person, head, limits)
                if isinstance(face, list):
                    problems += [f"{photograph.path}: {reason}" for reason in face]
                elif best is None or face.quality["error"] < best.quality["error"]:
                    best = face
            if best is None:
                report.rejected[name] = problems
                rejections[name] = {"key": key, "reasons": problems}
            else:
                bank = FaceBank.write(out, [replace(best, key=key)])
                report.made.append(name)
                rejections.pop(name, None)
            _write_rejections(out, rejections)
        if progress is not None:
            progress(len(people), len(people), "")
    return report


def _opened(out: Path, allowed: Sequence[str] | None) -> FaceBank:
    """Return the bank, begun where there is none, after a look at whom it shows."""
    bank = FaceBank.write(out, [])
    sets = {subject.split(":")[0] for subject in allowed or ()}
    strangers = [
        subject
        for subject in bank.subjects
        if allowed is not None and subject.split(":")[0] in sets and subject not in set(allowed)
    ]
    if strangers:
        raise ConfigurationError(
            f"the bank {out} shows people who are held out now: {', '.join(strangers[:5])}"
            + (" ..." if len(strangers) > 5 else ""),
            expected="a bank of training people alone",
            do="build each hold-out's bank in a folder of its own",
        )
    return bank


def _loaded(own: list[Photograph]) -> tuple[list[tuple[Photograph, Pixels]], list[str]]:
    images, problems = [], []
    for photograph in own:
        try:
            images.append((photograph, photograph.load()))
        except AusynthError as error:
            problems.append(f"{photograph.path}: {error.what}")
    return images, problems


def _make_finder(finder: Callable[[], Finder] | None, stack: ExitStack) -> Finder:
    if finder is None:
        raise ConfigurationError(
            "photographs without landmarks, and nothing that finds them", expected="landmark files, or a finder"
        )
    made = finder()
    if isinstance(made, AbstractContextManager):
        stack.enter_context(made)
    return made


def _key(photo_keys: list[str], own: list[Photograph], limits: Limits) -> str:
    words = [*photo_keys, repr(limits), *(repr(photograph.person) for photograph in own)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _read_rejections(out: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads((out / REJECTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a record for people to read: without it, photographs are looked at again
    return found if isinstance(found, dict) else {}


def _write_rejections(out: Path, rejections: dict[str, dict[str, Any]]) -> None:
    text = json.dumps(rejections, indent=1, ensure_ascii=False, sort_keys=True)
    write_aside(out / REJECTED, (text + "\n").encode())
