"""Runs ahead of the training loop on threads, in order, and ends them however the loop ends."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetch"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_PREFIX = "ausynth-batch"
_pools = itertools.count()


def prefetch(
    make: Callable[[Task], Result], tasks: Iterable[Task], *, threads: int, ahead: int
) -> Generator[Result, None, None]:
    """Yield `make(task)` for each task, in order, made by `threads` threads up to `ahead` results before it is wanted.

    >>> list(prefetch(lambda n: n * n, range(4), threads=2, ahead=3))
    [0, 1, 4, 9]

    An exception in `make` is raised here, where its result was due. The threads begin with the first result that is
    asked for (so in the process that iterates, after any fork) and end when the iterator is exhausted, fails, is closed
    or is no longer referred to. `tasks` is advanced in this thread, at most `ahead + 1` beyond what was yielded.

    Args:
        make: called on the threads; must be thread-safe where `threads` is above 1.
        tasks: may be endless.
        threads: 0 makes everything here, when it is asked for.
        ahead: results kept in memory at most, beside the one that is yielded; `threads` or more keeps them all busy.
    """
    if threads == 0:
        yield from map(make, tasks)
        return
    prefix = f"{_PREFIX}-{next(_pools)}"
    pool = ThreadPoolExecutor(threads, thread_name_prefix=prefix)
    pending: deque[Future[Result]] = deque()
    waiting = iter(tasks)
    try:
        for task in itertools.islice(waiting, ahead):
            pending.append(pool.submit(make, task))
        while pending:
            for task in itertools.islice(waiting, 1):
                pending.append(pool.submit(make, task))
            yield pending.popleft().result()
    finally:
        # The garbage collector may run this on one of the pool's own threads, which cannot wait for itself.
        own = threading.current_thread().name.startswith(f"{prefix}_")
        pool.shutdown(wait=not own, cancel_futures=True)
