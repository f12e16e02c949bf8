"""The loop of `gather`, compiled. Imported where it is called: numba takes a second to import."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types

__all__ = ["read_pieces"]

# Of the module and not of a function: what is compiled is then found again by the next process.
_pread = types.ExternalFunction("pread", types.int64(types.int64, types.intp, types.uint64, types.int64))


def _read_pieces(files: Any, offsets: Any, sizes: Any, addresses: Any) -> Any:
    """Read B pieces into memory; return how many bytes of each (B,) there were, -1 for an error. All int64 (B,)."""
    got = np.empty_like(sizes)
    for piece in range(len(sizes)):
        got[piece] = _pread(files[piece], addresses[piece], sizes[piece], offsets[piece])
    return got


_signature = numba.int64[::1](*[numba.int64[::1]] * 4)
try:
    read_pieces = numba.njit(_signature, nogil=True, cache=True)(_read_pieces)
except RuntimeError:  # no place for the cache: a read-only installation and no home directory
    read_pieces = numba.njit(_signature, nogil=True)(_read_pieces)
