"""What lies in a DISFA tree: label files, videos, extracted frames and landmarks, under any of their usual names."""

from __future__ import annotations

import io
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import FrameError, LabelFileError, LayoutError
from ausynth.facs import DISFA_12
from ausynth.labels import Floats
from ausynth.sources.images import IMAGE_SUFFIXES

__all__ = ["LandmarkFiles", "Numbered", "Tree", "camera_of", "read_intensities", "scan"]

_DEPTH: Final = 6
_SUBJECT: Final = re.compile(r"SN(\d{3})(?!\d)", re.IGNORECASE)
_LABEL: Final = re.compile(r"SN(\d{3})_au(\d+)\.txt", re.IGNORECASE)
_VIDEO: Final = re.compile(r"(left|right)VideoSN(\d{3})_comp\.(?:avi|mp4|mkv|mov)", re.IGNORECASE)
_LANDMARK: Final = re.compile(r"(?:SN(\d{3})_|l)(\d+)_lm\.mat", re.IGNORECASE)
_PICTURE: Final = re.compile(rf"(.*?)(\d+)({'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})", re.IGNORECASE)
# Capitalised inside a word, or at a word's start: "LeftVideo", "Videos_LeftCamera", "left", but not "upright".
_CAMERA: Final = re.compile(r"Left|Right|(?<![A-Za-z])(?:left|right|LEFT|RIGHT)")
_LINE: Final = re.compile(r"\s*\d+\s*,\s*\d+\s*")
_LABEL_BYTES: Final = b"0123456789, \t\r\n"

Numbered = dict[int, str]
"""Paths under the root by the number in their names."""


@dataclass
class Tree:
    """What a walk through a tree found; paths are relative to the root, subjects are in upper case.

    Attributes:
        labels: by subject and AU: the label files (several: copies).
        videos: by subject and camera: the videos (several: copies).
        images: by subject and naming ("aligned_images/*/#.jpg": * a subject, # a number): frames by number.
        landmarks: by subject and folder: landmark files by number.
        files: how many files there are.
    """

    labels: dict[str, dict[int, list[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    videos: dict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    images: dict[str, dict[str, Numbered]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))
    landmarks: dict[str, dict[str, Numbered]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))
    files: int = 0

    @property
    def subjects(self) -> frozenset[str]:
        """Return everyone with labels or frames."""
        return frozenset({*self.labels, *self.videos, *self.images})


def scan(root: Path) -> Tree:
    """Return what lies under `root`, six folders deep, from the names alone; hidden folders are left out.

    Raises:
        LayoutError: a frame's name and its folder speak of different subjects, or two frames have one number.
    """
    tree = Tree()
    for folder, names in _walk(root):
        tree.files += len(names)
        owner = None
        for part in folder.split("/"):
            if found := _SUBJECT.search(part):
                owner = f"SN{found[1]}"
        template = _SUBJECT.sub("*", folder)
        for name in names:
            path = f"{folder}/{name}" if folder else name
            if label := _LABEL.fullmatch(name):
                tree.labels[f"SN{label[1]}"][int(label[2])].append(path)
            elif video := _VIDEO.fullmatch(name):
                tree.videos[f"SN{video[2]}"][video[1].lower()].append(path)
            elif landmark := _LANDMARK.fullmatch(name):
                subject = f"SN{landmark[1]}" if landmark[1] else owner
                if subject:
                    _add(tree.landmarks[subject][folder], int(landmark[2]), path, subject)
            elif picture := _PICTURE.fullmatch(name):
                _add_picture(tree, owner, template, path, picture)
    return tree


def camera_of(naming: str) -> str | None:
    """Return which camera a path speaks of, "left" or "right", or None; the last word counts."""
    found = _CAMERA.findall(naming)
    return found[-1].lower() if found else None


def read_intensities(root: Path, subject: str, files: Mapping[int, Sequence[str]]) -> Floats:
    """Return the (n, 12) float32 intensities 0-5 of a subject, a row a label line, a column an AU of `DISFA_12`.

    Raises:
        LabelFileError: a file is missing or there twice, a line is not "frame,intensity" with frames 1 to n and
            intensities 0-5, or the files have different numbers of lines.
    """
    columns: list[NDArray[np.int64]] = []
    home = next((str(Path(paths[0]).parent) for paths in files.values()), f"ActionUnit_Labels/{subject}")
    for au in DISFA_12:
        paths = files.get(au, ())
        if len(paths) != 1:
            there = ", ".join(str(root / path) for path in paths)
            raise LabelFileError(
                f"{subject}: there are {len(paths)} label files of AU{au}: {there}"
                if paths
                else f"{subject}: no label file {root / home / f'{subject}_au{au}.txt'}",
                expected=f"one file for each of the AUs {', '.join(map(str, DISFA_12))}",
                do="keep one copy under the root" if paths else "restore it from your copy, or leave the subject out",
            )
        columns.append(_read_column(root / paths[0]))
        if len(columns[-1]) != len(columns[0]):
            raise LabelFileError(
                f"{subject}: {len(columns[-1]):,} lines in {root / paths[0]}, {len(columns[0]):,} in that of "
                f"AU{DISFA_12[0]}",
                expected="equally many lines in all label files of a subject",
                do="restore the shorter one from your copy",
            )
    return np.stack(columns, axis=1).astype(np.float32)


class LandmarkFiles:
    """The landmarks of pictures; call it with a picture's index.

    Args:
        root: the folder.
        paths: N paths under it, of MATLAB files that hold `pts` (66, 2).
    """

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self.root, self.paths = root, tuple(paths)

    def __call__(self, index: int) -> NDArray[np.float64]:
        """Return the (66, 2) float64 points of picture `index`: x and y in pixels of the video, as stored.

        Raises:
            FrameError: the file is missing or damaged, or holds something else.
        """
        import scipy.io

        path = self.root / self.paths[index]
        remedy = "restore the file from your copy of the data, or read without landmarks: align='none'"
        try:
            points = scipy.io.loadmat(str(path), variable_names=["pts"])["pts"]
        except KeyError as error:
            raise FrameError.of(path, "it holds no variable 'pts'", do=remedy) from error
        except Exception as error:  # loadmat raises whatever its parser stumbles over
            raise FrameError.of(path, getattr(error, "strerror", None) or str(error), do=remedy) from error
        if points.shape != (66, 2) or not np.issubdtype(points.dtype, np.number) or not np.isfinite(points).all():
            raise FrameError.of(path, f"'pts' has shape {points.shape}, not 66 finite points", do=remedy)
        return np.asarray(points, dtype=np.float64)


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder, as a path under the root with "/", and the names of its files in order."""
    stack = [("", 0)]
    seen: set[tuple[int, int]] = set()
    while stack:
        folder, depth = stack.pop()
        names, below = [], []
        try:
            stat = os.stat(root / folder)  # noqa: PTH116 (follows links, which users make to other disks)
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        below.append(entry.name)
                    else:
                        names.append(entry.name)
        except OSError as error:
            raise LayoutError(
                f"cannot list the folder {root / folder}: {error.strerror}",
                expected="a tree that may be read",
                do="check its permissions",
            ) from error
        yield folder, sorted(names)
        if depth < _DEPTH:
            children = [name for name in sorted(below, reverse=True) if not name.startswith(".")]
            stack.extend((f"{folder}/{name}" if folder else name, depth + 1) for name in children)


def _add_picture(tree: Tree, owner: str | None, template: str, path: str, picture: re.Match[str]) -> None:
    prefix, number, suffix = picture.groups()
    named = _SUBJECT.search(prefix)
    subject = f"SN{named[1]}" if named else owner
    # A portrait "SN001.jpg" is no frame 1.
    if subject is None or _SUBJECT.fullmatch(prefix + number):
        return
    if owner and subject != owner:
        raise LayoutError(
            f"{path} lies in a folder of {owner}", expected=f"frames of {owner} there", do="move or rename it"
        )
    naming = f"{template}/{_SUBJECT.sub('*', prefix)}#{suffix.lower()}".lstrip("/")
    _add(tree.images[subject][naming], int(number), path, subject)


def _add(numbered: Numbered, number: int, path: str, subject: str) -> None:
    if number in numbered:
        raise LayoutError(
            f"{subject}: {numbered[number]} and {path} are both number {number}",
            expected="one file for each number",
            do="delete the copy",
        )
    numbered[number] = path


def _read_column(path: Path) -> NDArray[np.int64]:
    """Return the (n,) intensities of one label file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _bad_labels(path, f"it cannot be read ({error.strerror})") from error
    if not data.strip():
        raise _bad_labels(path, "it is empty")
    try:
        if data.translate(None, _LABEL_BYTES):  # numpy would take 3.7 for 3 and "#" for the start of a comment
            raise ValueError
        rows_N2 = np.loadtxt(io.BytesIO(data), dtype=np.int64, delimiter=",", ndmin=2)
        frames_N, intensities_N = rows_N2.T
    except ValueError:
        raise _bad_labels(path, _first_wrong(data)) from None
    wrong = np.flatnonzero(frames_N != np.arange(1, len(frames_N) + 1))
    if len(wrong):
        raise _bad_labels(path, f"line {wrong[0] + 1} is of frame {frames_N[wrong[0]]}, not {wrong[0] + 1}")
    wrong = np.flatnonzero(intensities_N > 5)
    if len(wrong):
        raise _bad_labels(path, f"line {wrong[0] + 1} has the intensity {intensities_N[wrong[0]]}")
    return np.ascontiguousarray(intensities_N)


def _first_wrong(data: bytes) -> str:
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        if line.strip() and not _LINE.fullmatch(line):
            return f"line {number} is {line[:40]!r}"
    return "its lines cannot be read"


def _bad_labels(path: Path, reason: str) -> LabelFileError:
    return LabelFileError(
        f"label file {path}: {reason}",
        expected="lines 'frame,intensity' with frames 1, 2, 3, ... and intensities 0 to 5",
        do="restore the file from your copy of the data",
    )
