"""Whether this process is a forked copy of one that may have had threads: there, some libraries wait for ever."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["is_forked"]

_copies: Final[list[int]] = []


def is_forked() -> bool:
    """Return whether this process was forked from one that had loaded this module.

    The pools of threads of OpenMP (FAISS, PyTorch) are not in a forked child, and code that counts on them never
    returns. Multiprocessing's "spawn" and "forkserver" start processes that this is False in.
    """
    return bool(_copies)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _copies.append(os.getpid()))
