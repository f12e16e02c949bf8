"""Landmarks from files beside the photographs: .npy, .txt, .pts, .mat or .json with 68 points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from ausynth.errors import AusynthError
from ausynth.generators.portrait.landmarks import Landmarks

__all__ = ["ENDINGS", "find_file", "read_landmarks"]

ENDINGS: Final = (".npy", ".pts", ".txt", ".mat", ".json")
"""File name endings, in the order in which they are looked for."""


def find_file(photo: Path, folder: Path | None = None) -> Path | None:
    """Return the landmark file of a photograph, or None: its name with another ending, beside it or in `folder`."""
    places = [(folder or photo.parent) / f"{stem}{ending}" for stem in (photo.stem, photo.name) for ending in ENDINGS]
    return next((path for path in places if path.is_file()), None)


def read_landmarks(path: Path) -> Landmarks:
    """Return the landmarks of a file.

    - .npy: an array (68, 2), or (68, 3) whose third column is not used;
    - .txt: a line "column row" a point, commas or blanks between them; other lines are not read;
    - .pts: as 300-W distributes them: `{`, 68 lines, `}`; counted from 1;
    - .mat: the one variable of that shape;
    - .json: a list of points, or an object with one under "landmarks" or "points".

    Numbers are pixels; (0, 0) is the middle of the first pixel, except in .pts files, where it is (1, 1).

    Raises:
        AusynthError: the file cannot be read, or holds no 68 points.
    """
    try:
        points = np.asarray(_READERS[path.suffix.lower()](path), np.float64)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise AusynthError(f"cannot read the landmarks in {path}: {error}", expected="68 points") from error
    if points.shape not in ((68, 2), (68, 3)) or not np.isfinite(points).all():
        raise AusynthError(
            f"{path} holds numbers of shape {points.shape}" + ("" if np.isfinite(points).all() else ", not all finite"),
            expected="68 points in the order of 300-W (jaw, brows, nose, eyes, outer lips, inner lips)",
        )
    offset = -0.5 if path.suffix.lower() == ".pts" else 0.5
    return Landmarks((points[:, :2] + offset).astype(np.float32))


def _lines(path: Path) -> Any:
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.replace(",", " ").split()
        try:
            row = [float(word) for word in words]
        except ValueError:
            continue
        if len(row) in (2, 3):
            rows.append(row[:2])
    return rows


def _matlab(path: Path) -> Any:
    import scipy.io

    try:
        found = scipy.io.loadmat(path)
    except (NotImplementedError, scipy.io.matlab.MatReadError) as error:  # of version 7.3; cut off
        raise ValueError(str(error)) from error
    arrays = [value for name, value in found.items() if not name.startswith("__") and np.shape(value) in _SHAPES]
    if len(arrays) != 1:
        raise ValueError(f"{len(arrays)} variables with 68 points")
    return arrays[0]


def _json(path: Path) -> Any:
    found = json.loads(path.read_text(encoding="utf-8"))
    return found.get("landmarks", found.get("points")) if isinstance(found, dict) else found


_SHAPES: Final = ((68, 2), (68, 3))
_READERS: Final[dict[str, Callable[[Path], Any]]] = {
    ".npy": lambda path: np.load(path, allow_pickle=False),
    ".txt": _lines,
    ".pts": _lines,
    ".mat": _matlab,
    ".json": _json,
}
