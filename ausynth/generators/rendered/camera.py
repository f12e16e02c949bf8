"""Where the head looks and the camera stands, drawn from the noise seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.head import Head
from ausynth.labels import Floats

__all__ = ["Camera", "View", "rotation"]


@dataclass(frozen=True)
class View:
    """How one picture looks at the head.

    Attributes:
        yaw, pitch, roll: degrees; positive: the head turns to its own left, nods down, tilts to its own right.
        distance: from the camera to the face, centimetres.
        shift: (right, down) of the face in the picture, as a share of the picture's size.
        zoom: 1 shows the face as large as the framing says, 1.1 a tenth larger.
        gaze: (yaw, pitch) of the eyes in the head, degrees.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float
    shift: tuple[float, float]
    zoom: float
    gaze: tuple[float, float]


@dataclass(frozen=True)
class Camera:
    """The ranges that views are drawn from; all 0 look straight at the face from 65 cm.

    Attributes:
        yaw, pitch, roll: standard deviation in degrees; draws are cut at two of them, and |yaw| at 20.
        distance: (least, most) centimetres.
        jitter: standard deviation of shift (share of the picture) and of zoom (share of the size).
        gaze: standard deviation of the gaze in degrees.
    """

    yaw: float
    pitch: float
    roll: float
    distance: tuple[float, float]
    jitter: float
    gaze: float

    def view(self, noise: int) -> View:
        """Return the view for a noise seed."""
        draw = stream("pose", noise)
        normal = np.clip(draw.standard_normal(8), -2, 2)
        near, far = self.distance
        return View(
            yaw=float(np.clip(normal[0] * self.yaw, -20, 20)),
            pitch=float(normal[1] * self.pitch),
            roll=float(normal[2] * self.roll),
            distance=float(near * (far / near) ** draw.random()),
            shift=(float(normal[3] * self.jitter), float(normal[4] * self.jitter)),
            zoom=float(np.exp(normal[5] * self.jitter)),
            gaze=(float(normal[6] * self.gaze), float(normal[7] * self.gaze / 2)),
        )


def rotation(yaw: float, pitch: float, roll: float = 0.0) -> Floats:
    """Return the (3, 3) float32 matrix that rolls, then pitches, then yaws (degrees; y up, z to the viewer)."""
    a, b, c = np.radians((yaw, pitch, roll))
    yaw_33 = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    pitch_33 = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    roll_33 = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turn_33: Floats = (yaw_33 @ pitch_33 @ roll_33).astype(np.float32)
    return turn_33


def neck_share(head: Head) -> Floats:
    """Return (V,) how far each vertex turns with the head: 0 at the shoulders, 1 from the jaw up."""
    # The neck leans forward: its lower end is measured along it, not straight down.
    along_V = (head.vertices[:, 1] + 0.15 * head.vertices[:, 2] - 55) / 8
    share_V = np.clip(along_V, 0, 1)
    return (share_V * share_V * (3 - 2 * share_V)).astype(np.float32)
