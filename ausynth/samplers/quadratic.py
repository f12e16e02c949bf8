"""Quadratic forms and second moments over many label vectors: what every step of a solution costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ausynth.samplers.statistics import Doubles

__all__ = ["Quadratic"]

_PRODUCTS = 200_000
"""Multiplications of a piece: it stays in the cache, and above 262,144 BLAS would start threads that wait for one
another without sleeping."""


class Quadratic:
    """Label vectors in pieces that one thread works through.

    >>> rows = Quadratic([[1, 0], [1, 1]])
    >>> rows.forms(np.array([[1.0, 0.5], [0.5, 2.0]])).tolist()
    [1.0, 4.0]
    >>> rows.moments(np.array([0.25, 0.75])).tolist()
    [[1.0, 0.75], [0.75, 0.75]]

    Args:
        rows: (M, A).
    """

    def __init__(self, rows: ArrayLike) -> None:
        rows_MA = np.asarray(rows, dtype=np.float64)
        self._count, self._width = rows_MA.shape
        size = max(1, _PRODUCTS // max(self._width, 1) ** 2)
        # An AU a row: the sums over label vectors then run along memory.
        self._pieces = [
            (slice(start, start + size), np.ascontiguousarray(rows_MA[start : start + size].T))
            for start in range(0, self._count, size)
        ]

    def forms(self, matrix: Doubles) -> Doubles:
        """Return (M,) s matrix s of each row s, for a matrix (A, A)."""
        forms_M = np.empty(self._count)
        for part, piece_AM in self._pieces:
            np.einsum("am,am->m", matrix @ piece_AM, piece_AM, out=forms_M[part])
        return forms_M

    def moments(self, weights: Doubles) -> Doubles:
        """Return (A, A): the sum over the rows s of weights (M,) times s s."""
        moments_AA = np.zeros((self._width, self._width))
        for part, piece_AM in self._pieces:
            moments_AA += (piece_AM * weights[part]) @ piece_AM.T
        return moments_AA

    def sums(self, weights: Doubles) -> Doubles:
        """Return (A,): the sum over the rows of weights (M,) times the row."""
        sums_A = np.zeros(self._width)
        for part, piece_AM in self._pieces:
            sums_A += np.einsum("am,m->a", piece_AM, weights[part])
        return sums_A

    def dot(self, vector: Doubles) -> Doubles:
        """Return (M,) each row times a vector (A,)."""
        products_M = np.empty(self._count)
        for part, piece_AM in self._pieces:
            np.einsum("a,am->m", vector, piece_AM, out=products_M[part])
        return products_M
