"""Spawned processes on this machine: one that is killed takes no other down, and all end with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import weakref
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, Self, TypeVar

from ausynth.jobs.dispatch import Report, dispatch
from ausynth.jobs.executors import Outcome, Work, describe

__all__ = ["LocalExecutor"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_PATIENCE: Final = 10.0
"""Seconds in which a worker that is let go has to end by itself."""

_context = multiprocessing.get_context("spawn")


class LocalExecutor:
    """Runs tasks in `workers` spawned processes of this machine, or with 0 in this one; see `Executor`.

    As always with spawning, a script calls `map` under `if __name__ == "__main__":`.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._running: weakref.WeakSet[Generator[Any, None, None]] = weakref.WeakSet()

    def map(
        self,
        function: Work[Task, Result],
        tasks: Iterable[Task],
        note: Callable[[Task, Any], None] | None = None,
    ) -> Iterator[Outcome[Task, Result]]:
        """Yield what became of each task; see `Executor.map`."""
        outcomes = _here(function, tasks, note) if self.workers == 0 else self._there(function, tasks, note)
        self._running.add(outcomes)
        return outcomes

    def _there(
        self, function: Work[Task, Result], tasks: Iterable[Task], note: Callable[[Task, Any], None] | None
    ) -> Generator[Outcome[Task, Result], None, None]:
        yield from dispatch(_Processes(pickle.dumps(function)), tasks, self.workers, note)

    def shutdown(self) -> None:
        """End all workers."""
        for outcomes in list(self._running):
            outcomes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


def _here(
    function: Work[Task, Result], tasks: Iterable[Task], note: Callable[[Task, Any], None] | None
) -> Generator[Outcome[Task, Result], None, None]:
    for task in tasks:

        def tell(what: Any, task: Task = task) -> None:
            if note is not None:
                note(task, what)

        try:
            value = function(task, tell)
        except Exception as error:
            if isinstance(error, SystemError) and isinstance(error.__cause__, KeyboardInterrupt):
                raise KeyboardInterrupt from error  # Ctrl-C in the middle of compiled code comes out as this
            outcome = Outcome[Task, Result](task, None, *describe(error))
        else:
            outcome = Outcome(task, value)
        yield outcome


class _Process:
    """A worker, and our end of the pipe to it."""

    def __init__(self, payload: bytes) -> None:
        self.pipe, self._theirs = _context.Pipe()
        self.process: SpawnProcess = _context.Process(
            target=_serve, args=(self._theirs, payload), name="ausynth-worker", daemon=True
        )

    def start(self) -> None:
        with _interrupts_held():
            self.process.start()
        self._theirs.close()  # else the pipe would not end with the worker

    def end(self, *, now: bool) -> None:
        self.pipe.close()
        self._theirs.close()
        if self.process.pid is not None:
            if not now:
                self.process.join(_PATIENCE)
            self.process.kill()
            self.process.join()
        self.process.close()


class _Processes:
    """The crew of processes; see `dispatch.Crew`."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._all: set[_Process] = set()

    def start(self) -> _Process:
        worker = _Process(self._payload)
        self._all.add(worker)  # before it runs: Ctrl-C may come at any moment
        worker.start()
        return worker

    def give(self, worker: _Process, task: Any) -> None:
        message = pickle.dumps(task)
        with contextlib.suppress(OSError):
            worker.pipe.send_bytes(message)

    def reports(self, busy: Collection[_Process]) -> list[Report[_Process]]:
        ready = set(connection.wait([end for worker in busy for end in (worker.pipe, worker.process.sentinel)]))
        found: list[Report[_Process]] = []
        for worker in list(busy):
            if worker.pipe in ready or worker.process.sentinel in ready:
                found += self._listen(worker)
        return found

    def _listen(self, worker: _Process) -> Iterator[Report[_Process]]:
        # What it said before it died counts: an answer is an answer.
        try:
            while worker.pipe.poll():
                kind, content = worker.pipe.recv()
                yield Report(worker, kind, content)
                if kind != "note":
                    return
        except (EOFError, OSError):
            pass  # the pipe has ended, so the process is ending
        else:
            if worker.process.is_alive():
                return
        worker.process.join(_PATIENCE)
        code = worker.process.exitcode
        self._all.discard(worker)
        worker.end(now=True)
        yield Report(worker, "died", _how_it_died(code))

    def dismiss(self, worker: _Process) -> None:
        worker.pipe.close()  # it ends by itself; `close` waits for it

    def close(self, *, now: bool) -> None:
        for worker in self._all:
            worker.pipe.close()
            if now and worker.process.pid is not None:
                worker.process.kill()
        while self._all:
            worker = next(iter(self._all))
            worker.end(now=now)
            self._all.discard(worker)


def _how_it_died(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory, if nobody killed it)" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C from a process that is started meanwhile: it inherits what is blocked, even while it imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would unblock the signal in the middle of ours
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, payload: bytes) -> None:
    """Do tasks until the pipe ends: the life of a worker."""
    # Ctrl-C goes to the whole group; what it means is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, name="ausynth-lifeline", daemon=True).start()
    function: Work[Any, Any] | None = None
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        answer: tuple[str, Any]
        try:
            if function is None:
                function = pickle.loads(payload)  # of our own parent, through its pipe: never from a disk
            answer = ("value", function(pickle.loads(message), lambda what: pipe.send(("note", what))))
            packed = pickle.dumps(answer)
        except (Exception, SystemExit) as error:
            packed = pickle.dumps(("error", describe(error)))
        try:
            pipe.send_bytes(packed)
        except OSError:
            return


def _end_with_parent() -> None:
    """End this process with its parent, however that ends, also in the middle of a task."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
