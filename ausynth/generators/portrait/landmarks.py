"""Facial landmarks of a photograph: 68 points of its own file, or found by MediaPipe.

The order is that of Multi-PIE and 300-W (Sagonas et al., 2013): 0-16 jaw, 17-21 and 22-26 brows, 27-35 nose, 36-41 and
42-47 eyes, 48-59 outer lips, 60-67 inner lips, each from the picture's left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ausynth.labels import Floats

__all__ = ["INNER_LIPS", "JAW", "LEFT_EYE", "RIGHT_EYE", "Landmarks"]

JAW: Final = slice(0, 17)
RIGHT_EYE: Final = slice(36, 42)
"""The person's right eye, on the picture's left."""
LEFT_EYE: Final = slice(42, 48)
INNER_LIPS: Final = slice(60, 68)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Where the features of one face lie in a picture.

    Attributes:
        points: (68, 2) float32: column and row in pixels, the middle of the first pixel at one half.
        irises: (2, 3) float32: column, row and radius of the person's right and left iris in pixels; None where the
            landmarks do not say.
        scores: MediaPipe's blendshape scores by name, 0-1; empty where the landmarks come from a file.
    """

    points: Floats
    irises: Floats | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def eye_span(self) -> float:
        """Pixels between the outer corners of the eyes."""
        return float(np.linalg.norm(self.points[45] - self.points[36]))

    def moved(self, factor: float, shift: tuple[float, float] = (0.0, 0.0)) -> Landmarks:
        """Return the landmarks of a picture enlarged by `factor`, then moved by `shift` (columns, rows)."""
        move_2 = np.asarray(shift, np.float32)
        irises = self.irises
        if irises is not None:
            irises = np.concatenate([irises[:, :2] * factor + move_2, irises[:, 2:] * factor], axis=1)
        return Landmarks((self.points * factor + move_2).astype(np.float32), irises, self.scores)
