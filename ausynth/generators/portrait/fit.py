"""Fits the head to the landmarks of a frontal photograph of a neutral face: pose, identity, and a warp of what is left.

Legend of the shapes: L landmarks, M identity modes, K knots of the warp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.landmarks import JAW, Landmarks
from ausynth.generators.portrait.person import PersonShape, PhotoCamera
from ausynth.labels import Floats

__all__ = ["Fit", "fit_head"]

Doubles = NDArray[np.float64]

_DISTANCE: Final = 110.0
"""Centimetres: a portrait lens. How far a camera stood does not follow from one face's landmarks."""

_ROUNDS: Final = 12
_NOISE: Final = 0.3
"""Standard deviation in centimetres of a landmark about the vertex it stands for."""

_JAW_SHARE: Final = 0.15
"""Weight of the jaw's landmarks: they slide along the outline."""

_FRONTAL: Final = np.radians([6.0, 3.0, 20.0])
"""Standard deviation of yaw, pitch and roll of a frontal photograph; pitch and the length of a face look alike."""

_STIFF: Final = 0.15
_RING: Final = 14.0
_CENTRE: Final = (0.0, 0.5)


@dataclass(frozen=True, eq=False)
class Fit:
    """A head laid on a photograph.

    Attributes:
        shape: the person.
        camera: the photograph's.
        inner_error: mean distance of the 51 inner landmarks before the warp, as a share of the eye span.
        worst_error: the largest of those distances.
        yaw, pitch, roll: degrees; positive: to the person's left, down, to the person's right.
        strangeness: root mean square of the identity weights, in standard deviations.
    """

    shape: PersonShape
    camera: PhotoCamera
    inner_error: float
    worst_error: float
    yaw: float
    pitch: float
    roll: float
    strangeness: float


def fit_head(head: IctHead, landmarks: Landmarks) -> Fit:
    """Return the person and the camera that the landmarks show.

    Pose (Gauss-Newton) and identity (ridge regression with unit variances) alternate; the pose is drawn to a frontal
    one.
    A smoothing thin-plate spline then moves the landmarks' vertices onto the landmarks.
    """
    points_L2 = landmarks.points.astype(np.float64)
    mean_L3 = head.vertices[head.landmarks].astype(np.float64)
    modes_ML3 = head.modes[:, head.landmarks].astype(np.float64)
    share_L = np.ones(len(points_L2))
    share_L[JAW] = _JAW_SHARE
    pose = _first_pose(mean_L3, points_L2)
    weights_M = np.zeros(len(modes_ML3))
    for _ in range(_ROUNDS):
        shaped_L3 = mean_L3 + np.tensordot(weights_M, modes_ML3, axes=1)
        pose = _refine_pose(pose, shaped_L3, points_L2, share_L)
        weights_M = _refine_identity(pose, mean_L3, modes_ML3, weights_M, points_L2, share_L)
    camera = _camera(pose)
    shaped_L3 = mean_L3 + np.tensordot(weights_M, modes_ML3, axes=1)
    missed_L2 = points_L2 - camera.project(shaped_L3.astype(np.float32))[:, :2]
    shape = _warped(weights_M.astype(np.float32), shaped_L3, missed_L2, camera)
    yaw, pitch, roll = np.degrees(pose[:3])
    missed_I = np.linalg.norm(missed_L2[JAW.stop :], axis=1) / landmarks.eye_span
    return Fit(
        shape=shape,
        camera=camera,
        inner_error=float(missed_I.mean()),
        worst_error=float(missed_I.max()),
        yaw=float(yaw),
        pitch=float(pitch),
        roll=float(roll),
        strangeness=float(np.sqrt((weights_M**2).mean())),
    )


def _rotation(pose: Doubles) -> Doubles:
    """Return the matrix that rolls, then pitches, then yaws (radians)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(pose[:3]), np.sin(pose[:3])
    yaw_33 = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch_33 = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    roll_33 = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(yaw_33 @ pitch_33 @ roll_33)


def _project(pose: Doubles, points_L3: Doubles) -> Doubles:
    turned = points_L3 @ _rotation(pose).T
    size = np.exp(pose[3]) * _DISTANCE / (_DISTANCE - turned[:, 2])
    return np.stack([pose[4] + turned[:, 0] * size, pose[5] - turned[:, 1] * size], axis=1)


def _camera(pose: Doubles) -> PhotoCamera:
    rotation_33 = _rotation(pose).astype(np.float32)
    return PhotoCamera(rotation_33, float(np.exp(pose[3])), (float(pose[4]), float(pose[5])), _DISTANCE)


def _first_pose(mean_L3: Doubles, points_L2: Doubles) -> Doubles:
    """Return yaw, pitch, roll, log scale, column and row: frontal, with the size, tilt and place of the landmarks."""
    flat_L2 = mean_L3[:, :2] * [1, -1]
    seen, model = points_L2 - points_L2.mean(0), flat_L2 - flat_L2.mean(0)
    across = (model[:, 0] * seen[:, 1] - model[:, 1] * seen[:, 0]).sum()
    along = (model * seen).sum()
    size = np.hypot(across, along) / (model**2).sum()
    # Rows grow downward: a turn towards larger rows is clockwise.
    pose = np.array([0, 0, -np.arctan2(across, along), np.log(size), 0, 0])
    pose[4:] = (points_L2 - _project(pose, mean_L3)).mean(0)
    return pose


def _refine_pose(pose: Doubles, shaped_L3: Doubles, points_L2: Doubles, share_L: Doubles) -> Doubles:
    """Return the pose after two steps of Gauss-Newton on landmarks and the frontal prior."""
    for _ in range(2):
        pixel = np.sqrt(share_L)[:, None] / (_NOISE * np.exp(pose[3]))
        seen = _project(pose, shaped_L3)
        step = np.array([1e-4, 1e-4, 1e-4, 1e-4, 1e-2, 1e-2])
        slopes = [(_project(pose + np.eye(6)[i] * step[i], shaped_L3) - seen) / step[i] * pixel for i in range(6)]
        slope_R6 = np.stack([slope.ravel() for slope in slopes], axis=1)
        prior_36 = np.eye(3, 6) / _FRONTAL[:, None]
        matrix = np.concatenate([slope_R6, prior_36])
        missed = np.concatenate([((points_L2 - seen) * pixel).ravel(), -pose[:3] / _FRONTAL])
        pose = pose + np.linalg.lstsq(matrix, missed, rcond=None)[0]
    return pose


def _refine_identity(  # noqa: PLR0917
    pose: Doubles, mean_L3: Doubles, modes_ML3: Doubles, weights_M: Doubles, points_L2: Doubles, share_L: Doubles
) -> Doubles:
    """Return the identity weights that ridge regression finds with the pose, and each landmark's depth, held."""
    rotation_33 = _rotation(pose)
    depth_L = ((mean_L3 + np.tensordot(weights_M, modes_ML3, axes=1)) @ rotation_33.T)[:, 2]
    size_L = np.exp(pose[3]) * _DISTANCE / (_DISTANCE - depth_L)
    pixel_L = np.sqrt(share_L) / (_NOISE * np.exp(pose[3]))
    turned_ML2 = (modes_ML3 @ rotation_33.T)[..., :2] * [1, -1] * (size_L * pixel_L)[:, None]
    base_L2 = np.array(pose[4:6]) + (mean_L3 @ rotation_33.T)[:, :2] * [1, -1] * size_L[:, None]
    missed = ((points_L2 - base_L2) * pixel_L[:, None]).ravel()
    design_RM = turned_ML2.reshape(len(modes_ML3), -1).T
    return np.asarray(np.linalg.solve(design_RM.T @ design_RM + np.eye(len(modes_ML3)), design_RM.T @ missed))


def _warped(weights_M: Floats, shaped_L3: Doubles, missed_L2: Doubles, camera: PhotoCamera) -> PersonShape:
    """Return the shape whose spline carries the landmarks' vertices over what the pose and identity have missed."""
    depth_L = shaped_L3 @ camera.rotation[2].astype(np.float64)
    size_L = camera.scale * camera.distance / (camera.distance - depth_L)
    # A move in the picture's plane, in the head's axes; the part along z is left out, as it is not seen.
    plane_22 = camera.rotation[:2, :2].astype(np.float64)
    moved_L2 = np.linalg.solve(plane_22, (missed_L2 * [1, -1] / size_L[:, None]).T).T
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring_K2 = np.stack([_RING * np.sin(angle), _RING * np.cos(angle) * 1.2], axis=1) + _CENTRE
    knots_K2 = np.concatenate([shaped_L3[:, :2], ring_K2])
    target_K2 = np.concatenate([moved_L2, np.zeros_like(ring_K2)])
    loose_K = np.full(len(knots_K2), _STIFF)
    loose_K[JAW] = 3.0
    return PersonShape(weights_M, knots_K2.astype(np.float32), _spline(knots_K2, target_K2, loose_K))


def _spline(knots_K2: Doubles, moved_K2: Doubles, loose_K: Doubles) -> Floats:
    """Return (K + 3, 2) coefficients of the thin-plate spline; `loose_K` says how far a knot may be missed."""
    square = ((knots_K2[:, None] - knots_K2[None]) ** 2).sum(2)
    kernel = square * np.log(np.maximum(square, 1e-12))
    plane = np.column_stack([np.ones(len(knots_K2)), knots_K2])
    matrix = np.block([[kernel + np.diag(loose_K), plane], [plane.T, np.zeros((3, 3))]])
    return np.linalg.solve(matrix, np.concatenate([moved_K2, np.zeros((3, 2))])).astype(np.float32)
