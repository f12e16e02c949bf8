"""A generator must not have learned from people whom a stream holds out: what it paints would show them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ausynth.errors import ConfigurationError
from ausynth.sources.base import Source
from ausynth.sources.opening_synthetic import OpenFaces

__all__ = ["require_unseen"]


def require_unseen(faces: OpenFaces, sources: Sequence[Source]) -> None:
    """Raise ConfigurationError where a source holds out people whose pictures trained what makes the faces.

    Args:
        faces: a generator with `trained_on` ("disfa/SN001", ...), or a store that remembers its generator's.
        sources: the real sources of the stream. Who is among a source's subjects and in none of its pictures is held
            out.
    """
    learned = set(getattr(faces.generator, "trained_on", ()))
    for store in (faces.store, faces.pool):
        if store is not None:
            learned |= set(store.recipe.about.get("trained_on", ()))
    if not learned:
        return
    for source in sources:
        shown = {source.subjects[row] for row in np.unique(source.identities).tolist()}
        held = sorted(f"{source.name}/{subject}" for subject in source.subjects if subject not in shown)
        both = [subject for subject in held if subject in learned]
        if both:
            raise ConfigurationError(
                f"synthetic faces by a generator that was trained on {', '.join(both)}, whom this stream holds out",
                expected="a generator that has seen nobody who is held out",
                do="train one without them (`ausynth train maugen --hold-out`), or hold out others",
            )
