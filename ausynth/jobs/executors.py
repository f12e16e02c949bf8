"""The executor protocol: a function and many tasks go in, outcomes come out as they are there."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from ausynth.errors import AusynthError, ConfigurationError, require_whole

__all__ = ["EXECUTORS", "Executor", "Note", "Outcome", "Work", "check_executor", "cores", "describe", "open_executor"]

EXECUTORS: Final = ("local", "ray")
"""The names that `open_executor` knows."""

Task = TypeVar("Task")
Result = TypeVar("Result")

Note = Callable[[Any], None]
"""Tells whoever waits for the task how far it is."""

Work = Callable[[Task, Note], Result]
"""What is done with a task. It pickles; each worker unpickles it once and keeps it, so that what is expensive (a
generator, a stream) is built at its first call and serves all tasks of that worker."""


@dataclass(frozen=True)
class Outcome(Generic[Task, Result]):
    """What became of one task.

    Attributes:
        task: as it was given.
        value: what the function returned; None where it failed.
        error: in one line, why the task failed; "" where it did not.
        details: the traceback in the worker, where the function raised.
        attempts: how often it was begun; more than once where workers were killed.
    """

    task: Task
    value: Result | None = None
    error: str = ""
    details: str = ""
    attempts: int = 1

    @property
    def failed(self) -> bool:
        """Return whether there is no value."""
        return bool(self.error)


class Executor(Protocol):
    """Runs a function on many tasks; all executors pass one suite of tests."""

    @property
    def workers(self) -> int:
        """Return how many tasks are under way at a time; 0: one, in this process."""
        ...

    def map(
        self,
        function: Work[Task, Result],
        tasks: Iterable[Task],
        note: Callable[[Task, Any], None] | None = None,
    ) -> Iterator[Outcome[Task, Result]]:
        """Yield what became of each task, in the order in which they end.

        A function that raises fails its task, and one that kills its worker is tried three times, on new workers; the
        other tasks go on in either case. Tasks are taken from the iterable as workers get free. Closing the iterator,
        or an exception in the loop over it (Ctrl-C), ends the workers at once.

        Args:
            function: `function(task, note)`; what it gives to `note` comes out at `note(task, what)` here, though not
                necessarily all of it: the latest counts.
            tasks: what pickles.
            note: called in this thread while the iterator waits.
        """
        ...

    def shutdown(self) -> None:
        """End all workers; the executor is not used again. A second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_executor(
    name: str = "local", workers: int | None = None, *, address: str | None = None, gpus: float = 0
) -> Executor:
    """Return an executor by name.

    >>> open_executor("local", workers=2).workers
    2

    Args:
        name: "local", processes on this machine, or "ray", actors on this machine or a cluster.
        workers: how many; default one for each core, or for each GPU where `gpus` are asked for. 0, with "local": none,
            everything is done in this process.
        address: of a running Ray cluster ("auto", "ray://host:10001"); default RAY_ADDRESS, else Ray is started here.
        gpus: how many each Ray actor holds; a fraction lets several share one.

    Raises:
        ConfigurationError: an unknown name, a number that cannot be, "ray" without the package, or a Ray cluster that
            cannot be reached or has no room for a single actor.
    """
    check_executor(name, workers, address=address, gpus=gpus)
    if name == "ray":
        from ausynth.jobs.ray import RayExecutor

        return RayExecutor(workers, address=address, gpus=gpus)
    from ausynth.jobs.local import LocalExecutor

    return LocalExecutor(cores() if workers is None else workers)


def check_executor(name: str, workers: int | None = None, *, address: str | None = None, gpus: float = 0) -> None:
    """Raise ConfigurationError where `open_executor` would refuse these arguments, without starting anything."""
    if name not in EXECUTORS:
        raise ConfigurationError(f"unknown executor {name!r}", expected=f"one of {list(EXECUTORS)}")
    if workers is not None:
        require_whole("workers", workers, 0 if name == "local" else 1)
    if name == "local" and (address is not None or gpus):
        raise ConfigurationError(
            "address or gpus with the executor 'local'",
            expected="the executor 'ray'",
            do="leave them out: local workers use the GPU that the generator chooses",
        )


def cores() -> int:
    """Return how many cores this process may use: in a Slurm job fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(error: BaseException) -> tuple[str, str]:
    """Return an error in one line, and its traceback."""
    text = str(error) if isinstance(error, AusynthError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split()), "".join(traceback.format_exception(error))
