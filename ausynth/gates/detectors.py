"""AU detectors that look at generated pictures, and what several of them say together.

Never gate with the detector, or one of its family, that is then trained on the pictures or measured with them: it would
be shown what it knows already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth.errors import AusynthError, ConfigurationError
from ausynth.labels import Floats

__all__ = ["Detector", "look", "vote", "votes_of"]


@runtime_checkable
class Detector(Protocol):
    """Says how probable each AU is: pictures (B, H, W, 3) uint8 go in, probabilities (B, A) come out.

    The same pictures in the same batch give the same bits on the same device and software.
    """

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the action units of its columns."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of its weights and configuration."""
        ...

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Return (B, A) probabilities in [0, 1]; NaN where it cannot say."""
        ...


def look(detectors: Sequence[Detector], images: NDArray[np.uint8], aus: Sequence[int]) -> Floats:
    """Return (K, B, A) what K detectors say of B pictures, NaN for AUs that a detector does not know.

    Args:
        detectors: K of them.
        images: (B, H, W, 3) uint8.
        aus: the A action units wanted.

    Raises:
        AusynthError: a detector returns another shape, or no probabilities.
    """
    said_KBA = np.full((len(detectors), len(images), len(aus)), np.nan, np.float32)
    for k, detector in enumerate(detectors):
        values = np.asarray(detector(images), np.float32)
        known = values[~np.isnan(values)]
        if values.shape != (len(images), len(detector.aus)) or not ((known >= 0) & (known <= 1)).all():
            raise AusynthError(
                f"detector {detector.fingerprint} returned shape {values.shape}, values "
                + (f"from {known.min():g} to {known.max():g}" if known.size else "unknown throughout"),
                expected=f"probabilities in [0, 1] of shape ({len(images)}, {len(detector.aus)})",
            )
        for column, au in enumerate(aus):
            if au in detector.aus:
                said_KBA[k, :, column] = values[:, detector.aus.index(au)]
    return said_KBA


def votes_of(probabilities: ArrayLike, margin: float = 0.0) -> Floats:
    """Return 1 where a probability is above .5 + margin, 0 where it is below .5 - margin, NaN between and where NaN.

    >>> votes_of([0.9, 0.55, 0.1, float("nan")], margin=0.1).tolist()
    [1.0, nan, 0.0, nan]

    At margin 0 a probability of exactly .5 counts as present.
    """
    if not 0 <= margin < 0.5:
        raise ConfigurationError(f"margin={margin!r}", expected="0 to below .5")
    said = np.asarray(probabilities, np.float32)
    votes = np.full(said.shape, np.nan, np.float32)
    votes[said >= 0.5 + margin] = 1
    votes[said < 0.5 - margin] = 0
    return votes


def vote(probabilities: ArrayLike, at_least: int = 2, margin: float = 0.0) -> Floats:
    """Return (B, A) the consensus of K detectors: 0 or 1 where at least so many say so, NaN where there is none.

    MAUGen labels images by several public detectors jointly; at least 2 of 3 is our choice of what that means.

    >>> vote([[[0.9, 0.9]], [[0.8, 0.1]], [[0.1, float("nan")]]]).tolist()
    [[1.0, nan]]

    Args:
        probabilities: (K, B, A) in [0, 1], NaN where a detector cannot say: it has no vote there.
        at_least: more than half of K, so that no two answers can both have a consensus.
        margin: a detector nearer to .5 than this has no vote.

    Raises:
        ConfigurationError: an argument out of its range.
    """
    votes_KBA = votes_of(probabilities, margin)
    if votes_KBA.ndim != 3 or not len(votes_KBA) / 2 < at_least <= len(votes_KBA):
        raise ConfigurationError(
            f"at_least={at_least} for probabilities of shape {votes_KBA.shape}",
            expected="(K, B, A), and more than half of K up to K",
        )
    consensus_BA = np.full(votes_KBA.shape[1:], np.nan, np.float32)
    for answer in (0, 1):
        consensus_BA[(votes_KBA == answer).sum(axis=0) >= at_least] = answer
    return consensus_BA
