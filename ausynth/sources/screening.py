"""Which of a generator's pictures are not shown: a user's `reject` says so, or the leakage guard of their faces."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ausynth.labels import Labels
from ausynth.naming import fingerprint_of
from ausynth.store import Store
from ausynth.store.embeddings import Remembered

if TYPE_CHECKING:
    from ausynth.samplers.leakage import LeakageGuard

__all__ = ["Reject", "Screen"]

Reject = Callable[[NDArray[np.uint8], Labels], NDArray[np.bool_]]

Keys = NDArray[np.uint8]


class Screen:
    """Judges pictures; embeddings of faces are remembered beside the store they come from.

    Args:
        reject: (images (B, H, W, 3) uint8, labels) -> (B,) bool, True where a picture must not be shown.
        guard: keeps held-out people out.
        store: of the pictures, if there is one.
        writes: whether embeddings are written there.
    """

    def __init__(
        self,
        reject: Reject | None = None,
        guard: LeakageGuard | None = None,
        store: Store | None = None,
        *,
        writes: bool = True,
    ) -> None:
        self.reject, self.guard = reject, guard
        self.reject_name = fingerprint_of(reject, "reject") if reject else None
        self._remembered: Remembered | None = None
        if guard is not None and store is not None:
            encoder = guard.encoder
            self._remembered = Remembered(store.folder, encoder.fingerprint, encoder.dimension, writes=writes)
            # What was embedded last is written when the stream is let go, or when the interpreter ends.
            weakref.finalize(self, self._remembered.flush)

    def __bool__(self) -> bool:
        """Return whether anything can be rejected."""
        return self.reject is not None or self.guard is not None

    @property
    def fingerprints(self) -> tuple[str | None, ...]:
        """Return what goes into a plan: the name of `reject` and, where there is a guard, its fingerprint."""
        return (self.reject_name, *([] if self.guard is None else [self.guard.fingerprint]))

    def rejects(
        self, images: NDArray[np.uint8], labels: Labels, keys: Keys | None, asked: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """Return (B,) bool: which of the pictures must not be shown.

        Args:
            images: (B, H, W, 3) uint8.
            labels: of what they show.
            keys: (B, 16) uint8 content keys, by which embeddings are remembered; None: they are not.
            asked: (B,) bool, of which pictures the answer matters: faces of others are not looked at.
        """
        bad_B = np.zeros(len(images), bool)
        if self.reject is not None:
            bad_B = np.array(self.reject(images, labels), dtype=bool)
        if self.guard is not None:
            rows = np.flatnonzero(~bad_B if asked is None else ~bad_B & asked)
            bad_B[rows] = self.guard.rejects(self.embedded(images[rows], None if keys is None else keys[rows]))
        return bad_B

    def known(self, keys: Keys) -> NDArray[np.bool_]:
        """Return (B,) bool: which of the content keys (B, 16) are of faces that the guard lets pass, as remembered."""
        if self.guard is None or self._remembered is None:
            return np.zeros(len(keys), bool)
        vectors, passed = self._remembered.find(keys)
        passed = passed & vectors.any(axis=1)
        if passed.any():
            passed[passed] = self.guard.nearest(vectors[passed]) < self.guard.threshold
        return passed

    def report(self) -> dict[str, Any] | None:
        """Return the guard's counts; None without one."""
        return None if self.guard is None else self.guard.report()

    def flush(self) -> None:
        """Write what is to be remembered."""
        if self._remembered is not None:
            self._remembered.flush()

    def embedded(self, images: NDArray[np.uint8], keys: Keys | None) -> NDArray[np.float32]:
        """Return (B, D) the embeddings of pictures, remembered or made and remembered now. Needs a guard."""
        assert self.guard is not None
        if keys is None or self._remembered is None or not len(images):
            return self.guard.embed(images)
        vectors, known = self._remembered.find(keys)
        new = np.flatnonzero(~known)
        if new.size:
            vectors[new] = self.guard.embed(images[new])
            self._remembered.add(keys[new], vectors[new])
        return vectors
