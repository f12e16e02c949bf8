"""From people and AU intensities to the vertices of B faces: `portrait.shape` on tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ausynth.generators.portrait.batched.lips import LipSetter
from ausynth.generators.portrait.batched.mesh import combined, turned
from ausynth.generators.portrait.eyes import LID_RADII
from ausynth.generators.portrait.lips import lips_of
from ausynth.generators.portrait.shape import LOOK_DEGREES, TEETH_CM, Shaper
from ausynth.generators.portrait.table import AUS
from ausynth.generators.rendered.actions import gain
from ausynth.generators.rendered.lips import OPEN_CM, SEALED_CM
from ausynth.labels import Floats

__all__ = ["Builds", "FaceMaker", "Faces", "Motion", "rotations"]

_COLUMN: Final = {au: a for a, au in enumerate(AUS)}


class Builds(NamedTuple):
    """B people's neutral faces, as `portrait.shape.Build`.

    Attributes:
        vertices: (B, V, 3) float32 centimetres.
        balls: (B, 2, 4) middle and radius of the eyeballs.
        gap: (B,) centimetres between the lips.
        jaw: (B,) float64 centimetres from the upper to the lower teeth.
        middle: (B, 3) half way from the eyes to the chin.
        height: (B,) from the eyes to the chin.
    """

    vertices: Tensor
    balls: Tensor
    gap: Tensor
    jaw: Tensor
    middle: Tensor
    height: Tensor

    def rows(self, rows: Tensor) -> Builds:
        """Return the chosen ones."""
        return Builds(*(part[rows] for part in self))


@dataclass(frozen=True, eq=False)
class Motion:
    """What B faces do, as numbers drawn and looked up on the CPU.

    Attributes:
        made: (B, A) 0-5, what is made of what was asked: AU24 is given up where AU25 is asked too.
        weights: (B, E) of the head's shapes.
        moved: (B,) whether any AU moves the face.
        least, most: (B,) the limits of the lips' gap, centimetres.
        gaze: (B, 3, 3) turns of the eyeballs.
        blink: (B,) 0-1; 0 where AU5 holds the eyes open.
    """

    made: Floats
    weights: Floats
    moved: NDArray[np.bool_]
    least: Floats
    most: Floats
    gaze: Floats
    blink: Floats


class Faces(NamedTuple):
    """B faces, as `portrait.shape.Face`: vertices (B, V, 3), and gap and drop (B,) in centimetres."""

    vertices: Tensor
    gap: Tensor
    drop: Tensor


class FaceMaker:
    """Makes the faces of people on one head."""

    def __init__(self, shaper: Shaper, device: torch.device) -> None:
        topology = shaper.topology
        self._shaper, self._device = shaper, device
        self._lips = LipSetter(lips_of(topology), device)
        changes_EV3 = np.zeros((len(topology.starts) - 1, len(topology.source), 3))
        for e, (start, end) in enumerate(zip(topology.starts[:-1], topology.starts[1:], strict=True)):
            np.add.at(changes_EV3[e], topology.rows[start:end], topology.deltas[start:end])
        self._changes = torch.from_numpy(changes_EV3.reshape(len(changes_EV3), -1)).to(device)
        self._balls, self._lids, self._jaws = (
            tuple(torch.from_numpy(part).long().to(device) for part in parts)
            for parts in (topology.balls, topology.lids, topology.jaws)
        )
        self._rest = torch.from_numpy(topology.rest).to(device)
        self._means = torch.from_numpy(np.stack(topology.ball_middle)).to(device)
        self._chin = int(topology.landmarks[8])

    def build(self, neutral_BV3: Tensor) -> Builds:
        """Return people of (B, V, 3) neutral vertices, which are changed: lips sealed, lids settled, eyeballs round."""
        balls = []
        for own, mean_4 in zip(self._balls, self._means, strict=True):
            ball_BN3, rest_N3 = neutral_BV3[:, own], self._rest[own]
            ball_B4 = _balls(ball_BN3.double(), rest_N3.double(), mean_4.double()).float()
            offset_BN3 = ball_BN3 - ball_B4[:, None, :3]
            far_BN1 = ball_B4[:, None, 3:] / offset_BN3.square().sum(2, keepdim=True).sqrt()
            neutral_BV3[:, own] = ball_B4[:, None, :3] + offset_BN3 * far_BN1
            balls.append(ball_B4)
        balls_B24 = torch.stack(balls, 1)
        for teeth, down in zip(self._jaws, TEETH_CM, strict=True):
            neutral_BV3[:, teeth, 1] += down
        sealed_B = neutral_BV3.new_full((len(neutral_BV3),), SEALED_CM)
        gap_B = self._lips.settle(neutral_BV3, sealed_B, sealed_B)
        self._settle_lids(neutral_BV3, balls_B24)
        eyes_B3, chin_B3 = balls_B24[:, :, :3].mean(1), neutral_BV3[:, self._chin]
        height_B = eyes_B3[:, 1] - chin_B3[:, 1]
        return Builds(neutral_BV3, balls_B24, gap_B, self._jaw(neutral_BV3), (eyes_B3 + chin_B3) / 2, height_B)

    def motion(
        self, intensity_BA: Floats, asymmetry_BA: Floats, gaze_B2: NDArray[np.float64], blink_B: Floats
    ) -> Motion:
        """Return what faces do at AU intensities 0-5: looked up, on the CPU."""
        made_BA = intensity_BA.astype(np.float32).copy()
        parted, dropped, pressed, wide = (_COLUMN[au] for au in (25, 26, 24, 5))
        made_BA[made_BA[:, parted] > 0, pressed] = 0
        blink_B = np.where(made_BA[:, wide] > 0, 0, blink_B).astype(np.float32)
        weights_BE = self._shaper.actions.weights_of_many(made_BA, asymmetry_BA)
        moved_B = np.asarray(weights_BE.any(1))
        self._add_eyes(weights_BE, gaze_B2, blink_B)
        sealed_B = (made_BA[:, parted] == 0) & ((made_BA[:, dropped] == 0) | (made_BA[:, pressed] > 0))
        shapes = self._shaper.head.shapes
        closes, opens = shapes["mouthClose"], shapes["jawOpen"]
        weights_BE[sealed_B, closes] = weights_BE[sealed_B, opens]
        for suffix in ("_L", "_R"):
            number = shapes["eyeBlink" + suffix]
            weights_BE[:, number] = np.minimum(weights_BE[:, number], 1)
        gap_B = gain(made_BA[:, parted]) * np.float32(OPEN_CM)
        least_B = np.where(sealed_B, np.float32(SEALED_CM), gap_B)
        most_B = np.where((made_BA[:, dropped] == 0) | sealed_B, least_B, np.inf)
        return Motion(
            made_BA, weights_BE, moved_B, least_B.astype(np.float32), most_B.astype(np.float32),
            rotations(gaze_B2[:, 0], gaze_B2[:, 1], np.zeros(len(gaze_B2))), blink_B,
        )  # fmt: skip

    def faces(self, builds: Builds, motion: Motion) -> Faces:
        """Return people's faces as they move."""
        device = self._device
        change_BN = combined(torch.from_numpy(motion.weights).to(device), self._changes)
        vertices_BV3 = builds.vertices + change_BN.reshape(builds.vertices.shape)
        rows = torch.from_numpy(np.flatnonzero(motion.moved)).to(device)
        gap_B, drop_B = builds.gap.clone(), torch.zeros_like(builds.jaw)
        if len(rows):
            moved_BV3 = vertices_BV3[rows]
            limits = (torch.from_numpy(part).to(device)[rows] for part in (motion.least, motion.most))
            gap_B[rows] = self._lips.settle(moved_BV3, *limits)
            vertices_BV3[rows] = moved_BV3
        self._settle_lids(vertices_BV3, builds.balls)
        drop_B = (self._jaw(vertices_BV3) - builds.jaw).clamp(min=0)
        turns_B33 = torch.from_numpy(motion.gaze).to(device)
        for own, ball_B4 in zip(self._balls, builds.balls.unbind(1), strict=True):
            middle_B13 = ball_B4[:, None, :3]
            vertices_BV3[:, own] = middle_B13 + turned(vertices_BV3[:, own] - middle_B13, turns_B33)
        return Faces(vertices_BV3, gap_B, drop_B)

    def _add_eyes(self, weights_BE: Floats, gaze_B2: NDArray[np.float64], blink_B: Floats) -> None:
        """Let the lids follow the gaze and close for a blink."""
        yaw_B, pitch_B = np.clip(gaze_B2 / LOOK_DEGREES, -1, 1).T
        shapes = self._shaper.head.shapes
        for suffix, outward_B in (("_L", yaw_B), ("_R", -yaw_B)):
            for name, weight_B in (
                ("eyeLookOut", outward_B), ("eyeLookIn", -outward_B), ("eyeLookDown", pitch_B),
                ("eyeLookUp", -pitch_B), ("eyeBlink", blink_B),
            ):  # fmt: skip
                weights_BE[:, shapes[name + suffix]] += np.maximum(weight_B, 0).astype(np.float32)

    def _settle_lids(self, vertices_BV3: Tensor, balls_B24: Tensor) -> None:
        """Push the lids out of the eyeballs, in place."""
        for own, ball_B4 in zip(self._lids, balls_B24.unbind(1), strict=True):
            offset_BN3 = vertices_BV3[:, own] - ball_B4[:, None, :3]
            distance_BN = offset_BN3.square().sum(2).sqrt()
            least_B1 = LID_RADII * ball_B4[:, 3:]
            inside_BN = (offset_BN3[..., 2] > 0) & (distance_BN > 0) & (distance_BN < least_B1)
            grown_BN = torch.where(inside_BN, least_B1 / torch.where(inside_BN, distance_BN, 1), 1)
            pushed_BN3 = ball_B4[:, None, :3] + offset_BN3 * grown_BN[..., None]
            vertices_BV3[:, own] = torch.where(inside_BN[..., None], pushed_BN3, vertices_BV3[:, own])

    def _jaw(self, vertices_BV3: Tensor) -> Tensor:
        upper, lower = self._jaws
        if not len(upper) or not len(lower):
            return torch.zeros(len(vertices_BV3), dtype=torch.float64, device=vertices_BV3.device)
        return vertices_BV3[:, upper, 1].double().mean(1) - vertices_BV3[:, lower, 1].double().mean(1)


def _balls(ball_BN3: Tensor, rest_N3: Tensor, mean_4: Tensor) -> Tensor:
    """Return (B, 4) middle and radius of people's eyeballs: moved and resized copies of the mean head's."""
    middle_B3, rest_3 = ball_BN3.mean(1), rest_N3.mean(0)
    spread_B = (ball_BN3 - middle_B3[:, None]).square().sum(2).sqrt().mean(1)
    size_B1 = (spread_B / (rest_N3 - rest_3).square().sum(1).sqrt().mean())[:, None]
    # Only the front of the ball is drawn: its mean is not its middle.
    return torch.cat([middle_B3 + (mean_4[:3] - rest_3) * size_B1, mean_4[3] * size_B1], 1)


def rotations(yaw_B: NDArray[np.float64], pitch_B: NDArray[np.float64], roll_B: NDArray[np.float64]) -> Floats:
    """Return (B, 3, 3) float32 matrices, as `rendered.camera.rotation`."""
    a, b, c = (np.radians(np.asarray(angle, np.float64)) for angle in (yaw_B, pitch_B, roll_B))
    one, none = np.ones_like(a), np.zeros_like(a)

    def matrix(*rows: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    yaw = matrix((np.cos(a), none, np.sin(a)), (none, one, none), (-np.sin(a), none, np.cos(a)))
    pitch = matrix((one, none, none), (none, np.cos(b), -np.sin(b)), (none, np.sin(b), np.cos(b)))
    roll = matrix((np.cos(c), -np.sin(c), none), (np.sin(c), np.cos(c), none), (none, none, one))
    return np.asarray(yaw @ pitch @ roll, np.float32)
