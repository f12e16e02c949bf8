"""Fills the cache of a stream, shard by shard, with whatever workers an executor has.

A shard is a range of the stream's synthetic ordinals. What is stored follows from the stream's arguments and the
ordinal alone, so shards can be made in any order, by anybody, and again.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ausynth.errors import ConfigurationError, require_whole
from ausynth.generators.asking import counts_of
from ausynth.jobs.executors import Executor, Note, Outcome
from ausynth.jobs.options import OpenStream, StreamOptions, WarmStream

__all__ = ["SHARD", "Shard", "Standing", "Warmed", "Warmup"]

SHARD: Final = 4096
"""Samples of a shard, unless the job is so small that some workers would go without one."""

_SMALLEST: Final = 256
_SHARES: Final = 4
_RANGE: Final = 1 << 16
_SAYS_EVERY: Final = 0.25
_IN_A_ROW: Final = 5
"""Failed shards, one after the other, after which the job gives up: what ails them ails all."""


@dataclass(frozen=True)
class Shard:
    """The synthetic ordinals start, start + 1, ... stop - 1, of which `missing` were not stored."""

    number: int
    start: int
    stop: int
    missing: int


@dataclass(frozen=True)
class Standing:
    """How far a job is: samples made, those that were missing when it began, failed shards, and what ended just now."""

    made: int
    missing: int
    failed: int
    ended: Outcome[Shard, Filled] | None = None


@dataclass(frozen=True)
class Filled:
    """What a worker did for a shard: samples made, and what its generator counted meanwhile."""

    made: int
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Warmed:
    """What a job did.

    Attributes:
        made: samples made now.
        found: samples that were stored already, by an earlier job or meanwhile by another.
        failed: the shards that failed, and why.
        given_up: shards that were not tried, since so many failed one after the other.
        seconds: how long it took.
        counts: what the generators counted, such as pictures that gates rejected.
    """

    made: int
    found: int
    failed: tuple[Outcome[Shard, Filled], ...]
    given_up: int
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Return whether all samples are stored."""
        return not self.failed and not self.given_up


class Warmup:
    """A job: which samples of a stream's cache are there, and which are to be made.

    >>> from ausynth.jobs import open_executor  # doctest: +SKIP
    >>> job = Warmup(StreamOptions({"real": None, "ratio": 1, "cache": "faces"}), count=100_000)  # doctest: +SKIP
    >>> with open_executor("local") as executor:  # doctest: +SKIP
    ...     job.run(executor)

    Args:
        open_stream: opens the stream; once here, to see what is missing, and once in each worker.
        count: how many of the stream's synthetic samples, from its first; rounded up to whole blocks.
        shards: (a, b): only shards a, a + 1, ... b - 1, so that several jobs share the work; `shard_size` must then be
            the same in all.
        shard_size: ordinals of a shard, a multiple of the generator's block size. Default 4,096 rounded up to such;
            less where `count` is so small that some of `workers` would get none, but not with `shards`.
        workers: how many there will be.

    Raises:
        ConfigurationError: neither count nor shards, numbers that cannot be, or what the stream's own arguments cause.
        StoreError: the cache cannot be used.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        *,
        count: int | None = None,
        shards: tuple[int, int] | None = None,
        shard_size: int | None = None,
        workers: int = 1,
    ) -> None:
        if count is None and shards is None:
            raise ConfigurationError(
                "neither a count nor shards",
                expected="how many samples, or which shards",
                do="give --count or --shards",
            )
        if count is not None:
            require_whole("count", count, 1)
        if shard_size is not None:
            require_whole("shard_size", shard_size, 1)
        if shards is not None and not 0 <= shards[0] < shards[1]:
            raise ConfigurationError(f"shards {shards[0]}:{shards[1]}", expected="A:B with 0 <= A < B")
        self._stream: WarmStream | None = open_stream()
        self._open = open_stream.resolved(self._stream) if isinstance(open_stream, StreamOptions) else open_stream
        block = self._stream.block_size
        if shard_size is not None and shard_size % block:
            raise ConfigurationError(
                f"shard_size {shard_size} with a generator that makes blocks of {block}",
                expected=f"a multiple, such as {max(1, round(shard_size / block)) * block}",
            )
        self.shard_size = shard_size or _shard_size(count if shards is None else None, max(1, workers), block)
        stop = None if count is None else -(-count // block) * block
        if shards is not None:
            end = shards[1] * self.shard_size
            stop = end if stop is None else min(stop, end)
        assert stop is not None
        self.start = min(shards[0] * self.shard_size if shards else 0, stop)
        self.stop = stop
        self.shards = tuple(self._missing(self._stream))

    @property
    def samples(self) -> int:
        """Return how many samples the job is about, stored or not."""
        return self.stop - self.start

    @property
    def missing(self) -> int:
        """Return how many of them were not stored when the job was planned."""
        return sum(shard.missing for shard in self.shards)

    @property
    def device(self) -> str | None:
        """Return where the generator runs, if it says so."""
        return getattr(getattr(self._stream, "generator", None), "device", None)

    def _missing(self, stream: WarmStream) -> Iterator[Shard]:
        """Yield the shards that lack something, in order."""
        size = self.shard_size
        step = max(1, _RANGE // size) * size
        for first in range(self.start, self.stop, step):
            last = min(first + step, self.stop)
            missing = ~stream.stored(first, last)
            starts = np.arange(first, last, size)
            counts = np.add.reduceat(missing, starts - first, dtype=np.int64)
            for start, count in zip(starts[counts > 0].tolist(), counts[counts > 0].tolist(), strict=True):
                yield Shard(start // size, start, min(start + size, last), count)

    def run(self, executor: Executor, show: Callable[[Standing], None] | None = None) -> Warmed:
        """Make what is missing, and return what came of it. A job runs once.

        A shard that fails does not keep others from being made, unless five fail one after the other. On Ctrl-C the
        workers end at once: at most the shards under way are lost, and the next job makes them.

        Args:
            executor: whose workers do it.
            show: called with how far the job is, about four times a second and after each shard.
        """
        began = time.monotonic()
        work = _Work(self._open, self._stream.plan if self._stream is not None else "")
        if executor.workers == 0:
            work.stream = self._stream
        self._stream = None  # a generator that this process does not run should not hold its memory
        progress = _Progress(self.missing, show or (lambda _: None))
        outcomes = executor.map(work, self.shards, progress.heard)
        try:
            for outcome in outcomes:
                if progress.ended(outcome) >= _IN_A_ROW:
                    break
        finally:
            close = getattr(outcomes, "close", None)
            if close is not None:
                close()
        return Warmed(
            made=progress.made,
            found=self.samples - self.missing + progress.found,
            failed=tuple(progress.failures),
            given_up=len(self.shards) - progress.tried,
            seconds=time.monotonic() - began,
            counts=dict(progress.counts),
        )


class _Progress:
    """Counts what workers say of shards under way, and what has become of those that ended."""

    def __init__(self, missing: int, show: Callable[[Standing], None]) -> None:
        self.missing, self._show = missing, show
        self.made, self.found, self.tried = 0, 0, 0
        self.failures: list[Outcome[Shard, Filled]] = []
        self.counts: Counter[str] = Counter()
        self._under_way: dict[Shard, int] = {}
        self._in_a_row = 0

    def heard(self, shard: Shard, made: Any) -> None:
        self._under_way[shard] = int(made)
        self._tell(None)

    def ended(self, outcome: Outcome[Shard, Filled]) -> int:
        """Take note of a shard that ended, and return how many in a row have failed by now."""
        self.tried += 1
        self._under_way.pop(outcome.task, None)
        if outcome.value is None:
            self.failures.append(outcome)
            self._in_a_row += 1
        else:
            self.made += outcome.value.made
            self.found += max(0, outcome.task.missing - outcome.value.made)
            self.counts.update(outcome.value.counts)
            self._in_a_row = 0
        self._tell(outcome)
        return self._in_a_row

    def _tell(self, ended: Outcome[Shard, Filled] | None) -> None:
        made = self.made + sum(self._under_way.values())
        self._show(Standing(made, self.missing - self.found, len(self.failures), ended))


class _Work:
    """What a worker does with a shard; it opens the stream at its first one, and keeps it."""

    def __init__(self, open_stream: OpenStream, plan: str) -> None:
        self._open, self._plan = open_stream, plan
        self.stream: WarmStream | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"stream": None}

    def __call__(self, shard: Shard, note: Note) -> Filled:
        if self.stream is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the process that started the job has said it
                stream = self._open()
            if stream.plan != self._plan:
                raise ConfigurationError(
                    f"the stream of this worker has the plan {stream.plan}",
                    expected=f"the plan {self._plan} of the process that started the job",
                    do="see that all machines have the same version of ausynth and the same data sets",
                )
            self.stream = stream
        generator = getattr(self.stream, "generator", None)
        before, made, said = counts_of(generator), 0, 0.0

        def count(more: int) -> None:
            nonlocal made, said
            made += more
            if time.monotonic() - said > _SAYS_EVERY:
                said = time.monotonic()
                note(made)

        filled = self.stream.warm(shard.start, shard.stop, count)
        return Filled(filled, {name: n - before.get(name, 0) for name, n in counts_of(generator).items()})


def _shard_size(count: int | None, workers: int, block: int) -> int:
    """Return how many ordinals a shard has where nobody says: some shards for each worker, but no tiny files."""
    size = SHARD if count is None else min(SHARD, max(_SMALLEST, -(-count // (workers * _SHARES))))
    return -(-size // block) * block
