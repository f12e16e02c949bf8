"""Keeps held-out people out of training: no picture is shown in which one of them may be seen.

Fails closed: where no face is found there is nothing to compare, and the picture is not shown either. What is logged
are counts and cosines, never who was like whom.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.labels import Labels
from ausynth.samplers.gallery import Gallery
from ausynth.samplers.identity import Embeddings, IdentityEncoder, Pixels, checked, embed
from ausynth.samplers.identity_index import IdentityIndex
from ausynth.samplers.impostors import Calibration, calibrate_threshold

__all__ = ["LeakageGuard"]

_MARGIN: Final = 1e-4
"""Cosines this near to the threshold are computed anew: FAISS rounds as the size of a batch has it."""

_BINS: Final = 200


class LeakageGuard:
    """Says which pictures may show a person of a gallery.

        test = Gallery.of_source(open_source("disfa", root, keep="P1"), encoder)
        others = Gallery.of_source(open_source("disfa", root, hold_out="P1"), encoder)
        guard = LeakageGuard(test, encoder, calibrate=others)
        guard.rejects(guard.embed(images))         # (B,) bool

    `MixedStream(guard=True)` makes this one by itself. A guard is also a `reject=` for anything that takes one. What it
    says of a picture depends on that picture, the gallery, the threshold and the encoder alone: to the last bit, since
    near the threshold cosines are summed in one fixed way, whatever found them.

    Args:
        gallery: of the people who must not be seen.
        encoder: what embeds pictures; the one that made the gallery.
        threshold: cosine from which a picture counts as theirs, above -1 and up to 1.
        calibrate: a gallery of other people, from whom the threshold is found; see `samplers.impostors`.
        alpha: share of pictures of others that may be rejected all the same, where it is calibrated.

    Attributes:
        threshold: the cosine.
        calibration: what it promises; None where the threshold was given.

    Raises:
        ConfigurationError: neither threshold nor `calibrate`, or both; an empty gallery, one of another encoder, too
            few people to calibrate on.
    """

    def __init__(
        self,
        gallery: Gallery,
        encoder: IdentityEncoder,
        *,
        threshold: float | None = None,
        calibrate: Gallery | None = None,
        alpha: float = 0.01,
    ) -> None:
        if (threshold is None) == (calibrate is None):
            raise ConfigurationError(
                "a guard with neither threshold nor calibrate" if threshold is None else "threshold beside calibrate",
                expected="one of them",
                do="give calibrate=Gallery of other people, or threshold=COSINE if you know it for this encoder",
            )
        for each in (gallery, *([] if calibrate is None else [calibrate])):
            if each.encoder != encoder.fingerprint:
                raise ConfigurationError(
                    f"a gallery of encoder {each.encoder!r}", expected=f"one of the guard's encoder {encoder.name!r}"
                )
        if not len(gallery):
            raise ConfigurationError("an empty gallery", expected="at least one picture of a person to keep out")
        self.gallery, self.encoder = gallery, encoder
        self.calibration: Calibration | None = None
        if calibrate is not None:
            joined = gallery.joined(calibrate)
            self.calibration = calibrate_threshold(
                joined.embeddings, joined.people, np.unique(gallery.people), alpha=alpha
            )
            threshold = self.calibration.threshold
        assert threshold is not None
        if not -1 < threshold <= 1:
            raise ConfigurationError(f"threshold={threshold}", expected="a cosine above -1 and up to 1")
        self.threshold = float(threshold)
        self._index = IdentityIndex(encoder.dimension, encoder=encoder.fingerprint)
        self._index.add(gallery.embeddings, gallery.people)
        self._counts = _Counts()

    def __repr__(self) -> str:
        return f"<LeakageGuard: {len(self.gallery.names)} people, cosine {self.threshold:.4f}, {self.encoder.name}>"

    @property
    def fingerprint(self) -> str:
        """Return a hash of encoder, gallery and threshold: all that decides."""
        parts = (self.encoder.fingerprint, self.gallery.fingerprint, self.threshold.hex())
        return f"guard-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"

    def embed(self, images: Pixels) -> Embeddings:
        """Return (B, D) for (B, H, W, 3) uint8, zeros where no face was found; see `samplers.identity.embed`."""
        return embed(self.encoder, images)

    def rejects(self, embeddings: Embeddings) -> NDArray[np.bool_]:
        """Return (B,) bool: which of the faces (B, D) must not be shown; those that were not found must not either.

        Raises:
            ConfigurationError: NaN, no unit vectors, another dimension.
        """
        vectors = checked(embeddings, self.encoder.dimension)
        found_B = np.asarray(vectors.any(axis=1))
        rejected_B = ~found_B
        nearest_B = np.full(len(vectors), np.nan)
        if found_B.any():
            nearest_B[found_B] = self._nearest(vectors[found_B])
            rejected_B |= nearest_B >= self.threshold
        self._counts.add(found_B, rejected_B, nearest_B)
        return rejected_B

    def nearest(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """Return (B,) the highest cosine of each face (B, D) with the gallery; faces that were not found are refused.

        Raises:
            ConfigurationError: as `IdentityIndex.nearest`.
        """
        return self._nearest(checked(embeddings, self.encoder.dimension))

    def __call__(self, images: Pixels, labels: Labels) -> NDArray[np.bool_]:  # noqa: ARG002 (reject's signature)
        """Return (B,) bool: which of the pictures (B, H, W, 3) must not be shown."""
        return self.rejects(self.embed(images))

    def report(self) -> dict[str, Any]:
        """Return what this process has seen: `checked`, `rejected`, `no_face` (among the rejected), `nearest`.

        `nearest` holds the quantiles 0, .5, .9, .99 and 1 of the highest cosines, to .01.
        """
        return {"threshold": self.threshold, **self._counts.report()}

    def _nearest(self, vectors: Embeddings) -> NDArray[np.float64]:
        nearest_B = self._index.nearest(vectors)[1][:, 0].astype(np.float64)
        close = np.flatnonzero(np.abs(nearest_B - self.threshold) < _MARGIN)
        for row in close.tolist():
            # All that may be the nearest, each summed in double precision, in the order of the numbers.
            near_TD = self.gallery.embeddings[self._candidates(vectors[row], nearest_B[row] - 2 * _MARGIN)]
            products = near_TD.astype(np.float64) * vectors[row].astype(np.float64)
            nearest_B[row] = max(float(np.add.reduce(each)) for each in products)
        return nearest_B

    def _candidates(self, vector: NDArray[np.float32], least: float) -> NDArray[np.int64]:
        people = np.unique(self._index.within(vector[None], max(-1.0, least)).ids)
        return np.flatnonzero(np.isin(self.gallery.people, people))


class _Counts:
    """What a guard has seen in this process."""

    def __init__(self) -> None:
        self._seen = np.zeros(3, np.int64)
        self._bins = np.zeros(_BINS, np.int64)

    def __reduce__(self) -> tuple[type[_Counts], tuple[()]]:
        return (_Counts, ())

    def add(self, found: NDArray[np.bool_], rejected: NDArray[np.bool_], nearest: NDArray[np.float64]) -> None:
        bins = np.clip(((nearest[found] + 1) / 2 * _BINS).astype(np.int64), 0, _BINS - 1)
        seen = np.array([len(found), rejected.sum(), (~found).sum()])
        # No lock: a forked child might inherit it held. Two threads that add at once may lose a count, never a verdict.
        self._seen = self._seen + seen
        self._bins = self._bins + np.bincount(bins, minlength=_BINS)

    def report(self) -> dict[str, Any]:
        checked, rejected, no_face = self._seen.tolist()
        total = int(self._bins.sum())
        quantiles: dict[str, float] = {}
        if total:
            passed = np.cumsum(self._bins)
            for share in (0.0, 0.5, 0.9, 0.99, 1.0):
                place = int(np.searchsorted(passed, max(1, share * total)))
                quantiles[f"{share:g}"] = round((place + 0.5) / _BINS * 2 - 1, 3)
        return {"checked": checked, "rejected": rejected, "no_face": no_face, "nearest": quantiles}
