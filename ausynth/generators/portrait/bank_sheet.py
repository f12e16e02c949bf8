"""A contact sheet of a bank: what was photographed, how the head lies on it, what was cut out and baked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.bank import BankFace, FaceBank
from ausynth.generators.portrait.ict import IctHead

__all__ = ["bank_sheet", "fit_overlay"]

Pixels = NDArray[np.uint8]

_LINES = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))
_LOOPS = (range(36, 42), range(42, 48), range(48, 60), range(60, 68))
_BACKDROP = (86, 150, 96)


def bank_sheet(bank: FaceBank, head: IctHead, *, names: Sequence[str], size: int = 192) -> Pixels:
    """Return a picture (H, W, 3) uint8 with a row for each person.

    From the left: the photograph, the fitted head on it, the person cut out, the texture.
    """
    rows = []
    for name in names:
        face = bank[name]
        share = face.matte[..., None].astype(np.float32) / 255
        cut = (face.photo * share + np.array(_BACKDROP, np.float32) * (1 - share)).astype(np.uint8)
        cells = [_scaled(face.photo, size), fit_overlay(face, head, 2 * size), _scaled(cut, size)]
        cells.append(_scaled(face.texture, size))
        rows.append(np.concatenate([_scaled(cell, size) for cell in cells], axis=1))
        _label(rows[-1], name)
    return np.concatenate(rows)


def fit_overlay(face: BankFace, head: IctHead, size: int) -> Pixels:
    """Return the photograph (size, size, 3) with the fitted head's vertices and the lines through its landmarks."""
    import cv2

    picture = _scaled(face.photo, size)
    factor = size / len(face.photo)
    seen = face.camera.resized(factor).project(face.neutral)[:, :2]
    normals = np.zeros_like(face.neutral)
    triangles = head.triangles[head.triangles_of("face")]
    edges = face.neutral[triangles[:, 1:]] - face.neutral[triangles[:, :1]]
    across = np.cross(edges[:, 0], edges[:, 1])
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], across)
    shown = np.flatnonzero(face.camera.turn(normals)[:, 2] > 0)
    spots = np.floor(seen[shown]).astype(int)
    inside = ((spots >= 0) & (spots < size)).all(1)
    picture[spots[inside, 1], spots[inside, 0]] = (60, 230, 90)
    marks = np.rint(seen[head.landmarks] * 16 - 8).astype(np.int32)
    for numbers, closed in (*((line, False) for line in _LINES), *((loop, True) for loop in _LOOPS)):
        cv2.polylines(picture, [marks[list(numbers)]], closed, (255, 70, 40), 1, cv2.LINE_AA, 4)
    return picture


def _scaled(image: Pixels, size: int) -> Pixels:
    import cv2

    kind = cv2.INTER_AREA if size < len(image) else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image, (size, size), interpolation=kind), np.uint8)


def _label(row: Pixels, text: str) -> None:
    import cv2

    cv2.putText(row, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(row, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 240, 90), 1, cv2.LINE_AA)
