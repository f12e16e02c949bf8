"""Kills a piece of work at a chosen step on the disk: every place where a real kill can strike, one after the other."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["killed_at"]

_PATIENCE = 60.0
_STEPS = ("open", "link", "rename", "replace", "remove", "unlink", "mkdir", "ftruncate", "truncate", "fsync")
_WRITES = ("write", "pwrite", "pwritev")


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a forked child that gets SIGKILL before its n-th step on the disk; return whether it came to that.

    A step is a call that opens, names, removes, cuts or syncs a file, and each write: the n-th writes half of what it
    was to write.
    """
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            _arm(step)
            work()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    status = _wait(child)
    assert status in {0, signal.SIGKILL}, f"the work failed by itself, status {status}"
    return status == signal.SIGKILL


def _arm(step: int) -> None:
    left = [step]
    mine = threading.get_ident()

    def count() -> bool:
        if threading.get_ident() == mine:
            left[0] -= 1
        return left[0] < 0

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if count():
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return counted

    def half(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(file: int, data: Any, *place: Any) -> Any:
            if count():
                data = b"".join(map(bytes, data)) if name == "pwritev" else bytes(data)
                plain = function if name != "pwritev" else os_pwrite
                plain(file, data[: len(data) // 2], *place)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(file, data, *place)

        return counted

    os_pwrite = os.pwrite
    for name in _STEPS:
        setattr(os, name, before(getattr(os, name)))
    for name in _WRITES:
        setattr(os, name, half(name, getattr(os, name)))


def _wait(child: int) -> int:
    """Return how a child ended; one that hangs is killed, and that is said."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError("the work hangs")
        time.sleep(0.002)
