"""From a photograph to a person of a bank: landmarks, fit, matte, texture, light; or why not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.bake import bake
from ausynth.generators.portrait.bank import PHOTO_SIZE, StoredFace
from ausynth.generators.portrait.fit import fit_head
from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.iris import iris_colour
from ausynth.generators.portrait.landmarks import Landmarks
from ausynth.generators.portrait.matte import person_matte
from ausynth.generators.portrait.quality import Limits, fit_problems, fringe, landmark_problems
from ausynth.labels import Floats

__all__ = ["METHOD", "Finder", "Person", "Photograph", "build_face", "cut_square", "photo_key"]

Pixels = NDArray[np.uint8]
Finder = Callable[[Pixels], Landmarks | None]

METHOD: Final = "portrait-build 1"
"""Changes whenever the same photograph would become another bank entry."""

_WORK: Final = 512
_FRAME: Final = 2.45
"""Side of the square that is cut out, in eye spans: chin to crown, and hair beside it."""
_EYES_AT: Final = 0.42
"""How far down in that square the eyes lie."""

_CHIN_CM: Final = -7.4
_EARS_CM: Final = 3.4
"""The mean head's chin (y) and the front of its ears (z)."""


@dataclass(frozen=True)
class Person:
    """Whom a photograph shows, and who may be thanked for it.

    Attributes:
        name: in the bank, unique there.
        subject: as data sets name people ("disfa:SN001").
        attributes: age, gender, ethnicity and the like, where known.
        licence, source: of the photographs.
    """

    name: str
    subject: str
    licence: str
    source: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Photograph:
    """One picture of a person, read when it is needed.

    Attributes:
        person: whom it shows.
        path: of the file, or what else a message should call it.
        load: returns the picture, (H, W, 3) uint8 sRGB; raises AusynthError where it cannot be read.
        landmarks: returns its landmarks where they lie in a file; None where they are to be found in the picture.
    """

    person: Person
    path: str
    load: Callable[[], Pixels]
    landmarks: Callable[[], Landmarks] | None = None


def photo_key(photo_HW3: Pixels, head: IctHead) -> str:
    """Return a hash of all that a bank entry is made from: a build that goes on does not make the same again."""
    digest = hashlib.sha256(f"{METHOD} {head.fingerprint} {photo_HW3.shape}".encode())
    digest.update(np.ascontiguousarray(photo_HW3).data)
    return digest.hexdigest()[:16]


def build_face(
    photo_HW3: Pixels, landmarks: Landmarks | None, person: Person, head: IctHead, limits: Limits | None = None
) -> StoredFace | list[str]:
    """Return the bank entry of one photograph, or the reasons why there is none.

    Args:
        photo_HW3: (H, W, 3) uint8 sRGB.
        landmarks: of the face in it; None where none was found.
        person: whom it shows.
        head: what to fit.
        limits: what a photograph has to keep to.
    """
    import cv2

    limits = limits or Limits()
    if landmarks is None:
        return ["no face was found"]
    problems = landmark_problems(landmarks, photo_HW3.shape[:2], limits)
    if problems:
        return problems
    work, marks = cut_square(photo_HW3, landmarks)
    fit = fit_head(head, marks)
    hidden = fringe(work, marks)
    problems = fit_problems(fit, limits)
    if hidden > limits.fringe:
        problems.append(
            f"hair over the brows: {hidden:.0%} of the forehead above one is dark, at most {limits.fringe:.0%}"
        )
    if problems:
        return problems
    neutral_V3 = fit.shape.vertices(head)
    face_HW = _outline(head, fit.camera.project(neutral_V3), work.shape[0])
    matte_HW = person_matte(work, face_HW)
    core = cv2.erode(face_HW, np.ones((15, 15), np.uint8)) > 0
    lost = float((matte_HW[core] < 128).mean()) if core.any() else 1.0
    if lost > limits.background:
        return [f"face and background cannot be told apart: {lost:.0%} of the face, at most {limits.background:.0%}"]
    baked = bake(head, neutral_V3, fit.camera, work, matte_HW)
    small = (PHOTO_SIZE, PHOTO_SIZE)
    kind = cv2.INTER_AREA if work.shape[0] > PHOTO_SIZE else cv2.INTER_LINEAR
    return StoredFace(
        name=person.name,
        shape=fit.shape,
        texture=baked.texture,
        photo=np.asarray(cv2.resize(work, small, interpolation=kind), np.uint8),
        matte=np.asarray(cv2.resize(matte_HW, small, interpolation=kind), np.uint8),
        light=baked.light,
        camera=fit.camera.resized(PHOTO_SIZE / work.shape[0]),
        iris=iris_colour(work, marks),
        attributes=person.attributes,
        licence=person.licence,
        source=person.source,
        subject=person.subject,
        quality={
            "error": round(fit.inner_error, 4),
            "yaw": round(fit.yaw, 1),
            "pitch": round(fit.pitch, 1),
            "roll": round(fit.roll, 1),
            "strangeness": round(fit.strangeness, 2),
            "fringe": round(hidden, 2),
            "eye_span": round(landmarks.eye_span, 1),
        },
    )


def cut_square(photo_HW3: Pixels, landmarks: Landmarks) -> tuple[Pixels, Landmarks]:
    """Return the square around the face, 256 to 512 pixels wide, and the landmarks in it.

    It lies within the photograph: a face near the edge is not in its middle.
    """
    import cv2

    height, width = photo_HW3.shape[:2]
    side = round(min(_FRAME * landmarks.eye_span, height, width))
    if side * 1.12 >= min(height, width):
        side = min(height, width)
    eyes = landmarks.points[36:48].mean(0)
    left = int(np.clip(round(eyes[0] - side / 2), 0, width - side))
    top = int(np.clip(round(eyes[1] - side * _EYES_AT), 0, height - side))
    work = photo_HW3[top : top + side, left : left + side]
    size = int(np.clip(side, PHOTO_SIZE, _WORK))
    if size != side:
        kind = cv2.INTER_AREA if size < side else cv2.INTER_CUBIC
        work = np.asarray(cv2.resize(work, (size, size), interpolation=kind), np.uint8)
    factor = size / side
    return np.ascontiguousarray(work), landmarks.moved(factor, (-left * factor, -top * factor))


def _outline(head: IctHead, seen_V3: Floats, size: int) -> Pixels:
    """Return (size, size) uint8: 255 where the face is, without the head's neck and ears, which may be other than the
    person's."""
    import cv2

    face_HW = np.zeros((size, size), np.uint8)
    triangles = head.triangles[head.triangles_of("face")]
    middle = head.vertices[triangles].mean(1)
    front = triangles[(middle[:, 1] > _CHIN_CM) & (middle[:, 2] > _EARS_CM)]
    for triangle in np.rint(seen_V3[front, :2] * 16 - 8).astype(np.int32):
        cv2.fillConvexPoly(face_HW, triangle, 255, cv2.LINE_8, 4)
    return face_HW
