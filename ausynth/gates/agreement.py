"""How far two label vectors agree.

Shapes as everywhere: B pictures, A action units. Occurrences are 0, 1 or NaN (unknown); an AU that is unknown on either
side is left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth.errors import ConfigurationError

__all__ = ["MEASURES", "facs_agreement", "jaccard"]


def jaccard(found: ArrayLike, wanted: ArrayLike) -> NDArray[np.float64]:
    """Return (B,) the Jaccard similarity |A & B| / |A | B| of the AUs found and wanted, 1 where both are none.

    MAUGen filters its data set by it ("label-prompt consistency"); its threshold is not printed, .5 is ours.

    >>> jaccard([[1, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]]).tolist()
    [0.5, 1.0]

    Args:
        found, wanted: (B, A) occurrences, 0, 1 or NaN.

    Raises:
        ConfigurationError: other shapes or values.
    """
    both_B, found_B, wanted_B = _counts(found, wanted)
    return _share(both_B, found_B + wanted_B - both_B)


def facs_agreement(found: ArrayLike, wanted: ArrayLike) -> NDArray[np.float64]:
    """Return (B,) the agreement index of FACS, 2 |A & B| / (|A| + |B|), 1 where both are none.

    Twice the AUs on which two coders agree, by the number of AUs that both scored: Wexler's ratio, by which the FACS
    final test is passed at .7 (Ekman, Friesen and Hager, *FACS Investigator's Guide*, 2002).

    >>> facs_agreement([[1, 1, 0]], [[1, 0, 0]]).round(3).tolist()
    [0.667]

    Args:
        found, wanted: (B, A) occurrences, 0, 1 or NaN.

    Raises:
        ConfigurationError: other shapes or values.
    """
    both_B, found_B, wanted_B = _counts(found, wanted)
    return _share(2 * both_B, found_B + wanted_B)


MEASURES: Final = {"jaccard": jaccard, "facs": facs_agreement}
"""The measures of agreement by name."""


def _counts(found: ArrayLike, wanted: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    found_BA, wanted_BA = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    if found_BA.ndim != 2 or found_BA.shape != wanted_BA.shape:
        raise ConfigurationError(
            f"occurrences of shapes {found_BA.shape} and {wanted_BA.shape}", expected="(B, A), the same for both"
        )
    for values_BA in (found_BA, wanted_BA):
        if not np.isin(values_BA[~np.isnan(values_BA)], (0, 1)).all():
            raise ConfigurationError(
                "occurrences other than 0 and 1", expected="0, 1 or NaN", do="compare intensities with a threshold"
            )
    known_BA = ~(np.isnan(found_BA) | np.isnan(wanted_BA))
    found_BA, wanted_BA = (found_BA == 1) & known_BA, (wanted_BA == 1) & known_BA
    return (found_BA & wanted_BA).sum(axis=1), found_BA.sum(axis=1), wanted_BA.sum(axis=1)


def _share(part_B: NDArray[np.int64], whole_B: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole_B > 0, part_B / np.maximum(whole_B, 1), 1.0)
