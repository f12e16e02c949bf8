"""A practice copy of DISFA or BP4D: rendered faces in the layout of the real set, for trying the library without it.

The label files hold what the pictures show according to the generator, not what was asked of it. Which labels are
asked for follows the published statistics (`ausynth.label_process`); every subject is one person of the generator, with
AUs it favours, and moves in its own manner (`ausynth.performance`).

Legend of the shapes: S subjects, T frames of each, A action units.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from ausynth.errors import AusynthError, ConfigurationError
from ausynth.generators.base import Generator
from ausynth.label_process import LabelProcess
from ausynth.labels import Floats
from ausynth.performance import Manner, perform
from ausynth.simulated.faces import ROOM, STRETCH, render_sequence
from ausynth.simulated.files import BP4DTree, Codec, DISFATree, Frame, Layout, Move, Tree, flush
from ausynth.simulated.record import ASIDE, claim, only_one
from ausynth.sources.folds import subject_order

__all__ = ["Dataset", "Simulated", "Simulation", "laboratory", "simulate"]

Dataset = Literal["disfa", "bp4d"]
Progress = Callable[[int, int, str], None]

_FIRST_PERSON: Final = {"disfa": 1_000_000, "bp4d": 2_000_000}
"""Far from the numbers that streams give to synthetic people: nobody is on both sides of a mixed batch."""
_LABORATORY: Final[dict[str, Any]] = {"background": 0.0, "light": 0.3, "jitter": 0.01}
"""How the package's own renderer is set up: one grey wall and steady light, as where such data are recorded."""
_PEOPLE_PER_SEED: Final = 10_000_000


@dataclass(frozen=True)
class Simulation:
    """What a practice copy holds.

    Attributes:
        dataset: whose layout and statistics it has.
        subjects: how many people, in the data set's order.
        frames: of each person.
        size: height and width of a frame in pixels.
        layout: single frames, videos, or both; BP4D has frames only.
        codec: of the videos.
        seed: of labels, people, pose and light.
        run_length: mean number of frames over which the AUs that occur stay the same; 53 in DISFA.
        style: 0-1, how much people differ in which AUs they show; 0 for not at all.
        smooth: whether expressions rise and fall, each person's in its own manner (`ausynth.performance`), or change
            at once.

    Raises:
        ConfigurationError: a value that cannot be.
    """

    dataset: Dataset
    subjects: int = 27
    frames: int = 200
    size: int = 240
    layout: Layout = "frames"
    codec: Codec = "mjpeg"
    seed: int = 0
    run_length: float = 53.0
    style: float = 0.3
    smooth: bool = True

    def __post_init__(self) -> None:
        for name, choices in (("dataset", Dataset), ("layout", Layout), ("codec", Codec)):
            if getattr(self, name) not in get_args(choices):
                raise ConfigurationError(
                    f"{name} {getattr(self, name)!r}", expected=f"one of {', '.join(get_args(choices))}"
                )
        for name, low, high in (
            ("subjects", 1, len(subject_order(self.dataset))),
            ("frames", 1, 99_999),
            ("size", 32, 2048),
            ("seed", 0, 1 << 31),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigurationError(f"{name} {value!r}", expected=f"a whole number from {low} to {high}")
        if self.dataset == "bp4d" and self.layout != "frames":
            raise ConfigurationError(f"layout {self.layout!r} for bp4d", expected="'frames': BP4D comes as pictures")
        if self.layout != "frames" and self.size % 2:
            raise ConfigurationError(f"size {self.size} for videos", expected="an even number: codecs halve colour")
        _ = self.process

    @property
    def people(self) -> tuple[str, ...]:
        """Return the names of the subjects."""
        return subject_order(self.dataset)[: self.subjects]

    def identity(self, who: str) -> int:
        """Return the generator's number of a subject."""
        return self.seed * _PEOPLE_PER_SEED + _FIRST_PERSON[self.dataset] + self.people.index(who)

    @cached_property
    def process(self) -> LabelProcess:
        """Return where the labels come from."""
        return LabelProcess.published(self.dataset, run_length=self.run_length, style=self.style)

    @cached_property
    def _drawn(self) -> Floats:
        return self.process.draw(self.subjects, self.frames, seed=self.seed)

    def performance(self, who: str) -> Floats:
        """Return (T, A) float32, the intensities 0-5 that a subject is asked to show, over `process.aus`."""
        asked_TA: Floats = self._drawn[self.people.index(who)]
        if not self.smooth:
            return asked_TA
        # DISFA's rates count intensities from 2, BP4D's from 1: what rounds to these.
        threshold = 1.5 if self.dataset == "disfa" else 0.5
        ceiling_A = np.array([self.process.ceilings.get(au, 5) for au in self.process.aus], np.float32)
        manner = Manner.of(self.identity(who), len(self.process.aus))
        return perform(asked_TA, manner, threshold=threshold, ceiling=ceiling_A)

    @property
    def tree(self) -> Tree:
        """Return where the files go."""
        if self.dataset == "disfa":
            return DISFATree(self.layout, self.codec)
        return BP4DTree(tasks=min(2, self.frames))


@dataclass(frozen=True)
class Simulated:
    """What a run of `simulate` did: the tree's root, the subjects it made, and those that were there already."""

    root: Path
    made: tuple[str, ...]
    found: tuple[str, ...]


def simulate(
    simulation: Simulation,
    out: str | os.PathLike[str],
    *,
    force: bool = False,
    generator: Generator | None = None,
    progress: Progress | None = None,
) -> Simulated:
    """Make a practice copy of a data set in the folder `out`, or complete one that was interrupted.

    >>> simulate(Simulation("disfa", subjects=9, frames=120), "practice")  # doctest: +SKIP
    >>> ausynth.open_source("disfa", root="practice")  # doctest: +SKIP
    <disfa: 1,080 pictures of 9 people, AUs (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)>

    A subject is written aside and moved to its place when whole, its labels last, so an interrupted run leaves whole
    subjects only, and the next one goes on with those that are missing.

    Args:
        simulation: what to make.
        out: the folder, made if need be.
        force: make everything anew where a practice copy with other options lies, and write beside files that this
            function did not make. What looks like a data set of other origin is never touched.
        generator: what renders the faces; default the package's own. It should make pictures of about `size`.
        progress: called with frames done, frames in all, and the subject, after every subject and every few frames.

    Raises:
        ConfigurationError: the folder holds something else, or the generator lacks an AU.
        AusynthError: the disk is full.
    """
    if generator is None:
        generator = laboratory(simulation)
    root = Path(out).expanduser()
    with _disk_errors(root), only_one(root):
        claim(root, simulation, generator, force=force)
        return _complete(root, simulation, generator, progress or (lambda *_: None))


def laboratory(simulation: Simulation, options: Mapping[str, Any] | None = None) -> Generator:
    """Return the package's renderer as it stands in a laboratory: one grey wall, steady light, frames of that size.

    Args:
        simulation: what it is for.
        options: of `load_generator("rendered", ...)` that go before: `look`, `bank`.
    """
    from ausynth.generators import load_generator

    steady = {"blink": 0.0} if (options or {}).get("look") == "portrait" else {}
    given = {"image_size": math.ceil(simulation.size * ROOM / 2) * 2, **_LABORATORY, **steady, **(options or {})}
    return load_generator(given.pop("name", "rendered"), **given)


def _complete(root: Path, simulation: Simulation, generator: Generator, progress: Progress) -> Simulated:
    tree, total = simulation.tree, simulation.subjects * simulation.frames
    found = {who for who in simulation.people if all((root / place).exists() for place in tree.places(who))}
    process = simulation.process
    made: list[str] = []
    done = len(found) * simulation.frames
    for who in simulation.people:
        if who in found:
            continue
        progress(done, total, who)

        def counted(frames: Iterator[Frame], before: int = done, who: str = who) -> Iterator[Frame]:
            for count, frame in enumerate(frames, 1):
                yield frame
                if count % STRETCH == 0:
                    progress(before + count, total, who)

        asked_TA = simulation.performance(who)
        frames = render_sequence(generator, asked_TA, process.aus, simulation.identity(who), simulation.size)
        with tempfile.TemporaryDirectory(prefix=ASIDE, dir=root) as aside:
            moves = tree.write(who, counted(frames), generator.aus, Path(aside))
            _move(moves, root)
        made.append(who)
        done += simulation.frames
        progress(done, total, who)
    return Simulated(root, tuple(made), tuple(who for who in simulation.people if who in found))


def _move(moves: list[Move], root: Path) -> None:
    """Bring what was written aside to its place, in order; a half that an earlier run left behind gives way."""
    for move in moves:
        target = root / move.place
        flush(move.made)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        move.made.replace(target)
    for folder in {(root / move.place).parent for move in moves}:
        _flush_entry(folder)


def _flush_entry(folder: Path) -> None:
    """Bring the folder's own list of names to the disk."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    """Turn "no space left" into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise AusynthError(
            f"no space left for {root}: {error.strerror}",
            expected="room for all frames",
            do="free some space and run the same command again: whole subjects are kept; "
            "or ask for fewer frames, fewer subjects or a smaller size",
        ) from error
