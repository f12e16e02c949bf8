"""Reads many pieces of files at once, and takes the GIL once for all of them.

A thread that gives the GIL back for each piece has to wait for it as often: two threads then read no faster than one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from ausynth.store.files import read_whole

__all__ = ["PieceError", "gather"]

Integers = NDArray[np.int64]

_FEW: Final = 8
"""Pieces that are not worth compiling anything for."""


def gather(files: Integers, offsets: Integers, sizes: Integers, into: Sequence[NDArray[np.uint8]]) -> Integers:
    """Read B pieces, each into an array of its own; return which (K,) were not there in full.

    Args:
        files: (B,) descriptors.
        offsets: (B,) where each piece begins in its file.
        sizes: (B,) bytes of each.
        into: B contiguous arrays of so many bytes.

    Raises:
        PieceError: a piece cannot be read.
    """
    if len(into) < _FEW:
        again = np.arange(len(into))
    else:
        addresses = np.array([piece.__array_interface__["data"][0] for piece in into], np.int64)
        again = np.flatnonzero(_read_pieces()(files, offsets, sizes, addresses) != sizes)
    # Few pieces; or what some file systems give in parts, an error that is to be known, the end of a file that was cut.
    short = []
    for piece in again.tolist():
        try:
            data = read_whole(int(files[piece]), int(offsets[piece]), int(sizes[piece]))
        except OSError as error:
            raise PieceError(piece, error) from error
        if len(data) == sizes[piece]:
            into[piece].reshape(-1)[:] = np.frombuffer(data, np.uint8)
        else:
            short.append(piece)
    return np.array(short, np.int64)


class PieceError(Exception):
    """One piece cannot be read.

    Attributes:
        piece: which of those that were asked for.
        error: why.
    """

    def __init__(self, piece: int, error: OSError) -> None:
        super().__init__(piece, error)
        self.piece, self.error = piece, error


def _read_pieces() -> Callable[..., Any]:
    from ausynth.store.pieces import read_pieces

    return cast("Callable[..., Any]", read_pieces)
