"""Gates: what stands between a generator and a stream, and rejects its pictures or corrects their labels.

A request is not a label: of what a generator that obeys imperfectly is asked, some entries are wrong. Rejecting what
does not look as asked throws most pictures away, while several detectors and the request together tell what a picture
does show: prefer `Relabel` over `Agreement`. Never gate with the detector family that is then trained or evaluated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.gates.agreement import MEASURES
from ausynth.gates.detectors import Detector, look, vote
from ausynth.gates.reliability import Reliability
from ausynth.generators.base import Conditions
from ausynth.labels import DEFAULT_THRESHOLD, Floats, Labels
from ausynth.naming import fingerprint_of

__all__ = ["Agreement", "Consensus", "Gate", "Realism", "Relabel", "Verdict"]

Score = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a gate says of B pictures.

    Attributes:
        labels: of the pictures, as far as the gate knows better than before.
        rejected: (B,) bool, True where a picture must not be shown.
        counts: what else is to be reported, by name.
    """

    labels: Labels
    rejected: NDArray[np.bool_]
    counts: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Gate(Protocol):
    """Looks at pictures and their labels; a function of these alone."""

    @property
    def name(self) -> str:
        """Return one word for reports."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of all that decides its verdicts."""
        ...

    def judge(self, asked: Conditions, images: NDArray[np.uint8], labels: Labels) -> Verdict:
        """Return the verdict on (B, H, W, 3) pictures that were made for `asked` and carry `labels`."""
        ...


class Agreement:
    """Rejects pictures whose labels are not what was asked for.

    Args:
        measure: "jaccard" or "facs"; see `ausynth.gates.jaccard`, `facs_agreement`.
        at_least: the least agreement that is shown, above 0 and up to 1: .5 for Jaccard, .7 for the stricter "facs".
        detectors: whose consensus is compared with the request; none: the labels that the generator gives, which says
            something where it reads them from the picture, and nothing where it echoes its request.
        threshold: the intensity from which an AU is asked for.
    """

    name = "agreement"

    def __init__(
        self,
        measure: Literal["jaccard", "facs"] = "jaccard",
        at_least: float = 0.5,
        detectors: Sequence[Detector] = (),
        threshold: float = DEFAULT_THRESHOLD,
    ) -> None:
        if measure not in MEASURES:
            raise ConfigurationError(f"measure={measure!r}", expected=f"one of {sorted(MEASURES)}")
        _require_share("at_least", at_least)
        self.measure, self.at_least, self.threshold = measure, at_least, threshold
        self.detectors = tuple(detectors)
        self.fingerprint = _hash(self.name, measure, at_least, threshold, _names(detectors))

    def judge(self, asked: Conditions, images: NDArray[np.uint8], labels: Labels) -> Verdict:
        """Return the labels as they are, and which pictures are not as asked."""
        found_BA = labels.occurrence
        if self.detectors:
            found_BA = vote(look(self.detectors, images, labels.aus), len(self.detectors) // 2 + 1)
        agreement_B = MEASURES[self.measure](found_BA, asked.intensity >= self.threshold)
        return Verdict(labels, agreement_B < self.at_least)


class Realism:
    """Rejects pictures that a discriminator does not take for photographs.

    Args:
        score: (B, H, W, 3) uint8 -> (B,) in [0, 1]; a named function, or a callable with a `fingerprint`.
        at_least: the least score that is shown (MAUGen filters by a discriminator; .5 is our choice).
    """

    name = "realism"

    def __init__(self, score: Score, at_least: float = 0.5) -> None:
        _require_share("at_least", at_least)
        self.score, self.at_least = score, at_least
        self.fingerprint = _hash(self.name, fingerprint_of(score, "score"), at_least)

    def judge(self, asked: Conditions, images: NDArray[np.uint8], labels: Labels) -> Verdict:  # noqa: ARG002
        """Return the labels as they are, and which pictures score too low; NaN does."""
        score_B = np.asarray(self.score(images), np.float64)
        if score_B.shape != (len(images),):
            raise ConfigurationError(f"scores of shape {score_B.shape}", expected=f"({len(images)},): one a picture")
        return Verdict(labels, ~(score_B >= self.at_least))


class Consensus:
    """Gives pictures the labels on which detectors agree, and masks the AUs on which they do not.

    Args:
        detectors: two or more; those that do not know an AU have no vote on it.
        at_least: how many must agree; default more than half of them.
        margin: a detector nearer to .5 than this has no vote.
    """

    name = "consensus"

    def __init__(self, detectors: Sequence[Detector], at_least: int | None = None, margin: float = 0.0) -> None:
        if len(detectors) < 2:
            raise ConfigurationError(f"a consensus of {len(detectors)}", expected="two or more detectors")
        self.detectors, self.margin = tuple(detectors), margin
        self.at_least = len(detectors) // 2 + 1 if at_least is None else at_least
        vote(np.zeros((len(detectors), 0, 0)), self.at_least, margin)  # refuses what cannot be
        self.fingerprint = _hash(self.name, _names(detectors), self.at_least, margin)

    def judge(self, asked: Conditions, images: NDArray[np.uint8], labels: Labels) -> Verdict:  # noqa: ARG002
        """Return the labels of the consensus; the confidence of an entry is the mean probability of what it says."""
        said_KBA = look(self.detectors, images, labels.aus)
        found_BA = vote(said_KBA, self.at_least, self.margin)
        known_KBA = ~np.isnan(said_KBA)
        mean_BA = np.where(known_KBA, said_KBA, 0).sum(axis=0) / np.maximum(known_KBA.sum(axis=0), 1)
        return _corrected(labels, found_BA, np.where(found_BA == 1, mean_BA, 1 - mean_BA))


class Relabel:
    """Gives pictures the labels that detectors and the generator's claims make most probable: naive Bayes.

    Entries that are not certain enough are masked; the confidence of the others is their calibrated probability. In a
    simulation (requests obeyed .75/.95, three detectors at .8/.93) it leaves .0076 of the entries wrong, masks 7 %,
    and throws no picture away, where requests alone are wrong in .130 (`benchmarks/gates.py`).

    Args:
        detectors: K of them.
        reliability: of these detectors, and of the claims.
        certainty: the least probability of what an entry says, above .5.
        claims: what the generator claims of a picture: its "labels", or the "request", where the labels are what the
            same detectors have read and would be counted twice.
    """

    name = "relabel"

    def __init__(
        self,
        detectors: Sequence[Detector],
        reliability: Reliability,
        certainty: float = 0.9,
        claims: Literal["labels", "request"] = "labels",
    ) -> None:
        if not 0.5 < certainty < 1 or claims not in ("labels", "request"):
            raise ConfigurationError(
                f"certainty={certainty!r}, claims={claims!r}",
                expected="certainty above .5 and below 1; claims 'labels' or 'request'",
            )
        names = _names(detectors)
        if names != reliability.detectors:
            raise ConfigurationError(
                f"the reliability of detectors {reliability.detectors} for detectors {names}",
                expected="the same, in the same order",
                do="measure it with Reliability.of(detectors, ...)",
            )
        self.detectors, self.reliability, self.certainty = tuple(detectors), reliability, certainty
        self.claims = claims
        facts = [np.asarray(value).tolist() for value in vars(reliability).values()]
        own = () if claims == "labels" else (claims,)
        self.fingerprint = _hash(self.name, facts, certainty, *own)

    def judge(self, asked: Conditions, images: NDArray[np.uint8], labels: Labels) -> Verdict:
        """Return the most probable labels; AUs whose reliability was not measured are masked."""
        aus = self.reliability.aus
        known = (labels if self.claims == "labels" else Labels.from_intensity(labels.aus, asked.intensity)).project(aus)
        present_BA = self.reliability.probability(look(self.detectors, images, aus), known.occurrence)
        sure_BA = np.maximum(present_BA, 1 - present_BA)
        found_BA = np.where(sure_BA >= self.certainty, (present_BA >= 0.5).astype(np.float32), np.nan)
        corrected = _cells(labels, aus, found_BA, np.nan), _cells(labels, aus, sure_BA, 0.0)
        return _corrected(labels, *corrected)


def _cells(labels: Labels, aus: Sequence[int], values_BA: NDArray[np.floating], nothing: float) -> Floats:
    """Return values over `aus` as columns of `labels`."""
    cells = np.full(labels.intensity.shape, nothing, np.float32)
    for column, au in enumerate(labels.aus):
        if au in aus:
            cells[:, column] = values_BA[:, list(aus).index(au)]
    return cells


def _corrected(labels: Labels, found_BA: Floats, confidence_BA: NDArray[np.floating]) -> Verdict:
    """Return labels that say what was found; where that is another occurrence, nobody knows the intensity."""
    masked_BA = np.isnan(found_BA)
    kept_BA = found_BA == labels.occurrence
    intensity_BA = np.where(kept_BA, labels.intensity, np.float32(np.nan)).astype(np.float32)
    confidence_BA = np.where(masked_BA, 0, confidence_BA).astype(np.float32)
    counts = {
        "relabelled": int((~kept_BA & ~masked_BA & labels.mask).sum()),
        "masked": int((masked_BA & labels.mask).sum()),
    }
    corrected = Labels(labels.aus, intensity_BA, found_BA.astype(np.float32), confidence_BA)
    return Verdict(corrected, np.zeros(len(labels), bool), counts)


def _names(detectors: Sequence[Detector]) -> tuple[str, ...]:
    for detector in detectors:
        if not isinstance(detector, Detector):
            raise ConfigurationError(
                f"detector {detector!r}", expected="a callable with `aus` and `fingerprint`; see ausynth.gates.Detector"
            )
        facs.label_space(detector.aus)
    return tuple(detector.fingerprint for detector in detectors)


def _require_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ConfigurationError(f"{name}={value!r}", expected="above 0, up to 1")


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
