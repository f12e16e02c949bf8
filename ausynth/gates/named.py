"""Gates by name, for files and flags: "jaccard:0.5"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ausynth.errors import ConfigurationError
from ausynth.gates.generator import GatedGenerator
from ausynth.gates.judges import Agreement, Gate
from ausynth.generators.base import Generator

__all__ = ["open_gate", "through_gates"]

_LEAST: Final = {"jaccard": 0.5, "facs": 0.7}


def open_gate(gate: str | Gate) -> Gate:
    """Return a gate by name, or the one given.

    >>> open_gate("facs:0.8").at_least
    0.8

    Args:
        gate: "jaccard" or "facs", with the least agreement of request and label behind a colon, default .5 and .7; or a
            `Gate`.

    Raises:
        ConfigurationError: neither, or a number outside of 0-1.
    """
    if not isinstance(gate, str):
        if isinstance(gate, Gate):
            return gate
        raise ConfigurationError(f"gate {gate!r}", expected="a name, or an ausynth.gates.Gate")
    name, _, number = gate.partition(":")
    try:
        at_least = float(number) if number else _LEAST[name]
        if name not in _LEAST:
            raise KeyError(name)
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"gate {gate!r}",
            expected=f"one of {sorted(_LEAST)}, such as 'facs:0.7'",
            do="give gates that need detectors as objects, in Python: gates=[ausynth.gates.Relabel(...)]",
        ) from None
    return Agreement("jaccard" if name == "jaccard" else "facs", at_least)


def through_gates(generator: Generator, gates: Sequence[str | Gate]) -> Generator:
    """Return the generator behind the gates, or as it is where there are none."""
    if isinstance(gates, str):
        raise ConfigurationError(f"gates={gates!r}", expected=f"a list, such as [{gates!r}]")
    return GatedGenerator(generator, [open_gate(gate) for gate in gates]) if gates else generator
