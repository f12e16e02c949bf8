"""Deals tasks to workers that may die at any moment: what all executors with workers share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from ausynth.jobs.executors import Outcome

__all__ = ["ATTEMPTS", "Crew", "Report", "dispatch"]

ATTEMPTS: Final = 3
"""How many workers a task may kill."""

Task = TypeVar("Task")
Worker = TypeVar("Worker")


@dataclass(frozen=True)
class Report(Generic[Worker]):
    """What a worker has to say: a note, the value it was to make, the error it met, or that it has died.

    `content` is the note, the value, (error, details), or how it died.
    """

    worker: Worker
    kind: Literal["note", "value", "error", "died"]
    content: Any = None


class Crew(Protocol[Worker]):
    """Workers of one kind; each knows the function and does one task at a time."""

    def start(self) -> Worker:
        """Return a new worker."""
        ...

    def give(self, worker: Worker, task: Any) -> None:
        """Have an idle worker begin a task; that it is dead by now is for `reports` to find out."""
        ...

    def reports(self, busy: Collection[Worker]) -> list[Report[Worker]]:
        """Wait until one of the busy workers has something to say, and return what there is."""
        ...

    def dismiss(self, worker: Worker) -> None:
        """Let an idle worker go."""
        ...

    def close(self, *, now: bool) -> None:
        """End all workers, in the middle of their tasks if `now`, and wait until they are gone."""
        ...


def dispatch(
    crew: Crew[Worker], tasks: Iterable[Task], workers: int, note: Callable[[Task, Any], None] | None = None
) -> Iterator[Outcome[Task, Any]]:
    """Yield what becomes of each task, dealt to up to so many workers; see `Executor.map`."""
    waiting, again = iter(tasks), deque[tuple[Task, int]]()
    idle: list[Worker] = []
    busy: dict[Worker, tuple[Task, int]] = {}
    whole = False
    try:
        while True:
            while len(busy) < workers and (job := _next(again, waiting)) is not None:
                worker = idle.pop() if idle else crew.start()
                busy[worker] = job
                crew.give(worker, job[0])
            # An idle worker may hold what a new one waits for: a GPU, a place in the cluster.
            while idle:
                crew.dismiss(idle.pop())
            if not busy:
                break
            for report in crew.reports(busy):
                task, attempt = busy[report.worker]
                if report.kind == "note":
                    if note is not None:
                        note(task, report.content)
                    continue
                del busy[report.worker]
                if report.kind != "died":
                    idle.append(report.worker)
                elif attempt < ATTEMPTS:
                    again.append((task, attempt + 1))
                    continue
                yield _outcome(task, report, attempt)
        whole = True
    finally:
        crew.close(now=not whole)


def _next(again: deque[tuple[Task, int]], waiting: Iterator[Task]) -> tuple[Task, int] | None:
    """Return a task and which attempt at it comes now; None where there are no more."""
    return again.popleft() if again else next(((task, 1) for task in waiting), None)


def _outcome(task: Task, report: Report[Any], attempts: int) -> Outcome[Task, Any]:
    if report.kind == "value":
        return Outcome(task, report.content, attempts=attempts)
    if report.kind == "error":
        error, details = report.content
        return Outcome(task, None, error, details, attempts)
    return Outcome(task, None, f"it ended its worker {attempts} times; the last time {report.content}", "", attempts)
