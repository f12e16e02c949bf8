"""A finished store as the synthetic side of a stream, whatever plan made it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import GenerationError, StoreError
from ausynth.labels import Labels
from ausynth.samplers.balance import Balance
from ausynth.samplers.spacing import SpacedFrames
from ausynth.schedule import Integers, Permutation
from ausynth.sources.attempts import MAX_ATTEMPTS, Reject
from ausynth.sources.screening import Screen
from ausynth.sources.side import Fill
from ausynth.stats import stage
from ausynth.store import Recipe, Samples, Store

if TYPE_CHECKING:
    from ausynth.samplers.leakage import LeakageGuard

__all__ = ["PoolSource"]

_AT_ONCE = 64


class PoolSource:
    """An endless sequence over stored faces: each is shown once before any is shown again.

    Its labels are known without reading a picture: `labels` and `identities`, (N,) like a real source's.

    Args:
        store: of generated samples.
        seed: of the order.
        reject: (images (B, H, W, 3) uint8, labels) -> (B,) bool, True where a picture must not be shown: another one of
            the pool takes its place, 16 times at most.
        guard: rejects likewise where a picture may show a person who is held out.

    `weigh` has faces come by their final labels, as a balance says, instead.

    Raises:
        StoreError: the store is empty, or holds real frames.
    """

    def __init__(
        self, store: Store, *, seed: int, reject: Reject | None = None, guard: LeakageGuard | None = None
    ) -> None:
        if store.recipe.kind != "synthetic":
            raise StoreError(
                f"{store.folder} holds real frames",
                expected="a store of generated samples",
                do="give prepared real frames as root=, and a store that `ausynth warmup` made as synthetic=",
            )
        self.store, self.seed, self.screen = store, seed, Screen(reject, guard, store)
        self._places = store.places()
        if not self._places.size:
            raise StoreError(f"{store.folder} holds no samples", expected="a store that `ausynth warmup` has filled")
        samples = store.samples(self._places)
        self.labels, self.identities = samples.labels, samples.identity
        # What the pool holds, in whatever order its shards were written, decides which face is which.
        order = np.lexsort(samples.key.T)
        self._places, self.labels, self.identities = self._places[order], self.labels[order], self.identities[order]
        self._content = hashlib.sha256(samples.key[order].tobytes()).hexdigest()[:16]
        self._rejected = 0
        self._spaced: SpacedFrames | None = None
        self._weights: str | None = None

    def weigh(self, balance: Balance) -> None:
        """Show each face as often as the balance of the pool's `labels` says, before the first is shown."""
        weights, groups = balance.pool_weights, balance.pool_groups
        self._spaced = SpacedFrames(weights, groups, seed=self.seed, purpose="pool")
        self._weights = hashlib.sha256(weights.tobytes() + groups.tobytes()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def rejected(self) -> int:
        """Return how many pictures this process has rejected."""
        return self._rejected

    @property
    def fingerprint(self) -> str:
        """Return a hash of the pool's samples, its order and `reject`; see `SyntheticSide.fingerprint`."""
        recipe = self.store.recipe
        parts: tuple[object, ...] = (recipe.fingerprint, recipe.codec, recipe.quality, self._content, self.seed)
        parts = (*parts, *self.screen.fingerprints, *filter(None, [self._weights]))
        return hashlib.sha256(repr(("pool", *parts)).encode()).hexdigest()[:16]

    @property
    def image_size(self) -> int:
        """Return the height and width of the pictures in pixels."""
        return self.store.recipe.image_size

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the action units of the labels."""
        return self.store.recipe.aus

    @property
    def recipe(self) -> Recipe:
        """Return the store's."""
        return self.store.recipe

    @property
    def length(self) -> None:
        """Return None: there is no end."""
        return

    @contextlib.contextmanager
    def running(self, threads: int) -> Iterator[None]:  # noqa: ARG002 (the protocol's signature)
        """Write afterwards which faces were looked at."""
        try:
            yield
        finally:
            self.screen.flush()

    def pick(self, ordinals: Integers, attempt: int = 0) -> Integers:
        """Return which of the pool's N faces each ordinal (B,) shows."""
        if self._spaced is not None and not attempt:
            return self._spaced.at(ordinals)
        purpose = "order of the pool" if not attempt else f"attempt {attempt} at the pool"
        return Permutation(len(self), self.seed, purpose).endless(ordinals)

    def begin(self, ordinals: Integers) -> Fill:
        """Return the function that reads the ordinals (B,); see `SyntheticSide.begin`."""
        j_B = np.asarray(ordinals, dtype=np.int64)

        def fill(out: NDArray[np.uint8]) -> tuple[Labels, Integers]:
            rows_B = self._read(self.pick(j_B), out)
            if self.screen:
                rows_B = self._accepted(j_B, rows_B, out)
            return self.labels[rows_B], self.identities[rows_B]

        return fill

    def samples(self, start: int, stop: int) -> Iterator[tuple[Samples, NDArray[np.uint8]]]:
        """Yield the ordinals start, start + 1, ... stop - 1 in batches; see `SyntheticSide.samples`."""
        for first in range(start, stop, _AT_ONCE):
            j_B = np.arange(first, min(first + _AT_ONCE, stop))
            images = np.empty((len(j_B), self.image_size, self.image_size, 3), np.uint8)
            rows_B = self._read(self.pick(j_B), images)
            if self.screen:
                rows_B = self._accepted(j_B, rows_B, images)
            yield self.store.samples(self._places[rows_B]), images

    def _read(self, rows_B: Integers, out: NDArray[np.uint8]) -> Integers:
        with stage("cache"):
            self.store.read(self._places[rows_B], out)
        return rows_B

    def _accepted(self, j_B: Integers, rows_B: Integers, out: NDArray[np.uint8]) -> Integers:
        """Replace what is rejected, in `out` too; return what is shown in the end."""
        rows_B = rows_B.copy()
        bad_N = np.flatnonzero(self._rejected_rows(np.ascontiguousarray(out), rows_B))
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if not bad_N.size:
                break
            self._rejected += bad_N.size
            images = np.empty((bad_N.size, *out.shape[1:]), np.uint8)
            rows_B[bad_N] = self._read(self.pick(j_B[bad_N], attempt), images)
            out[bad_N] = images
            bad_N = bad_N[self._rejected_rows(images, rows_B[bad_N])]
        if bad_N.size:
            raise GenerationError(
                f"synthetic sample {j_B[bad_N[0]]} was rejected {MAX_ATTEMPTS + 1} times",
                expected=f"a pool of which something is accepted; {self.store.folder} holds {len(self):,} faces",
                do="loosen reject= or guard=, or take a larger pool",
            )
        return rows_B

    def _rejected_rows(self, images: NDArray[np.uint8], rows_B: Integers) -> NDArray[np.bool_]:
        keys = self.store.samples(self._places[rows_B]).key if self.screen.guard is not None else None
        return self.screen.rejects(images, self.labels[rows_B], keys)
