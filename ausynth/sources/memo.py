"""Remembers generated samples in a store, so that whoever asks for them again reads them instead of making them."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import multiprocessing.util
import os
import threading
import warnings
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import DamagedError, StoreError
from ausynth.generators.base import Conditions
from ausynth.labels import Labels
from ausynth.schedule import Integers
from ausynth.sources.images import decode_image, encode_jpeg
from ausynth.sources.made import Made
from ausynth.store import Store

__all__ = ["Memo"]

_BUFFER = 64 << 20
"""Bytes of pictures that a stream collects before it writes them as a shard."""

_SHARD, _ABOUT, _ABOUT_AU = 16_000, 64, 16
"""What a shard, a sample and each of its AUs cost beside pixels, in bytes, rounded up."""


class Memo:
    """The stored samples of one plan, and the content of all others.

    Thread-safe, and safe after a fork; a pickled copy has an empty buffer.

    Args:
        store: of samples of one generator.
        plan: the fingerprint of the synthetic side: under it an ordinal is one sample.
        configuration: what the plan is, in words, for whoever looks into the store.
        writes: whether what is generated is stored.
        limit: bytes of all shards beyond which nothing more is written; what is there stays.
    """

    def __init__(
        self,
        store: Store,
        plan: str,
        configuration: Mapping[str, Any],
        *,
        writes: bool = True,
        limit: int | None = None,
    ) -> None:
        self.store, self.plan, self.configuration = store, plan, dict(configuration)
        self.writes, self.limit = writes, limit
        self._damaged: frozenset[int] = frozenset()
        self._writer = _Writer(store, plan, self.configuration, limit)
        if writes:
            # What was generated last is written when the stream is let go, or when the interpreter ends.
            weakref.finalize(self, self._writer.flush).atexit = False
            _at_exit().add(self._writer)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.store, self.plan, self.configuration, self.writes, self.limit))

    def find(self, ordinals: Integers) -> Integers:
        """Return the place of each ordinal (B,) of this plan in the store, -1 where it is not stored."""
        places_B = self.store.find(self.plan, ordinals)
        if (places_B < 0).any() and self.store.refresh():
            places_B = self.store.find(self.plan, ordinals)
        return self._sound(places_B)

    @property
    def alone(self) -> bool:
        """Return whether the store holds samples of no other plan: content is then found by ordinal, or not at all."""
        return set(self.store.plans()) <= {self.plan}

    def find_content(self, keys: NDArray[np.uint8]) -> Integers:
        """Return the place of each content key (B, 16), whatever plan it was stored under, -1 where it is not."""
        if self.alone:
            return np.full(len(keys), -1, np.int64)
        return self._sound(self.store.find_keys(keys))

    def prefix(self) -> int:
        """Return how many ordinals of the plan, from 0 without a gap, are stored."""
        numbers = self.store.numbers(self.plan)
        gaps = np.flatnonzero(numbers != np.arange(len(numbers)))
        return int(gaps[0]) if gaps.size else len(numbers)

    def read(self, places: Integers, out: NDArray[np.uint8]) -> tuple[Labels, Integers]:
        """Read the pictures at `places` (B,) into `out`, and return their labels and identities (B,).

        Raises:
            DamagedError: a stored sample fails its checksum; it is not found again.
        """
        try:
            self.store.read(places, out)
            samples = self.store.samples(places)
        except DamagedError as error:
            self._damaged |= frozenset(error.places or places.tolist())
            raise
        return samples.labels, samples.identity

    def restored(self, places: Integers, conditions: Conditions, attempts: Integers, keys: NDArray[np.uint8]) -> Made:
        """Return the samples at `places` (B,), which were made from these conditions under another plan."""
        size = self.store.recipe.image_size
        images = np.empty((len(places), size, size, 3), np.uint8)
        labels, _ = self.read(places, images)
        # Nobody asks for the bytes of what is stored already, but it may be joined with what is not.
        coded = None if self.store.recipe.codec == "raw" else np.empty(len(places), object)
        return Made(images, labels, conditions, attempts, keys, coded, np.ones(len(places), bool))

    def as_stored(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        """Return the pictures as they come back from the store, and the bytes it keeps where those are coded.

        A store of JPEGs loses a little, and a stream must give the same samples whether or not they were stored.
        """
        if self.store.recipe.codec == "raw":
            return images, None
        coded = np.empty(len(images), object)
        back = np.empty_like(images)
        for row, image in enumerate(images):
            coded[row] = encode_jpeg(image, self.store.recipe.quality or 95)
            back[row] = decode_image(coded[row], "a generated picture")
        return back, coded

    def record(self, ordinals: Integers, made: Made) -> None:
        """Store the samples that are not there yet, in time: where storing fails, this says so once and gives up."""
        if self.writes:
            self._writer.add(ordinals, made)

    def write(self, ordinals: Integers, made: Made) -> None:
        """Store the samples as one shard, now.

        Raises:
            StoreError: the disk, or the limit, is full.
        """
        self._writer.write([(ordinals, made)])

    def flush(self) -> None:
        """Write what was recorded and is not stored yet."""
        self._writer.flush()

    def _sound(self, places_B: Integers) -> Integers:
        if self._damaged:
            return np.where(np.isin(places_B, list(self._damaged)), -1, places_B)
        return places_B


class _Writer:
    """Collects samples, and writes them by the shard."""

    def __init__(self, store: Store, plan: str, configuration: Mapping[str, Any], limit: int | None) -> None:
        self.store, self.plan, self.configuration, self.limit = store, plan, configuration, limit
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._parts: list[tuple[Integers, Made]] = []
        self._waiting: set[int] = set()
        self._bytes = 0
        self._given_up = False

    def add(self, ordinals: Integers, made: Made) -> None:
        if self._pid != os.getpid():  # forked: what was collected is the parent's to write
            self._begin()
            if multiprocessing.parent_process() is not None:  # a worker ends without running exit handlers of Python
                multiprocessing.util.Finalize(None, self.flush, exitpriority=10)
        if self._given_up:
            return
        new_B = self.store.find(self.plan, ordinals) < 0
        if made.stored is not None:
            new_B &= ~made.stored
        with self._lock:
            new_B &= np.array([ordinal not in self._waiting for ordinal in ordinals.tolist()], dtype=bool)
            if not new_B.any():
                return
            rows = np.flatnonzero(new_B)
            # A copy, which fancy indexing makes: a generator may use its memory again.
            self._parts.append((ordinals[rows], made.rows(rows)))
            self._waiting.update(ordinals[rows].tolist())
            self._bytes += rows.size * made.images[0].nbytes
            full = self._bytes >= _BUFFER
        if full:
            self.flush()

    def flush(self) -> None:
        if self._pid != os.getpid():
            return
        with self._lock:
            parts, self._parts, self._bytes = self._parts, [], 0
        if not parts or self._given_up:
            return
        try:
            self.write(parts)
        except (StoreError, OSError) as error:
            self._given_up = True
            warnings.warn(f"{error} From here on the stream stores nothing and goes on.", UserWarning, stacklevel=2)
        finally:
            with self._lock:
                self._waiting.difference_update(*(ordinals.tolist() for ordinals, _ in parts))

    def write(self, parts: list[tuple[Integers, Made]]) -> None:
        ordinals = np.concatenate([part for part, _ in parts])
        made = Made.join([part for _, part in parts])
        if not len(made):
            return
        size = made.images.nbytes if made.coded is None else sum(map(len, made.coded))
        size += len(made) * (_ABOUT + _ABOUT_AU * made.labels.intensity.shape[1]) + _SHARD
        if self.limit is not None and self.store.bytes_on_disk + size > self.limit:
            raise StoreError(
                f"the cache {self.store.folder} holds {self.store.bytes_on_disk:,} bytes and {size:,} more are to come",
                expected=f"{self.limit:,} bytes at most, as cache_limit says",
                do="raise cache_limit; nothing is ever deleted to make room",
            )
        images = made.images if made.coded is None else made.coded.tolist()
        self.store.write(made.samples(ordinals), images, plan=self.plan, configuration=self.configuration)


@functools.cache
def _at_exit() -> weakref.WeakSet[_Writer]:
    """Return the writers that are to flush when the interpreter ends."""
    # h5py takes HDF5's converters away then, and brings the process down if it is first imported after that; handlers
    # run in the opposite order of their registration, so it has to come before.
    import h5py  # noqa: F401

    writers: weakref.WeakSet[_Writer] = weakref.WeakSet()
    atexit.register(_flush_all, writers)
    return writers


def _flush_all(writers: weakref.WeakSet[_Writer]) -> None:
    for writer in tuple(writers):
        writer.flush()


def _rebuild(store: Store, plan: str, configuration: Mapping[str, Any], writes: bool, limit: int | None) -> Memo:
    return Memo(store, plan, configuration, writes=writes, limit=limit)
