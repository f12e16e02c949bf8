"""What compiled code is made with: the decorator, and the types it deals in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["SOURCES", "Integers", "Real", "Triple", "inlined", "kernel"]

Integers = NDArray[np.int32]

Real = float | np.floating
"""A number; within compiled code always 32 bits."""

Triple = tuple[np.float32, np.float32, np.float32]
"""Three numbers, as a colour; a tuple, since compiled code counts references to each array it touches."""

SOURCES: Final = hashlib.sha256(
    b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()
"""Hash of every source file of this folder."""

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function, free of the GIL, and keep the result on disk for the next process.

    numba compiles anew when the time or size of the function's own file changes. That misses a change in a function it
    calls from another file, and a wheel gives all files one time: an upgrade could run the old code. So what is kept is
    stamped with the hash of all sources. Where a numba to come does not let itself be stamped, or no folder can be
    written, nothing is kept.
    """
    try:
        compiled: Any = numba.njit(
            cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "afn"}
        )(function)
    except RuntimeError:  # no place for the cache: a read-only installation and no home directory
        compiled = None
    file: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if not hasattr(file, "_source_stamp"):
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    else:
        file._source_stamp = SOURCES
    return cast("Function", compiled)


def inlined(function: Function) -> Function:
    """Let a function be compiled into each kernel that calls it."""
    return cast(
        "Function",
        numba.njit(nogil=True, forceinline=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "afn"})(
            function
        ),
    )
