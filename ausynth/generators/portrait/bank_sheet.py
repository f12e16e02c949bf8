"""A contact sheet of a bank: what was photographed, how the head lies on it, what was cut out and baked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.base import Conditions
from ausynth.generators.portrait.bank import BankFace, FaceBank
from ausynth.generators.portrait.generator import PortraitGenerator
from ausynth.generators.portrait.ict import IctHead

__all__ = ["EXPRESSIONS", "bank_sheet", "fit_overlay"]

Pixels = NDArray[np.uint8]

_LINES = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))
_LOOPS = (range(36, 42), range(42, 48), range(48, 60), range(60, 68))
_BACKDROP = (86, 150, 96)
_INTENSITY = 4.0

EXPRESSIONS: Final = ((), (12,), (4,), (1, 2, 5, 26))
"""AUs of the rendered pictures."""


def bank_sheet(bank: FaceBank, head: IctHead, *, names: Sequence[str], size: int = 192) -> Pixels:
    """Return a picture (H, W, 3) uint8 with a row for each person.

    From the left: the photograph, the fitted head on it, the person cut out, the texture; then rendered: neutral, AU12,
    AU4, and AU1+2+5+26 (`EXPRESSIONS`).
    """
    faces = [bank[name] for name in names]
    expressions = _rendered(bank, head, names, size)
    rows = []
    for face, drawn in zip(faces, expressions, strict=True):
        share = face.matte[..., None].astype(np.float32) / 255
        cut = (face.photo * share + np.array(_BACKDROP, np.float32) * (1 - share)).astype(np.uint8)
        cells = [_scaled(face.photo, size), fit_overlay(face, head, 2 * size), _scaled(cut, size)]
        cells += [_scaled(face.texture, size), *drawn]
        rows.append(np.concatenate([_scaled(cell, size) for cell in cells], axis=1))
        _label(rows[-1], face.name)
    return np.concatenate(rows)


def _rendered(bank: FaceBank, head: IctHead, names: Sequence[str], size: int) -> list[list[Pixels]]:
    """Return the expressions of each person, as the portrait look draws them straight from the front."""
    generator = PortraitGenerator(
        bank, max(size, 64), blend=False, yaw=0, pitch=0, roll=0, distance=(90, 90), jitter=0, gaze=0, blink=0, light=0,
        background=0, blur=0, grain=0, jpeg=None, supersample=2, head=head,
    )  # fmt: skip
    identity: dict[str, int] = {}
    number = 0
    while not all(name in identity for name in names):
        identity.setdefault(bank.names[generator.mixture(number).base], number)
        number += 1
    intensity_EA = np.zeros((len(EXPRESSIONS), len(generator.aus)), np.float32)
    for row, aus in enumerate(EXPRESSIONS):
        intensity_EA[row, [generator.aus.index(au) for au in aus]] = _INTENSITY
    drawn = []
    for name in names:
        who = np.full(len(EXPRESSIONS), identity[name], np.int64)
        drawn.append(list(generator.generate(Conditions(intensity_EA, who, np.zeros_like(who))).images))
    return drawn


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
