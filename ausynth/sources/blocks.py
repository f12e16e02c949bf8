"""Runs a generator by whole blocks on a thread of its own, ahead of those who want their pictures."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from ausynth.sources.made import Made

__all__ = ["BlockRunner"]


_KEPT = 8
"""Finished blocks kept, since neighbouring batches cut the same block."""


class BlockRunner:
    """Makes each block once for all who ask, one at a time: a network is not thread-safe, and has one device.

    Args:
        make: block number -> that block's samples.
        device: where it runs; on CUDA the thread works on a stream of its own, beside the training loop's.
    """

    def __init__(self, make: Callable[[int], Made], device: str | None = None) -> None:
        self._make, self._device = make, device
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        # Of the table. Reentrant: the garbage collector may close an iterator in the middle, in this very thread.
        self._lock = threading.RLock()
        self._turn = threading.Lock()
        self._blocks: OrderedDict[int, Future[Made]] = OrderedDict()
        self._executor: Executor | None = None
        self._users = 0

    def __reduce__(self) -> tuple[type[BlockRunner], tuple[Callable[[int], Made], str | None]]:
        return (BlockRunner, (self._make, self._device))

    @contextlib.contextmanager
    def thread(self) -> Iterator[None]:
        """Give the generator a thread of its own meanwhile; without, blocks are made where they are asked for."""
        self._refresh()
        process = self._pid
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(
                    1, "ausynth-generator", initializer=_take_stream, initargs=(self._device,)
                )
            self._users += 1
        try:
            yield
        finally:
            if os.getpid() == process:  # a forked child inherits this frame, and none of the threads
                self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._executor is None:  # another iterator of the same stream is at work
                return
            executor, self._executor = self._executor, None
        own = threading.current_thread().name.startswith("ausynth-generator")
        executor.shutdown(wait=not own, cancel_futures=True)
        with self._lock:
            for number in [n for n, future in self._blocks.items() if future.cancelled() or not future.done()]:
                del self._blocks[number]

    def ask(self, number: int) -> Future[Made]:
        """Return the block, made or in the making. Without a thread of its own it is made before this returns."""
        self._refresh()
        with self._lock:
            future = self._blocks.get(number)
            if future is not None:
                self._blocks.move_to_end(number)
                return future
            executor = self._executor
            future = executor.submit(self._run, number) if executor is not None else Future()
            self._blocks[number] = future
            done = [n for n, block in self._blocks.items() if block.done()]
            for old in done[:-_KEPT]:
                del self._blocks[old]
        if executor is None:
            try:
                future.set_result(self._run(number))
            except BaseException as error:
                future.set_exception(error)
        future.add_done_callback(lambda done: self._forget_failure(number, done))
        return future

    def _run(self, number: int) -> Made:
        with self._turn:
            return self._make(number)

    def _forget_failure(self, number: int, future: Future[Made]) -> None:
        # A later caller tries again instead of meeting an old error.
        if future.cancelled() or future.exception() is not None:
            with self._lock:
                if self._blocks.get(number) is future:
                    del self._blocks[number]

    def _refresh(self) -> None:
        if self._pid != os.getpid():  # forked: the parent's threads and locks are not here
            self._begin()


def _take_stream(device: str | None) -> None:
    """Give this thread a CUDA stream of its own, where the generator runs on CUDA."""
    if device is not None and device.startswith("cuda"):
        import torch

        stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        torch.cuda.set_stream(stream)
