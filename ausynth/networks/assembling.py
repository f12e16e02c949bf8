"""Calibrating networks into a verifier, and measuring it on pictures that it was not calibrated with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ausynth.errors import ConfigurationError
from ausynth.networks.au import AUNet
from ausynth.networks.calibration import Calibration
from ausynth.networks.data import FaceSet, Split
from ausynth.networks.reliability import ReliabilityCurve
from ausynth.networks.scores import Scores, score
from ausynth.networks.verifier import Verifier

__all__ = ["Measured", "assemble", "measure"]


@dataclass(frozen=True, eq=False)
class Measured:
    """How a verifier does on N pictures whose truth is known.

    Attributes:
        scores: of what the networks say together, every entry counted.
        kept: of the entries that it does not mask; the masked ones count for nothing.
        masked: share of the entries that it masks.
        curve: probability of presence against share that is there, over all entries.
        alone: scores of each network, calibrated alone where the verifier knows how.
        raw: scores of each network as it is, cut at 2.
    """

    scores: Scores
    kept: Scores
    masked: float
    curve: ReliabilityCurve
    alone: tuple[Scores, ...]
    raw: tuple[Scores, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "scores": self.scores.to_json(),
            "kept": self.kept.to_json(),
            "masked": round(self.masked, 4),
            "calibration_error": round(self.curve.error, 5),
            "alone": [each.to_json() for each in self.alone],
            "raw": [each.to_json() for each in self.raw],
        }


def assemble(networks: Sequence[AUNet], faces: FaceSet, *, least: float = 0.6) -> Verifier:
    """Return a verifier of networks, calibrated on faces that none of them has learned from.

    Raises:
        ConfigurationError: networks of different label spaces, or faces that lack some of it.
    """
    spaces = {network.aus for network in networks}
    if len(spaces) != 1:
        raise ConfigurationError(
            f"networks of the label spaces {sorted(spaces)}" if spaces else "no networks",
            expected="one or more, of one label space",
        )
    (aus,) = spaces
    truth_NA = faces.labels.project(aus).intensity
    readings_KNA = Verifier(networks, Calibration.plain(aus, len(networks))).readings(faces.views())
    whole = Calibration.fit(aus, readings_KNA, truth_NA)
    alone = [Calibration.fit(aus, read_NA[None], truth_NA) for read_NA in readings_KNA]
    return Verifier(networks, whole, alone, least=least)


def measure(verifier: Verifier, faces: FaceSet) -> Measured:
    """Return how a verifier does on faces that it has neither learned from nor been calibrated with."""
    truth_NA = faces.labels.project(verifier.aus).intensity
    readings_KNA = verifier.readings(faces.views())
    intensity_NA, probability_NA = verifier.calibration.judge(readings_KNA)
    labels = verifier.label(readings_KNA)
    known_NA = ~np.isnan(truth_NA)
    return Measured(
        scores=score(verifier.aus, intensity_NA, truth_NA),
        kept=score(verifier.aus, labels.intensity, truth_NA),
        masked=float((~labels.mask & known_NA).sum() / max(int(known_NA.sum()), 1)),
        curve=ReliabilityCurve.of(probability_NA[known_NA], truth_NA[known_NA] >= 2),
        alone=tuple(
            score(verifier.aus, alone.judge(read_NA[None])[0], truth_NA)
            for alone, read_NA in zip(verifier.alone, readings_KNA, strict=False)
        ),
        raw=tuple(score(verifier.aus, read_NA, truth_NA) for read_NA in readings_KNA),
    )


def halves(faces: FaceSet) -> tuple[FaceSet, FaceSet]:
    """Return the pictures of one half of the people, and those of the other."""
    second_N = Split(0, 2).left_out(faces.identity)
    return faces.rows(~second_N), faces.rows(second_N)
