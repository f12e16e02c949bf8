"""Gates by name, for files and flags: "jaccard:0.5", "relabel"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ausynth.errors import ConfigurationError
from ausynth.gates.generator import GatedGenerator
from ausynth.gates.judges import Agreement, Consensus, Gate, Realism, Relabel
from ausynth.gates.reliability import Reliability
from ausynth.generators.base import Generator

if TYPE_CHECKING:
    from ausynth.networks import NetDetector

__all__ = ["GATES", "RELIABILITY", "open_gate", "through_gates"]

GATES: Final = {"jaccard": 0.5, "facs": 0.7, "consensus": 2.0, "relabel": 0.9, "realism": 0.5}
"""Names of gates, and the number of each where none is given."""

RELIABILITY: Final = "reliability.json"
"""Lies beside a verifier's networks and says what they and the requests are worth; see `Reliability`."""

_VERIFIER: Final = "verifier"
_REALISM: Final = "realism"


def open_gate(gate: str | Gate, generator: Generator | None = None) -> Gate:
    """Return a gate by name, or the one given.

    >>> open_gate("facs:0.8").at_least
    0.8

    - "jaccard", "facs": the least agreement of request and label follows a colon, default .5 and .7.
    - "consensus": labels are what most of the generator's own detectors see; the number is how many must agree.
    - "relabel": labels are what those detectors and the request make most probable; the number is the certainty.
    - "realism": the least score of its realism network.

    The last three need networks that come with the generator's checkpoint, and have learned from pictures like its own:
    its verifier, a file of what that is worth beside it, a realism network.

    Args:
        gate: a name, or a `Gate`.
        generator: whose pictures are to pass through it.

    Raises:
        ConfigurationError: neither, a number out of its range, or no networks at hand.
    """
    if not isinstance(gate, str):
        if isinstance(gate, Gate):
            return gate
        raise ConfigurationError(f"gate {gate!r}", expected="a name, or an ausynth.gates.Gate")
    name, _, given = gate.partition(":")
    try:
        number = float(given) if given else GATES[name]
        if name not in GATES or (name == "consensus" and number != int(number)):
            raise KeyError(name)
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"gate {gate!r}",
            expected=f"one of {sorted(GATES)}, such as 'facs:0.7'",
            do="give gates of your own as objects, in Python: gates=[ausynth.gates.Relabel(...)]",
        ) from None
    if name in ("jaccard", "facs"):
        return Agreement("jaccard" if name == "jaccard" else "facs", number)
    if name == "realism":
        return Realism(_realism(gate, generator), number)
    detectors = _detectors(gate, generator)
    if name == "consensus":
        return Consensus(detectors, int(number))
    return Relabel(detectors, _reliability(gate, generator), number, claims="request")


def through_gates(generator: Generator, gates: Sequence[str | Gate]) -> Generator:
    """Return the generator behind the gates, or as it is where there are none."""
    if isinstance(gates, str):
        raise ConfigurationError(f"gates={gates!r}", expected=f"a list, such as [{gates!r}]")
    return GatedGenerator(generator, [open_gate(gate, generator) for gate in gates]) if gates else generator


def _folder(gate: str, generator: Generator | None, what: str) -> Path:
    """Return a folder of networks in the checkpoint of a generator."""
    checkpoint: Any = getattr(generator, "folder", None)
    if checkpoint is not None and (Path(checkpoint) / what).is_dir():
        return Path(checkpoint) / what
    who = "no generator" if generator is None else f"generator {generator.name!r}"
    where = "which has none of its own" if checkpoint is None else f"whose checkpoint {checkpoint} has no {what}"
    raise ConfigurationError(
        f"gate {gate!r} for {who}, {where}",
        expected="networks that have learned from pictures like the generator's, as a MAUGen checkpoint may bring them",
        do="add them with `ausynth train verifier`, leave the gate out, or give it as an object, in Python: "
        "gates=[ausynth.gates.Consensus(detectors)]",
    )


def _detectors(gate: str, generator: Generator | None) -> tuple[NetDetector, ...]:
    from ausynth.networks import Verifier

    loaded: Verifier | None = getattr(generator, "verifier", None)
    if loaded is None:
        loaded = Verifier.load(_folder(gate, generator, _VERIFIER))
        loaded.to(str(getattr(generator, "device", "cpu")))
    return loaded.detectors()


def _reliability(gate: str, generator: Generator | None) -> Reliability:
    path = _folder(gate, generator, _VERIFIER) / RELIABILITY
    if not path.is_file():
        raise ConfigurationError(
            f"gate {gate!r} and no {path}",
            expected="what the detectors and the requests are worth, as Reliability.save writes it",
            do="measure it with a judge: python benchmarks/maugen.py --judge DIR --reliability PATH; or gate with "
            "'consensus', which asks the detectors alone",
        )
    return Reliability.load(path)


def _realism(gate: str, generator: Generator | None) -> Any:
    from ausynth.networks import NetRealism, load

    network = load(_folder(gate, generator, _REALISM), kind="realism")
    return NetRealism(network.to(str(getattr(generator, "device", "cpu"))))
