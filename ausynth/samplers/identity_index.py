"""Which known face is most like this one: FAISS behind a small door that threads, forks and kills cannot break.

Threads: one lock, so that nothing is added while something is sought (CPU indexes cannot, GPU ones not even search at
once). Forks: FAISS runs on OpenMP, whose pool of threads is not in a forked child, where whoever counts on it waits for
ever. So a forked child never enters FAISS: it searches the same vectors, which it shares with its parent, by numpy's
own loops (no BLAS, no threads), and may not change them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth.errors import ConfigurationError, require_whole
from ausynth.forks import is_forked
from ausynth.samplers import identity_index_file as files
from ausynth.samplers.identity import Embeddings, checked, require_faces
from ausynth.samplers.identity_vectors import Blocks, Lists, scan_nearest, scan_within
from ausynth.store.handles import ForkLock

__all__ = ["IdentityIndex", "Neighbours"]

Integers = NDArray[np.int64]

LARGEST_FLAT: Final = 1_000_000
"""Vectors up to which every one is compared. Beyond, they lie in lists, of which the nearest are looked into."""

_QUERIES: Final = 1024


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What lies within a radius: for n pairs, the row of the query, the id of the neighbour, and their cosine."""

    rows: Integers
    ids: Integers
    cosines: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)


class IdentityIndex:
    """Vectors of faces with ids, searched by cosine.

    >>> index = IdentityIndex(dimension=2)
    >>> index.add([[1, 0], [0, 1]], ids=[7, 8])
    >>> ids, cosines = index.nearest([[0.6, 0.8]])
    >>> ids.tolist(), cosines.round(3).tolist()
    ([[8]], [[0.800000011920929]])

    Exact up to a million vectors (`IndexFlatIP`); above, inverted lists of whole vectors (`IndexIVFFlat`), of which 64
    are looked into. On a GPU where the installed FAISS has one (`faiss-gpu` in the place of `faiss-cpu`).

    Args:
        dimension: D of the vectors.
        encoder: fingerprint of what made them, "" if it does not matter.
        gpu: whether to search on a GPU; None: where FAISS finds one.
        largest_flat: vectors up to which all are compared.

    Raises:
        ConfigurationError: a dimension below 1, or `gpu=True` without one.
    """

    def __init__(
        self, dimension: int, *, encoder: str = "", gpu: bool | None = None, largest_flat: int = LARGEST_FLAT
    ) -> None:
        require_whole("dimension", dimension, 1)
        require_whole("largest_flat", largest_flat, 1)
        self.dimension, self.encoder, self.largest_flat = dimension, encoder, largest_flat
        self._lock = ForkLock()
        self._wants_gpu = gpu
        self._vectors: Blocks | Lists = Blocks(dimension)
        self._on_gpu: Any = None
        if gpu and not _gpus():
            raise ConfigurationError(
                "gpu=True, and FAISS finds no GPU",
                expected="a FAISS with CUDA",
                do="pip uninstall faiss-cpu, then pip install faiss-gpu; or leave gpu out",
            )

    def __len__(self) -> int:
        return len(self._vectors)

    def __repr__(self) -> str:
        kind = "lists" if isinstance(self._vectors, Lists) else "flat"
        return f"<IdentityIndex: {len(self):,} vectors of {self.dimension} numbers, {kind}>"

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            groups = [(ids.copy(), vectors.copy()) for ids, vectors in self._vectors.groups()]
            centroids = self._vectors.centroids
        return (_rebuilt, ({**self._options, "gpu": self._wants_gpu}, groups, centroids))

    def add(self, embeddings: ArrayLike, ids: ArrayLike | None = None) -> None:
        """Add N vectors.

        Args:
            embeddings: (N, D) unit vectors.
            ids: (N,) whole numbers from 0, by which they are found and removed; several vectors may share one. Default
                one more than the largest so far, and so on.

        Raises:
            ConfigurationError: NaN, no unit vectors, another dimension, no face in a row, ids that do not fit, or a
                forked worker.
        """
        vectors = checked(embeddings, self.dimension)
        require_faces(vectors, "embeddings to add")
        _refuse_in_fork("added to")
        with self._lock:
            if ids is None:
                first = self._vectors.largest_id + 1
                numbers = np.arange(first, first + len(vectors), dtype=np.int64)
            else:
                numbers = np.asarray(ids, dtype=np.int64)
            if numbers.shape != (len(vectors),) or (numbers < 0).any():
                raise ConfigurationError(
                    f"ids of shape {numbers.shape} for {len(vectors)} vectors", expected="one whole number from 0 each"
                )
            if isinstance(self._vectors, Blocks) and len(self) + len(vectors) > self.largest_flat:
                self._vectors = Lists.of(self._vectors, vectors)
            self._vectors.add(vectors, numbers)
            self._on_gpu = None

    def remove(self, ids: ArrayLike) -> int:
        """Remove all vectors of these ids, and return how many that were; in a forked worker, ConfigurationError."""
        _refuse_in_fork("removed from")
        with self._lock:
            self._on_gpu = None
            return self._vectors.remove(np.unique(np.asarray(ids, dtype=np.int64)))

    def nearest(self, embeddings: ArrayLike, count: int = 1) -> tuple[Integers, NDArray[np.float32]]:
        """Return the most similar vectors of each of B: their ids and cosines, both (B, count), nearest first.

        Raises:
            ConfigurationError: the index is empty or holds less than `count`; NaN, no unit vectors, another dimension,
                no face in a row.
        """
        queries = self._queries(embeddings)
        require_whole("count", count, 1)
        if count > len(self):
            raise ConfigurationError(f"the {count} nearest of {len(self)} vectors", expected=f"{len(self)} at most")
        with self._lock:
            parts = [
                self._searched(queries[first : first + _QUERIES], count) for first in range(0, len(queries), _QUERIES)
            ]
        if not parts:
            return np.empty((0, count), np.int64), np.empty((0, count), np.float32)
        return np.concatenate([ids for ids, _ in parts]), np.concatenate([cosines for _, cosines in parts])

    def within(self, embeddings: ArrayLike, cosine: float) -> Neighbours:
        """Return all pairs of one of B queries and a vector with at least this cosine, by rows of the queries.

        Raises:
            ConfigurationError: as `nearest`, or a cosine outside [-1, 1].
        """
        queries = self._queries(embeddings)
        if not -1 <= cosine <= 1:
            raise ConfigurationError(f"a radius of cosine {cosine}", expected="-1 to 1")
        # FAISS takes what is above, and rounds as the size of its batches has it.
        radius = float(np.nextafter(np.float32(cosine), np.float32(-2)))
        with self._lock:
            if is_forked():
                found = list(scan_within(self._vectors, queries, cosine))
            else:
                found = list(self._vectors.within(queries, radius))
        rows, ids, cosines = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.lexsort((-cosines, rows))
        return Neighbours(rows[order], ids[order], cosines[order])

    def vectors(self, ids: ArrayLike) -> Embeddings:
        """Return (B, D), the first vector of each id (B,), read without FAISS; raise ConfigurationError for unknown."""
        wanted = np.asarray(ids, dtype=np.int64)
        found = np.full((len(wanted), self.dimension), np.nan, np.float32)
        with self._lock:
            for numbers, vectors in self._vectors.groups():
                order = np.argsort(numbers, kind="stable")
                at = np.minimum(np.searchsorted(numbers[order], wanted), max(len(numbers) - 1, 0))
                if len(numbers):
                    here = (numbers[order[at]] == wanted) & np.isnan(found[:, 0])
                    found[here] = vectors[order[at[here]]]
        if np.isnan(found[:, 0]).any():
            raise ConfigurationError(f"id {wanted[np.isnan(found[:, 0])][0]}", expected="an id that the index holds")
        return found

    @property
    def fingerprint(self) -> str:
        """Return a hash of encoder, vectors and ids, whatever order they were added in."""
        total = 0
        with self._lock:
            for ids, vectors in self._vectors.groups():
                for number, vector in zip(ids.tolist(), vectors, strict=True):
                    digest = hashlib.blake2b(number.to_bytes(8, "little") + vector.tobytes(), digest_size=16).digest()
                    total = (total + int.from_bytes(digest, "little")) % (1 << 128)
        parts = (self.dimension, self.encoder, len(self), total)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, which at any moment is there whole, or as it was before; OSError if it cannot.

        Vectors are written block by block: no copy of the index is made.
        """
        with self._lock:
            files.write(Path(path), self._options, self._vectors.centroids, self._vectors.groups())

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, encoder: str | None = None, gpu: bool | None = None
    ) -> IdentityIndex:
        """Return the index that `save` wrote.

        Args:
            path: the file.
            encoder: the fingerprint of the encoder that it must be of; None: any.
            gpu: as in the constructor.

        Raises:
            StoreError: no such file, one that is damaged or cut short, or of another version.
            ConfigurationError: another encoder's vectors.
        """
        about, centroids, groups = files.read(Path(path))
        if encoder is not None and encoder != about["encoder"]:
            raise ConfigurationError(
                f"{path} holds vectors of encoder {about['encoder']!r}",
                expected=f"those of {encoder!r}: vectors of two encoders cannot be compared",
            )
        return _rebuilt({**about, "gpu": gpu}, groups, centroids)

    @property
    def _options(self) -> dict[str, Any]:
        return {"dimension": self.dimension, "encoder": self.encoder, "largest_flat": self.largest_flat}

    def _queries(self, embeddings: ArrayLike) -> Embeddings:
        queries = checked(embeddings, self.dimension)
        require_faces(queries, "embeddings to look up")
        if not len(self):
            raise ConfigurationError("a search in an empty index", expected="at least one vector to compare with")
        return queries

    def _searched(self, queries: Embeddings, count: int) -> tuple[Integers, NDArray[np.float32]]:
        if is_forked():
            return scan_nearest(self._vectors, queries, count)
        if self._wants_gpu is not False and _gpus():
            if self._on_gpu is None:
                self._on_gpu = _moved(self._vectors)
            cosines, ids = self._on_gpu.search(queries, count)
            return ids, cosines
        return self._vectors.nearest(queries, count)


def _refuse_in_fork(done: str) -> None:
    if is_forked():
        raise ConfigurationError(
            f"an index of faces is {done} in a forked process",
            expected="that in the process that made it: FAISS waits there for threads that a fork does not copy",
            do="change it before the workers start, or start them by 'spawn'",
        )


def _gpus() -> int:
    import faiss

    return 0 if is_forked() else int(getattr(faiss, "get_num_gpus", lambda: 0)())


def _moved(vectors: Blocks | Lists) -> Any:
    """Return a copy of the vectors, with their ids, on the GPU."""
    import faiss

    resources = faiss.StandardGpuResources()
    if isinstance(vectors, Lists):
        return faiss.index_cpu_to_gpu(resources, 0, vectors.index)
    flat = faiss.index_cpu_to_gpu(resources, 0, faiss.IndexFlatIP(vectors.dimension))
    known = []
    for ids, some in vectors.groups():
        flat.add(some)
        known.append(ids)
    return _WithIds(flat, np.concatenate(known))


@dataclass(frozen=True)
class _WithIds:
    index: Any
    ids: Integers

    def search(self, queries: Embeddings, count: int) -> tuple[NDArray[np.float32], Integers]:
        cosines, rows = self.index.search(queries, count)
        return cosines, self.ids[rows]


def _rebuilt(options: Mapping[str, Any], groups: Any, centroids: Embeddings | None) -> IdentityIndex:
    index = IdentityIndex(**options)
    if centroids is None:
        for ids, vectors in groups:
            index._vectors.add(vectors, ids)
    else:
        lists = Lists(centroids)
        lists.restore(list(groups))
        index._vectors = lists
    return index
