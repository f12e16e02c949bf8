"""DISFA: 27 people watching videos, 4,845 frames each, twelve AUs graded 0-5 by a FACS coder.

Source: Mavadati, Mahoor, Bartlett, Trinh and Cohn, "DISFA: A Spontaneous Facial Action Intensity Database" (IEEE
Transactions on Affective Computing 2013). The data come from their authors, under their agreement.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, LayoutError
from ausynth.facs import DISFA_8, DISFA_12, label_space
from ausynth.labels import DEFAULT_THRESHOLD, Floats, Labels
from ausynth.sources.base import Frames, PictureSource
from ausynth.sources.crop import Align, make_crop
from ausynth.sources.disfa_choice import FrameChoice
from ausynth.sources.disfa_files import LandmarkFiles, Numbered, Tree, read_intensities, scan
from ausynth.sources.folds import select, subject_order
from ausynth.sources.frame_store import VideoFrames
from ausynth.sources.images import ImageFiles
from ausynth.sources.numbering import match_lines, match_numbers
from ausynth.sources.roots import resolve_root
from ausynth.sources.thinning import Thin
from ausynth.sources.video import DEFAULT_QUALITY, Video, store_videos

__all__ = ["DISFA", "EXCLUSIONS"]

EXCLUSIONS: Final[Mapping[str, Mapping[str, tuple[tuple[int, int], ...]]]] = MappingProxyType(
    {
        "jaanet": MappingProxyType(
            {
                "SN001": ((397, 419), (3189, 3242)),
                "SN002": ((799, 825),),
                "SN004": ((4540, 4554),),
                "SN006": ((1348, 1404),),
                "SN009": ((1735, 1807), (1850, 1884)),
                "SN011": ((4528, 4532), (4829, 4844)),
                "SN021": (
                    (573, 615),
                    (984, 1163),
                    (1189, 1204),
                    (1304, 1337),
                    (1664, 1709),
                    (1861, 2476),
                    (2553, 4656),
                    (4709, 4721),
                ),
                "SN023": (
                    (1020, 1048),
                    (3377, 3556),
                    (3583, 3667),
                    (4546, 4620),
                    (4740, 4771),
                    (4824, 4844),
                ),
                "SN025": ((4595, 4661), (4815, 4834)),
                "SN027": ((3460, 3493), (4737, 4784)),
                "SN028": ((1874, 1884), (4570, 4689)),
                "SN029": ((4089, 4542),),
                "SN030": ((938, 961), (1405, 1421), (2099, 2131), (2892, 2954)),
            }
        )
    }
)
"""Frames that other work leaves out: by list and subject, first and last frame of each run, from 0.

"jaanet" is JAANet's: 4,670 frames in which its landmark detector failed. Their labels are not wrong.
"""


class DISFA(PictureSource):
    """DISFA as its publisher lays it out, or with frames that were extracted before.

        DISFA("/data/DISFA", hold_out="P1")              # trains on parts P2 and P3
        DISFA("/data/DISFA", fold="megraph:1", split="test")

    Found anywhere under the root, in any letter case: label files `SN001/SN001_au1.txt`; videos
    `LeftVideoSN001_comp.avi`; extracted frames with a number at the end of their name, under a folder of the subject
    (`SN001/0.png`, `aligned_images/SN001/00001.jpg`, `SN001/frame_1.jpg`) or with the subject in their name
    (`LeftVideoSN001_comp_00001.jpg`). Whether numbers start at 0 or at 1 follows from the files, subject by subject.
    Videos are decoded once, into a store of frames (see `ausynth.sources.video`). Folders of subjects that DISFA does
    not have are left out with a warning.

    Args:
        root: the folder; None takes AUSYNTH_DISFA_ROOT.
        camera: "left" or "right". Frames whose path names no camera belong to either.
        align: how faces are cut out: "none", "landmarks" (of `Landmark_Points`, in pixels of the original video: not
            for frames that were cropped or resized already), a function, or a crop; see `make_crop`.
        aus: the label space, "disfa-12" if None; an AU that DISFA does not code is unknown in it.
        threshold: the intensity from which an AU counts as present.
        hold_out, keep, fold, split: which subjects; see `ausynth.sources.folds.select`.
        thin: leave out near-duplicate frames: "runs" or a number, see `ausynth.sources.thinning.thin`.
        exclude: "jaanet" leaves out the frames of `EXCLUSIONS["jaanet"]`.
        frames: "images", "video", or "auto": images where all subjects that are kept have them, else videos. A folder
            under the root does as "auto" for what lies in it, where there are several sets of frames.
        frame_base: 0 or 1: the first number of extracted frames where the files do not tell.
        allow_missing: use what is there where frames and label lines (or landmarks, if they are used) are not equally
            many, provided that it is certain which belong together.
        cache: the folder that holds the frame store; None takes AUSYNTH_CACHE, else the user's cache folder.
        progress: whether a terminal shows a progress bar while videos are decoded.
        quality: JPEG quality of decoded videos.

    Raises:
        ConfigurationError: an option that cannot be right.
        LayoutError: the tree is no DISFA, frames are missing or ambiguous, or their number is not that of the labels.
        LabelFileError: a label file is missing or damaged.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        camera: str = "left",
        align: Align = "none",
        aus: str | Iterable[int] | None = None,
        threshold: float = DEFAULT_THRESHOLD,
        hold_out: str | Iterable[str] | None = None,
        keep: str | Iterable[str] | None = None,
        fold: str | None = None,
        split: str = "train",
        thin: Thin | None = None,
        exclude: str | None = None,
        frames: str | os.PathLike[str] = "auto",
        frame_base: int | None = None,
        allow_missing: bool = False,
        cache: str | os.PathLike[str] | None = None,
        progress: bool = True,
        quality: int = DEFAULT_QUALITY,
    ) -> None:
        _require_one_of("camera", camera, ("left", "right"))
        _require_one_of("exclude", exclude, (None, *EXCLUSIONS))
        _require_one_of("frame_base", frame_base, (None, 0, 1))
        space = label_space(DISFA_12 if aus is None else aus)
        on_landmarks = isinstance(align, str) and align == "landmarks"
        crop = None if on_landmarks else make_crop(align)
        folder = resolve_root("disfa", root)
        tree = scan(folder)
        choice = FrameChoice.of(tree, folder, camera, frames)
        order = subject_order("disfa")
        kept = select("disfa", _present(tree, order, folder), hold_out=hold_out, keep=keep, fold=fold, split=split)
        people = [
            _Person.of(subject, read_intensities(folder, subject, tree.labels.get(subject, {})), exclude)
            for subject in kept
        ]
        # Labels first: a threshold that cannot be right is not to be found out after an hour of decoding.
        every_NA = np.concatenate([person.intensity for person in people])
        labels = Labels.from_intensity(DISFA_12, every_NA, threshold=threshold).project(space)
        starts = np.cumsum([0, *(person.total for person in people)])
        marks = [_match_landmarks(person, tree, folder, allow_missing) for person in people] if on_landmarks else []
        pictures: Frames
        if choice.from_images(kept):
            files = [_match_images(person, choice, frame_base, allow_missing) for person in people]
            paths = [by_line[line] for person, by_line in zip(people, files, strict=True) for line in person.lines]
            pictures = ImageFiles(folder, paths)
        else:
            names = [choice.video(subject) for subject in kept]
            videos = [Video(folder / name, name, person.total) for name, person in zip(names, people, strict=True)]
            stores = store_videos(videos, cache=cache, quality=quality, progress=progress)
            for person, store in zip(people, stores, strict=True):
                what = f"{person.subject} ({store.name})"
                person.narrow(match_lines(len(store), person.total, what=what, allow_missing=allow_missing))
            counts = [len(person.lines) for person in people]
            lines_N = np.concatenate([person.lines for person in people])
            pictures = VideoFrames(stores, np.repeat(np.arange(len(people)), counts), lines_N)
        if crop is None:
            of = [by_line[line] for person, by_line in zip(people, marks, strict=True) for line in person.lines]
            crop = make_crop("landmarks", landmarks=LandmarkFiles(folder, of))
        counts = [len(person.lines) for person in people]
        super().__init__(
            name="disfa",
            frames=pictures,
            labels=labels[
                np.concatenate([start + person.lines for start, person in zip(starts, people, strict=False)])
            ],
            identities=np.repeat(np.array([order.index(person.subject) for person in people], np.int64), counts),
            subjects=order,
            benchmark=DISFA_8,
            crop=crop,
            root=folder,
            thin=thin,
        )


@dataclass
class _Person:
    """One kept subject: the (n, 12) intensities of all label lines, and the lines whose pictures are taken, from 0."""

    subject: str
    intensity: Floats
    lines: NDArray[np.int64]

    @classmethod
    def of(cls, subject: str, intensity_NA: Floats, exclude: str | None) -> _Person:
        wanted_N = np.ones(len(intensity_NA), dtype=bool)
        for first, last in EXCLUSIONS[exclude].get(subject, ()) if exclude else ():
            wanted_N[first : last + 1] = False
        return cls(subject, intensity_NA, np.flatnonzero(wanted_N))

    @property
    def total(self) -> int:
        """Return the number of label lines."""
        return len(self.intensity)

    def narrow(self, there: Iterable[int] | NDArray[np.int64]) -> None:
        """Keep only lines that are in `there`."""
        self.lines = self.lines[np.isin(self.lines, np.fromiter(there, dtype=np.int64))]

    def match(self, files: Numbered, what: str, **options: Any) -> dict[int, str]:
        """Return the files by label line, and keep only lines that have one."""
        numbers = sorted(files)
        unused = set(range(self.total)) - set(self.lines.tolist())
        rows_N = match_numbers(numbers, self.total, what=f"{self.subject} ({what})", excused=unused, **options)
        by_line = {int(row): files[number] for row, number in zip(rows_N, numbers, strict=True) if row >= 0}
        self.narrow(by_line)
        return by_line


def _match_images(person: _Person, choice: FrameChoice, base: int | None, allow_missing: bool) -> dict[int, str]:
    naming, files = choice.images(person.subject)
    return person.match(files, naming, base=base, allow_missing=allow_missing)


def _match_landmarks(person: _Person, tree: Tree, root: Path, allow_missing: bool) -> dict[int, str]:
    folders = tree.landmarks.get(person.subject, {})
    if len(folders) != 1:
        found = f": {', '.join(sorted(folders))}" if folders else ""
        raise LayoutError(
            f"{person.subject}: {len(folders)} folders of landmarks under {root}{found}",
            expected=f"one, Landmark_Points/{person.subject}/tmp_frame_lm, with files {person.subject}_0000_lm.mat",
            do="restore it from your copy, or read without landmarks: align='none'",
        )
    folder, files = next(iter(folders.items()))
    return person.match(files, f"landmarks in {folder}", asks=False, allow_missing=allow_missing)


def _present(tree: Tree, order: Sequence[str], root: Path) -> list[str]:
    """Return the subjects of DISFA that are there, in its order."""
    present = [subject for subject in order if subject in tree.subjects]
    if not present or not tree.labels:
        raise LayoutError(
            f"no {'subject' if not present else 'label file'} of DISFA among the {tree.files:,} files under {root}",
            expected="ActionUnit_Labels/SN001/SN001_au1.txt and so on, with videos or extracted frames beside",
            do="pass the folder of ActionUnit_Labels, or make a practice tree with `ausynth simulate disfa FOLDER`",
        )
    strange = sorted(tree.subjects - set(order))
    if strange:
        warnings.warn(
            f"{root} holds {', '.join(strange)}, which DISFA does not have: left out", UserWarning, stacklevel=3
        )
    return present


def _require_one_of(option: str, value: object, allowed: Sequence[object]) -> None:
    if isinstance(value, bool) or value not in allowed:
        raise ConfigurationError(f"{option}={value!r}", expected=f"one of {', '.join(map(repr, allowed))}")
