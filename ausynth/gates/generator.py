"""A generator behind gates is a generator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ausynth.errors import ConfigurationError, require_whole
from ausynth.gates.judges import Gate
from ausynth.generators.asking import counts_of
from ausynth.generators.base import Conditions, Generated, Generator
from ausynth.labels import Labels
from ausynth.stats import Stats

__all__ = ["GatedGenerator"]

_BLOCK: Final = 32


class GatedGenerator:
    """Passes a generator's pictures through gates: labels are corrected, and pictures that fail are not accepted.

    >>> from ausynth.gates import Agreement
    >>> gated = GatedGenerator(ausynth.load_generator("rendered", image_size=64), [Agreement("facs", at_least=0.7)])
    >>> gated.aus == ausynth.facs.UNION_17
    True

    A stream, a cache and a warmup draw what is not accepted again, with another person and noise and the same label
    vector, as with `reject=`. `counts()` says what the gates did.

    Args:
        generator: makes the pictures.
        gates: in this order; each sees the labels as the one before it left them.
        block_size: how many pictures gates see at a time, a multiple of the generator's. Default the generator's, and
            32 where that is 1: a detector is a network, whose output differs by rounding with its batch, and a
            threshold behind it would make that another sample. 1 shows gates one picture at a time.

    Raises:
        ConfigurationError: no gate, something that is none, a block size that does not fit.
    """

    def __init__(self, generator: Generator, gates: Sequence[Gate], *, block_size: int | None = None) -> None:
        if not gates or not all(isinstance(gate, Gate) for gate in gates):
            raise ConfigurationError(f"gates={gates!r}", expected="one or more ausynth.gates.Gate")
        inner = generator.block_size
        if block_size is None:
            block_size = inner if inner > 1 else _BLOCK
        require_whole("block_size", block_size, 1)
        if block_size % inner:
            raise ConfigurationError(f"block_size {block_size}", expected=f"a multiple of the generator's, {inner}")
        self.generator, self.gates, self.block_size = generator, tuple(gates), block_size
        self.name = generator.name
        self._stats = Stats()
        parts = (generator.fingerprint, [(gate.name, gate.fingerprint) for gate in gates], block_size)
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the generator's action units."""
        return self.generator.aus

    @property
    def image_size(self) -> int:
        """Return the generator's picture size."""
        return self.generator.image_size

    def __getattr__(self, name: str) -> Any:
        # What a generator may say of itself (device, licence, who trained it, ...) holds behind gates too. Its `label`
        # does not: without the pictures nobody knows what the gates would say.
        if name.startswith("_") or name in ("label", "generator"):
            raise AttributeError(name)
        return getattr(self.generator, name)

    def generate(self, conditions: Conditions) -> Generated:
        """Return the generator's pictures with the labels that the gates leave them, and which are accepted."""
        made = self.generator.generate(conditions)
        accepted_B = np.ones(len(conditions), bool) if made.accepted is None else made.accepted.copy()
        labels: list[Labels] = []
        for start in range(0, len(conditions), self.block_size):
            rows_N = np.arange(start, min(start + self.block_size, len(conditions)))
            asked, images, given = conditions.rows(rows_N), made.images[rows_N], made.labels[rows_N]
            for gate in self.gates:
                verdict = gate.judge(asked, images, given)
                given = verdict.labels
                accepted_B[rows_N] &= ~verdict.rejected
                done = {"rejected": int(verdict.rejected.sum()), **verdict.counts}
                self._stats.count((f"{gate.name}: {what}", number) for what, number in done.items())
            labels.append(given)
        self._stats.count([("pictures", len(conditions)), ("rejected", int((~accepted_B).sum()))])
        return Generated(made.images, Labels.concatenate(labels) if labels else made.labels, accepted_B)

    def counts(self) -> dict[str, int]:
        """Return what the gates did in this process: pictures seen, rejected in all and by gate, entries corrected.

        What the generator itself counts is among it.
        """
        counts: dict[str, int] = self._stats.snapshot()["counts"]
        return {**counts_of(self.generator), **counts}
