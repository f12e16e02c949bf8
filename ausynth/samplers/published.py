"""Rates and correlations of DISFA and BP4D as figures: what is natural where no real set says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth import facs

__all__ = ["PHI", "RATES", "published_phi", "published_rates"]

RATES: Final[Mapping[str, Mapping[int, float]]] = MappingProxyType(
    {
        "disfa": MappingProxyType(
            dict(
                zip(
                    facs.DISFA_12,
                    (0.050, 0.040, 0.150, 0.009, 0.079, 0.042, 0.129, 0.021, 0.051, 0.023, 0.278, 0.088),
                    strict=True,
                )
            )
        ),
        "bp4d": MappingProxyType(
            dict(
                zip(
                    facs.BP4D_12,
                    (0.211, 0.171, 0.203, 0.461, 0.549, 0.594, 0.562, 0.466, 0.169, 0.343, 0.165, 0.151),
                    strict=True,
                )
            )
        ),
    }
)
"""Fractions of frames: DISFA at intensity 2 and above, BP4D as coded."""

PHI: Final[Mapping[str, Mapping[tuple[int, int], float]]] = MappingProxyType(
    {
        "disfa": MappingProxyType(
            {(1, 2): 0.63, (6, 12): 0.50, (12, 25): 0.46, (6, 25): 0.36, (4, 9): 0.34, (25, 26): 0.31, (4, 12): -0.13}
        ),
        "bp4d": MappingProxyType(
            {(6, 12): 0.54, (6, 7): 0.54, (10, 12): 0.53, (6, 10): 0.50, (1, 2): 0.46, (17, 24): 0.42, (4, 12): -0.27}
        ),
    }
)
"""The strongest correlations between AUs (phi coefficients), and the one pair that keeps apart."""

_ELSEWHERE = 0.1
"""The rate of an AU that neither set codes."""


def published_rates(aus: Sequence[int]) -> NDArray[np.float64]:
    """Return the natural rate (A,) of each AU: DISFA's where it codes the AU, else BP4D's, else 0.1.

    >>> published_rates((12, 7, 43)).tolist()
    [0.129, 0.549, 0.1]
    """
    return np.array([RATES["disfa"].get(au, RATES["bp4d"].get(au, _ELSEWHERE)) for au in aus])


def published_phi(aus: Sequence[int]) -> NDArray[np.float64]:
    """Return the natural correlation (A, A) of each pair of AUs, 0 where none is known or the two are one."""
    place = {au: column for column, au in enumerate(aus)}
    phi_AA = np.zeros((len(place), len(place)))
    for pairs in (PHI["bp4d"], PHI["disfa"]):
        for (first, second), value in pairs.items():
            if first in place and second in place:
                phi_AA[place[first], place[second]] = phi_AA[place[second], place[first]] = value
    return phi_AA
