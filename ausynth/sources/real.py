"""The real side of a stream: ordinal j -> a frame of one of several sources, and its labels in the stream's space."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ausynth.buffers import BufferPool, rows_of
from ausynth.errors import FrameError
from ausynth.labels import Labels
from ausynth.samplers.balance import Balance
from ausynth.samplers.spacing import SpacedFrames
from ausynth.schedule import Integers, Mixture, Permutation
from ausynth.sources.base import Source
from ausynth.sources.joined import base_weights, joined_labels, require_weights
from ausynth.tables import ByBlocks

__all__ = ["FAILURE_BUDGET", "OnError", "RealSource"]

Pixels = NDArray[np.uint8]
OnError = Literal["raise", "skip"]

FAILURE_BUDGET = 100
"""Unreadable pictures in a row after which `on_error="skip"` gives up: by then the disk is gone, not a file."""


class RealSource:
    """An endless sequence over the pictures of several sources: each is shown once before any is shown again.

    Args:
        sources: one or more, none of them empty.
        weights: how often each is chosen, in any unit; default in proportion to their numbers of pictures.
        aus: the label space of `labels`.
        seed: of the order.
        threshold: the intensity from which an AU occurs, where the intensity is known; default as each source has it.
        labels: of all their pictures, from `joined_labels`, if they were joined already.
        balance: how often each picture comes; default each once before any again.
        on_error: what happens at an unreadable picture: "raise", or "skip", which takes another of the same source
            (the same one each time) and counts it in `skipped`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        aus: Sequence[int],
        seed: int,
        weights: Sequence[float] | None = None,
        threshold: float | None = None,
        labels: Labels | None = None,
        balance: Balance | None = None,
        on_error: OnError = "raise",
    ) -> None:
        self.sources, self.seed, self.on_error = tuple(sources), seed, on_error
        # All sources behind one another: a batch's labels are then one look-up, whatever it is mixed from.
        self._starts = np.cumsum([0, *map(len, sources)])[:-1]
        self._labels = joined_labels(sources, aus, threshold) if labels is None else labels
        self._balance = balance
        require_weights(sources, weights)
        self.orders: list[Permutation | SpacedFrames] = []
        if balance is None:
            natural = tuple(float(len(source)) for source in sources)
            for number, source in enumerate(sources):
                self.orders.append(Permutation(len(source), seed, f"order of {number} {source.name}"))
        else:
            base_N = base_weights(sources, weights)
            often_N = balance.real_weights if base_N is None else balance.real_weights * base_N
            often, groups = (np.split(column, self._starts[1:]) for column in (often_N, balance.real_groups))
            natural = tuple(float(each.sum()) for each in often)
            for number, source in enumerate(sources):
                purpose = f"{number} {source.name}"
                self.orders.append(SpacedFrames(often[number], groups[number], seed=seed, purpose=purpose))
        # Sources are interleaved exactly; what a balance moves, it moves within each, and a little between them.
        self.weights = tuple(weights) if weights is not None else natural
        self.mixture = Mixture(self.weights)
        self._identities = sources[0].identities
        if len(sources) > 1:
            self._identities = np.concatenate([source.identities for source in sources])
        self._picks = ByBlocks(self._pick, block=8192)
        self.skipped: Counter[str] = Counter()
        """Unreadable pictures by file, and how often each was met."""
        self._failures_in_a_row = 0
        self._scratch = BufferPool()

    @property
    def fingerprint(self) -> str:
        """Return a hash of sources, weights and seed."""
        parts: tuple[object, ...] = (*(source.fingerprint for source in self.sources), self.weights, self.seed)
        if self._balance is not None:
            digest = hashlib.sha256(self._balance.real_weights.tobytes())
            digest.update(self._balance.real_groups.tobytes())
            parts = (*parts, digest.hexdigest())
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def pick(self, ordinals: Integers) -> tuple[Integers, Integers]:
        """Return the source (B,) and the picture in it (B,) of each ordinal (B,); nothing is read."""
        source_B, picture_B = self._picks.at(ordinals)
        return source_B, picture_B

    def _pick(self, ordinals: Integers) -> tuple[Integers, Integers]:
        source_B, place_B = self.mixture.deal(ordinals)
        picture_B = np.empty_like(place_B)
        for number, order in enumerate(self.orders):
            mine = source_B == number
            places = place_B[mine]
            picture_B[mine] = order.at(places) if isinstance(order, SpacedFrames) else order.endless(places)
        return source_B, picture_B

    def read(self, ordinals: Integers, out: Pixels) -> tuple[Integers, Integers, Labels]:
        """Decode into `out` (B, H, W, 3) and return source (B,), identity in the source (B,), and labels."""
        source_B, picture_B = self.pick(ordinals)
        for number, source in enumerate(self.sources):
            rows = np.flatnonzero(source_B == number)
            if rows.size:
                direct = rows_of(out, rows)
                pixels = self._scratch.take((rows.size, *out.shape[1:])) if direct is None else direct
                picture_B[rows] = self._read_from(number, source, picture_B[rows], pixels)
                if direct is None:
                    out[rows] = pixels
        place_B = self._starts[source_B] + picture_B
        return source_B, self._identities[place_B], self._labels[place_B]

    def _read_from(self, number: int, source: Source, pictures: Integers, out: Pixels) -> Integers:
        """Read `pictures` of one source; return which pictures were read in the end."""
        try:
            source.read(pictures, out)
        except FrameError:
            if self.on_error == "raise":
                raise
        else:
            self._failures_in_a_row = 0
            return pictures
        return np.array([self._read_one(number, source, int(p), out[i : i + 1]) for i, p in enumerate(pictures)])

    def _read_one(self, number: int, source: Source, picture: int, out: Pixels) -> int:
        attempt = 0
        while True:
            try:
                source.read([picture], out)
            except FrameError as error:
                self.skipped[error.path or str(error)] += 1
                self._failures_in_a_row += 1
                if self._failures_in_a_row >= FAILURE_BUDGET:
                    raise FrameError(
                        f"{self._failures_in_a_row} pictures of {source.name} in a row could not be read; "
                        f"the last: {error.what}",
                        expected="single damaged files, which on_error='skip' passes over",
                        do="check that the disk is mounted and the data are whole",
                    ) from error
            else:
                self._failures_in_a_row = 0
                return picture
            # The next attempt follows from the picture that failed, so a run and its repetition take the same one.
            attempt += 1
            retry = Permutation(len(source), self.seed, f"attempt {attempt} of {number} {source.name}")
            picture = int(retry.at(picture)[0])
