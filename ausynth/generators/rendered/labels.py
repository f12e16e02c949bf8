"""The labels of what the mesh shows, which need not be what was asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ausynth.generators.rendered.actions import AUS
from ausynth.generators.rendered.jaw import intensity_of_drop
from ausynth.generators.rendered.lips import intensity_of_gap
from ausynth.generators.rendered.shape import Face
from ausynth.labels import Labels

__all__ = ["labels_of"]


def labels_of(faces: Sequence[Face]) -> Labels:
    """Return the labels of faces, over `AUS`: AU25 and AU26 from the measured lips and jaw, the rest as made.

    The rest needs no measuring: the AU's intensity is what moved the mesh. Confidence is 1 throughout.
    """
    intensity_BA = np.zeros((len(faces), len(AUS)), np.float32)
    for b, face in enumerate(faces):
        intensity_BA[b] = face.intensity
        intensity_BA[b, AUS.index(25)] = intensity_of_gap(face.gap_cm)
        intensity_BA[b, AUS.index(26)] = intensity_of_drop(face.jaw_cm)
    return Labels.from_intensity(AUS, intensity_BA)
