"""Several real sources behind one another: their labels, people and natural weights as one set of N pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.labels import Labels
from ausynth.schedule import Integers, Mixture
from ausynth.sources.base import Source

__all__ = ["base_weights", "joined_identities", "joined_labels", "require_weights", "subject_shares"]

_SPAN = 1 << 32


def joined_labels(sources: Sequence[Source], aus: Sequence[int], threshold: float | None) -> Labels:
    """Return the labels of all pictures of all sources, behind one another, over `aus`.

    Args:
        sources: one or more.
        aus: the label space.
        threshold: the intensity from which an AU occurs, where the intensity is known; None: as each source has it.
    """
    own = (source.labels.project(aus) for source in sources)
    return Labels.concatenate([labels if threshold is None else labels.at_threshold(threshold) for labels in own])


def joined_identities(sources: Sequence[Source]) -> Integers:
    """Return (N,) who each picture shows, equal for pictures of one source that show the same person."""
    if len(sources) == 1:
        return sources[0].identities
    return np.concatenate([number * _SPAN + source.identities for number, source in enumerate(sources)])


def subject_shares(sources: Sequence[Source], weights: Sequence[float] | None) -> NDArray[np.float64]:
    """Return (S,) how much each person should carry, in the order of `np.unique(joined_identities(sources))`.

    A source's people share its weight alike, so that balancing moves nothing from one source to another.
    """
    shares = weights if weights is not None else [len(source) for source in sources]
    people = [len(np.unique(source.identities)) for source in sources]
    return np.concatenate([np.full(n, share / n) for n, share in zip(people, shares, strict=True)])


def base_weights(sources: Sequence[Source], weights: Sequence[float] | None) -> NDArray[np.float64] | None:
    """Return (N,) how often each picture comes where the sources are weighted, before any balance."""
    if weights is None:
        return None
    require_weights(sources, weights)
    return np.concatenate(
        [np.full(len(source), weight / len(source)) for source, weight in zip(sources, weights, strict=True)]
    )


def require_weights(sources: Sequence[Source], weights: Sequence[float] | None) -> None:
    """Raise ConfigurationError unless there is one for each source, from 0 and not all 0, or none at all."""
    if weights is None:
        return
    if len(weights) != len(sources):
        raise ConfigurationError(f"{len(weights)} weights for {len(sources)} sources", expected="one for each")
    Mixture(weights)
