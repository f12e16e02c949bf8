"""The label sampler protocol: which label vector the synthetic ordinal j asks for."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ausynth.labels import Floats
from ausynth.schedule import Integers

__all__ = ["LabelSampler"]


@runtime_checkable
class LabelSampler(Protocol):
    """Label vectors as a pure function of seed and ordinal."""

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the A action units of the label vectors."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return what the sampler is, as text: it enters the plan's hash."""
        ...

    def sample(self, ordinals: Integers, seed: int) -> Floats:
        """Return (B, A) float32 intensities, 0-5, for the ordinals (B,): anatomically possible, the same each time."""
        ...
