"""Open files, memory with a limit, and a lock, all of which survive a fork."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

__all__ = ["Descriptor", "Descriptors", "ForkLock", "Recent"]

Value = TypeVar("Value")

_OPEN_FILES: Final = 256


class Descriptor:
    """An open file for reading, closed when the last one who holds this object lets go of it."""

    __slots__ = ("number",)

    def __init__(self, path: Path) -> None:
        self.number = -1
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # os is gone when the interpreter ends
        if self.number >= 0:
            close(self.number)


class Recent(Generic[Value]):
    """Values that were used last, as many as a limit allows; what falls out is forgotten.

    Without a lock: each step is one operation on a dict. At worst two threads make the same value at once, and one of
    the two is kept.

    Args:
        limit: sum of the sizes of what is kept; one value is kept whatever its size.
        size: of a value; 1 where it is not given.
    """

    def __init__(self, limit: int, size: Callable[[Value], int] | None = None) -> None:
        self._limit, self._size = limit, size
        self._values: dict[int, Value] = {}

    def get(self, key: int) -> Value | None:
        """Return the value of `key`, which is now the last used, or None."""
        value = self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
        return value

    def put(self, key: int, value: Value) -> Value:
        """Keep the value, forget what was not used for longest, and return the value."""
        self._values[key] = value
        while len(self._values) > 1 and self._total() > self._limit:
            # Another thread may change the dict between the two steps; then the loop looks again.
            with contextlib.suppress(StopIteration, RuntimeError):
                self._values.pop(next(iter(self._values)), None)
        return value

    def _total(self) -> int:
        return len(self._values) if self._size is None else sum(map(self._size, list(self._values.values())))


class Descriptors:
    """Open shard files by their number, at most 256, of this process alone: what was opened first is closed first."""

    def __init__(self) -> None:
        self._process, self._files = os.getpid(), dict[int, Descriptor]()

    @property
    def open(self) -> Mapping[int, Descriptor]:
        """Return what is open in this process."""
        if self._process != os.getpid():
            self._process, self._files = os.getpid(), {}
        return self._files

    def get(self, number: int, path: Path) -> Descriptor:
        """Return the file of shard `number`, opened if it is not; raise OSError where it cannot be."""
        found = self.open.get(number)
        if found is not None:
            return found
        try:
            opened = Descriptor(path)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            self._files.clear()  # others need descriptors too
            opened = Descriptor(path)
        files = self._files
        files[number] = opened
        while len(files) > _OPEN_FILES:
            # Another thread may change the dict between the two steps; then the loop looks again.
            with contextlib.suppress(StopIteration, RuntimeError):
                files.pop(next(iter(files)), None)
        return opened


class ForkLock:
    """A lock that is open in a forked child, whoever held it at the fork.

    Only for what is replaced in one step (a reference to something that does not change): a child may see the state
    before or after such a step, never one between.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_LOCKS: weakref.WeakSet[ForkLock] = weakref.WeakSet()


def _renew() -> None:
    for lock in list(_LOCKS):
        lock._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
