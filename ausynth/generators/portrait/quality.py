"""Which photographs a head can be made of: frontal, neutral, whole, well fitted; and in words why not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.fit import Fit
from ausynth.generators.portrait.landmarks import INNER_LIPS, LEFT_EYE, RIGHT_EYE, Landmarks
from ausynth.labels import Floats

__all__ = ["Limits", "fit_problems", "fringe", "landmark_problems", "lid_gap", "lip_gap"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Limits:
    """What a photograph may be at most (or must be at least) to go into a bank.

    Attributes:
        eye_span: pixels between the outer eye corners, at least.
        yaw, pitch, roll: degrees from frontal, at most.
        error: mean distance of the inner landmarks from the fitted head before the warp, as a share of the eye span.
        worst: the largest of those distances: a landmark that was found elsewhere.
        lip_gap: between the lips, as a share of the eye span, at most.
        lid_gap: between the lids, as a share of an eye's width, at least.
        smile, jaw, blink: MediaPipe's scores for a smile, an open jaw, closed eyes, at most; files have none.
        fringe: share of the forehead just over either brow that is as dark as hair, at most.
        background: share of the face that the matte takes for background, at most.
    """

    eye_span: float = 60.0
    yaw: float = 9.0
    pitch: float = 12.0
    roll: float = 15.0
    error: float = 0.035
    worst: float = 0.12
    lip_gap: float = 0.035
    lid_gap: float = 0.14
    smile: float = 0.35
    jaw: float = 0.15
    blink: float = 0.6
    fringe: float = 0.4
    background: float = 0.05


def landmark_problems(landmarks: Landmarks, shape: tuple[int, int], limits: Limits) -> list[str]:
    """Return what the landmarks alone say against a photograph of `shape` (height, width)."""
    problems = []
    if landmarks.eye_span < limits.eye_span:
        problems.append(
            f"the face is too small: {landmarks.eye_span:.0f} pixels between the outer eye corners, "
            f"at least {limits.eye_span:.0f}"
        )
    height, width = shape
    points = landmarks.points
    if points.min() < 0 or points[:, 0].max() > width or points[:, 1].max() > height:
        problems.append("the face is cut off by the picture's edge")
    gap = lip_gap(landmarks)
    if gap > limits.lip_gap or landmarks.scores.get("jawOpen", 0) > limits.jaw:
        problems.append(f"the mouth is open: a gap of {gap:.3f} eye spans, at most {limits.lip_gap:g}")
    lids = lid_gap(landmarks)
    blink = max((landmarks.scores.get(f"eyeBlink{side}", 0) for side in ("Left", "Right")), default=0)
    if lids < limits.lid_gap or blink > limits.blink:
        problems.append(f"the eyes are closed: a gap of {lids:.2f} of their width, at least {limits.lid_gap:g}")
    smile = np.mean([landmarks.scores.get(f"mouthSmile{side}", 0) for side in ("Left", "Right")])
    if smile > limits.smile:
        problems.append(f"not neutral: MediaPipe sees a smile of {smile:.2f}, at most {limits.smile:g}")
    return problems


def fit_problems(fit: Fit, limits: Limits) -> list[str]:
    """Return what the fit says against a photograph."""
    problems = [
        f"not frontal: {name} {abs(angle):.0f} degrees, at most {most:g}"
        for name, angle, most in (
            ("yaw", fit.yaw, limits.yaw), ("pitch", fit.pitch, limits.pitch), ("roll", fit.roll, limits.roll),
        )
        if abs(angle) > most
    ]  # fmt: skip
    if fit.inner_error > limits.error:
        problems.append(
            f"the head does not fit: landmarks are missed by {fit.inner_error:.3f} eye spans, at most {limits.error:g}"
        )
    elif fit.worst_error > limits.worst:
        problems.append(
            f"the head does not fit: a landmark is missed by {fit.worst_error:.2f} eye spans, at most {limits.worst:g}"
        )
    return problems


def lip_gap(landmarks: Landmarks) -> float:
    """Return the mean gap between the inner lips as a share of the eye span."""
    inner = landmarks.points[INNER_LIPS]
    return float(np.linalg.norm(inner[[1, 2, 3]] - inner[[7, 6, 5]], axis=1).mean() / landmarks.eye_span)


def lid_gap(landmarks: Landmarks) -> float:
    """Return the smaller eye's gap between the lids as a share of its width."""
    gaps = []
    for eye in (RIGHT_EYE, LEFT_EYE):
        points = landmarks.points[eye]
        gap = np.linalg.norm(points[[1, 2]] - points[[5, 4]], axis=1).mean()
        gaps.append(gap / max(float(np.linalg.norm(points[3] - points[0])), 1e-6))
    return float(min(gaps))


def fringe(photo_HW3: Pixels, landmarks: Landmarks) -> float:
    """Return the share (0-1) of the forehead just over the more hidden brow that is much darker than the cheeks."""
    light = photo_HW3.astype(np.float32).mean(2)
    points, span = landmarks.points, landmarks.eye_span
    # From the inner corners of the eyes down to the corners of the mouth, within the cheeks.
    cheeks = [
        _polygon(light, points[[eye, nose, mouth, jaw]])
        for eye, nose, mouth, jaw in ((41, 31, 48, 3), (46, 35, 54, 13))
    ]
    shares = []
    up = points[27] - points[8]
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    for brow, cheek in zip((points[17:22], points[22:27]), cheeks, strict=True):
        strip = np.concatenate([brow + up * 0.05 * span, (brow + up * 0.17 * span)[::-1]])
        over = _polygon(light, strip)
        if len(over) and len(cheek):
            shares.append(float((over < 0.6 * np.median(cheek)).mean()))
    return max(shares, default=0.0)


def _polygon(light: Floats, corners: Floats) -> Floats:
    """Return the values inside a polygon."""
    import cv2

    inside = np.zeros(light.shape, np.uint8)
    cv2.fillPoly(inside, [np.rint(corners * 16 - 8).astype(np.int32)], 1, cv2.LINE_8, 4)
    return light[inside > 0]
