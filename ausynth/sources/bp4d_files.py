"""BP4D's files: where a copy keeps its pictures and its codes, and what the code files say.

    F001/T1/2440.jpg                          under any folder; numbers of 3, 4 or any digits, padded or not
    AUCoding/AU_OCC/F001_T1.csv               a header of AU numbers (0 = the frame column), then codes 0, 1 or 9
    AUCoding/AU_INT/AU06/F001_T1_AU06.csv     no header; frame, intensity 0-5 or 9

9 means "not coded". The frame number in a code file is the name of the picture. The last column of AU_OCC is a flag
for occlusion, whatever its header says, unless that is an AU that no other column is headed by.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import LabelFileError, LayoutError
from ausynth.sources.images import IMAGE_SUFFIXES

__all__ = [
    "NOT_CODED",
    "Codes",
    "code_files",
    "find_codes",
    "find_images",
    "image_folders",
    "intensity_files",
    "name_frames",
    "read_intensity",
    "read_occurrence",
]

NOT_CODED: Final = 9
"""The code of what a coder did not code."""

Take = tuple[str, str]
"""A subject and a task: ("F001", "T1")."""

_DEPTH: Final = 4
_SUBJECT: Final = re.compile(r"[FM]\d{3}", re.IGNORECASE)
_TASK: Final = re.compile(r"T\d+", re.IGNORECASE)
_OCCURRENCE_FILE: Final = re.compile(r"([FM]\d{3})_(T\d+)\.csv", re.IGNORECASE)
_INTENSITY_FILE: Final = re.compile(r"([FM]\d{3})_(T\d+)_AU0*(\d+)\.csv", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Codes:
    """What one AU_OCC file says.

    Attributes:
        frames: (N,) int64 frame numbers, each once.
        codes: of each AU that the header names and FACS knows, (N,) int64: 0, 1, or 9.
    """

    frames: NDArray[np.int64]
    codes: Mapping[int, NDArray[np.int64]]


def find_images(root: Path, given: str | os.PathLike[str] | None) -> Path:
    """Return the folder that holds F001/T1 with pictures: `given` (relative to the root), or the only one there is.

    Raises:
        LayoutError: none, or several.
    """
    if given is not None:
        folder = root / Path(given).expanduser()
        if not _holds_takes(folder):
            raise LayoutError(f"images= {folder} holds no pictures like F001/T1/2440.jpg", expected="a folder of those")
        return folder
    return _only(root, _holds_takes, "pictures like F001/T1/2440.jpg", "images")


def find_codes(root: Path, given: str | os.PathLike[str] | None) -> tuple[Path, Path | None]:
    """Return the folders AU_OCC and, where it lies beside it, AU_INT, anywhere under the root or `given`.

    Raises:
        LayoutError: no AU_OCC, or several.
    """
    start = root if given is None else root / Path(given).expanduser()
    if not start.is_dir():
        raise LayoutError(f"coding= {start} is not a folder", expected="the folder that holds AU_OCC")
    if given is not None and code_files(start):  # whatever its name
        occurrence = start
    else:
        occurrence = _only(start, _holds_codes, "code files like AU_OCC/F001_T1.csv", "coding")
    beside = [folder for folder in _folders(occurrence.parent) if _plain(folder.name) in ("auint", "int")]
    return occurrence, beside[0] if beside else None


def image_folders(images: Path) -> dict[Take, str]:
    """Return the folder of each take, relative to `images`."""
    return {
        (subject.name.upper(), task.name.upper()): f"{subject.name}/{task.name}"
        for subject in _folders(images)
        if _SUBJECT.fullmatch(subject.name)
        for task in _folders(subject)
        if _TASK.fullmatch(task.name)
    }


def code_files(occurrence: Path) -> dict[Take, Path]:
    """Return the AU_OCC file of each take."""
    matches = ((_OCCURRENCE_FILE.fullmatch(path.name), path) for path in sorted(occurrence.iterdir()))
    return {(match[1].upper(), match[2].upper()): path for match, path in matches if match}


def intensity_files(intensity: Path | None) -> dict[Take, dict[int, Path]]:
    """Return the AU_INT files of each take, by AU."""
    found: dict[Take, dict[int, Path]] = {}
    for folder in _folders(intensity) if intensity else ():
        for path in sorted(folder.iterdir()):
            match = _INTENSITY_FILE.fullmatch(path.name)
            if match:
                found.setdefault((match[1].upper(), match[2].upper()), {})[int(match[3])] = path
    return found


def name_frames(folder: Path, frames: Collection[int]) -> dict[int, str]:
    """Return the file name of each of `frames` that is there: "0042.jpg", "042.jpg" and "42.png" are all frame 42.

    Raises:
        LayoutError: a frame has two files.
    """
    wanted, found = frozenset(frames), dict[int, str]()
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():  # noqa: PTH208 (a third of a million names)
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        if not (stem.isdecimal() and suffix.lower() in IMAGE_SUFFIXES) or (frame := int(stem)) not in wanted:
            continue
        if frame in found:
            raise LayoutError(
                f"frame {frame} has two pictures in {folder}: {found[frame]} and {name}",
                expected="one picture a frame",
                do="remove one of them, or keep the two namings in two folders and choose with images=FOLDER",
            )
        found[frame] = name
    return found


def read_occurrence(path: Path) -> Codes:
    """Return what an AU_OCC file says.

    Raises:
        LabelFileError: it cannot be read, has no header, or holds a code that is not 0, 1 or 9, with its line.
    """
    file = _CodeFile(path, header_lines=1)
    header = [cell.strip() for cell in file.lines[0].split(",")]
    if len(header) < 2 or header[0] != "0":
        raise LabelFileError(
            f"{path} starts with {file.lines[0][:60]!r}",
            expected="a header row: 0 for the frame column, then AU numbers",
        )
    columns: dict[int, int] = {}
    for place, cell in enumerate(header[1:], start=1):
        au = int(cell) if cell.isdecimal() else 0
        if au in columns and place < len(header) - 1:
            raise LabelFileError(f"{path}: two columns are headed {au}", expected="each AU once")
        if au in facs.ACTION_UNITS:
            columns.setdefault(au, place)
    table_NC = file.table()
    if table_NC.shape[1] not in (len(header), len(header) + 1):  # the flag's column may have no header
        raise LabelFileError(
            f"{path}, line {file.line(0)}: {table_NC.shape[1]} cells",
            expected=f"{len(header)}, as many as in the header",
        )
    for au, place in columns.items():
        file.require_codes(table_NC[:, place], (0, 1, NOT_CODED), f"AU{au}")
    file.require_frames(table_NC[:, 0])
    return Codes(table_NC[:, 0], {au: table_NC[:, place] for au, place in columns.items()})


def read_intensity(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the (N,) frame numbers and the (N,) intensities 0-5 or 9 of an AU_INT file.

    Raises:
        LabelFileError: it cannot be read, or holds something else, with its line.
    """
    file = _CodeFile(path, header_lines=0)
    table_N2 = file.table()
    if table_N2.shape[1] != 2:
        raise LabelFileError(f"{path}, line {file.line(0)}: {table_N2.shape[1]} cells", expected="two: frame,intensity")
    file.require_codes(table_N2[:, 1], (0, 1, 2, 3, 4, 5, NOT_CODED), "the intensity")
    file.require_frames(table_N2[:, 0])
    return table_N2[:, 0], table_N2[:, 1]


class _CodeFile:
    """The lines of a csv file of whole numbers, which knows where each row stands."""

    def __init__(self, path: Path, *, header_lines: int) -> None:
        self.path, self.header_lines = path, header_lines
        try:
            self.lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LabelFileError(f"cannot read {path}: {reason}", expected="a csv file of codes") from error
        if not any(map(str.strip, self.lines[header_lines:])):
            raise LabelFileError(f"{path} has no rows of codes", expected="a row a coded frame")

    def table(self) -> NDArray[np.int64]:
        """Return the rows below the header as (N, C)."""
        rows = [line for line in self.lines[self.header_lines :] if line.strip()]
        try:
            return np.loadtxt(rows, dtype=np.int64, delimiter=",", comments=None, ndmin=2)
        except ValueError as error:
            cells = [line.split(",") for line in rows]
            bad = [row for row, line in enumerate(cells) if len(line) != len(cells[0]) or not all(map(_is_whole, line))]
            where = f"{self.path}, line {self.line(bad[0])}: {rows[bad[0]][:60]!r}" if bad else f"{self.path}: {error}"
            raise LabelFileError(where, expected=f"{len(cells[0])} whole numbers, separated by commas") from error

    def line(self, row: int) -> int:
        """Return the number, from 1, of the line that row `row` stands in."""
        written = (number for number, line in enumerate(self.lines, start=1) if line.strip())
        return next(islice(written, self.header_lines + row, None))

    def require_codes(self, codes_N: NDArray[np.int64], allowed: tuple[int, ...], what: str) -> None:
        """Refuse other codes than those allowed."""
        wrong = ~np.isin(codes_N, allowed)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise LabelFileError(
                f"{self.path}, line {self.line(row)}: {what} is {codes_N[row]}",
                expected=f"one of {', '.join(map(str, allowed))}, where {NOT_CODED} means not coded",
            )

    def require_frames(self, frames_N: NDArray[np.int64]) -> None:
        """Refuse a frame that is coded twice: one of its rows would be lost."""
        known, rows = np.unique(frames_N, return_index=True)
        if len(known) < len(frames_N):
            row = int(np.setdiff1d(np.arange(len(frames_N)), rows)[0])
            raise LabelFileError(
                f"{self.path}, line {self.line(row)}: frame {frames_N[row]} is coded twice", expected="each frame once"
            )


def _is_whole(cell: str) -> bool:
    return re.fullmatch(r"\s*-?\d+\s*", cell) is not None


def _only(root: Path, accept: Callable[[Path], bool], what: str, option: str) -> Path:
    found = sorted(folder for folder in _walk(root) if accept(folder))
    if not found:
        raise LayoutError(
            f"no {what} in {root} or {_DEPTH} folders deep in it",
            expected="the root of a BP4D copy, with the pictures and AUCoding/AU_OCC",
            do=f"pass {option}=FOLDER where they lie elsewhere",
        )
    if len(found) > 1:
        raise LayoutError(
            f"{len(found)} folders in {root} hold {what}: {', '.join(str(path.relative_to(root)) for path in found)}",
            expected="one",
            do=f"choose one with {option}=FOLDER",
        )
    return found[0]


def _walk(root: Path) -> Iterator[Path]:
    """Yield the root and the folders in it, without going into those of subjects."""
    level = [root]
    for _ in range(_DEPTH + 1):
        yield from level
        level = [child for folder in level for child in _folders(folder) if not _SUBJECT.fullmatch(child.name)]


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []


def _holds_takes(folder: Path) -> bool:
    return any(
        _TASK.fullmatch(task.name) and _holds_picture(task)
        for subject in _folders(folder)
        if _SUBJECT.fullmatch(subject.name)
        for task in _folders(subject)
    )


def _holds_picture(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES for entry in entries)  # noqa: PTH122


def _holds_codes(folder: Path) -> bool:
    return _plain(folder.name) in ("auocc", "occ", "aucoding") and bool(code_files(folder))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
