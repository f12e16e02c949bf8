"""From a sitter and AU intensities to the vertices of that face: everything about geometry, nothing about looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ausynth.generators.portrait.eyes import settle_lids, turn_eyes
from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.lips import lips_of
from ausynth.generators.portrait.table import AUS, Actions
from ausynth.generators.portrait.topology import Topology
from ausynth.generators.rendered import mesh
from ausynth.generators.rendered.lips import SEALED_CM, gap_of_intensity
from ausynth.labels import Floats

__all__ = ["LOOK_DEGREES", "TEETH_CM", "Build", "Eyes", "Face", "Shaper"]

_COLUMN: Final = {au: a for a, au in enumerate(AUS)}
TEETH_CM: Final = (-0.13, 0.08)  # the kit's teeth hide behind the lips: an open mouth would show none
LOOK_DEGREES: Final = 30.0  # of gaze that the kit's eyeLook shapes are made for


@dataclass(frozen=True)
class Eyes:
    """What the eyes do in one picture.

    Attributes:
        gaze: (yaw, pitch) in the head, degrees; positive to the person's left, and down.
        blink: 0 open to 1 shut.
    """

    gaze: tuple[float, float] = (0.0, 0.0)
    blink: float = 0.0


@dataclass(frozen=True, eq=False)
class Build:
    """A person's neutral face, ready to be moved.

    Attributes:
        vertices: (V, 3) float32 centimetres over the topology's vertices; lips sealed, lids outside the eyeballs.
        balls: (2, 4) float32: middle and radius of the left and of the right eyeball.
        gap_cm: how far the lips are apart.
        jaw_cm: how far the lower teeth lie below the upper ones.
        asymmetry: (A,) -1 to 1, see `Actions.weights`.
        middle: (3,) half way from the eyes to the chin.
        height: from the eyes to the chin, centimetres.
    """

    vertices: Floats
    balls: Floats
    gap_cm: float
    jaw_cm: float
    asymmetry: Floats
    middle: Floats
    height: float


@dataclass(frozen=True, eq=False)
class Face:
    """One face as the mesh shows it, before it is turned.

    Attributes:
        vertices: (V, 3) float32 centimetres.
        intensity: (A,) 0-5, what was made of what was asked: AU24 is given up where AU25 is asked too.
        gap_cm: how far the lips are apart, see `rendered.lips`.
        drop_cm: how far the jaw is lower than in the neutral face.
        blink: as asked; 0 where AU5 holds the eyes open.
    """

    vertices: Floats
    intensity: Floats
    gap_cm: float
    drop_cm: float
    blink: float


class Shaper:
    """Makes the faces of people on one head."""

    def __init__(self, head: IctHead) -> None:
        self.head, self.topology = head, Topology.of(head)
        self.actions, self._lips = Actions(head), lips_of(self.topology)
        self.full_drop_cm = self._full_drop()

    def build(self, neutral_V3: Floats, asymmetry_A: Floats) -> Build:
        """Return a person of (V, 3) neutral vertices over the topology: lips sealed, lids settled, eyeballs round."""
        topology = self.topology
        vertices_V3 = np.array(neutral_V3, np.float32)
        balls = []
        for own, mean_4 in zip(topology.balls, topology.ball_middle, strict=True):
            ball_4 = _ball(vertices_V3[own], topology.rest[own], mean_4)
            offset_N3 = vertices_V3[own] - ball_4[:3]
            # The cornea's bulge would come through the lids; what it does to the picture is painted.
            vertices_V3[own] = ball_4[:3] + offset_N3 * (ball_4[3] / np.linalg.norm(offset_N3, axis=1, keepdims=True))
            balls.append(ball_4)
        balls_24 = np.stack(balls).astype(np.float32)
        for teeth, down in zip(topology.jaws, TEETH_CM, strict=True):
            vertices_V3[teeth, 1] += np.float32(down)
        gap = self._lips.settle(vertices_V3, np.float32(SEALED_CM), SEALED_CM)
        settle_lids(vertices_V3, topology.lids, balls_24)
        vertices_V3.flags.writeable = False
        eyes_3, chin_3 = balls_24[:, :3].mean(0), vertices_V3[topology.landmarks[8]]
        return Build(
            vertices=vertices_V3,
            balls=balls_24,
            gap_cm=gap,
            jaw_cm=self._jaw(vertices_V3),
            asymmetry=asymmetry_A.astype(np.float32),
            middle=((eyes_3 + chin_3) / 2).astype(np.float32),
            height=float(eyes_3[1] - chin_3[1]),
        )

    def face(self, build: Build, intensity_A: Floats, eyes: Eyes | None = None) -> Face:
        """Return a person's face at AU intensities 0-5 over `AUS`."""
        eyes = eyes or Eyes()
        made_A = intensity_A.astype(np.float32)
        if made_A[_COLUMN[25]] > 0:
            made_A[_COLUMN[24]] = 0  # pressed lips are not parted: the coding manual lists 24 and 25 as alternatives
        blink = 0.0 if made_A[_COLUMN[5]] > 0 else eyes.blink
        weights_E = self.actions.weights(made_A, build.asymmetry)
        is_moved = bool(weights_E.any())
        self._add_eyes(weights_E, eyes.gaze, blink)
        vertices_V3, gap, drop = build.vertices.copy(), build.gap_cm, 0.0
        if weights_E.any():
            gap, drop = self._move(vertices_V3, weights_E, made_A, build, is_moved)
        turn_eyes(vertices_V3, self.topology.balls, build.balls, eyes.gaze)
        return Face(vertices_V3, made_A, gap, drop, blink)

    def _add_eyes(self, weights_E: Floats, gaze: tuple[float, float], blink: float) -> None:
        """Let the lids follow the gaze and close for a blink."""
        yaw, pitch = (float(np.clip(angle / LOOK_DEGREES, -1, 1)) for angle in gaze)
        shapes = self.head.shapes
        for suffix, outward in (("_L", yaw), ("_R", -yaw)):
            for name, weight in (
                ("eyeLookOut", outward), ("eyeLookIn", -outward), ("eyeLookDown", pitch), ("eyeLookUp", -pitch),
                ("eyeBlink", blink),
            ):  # fmt: skip
                if weight > 0:
                    weights_E[shapes[name + suffix]] += np.float32(weight)

    def _move(
        self, vertices_V3: Floats, weights_E: Floats, made_A: Floats, build: Build, is_moved: bool
    ) -> tuple[float, float]:
        """Move a neutral face in place, settle lips and lids, and return the lips' gap and the jaw's drop."""
        parted, dropped, pressed = (made_A[_COLUMN[au]] for au in (25, 26, 24))
        is_sealed = parted == 0 and (dropped == 0 or pressed > 0)
        if is_sealed:
            # The jaw may drop behind pressed lips; mouthClose is made to undo just what jawOpen does to the lips.
            weights_E[self.head.shapes["mouthClose"]] = weights_E[self.head.shapes["jawOpen"]]
        # Two blinks in one (AU7 and a blink, say) would push the upper lid through the lower one.
        for suffix in ("_L", "_R"):
            number = self.head.shapes["eyeBlink" + suffix]
            weights_E[number] = min(weights_E[number], np.float32(1))
        topology = self.topology
        mesh.add_shapes(vertices_V3, weights_E, topology.starts, topology.rows, topology.deltas)
        gap = build.gap_cm
        if is_moved:
            least = SEALED_CM if is_sealed else gap_of_intensity(float(parted))
            most = least if dropped == 0 or is_sealed else np.inf
            gap = self._lips.settle(vertices_V3, np.float32(least), most)
        settle_lids(vertices_V3, topology.lids, build.balls)
        return gap, max(0.0, self._jaw(vertices_V3) - build.jaw_cm)

    def _jaw(self, vertices_V3: Floats) -> float:
        upper, lower = self.topology.jaws
        if not len(upper) or not len(lower):
            return 0.0
        return float(vertices_V3[upper, 1].mean(dtype=np.float64) - vertices_V3[lower, 1].mean(dtype=np.float64))

    def _full_drop(self) -> float:
        """Return by how many centimetres AU26 at 5 lowers the jaw."""
        topology = self.topology
        vertices_V3 = topology.rest.copy()
        asked_A = np.zeros(len(AUS), np.float32)
        asked_A[_COLUMN[26]] = 5
        weights_E = self.actions.weights(asked_A, np.zeros(len(AUS), np.float32))
        mesh.add_shapes(vertices_V3, weights_E, topology.starts, topology.rows, topology.deltas)
        return self._jaw(vertices_V3) - self._jaw(topology.rest)


def _ball(ball_N3: Floats, rest_N3: Floats, mean_4: Floats) -> Floats:
    """Return (4,) middle and radius of a person's eyeball: a moved and resized copy of the mean head's."""
    middle_3, rest_3 = ball_N3.mean(0, dtype=np.float64), rest_N3.mean(0, dtype=np.float64)
    size = np.linalg.norm(ball_N3 - middle_3, axis=1).mean() / np.linalg.norm(rest_N3 - rest_3, axis=1).mean()
    # Only the front of the ball is drawn: its mean is not its middle.
    return np.array([*(middle_3 + (mean_4[:3] - rest_3) * size), mean_4[3] * size], np.float32)
