"""Which known face is most like this one: FAISS behind a small door that threads, forks and kills cannot break.

Threads: one lock, so that nothing is added while something is sought (CPU indexes cannot, GPU ones not even search at
once). Forks: FAISS runs on OpenMP, whose pool of threads is not in a forked child, where whoever counts on it waits for
ever. So a forked child never enters FAISS: it searches the same vectors, which it shares with its parent, by numpy's
own loops (no BLAS, no threads), and may not change them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth.errors import ConfigurationError, require_whole
from ausynth.forks import is_forked
from ausynth.samplers import identity_index_file as files
from ausynth.samplers.identity import Embeddings, checked, require_faces
from ausynth.store.handles import ForkLock

__all__ = ["IdentityIndex", "Neighbours"]

Integers = NDArray[np.int64]

LARGEST_FLAT: Final = 1_000_000
"""Vectors up to which every one is compared. Beyond, they lie in lists, of which the nearest are looked into."""

_BLOCK: Final = 1 << 16
"""Vectors of one block of a flat index: FAISS doubles the memory of what grows, which is to be that of a block only."""

_LISTS_FOR_A_MILLION, _PROBED, _TRAINED_PER_LIST = 1024, 64, 40
_QUERIES: Final = 1024
_PAIRS: Final = 1 << 24
"""Cosines in memory at a time."""


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
        self._vectors: _Blocks | _Lists = _Blocks(dimension)
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
        kind = "lists" if isinstance(self._vectors, _Lists) else "flat"
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
            if isinstance(self._vectors, _Blocks) and len(self) + len(vectors) > self.largest_flat:
                self._vectors = _Lists.of(self._vectors, vectors)
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
                found = list(_scan_within(self._vectors, queries, cosine))
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
            return _scan_nearest(self._vectors, queries, count)
        if self._wants_gpu is not False and _gpus():
            if self._on_gpu is None:
                self._on_gpu = _moved(self._vectors)
            cosines, ids = self._on_gpu.search(queries, count)
            return ids, cosines
        return self._vectors.nearest(queries, count)


class _Blocks:
    """Vectors in flat indexes of a limited size, each compared with every query."""

    centroids: Embeddings | None = None

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._blocks: list[tuple[Any, Integers]] = []
        self.largest_id = -1

    def __len__(self) -> int:
        return sum(len(ids) for _, ids in self._blocks)

    def add(self, vectors: Embeddings, ids: Integers) -> None:
        import faiss

        self.largest_id = max(self.largest_id, int(ids.max(initial=-1)))
        while len(vectors):
            if not self._blocks or len(self._blocks[-1][1]) >= _BLOCK:
                self._blocks.append((faiss.IndexFlatIP(self.dimension), np.empty(0, np.int64)))
            flat, known = self._blocks[-1]
            room = _BLOCK - len(known)
            flat.add(vectors[:room])
            self._blocks[-1] = (flat, np.concatenate([known, ids[:room]]))
            vectors, ids = vectors[room:], ids[room:]

    def remove(self, ids: Integers) -> int:
        import faiss

        before, kept = len(self), []
        for flat, known in self._blocks:
            stays = ~np.isin(known, ids)
            if not stays.all():
                flat.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(~stays).astype(np.int64)))
                known = known[stays]  # noqa: PLW2901
            if len(known):
                kept.append((flat, known))
        self._blocks = kept
        return before - len(self)

    def groups(self) -> Iterator[tuple[Integers, Embeddings]]:
        """Yield the ids (n,) and vectors (n, D) of each block; the vectors are FAISS's own memory."""
        import faiss

        for flat, ids in self._blocks:
            yield ids, faiss.rev_swig_ptr(flat.get_xb(), len(ids) * self.dimension).reshape(-1, self.dimension)

    def near(self, queries: Embeddings) -> Iterator[tuple[Integers, Integers, Embeddings]]:
        """Yield which queries are to be compared with which vectors: rows (b,), ids (n,), vectors (n, D)."""
        rows = np.arange(len(queries))
        for ids, vectors in self.groups():
            yield rows, ids, vectors

    def nearest(self, queries: Embeddings, count: int) -> tuple[Integers, NDArray[np.float32]]:
        found_ids, found = [], []
        for flat, known in self._blocks:
            cosines, rows = flat.search(queries, min(count, len(known)))
            found_ids.append(known[rows])
            found.append(cosines)
        return _best(np.concatenate(found_ids, axis=1), np.concatenate(found, axis=1), count)

    def within(self, queries: Embeddings, radius: float) -> Iterator[tuple[Integers, Integers, NDArray[np.float32]]]:
        for flat, known in self._blocks:
            limits, cosines, rows = flat.range_search(queries, radius)
            yield np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), known[rows], cosines


class _Lists:
    """Vectors by the nearest of some centroids: a query looks into the lists of its own nearest ones."""

    def __init__(self, centroids: Embeddings) -> None:
        import faiss

        self.centroids: Embeddings | None = centroids
        self.dimension = centroids.shape[1]
        quantizer: Any = faiss.IndexFlatIP(self.dimension)
        quantizer.add(centroids)
        self._index: Any = faiss.IndexIVFFlat(quantizer, self.dimension, len(centroids), faiss.METRIC_INNER_PRODUCT)
        self._index.own_fields = True
        quantizer.this.disown()
        self._index.is_trained = True
        self._index.nprobe = min(_PROBED, len(centroids))
        self.largest_id = -1

    @classmethod
    def of(cls, blocks: _Blocks, more: Embeddings) -> _Lists:
        """Return lists of all vectors in `blocks`, with centroids trained on them and on those that will be added."""
        import faiss

        total = len(blocks) + len(more)
        lists = max(1, int(_LISTS_FOR_A_MILLION * (total / 1e6) ** 0.5))
        step = max(1, total // (lists * _TRAINED_PER_LIST))
        sample = np.concatenate([*(vectors[::step] for _, vectors in blocks.groups()), more[::step]])
        trained = faiss.Kmeans(blocks.dimension, lists, niter=10, spherical=True, seed=1, verbose=False)
        trained.train(sample)
        made = cls(np.ascontiguousarray(trained.centroids, dtype=np.float32))
        while blocks._blocks:  # block by block, so that nothing is in memory twice
            ids, vectors = next(iter(blocks.groups()))
            made.add(vectors, ids)
            del vectors
            blocks._blocks.pop(0)
        return made

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Embeddings, ids: Integers) -> None:
        self.largest_id = max(self.largest_id, int(ids.max(initial=-1)))
        self._index.add_with_ids(vectors, ids)

    def restore(self, groups: Sequence[tuple[Integers, Embeddings]]) -> None:
        """Fill list after list with what `groups` yielded."""
        import faiss

        for number, (ids, vectors) in enumerate(groups):
            if len(ids):
                self.largest_id = max(self.largest_id, int(ids.max()))
                codes = np.ascontiguousarray(vectors).view(np.uint8)
                self._index.invlists.add_entries(number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
        self._index.ntotal = sum(len(ids) for ids, _ in groups)

    def remove(self, ids: Integers) -> int:
        import faiss

        return int(self._index.remove_ids(faiss.IDSelectorBatch(ids)))

    def groups(self) -> Iterator[tuple[Integers, Embeddings]]:
        """Yield the ids (n,) and vectors (n, D) of each list, FAISS's own memory."""
        for number in range(self._index.nlist):
            yield self._list(number)

    def _list(self, number: int) -> tuple[Integers, Embeddings]:
        import faiss

        lists = self._index.invlists
        size = lists.list_size(number)
        if not size:
            return np.empty(0, np.int64), np.empty((0, self.dimension), np.float32)
        ids = faiss.rev_swig_ptr(lists.get_ids(number), size)
        codes = faiss.rev_swig_ptr(lists.get_codes(number), size * self._index.code_size)
        return ids, codes.view(np.float32).reshape(size, self.dimension)

    def near(self, queries: Embeddings) -> Iterator[tuple[Integers, Integers, Embeddings]]:
        """Yield which queries are to be compared with which vectors: rows (b,), ids (n,), vectors (n, D)."""
        assert self.centroids is not None
        probed = min(_PROBED, len(self.centroids))
        nearest = np.argsort(-_cosines(queries, self.centroids), axis=1, kind="stable")[:, :probed]
        for number in np.unique(nearest).tolist():
            ids, vectors = self._list(number)
            if len(ids):
                yield np.flatnonzero((nearest == number).any(axis=1)), ids, vectors

    def nearest(self, queries: Embeddings, count: int) -> tuple[Integers, NDArray[np.float32]]:
        cosines, ids = self._index.search(queries, count)
        return ids, cosines

    def within(self, queries: Embeddings, radius: float) -> Iterator[tuple[Integers, Integers, NDArray[np.float32]]]:
        limits, cosines, ids = self._index.range_search(queries, radius)
        yield np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), ids, cosines


def _best(ids: Integers, cosines: NDArray[np.float32], count: int) -> tuple[Integers, NDArray[np.float32]]:
    """Return the `count` highest of each row."""
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def _cosines(queries: Embeddings, vectors: Embeddings) -> NDArray[np.float32]:
    """Return (B, N) by numpy's own loops: a BLAS may have threads, which a forked child has not."""
    cosines: NDArray[np.float32] = np.einsum("bd,nd->bn", queries, vectors)
    return cosines


def _pieces(vectors: _Blocks | _Lists, queries: Embeddings) -> Iterator[tuple[Integers, Integers, NDArray[np.float32]]]:
    for rows, ids, some in vectors.near(queries):
        step = max(1, _PAIRS // max(1, len(rows)))
        for first in range(0, len(ids), step):
            yield rows, ids[first : first + step], _cosines(queries[rows], some[first : first + step])


def _scan_nearest(vectors: _Blocks | _Lists, queries: Embeddings, count: int) -> tuple[Integers, NDArray[np.float32]]:
    """Return what `nearest` does, without FAISS."""
    best_ids = np.full((len(queries), count), -1, np.int64)
    best = np.full((len(queries), count), -np.inf, np.float32)
    for rows, ids, cosines in _pieces(vectors, queries):
        joined_ids = np.concatenate([best_ids[rows], np.broadcast_to(ids, cosines.shape)], axis=1)
        best_ids[rows], best[rows] = _best(joined_ids, np.concatenate([best[rows], cosines], axis=1), count)
    return best_ids, best


def _scan_within(
    vectors: _Blocks | _Lists, queries: Embeddings, cosine: float
) -> Iterator[tuple[Integers, Integers, NDArray[np.float32]]]:
    """Yield what `within` does, without FAISS."""
    yield np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    for rows, ids, cosines in _pieces(vectors, queries):
        at, of = np.nonzero(cosines >= np.float32(cosine))
        yield rows[at], ids[of], cosines[at, of]


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


def _moved(vectors: _Blocks | _Lists) -> Any:
    """Return a copy of the vectors, with their ids, on the GPU."""
    import faiss

    if isinstance(vectors, _Lists):
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, vectors._index)
    flat = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, faiss.IndexFlatIP(vectors.dimension))
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
        lists = _Lists(centroids)
        lists.restore(list(groups))
        index._vectors = lists
    return index
