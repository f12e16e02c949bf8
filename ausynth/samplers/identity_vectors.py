"""Where the vectors of an index lie: compared one and all, or in lists of which the nearest are looked into.

Both are FAISS's own memory, which `groups` shows as arrays: so they are saved without a copy, and can be searched by
numpy's own loops where FAISS must not be entered (see `identity_index`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.samplers.identity import Embeddings

__all__ = ["Blocks", "Lists", "scan_nearest", "scan_within"]

Integers = NDArray[np.int64]
Cosines = NDArray[np.float32]

_BLOCK: Final = 1 << 16
"""Vectors of one block of a flat index: FAISS doubles the memory of what grows, which is to be that of a block only."""

_LISTS_FOR_A_MILLION, _PROBED, _TRAINED_PER_LIST = 1024, 64, 40
_PAIRS: Final = 1 << 24
"""Cosines in memory at a time."""


class Blocks:
    """Vectors in flat indexes of a limited size, each compared with every query."""

    centroids: Embeddings | None = None

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._blocks: list[tuple[Any, Integers]] = []
        self.largest_id = -1

    def __len__(self) -> int:
        return sum(len(ids) for _, ids in self._blocks)

    def add(self, vectors: Embeddings, ids: Integers) -> None:
        """Add vectors (n, D) under ids (n,), which may repeat."""
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
        """Remove all vectors of these ids, and return how many that were."""
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

    def nearest(self, queries: Embeddings, count: int) -> tuple[Integers, Cosines]:
        """Return the ids and cosines (B, count) of the nearest vectors of queries (B, D), nearest first."""
        found_ids, found = [], []
        for flat, known in self._blocks:
            cosines, rows = flat.search(queries, min(count, len(known)))
            found_ids.append(known[rows])
            found.append(cosines)
        return _best(np.concatenate(found_ids, axis=1), np.concatenate(found, axis=1), count)

    def within(self, queries: Embeddings, radius: float) -> Iterator[tuple[Integers, Integers, Cosines]]:
        """Yield the rows, ids and cosines of all pairs whose cosine is above the radius."""
        for flat, known in self._blocks:
            limits, cosines, rows = flat.range_search(queries, radius)
            yield np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), known[rows], cosines


class Lists:
    """Vectors by the nearest of some centroids: a query looks into the lists of its own nearest ones."""

    def __init__(self, centroids: Embeddings) -> None:
        import faiss

        self.centroids: Embeddings | None = centroids
        self.dimension = centroids.shape[1]
        quantizer: Any = faiss.IndexFlatIP(self.dimension)
        quantizer.add(centroids)
        self.index: Any = faiss.IndexIVFFlat(quantizer, self.dimension, len(centroids), faiss.METRIC_INNER_PRODUCT)
        self.index.own_fields = True
        quantizer.this.disown()
        self.index.is_trained = True
        self.index.nprobe = min(_PROBED, len(centroids))
        self.largest_id = -1

    @classmethod
    def of(cls, blocks: Blocks, more: Embeddings) -> Lists:
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
        return int(self.index.ntotal)

    def add(self, vectors: Embeddings, ids: Integers) -> None:
        """Add vectors (n, D) under ids (n,), which may repeat."""
        self.largest_id = max(self.largest_id, int(ids.max(initial=-1)))
        self.index.add_with_ids(vectors, ids)

    def restore(self, groups: Sequence[tuple[Integers, Embeddings]]) -> None:
        """Fill list after list with what `groups` yielded."""
        import faiss

        for number, (ids, vectors) in enumerate(groups):
            if len(ids):
                self.largest_id = max(self.largest_id, int(ids.max()))
                codes = np.ascontiguousarray(vectors).view(np.uint8)
                self.index.invlists.add_entries(number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
        self.index.ntotal = sum(len(ids) for ids, _ in groups)

    def remove(self, ids: Integers) -> int:
        """Remove all vectors of these ids, and return how many that were."""
        import faiss

        return int(self.index.remove_ids(faiss.IDSelectorBatch(ids)))

    def groups(self) -> Iterator[tuple[Integers, Embeddings]]:
        """Yield the ids (n,) and vectors (n, D) of each list, FAISS's own memory."""
        for number in range(self.index.nlist):
            yield self._list(number)

    def _list(self, number: int) -> tuple[Integers, Embeddings]:
        import faiss

        lists = self.index.invlists
        size = lists.list_size(number)
        if not size:
            return np.empty(0, np.int64), np.empty((0, self.dimension), np.float32)
        ids = faiss.rev_swig_ptr(lists.get_ids(number), size)
        codes = faiss.rev_swig_ptr(lists.get_codes(number), size * self.index.code_size)
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

    def nearest(self, queries: Embeddings, count: int) -> tuple[Integers, Cosines]:
        """Return the ids and cosines (B, count) of the nearest vectors of queries (B, D), nearest first."""
        cosines, ids = self.index.search(queries, count)
        return ids, cosines

    def within(self, queries: Embeddings, radius: float) -> Iterator[tuple[Integers, Integers, Cosines]]:
        """Yield the rows, ids and cosines of all pairs whose cosine is above the radius."""
        limits, cosines, ids = self.index.range_search(queries, radius)
        yield np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), ids, cosines


def _best(ids: Integers, cosines: Cosines, count: int) -> tuple[Integers, Cosines]:
    """Return the `count` highest of each row."""
    if cosines.shape[1] > 4 * count:  # most of them need not be sorted
        few = np.argpartition(cosines, -count, axis=1)[:, -count:]
        ids, cosines = np.take_along_axis(ids, few, axis=1), np.take_along_axis(cosines, few, axis=1)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def _cosines(queries: Embeddings, vectors: Embeddings) -> Cosines:
    """Return (B, N) by numpy's own loops: a BLAS may have threads, which a forked child has not."""
    cosines: Cosines = np.einsum("bd,nd->bn", queries, vectors)
    return cosines


def _pieces(vectors: Blocks | Lists, queries: Embeddings) -> Iterator[tuple[Integers, Integers, Cosines]]:
    for rows, ids, some in vectors.near(queries):
        step = max(1, _PAIRS // max(1, len(rows)))
        for first in range(0, len(ids), step):
            yield rows, ids[first : first + step], _cosines(queries[rows], some[first : first + step])


def scan_nearest(vectors: Blocks | Lists, queries: Embeddings, count: int) -> tuple[Integers, Cosines]:
    """Return what `nearest` does, without FAISS."""
    best_ids = np.full((len(queries), count), -1, np.int64)
    best = np.full((len(queries), count), -np.inf, np.float32)
    for rows, ids, cosines in _pieces(vectors, queries):
        joined_ids = np.concatenate([best_ids[rows], np.broadcast_to(ids, cosines.shape)], axis=1)
        best_ids[rows], best[rows] = _best(joined_ids, np.concatenate([best[rows], cosines], axis=1), count)
    return best_ids, best


def scan_within(
    vectors: Blocks | Lists, queries: Embeddings, cosine: float
) -> Iterator[tuple[Integers, Integers, Cosines]]:
    """Yield what `within` does, without FAISS."""
    yield np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    for rows, ids, cosines in _pieces(vectors, queries):
        at, of = np.nonzero(cosines >= np.float32(cosine))
        yield rows[at], ids[of], cosines[at, of]
