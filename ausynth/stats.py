"""Where the time goes: seconds a stage, summed over threads."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

__all__ = ["CHARGED", "Stats", "charge", "stage"]

Seconds = defaultdict[str, float]

CHARGED = 8
"""Reading and decoding are timed for one picture in so many, which stands for the others."""

_current = threading.local()


class Stats:
    """Counts and seconds of one stream in one process; a pickled copy starts from zero.

    >>> stats = Stats()
    >>> with stats.collect(), stage("decode"):
    ...     pass
    >>> list(stats.snapshot()["seconds"])
    ['decode']
    """

    def __init__(self) -> None:
        # A part for each thread that ever collected here: no lock that a fork could leave held.
        self._parts: list[tuple[Seconds, Counter[str]]] = []
        self._own = threading.local()

    def __reduce__(self) -> tuple[type[Stats], tuple[()]]:
        return (Stats, ())

    def count(self, counts: Iterable[tuple[str, int]]) -> None:
        """Add to the counts by name."""
        mine = self._part()[1]
        for name, number in counts:
            mine[name] += number

    def snapshot(self) -> dict[str, Any]:
        """Return {"seconds": {stage: s}, "counts": {name: n}} so far."""
        seconds: Seconds = defaultdict(float)
        counts: Counter[str] = Counter()
        for part_seconds, part_counts in list(self._parts):
            for name, spent in list(part_seconds.items()):
                seconds[name] += spent
            counts.update(dict(part_counts))
        return {"seconds": dict(seconds), "counts": dict(counts)}

    def collect(self) -> _Collecting:
        """Return a context in which this thread's `stage`s are charged here."""
        return _Collecting(self._part()[0])

    def _part(self) -> tuple[Seconds, Counter[str]]:
        part: tuple[Seconds, Counter[str]] | None = getattr(self._own, "part", None)
        if part is None:
            part = self._own.part = (defaultdict(float), Counter())
            self._parts.append(part)
        return part


class _Collecting:
    def __init__(self, seconds: Seconds) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = getattr(_current, "seconds", None)
        _current.seconds = self._seconds

    def __exit__(self, *_: object) -> None:
        _current.seconds = self._before


def charge(read: float, decode: float) -> None:
    """Charge seconds to the stages "read" and "decode" of whoever collects in this thread; see `stage`.

    One call for both, and for one picture in `CHARGED`: it would be made 25,000 times a second.
    """
    seconds: Seconds | None = getattr(_current, "seconds", None)
    if seconds is not None:
        seconds["read"] += read * CHARGED
        seconds["decode"] += decode * CHARGED


class stage:  # noqa: N801 (used as a statement: `with stage("decode"):`)
    """Charge the time inside the block to a stage of whoever collects in this thread; nothing where nobody does."""

    __slots__ = ("_name", "_start")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds: Seconds | None = getattr(_current, "seconds", None)
        if seconds is not None:
            seconds[self._name] += time.perf_counter() - self._start
