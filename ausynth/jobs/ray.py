"""Ray actors, on this machine or a cluster: each holds the function, and with it a generator on its GPU."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from ausynth.errors import ConfigurationError
from ausynth.jobs.dispatch import Crew, Report, dispatch
from ausynth.jobs.executors import Outcome, Work, cores, describe

__all__ = ["RayExecutor"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_OBJECT_STORE: Final = 128 << 20
"""Bytes of shared memory of a Ray that is started here: what crosses it is numbers and short texts."""


class RayExecutor:
    """Runs tasks in `workers` Ray actors; see `Executor`.

    Args:
        workers: default one for each CPU of the cluster, or for each GPU where `gpus` are asked for.
        address: of a running cluster; default RAY_ADDRESS, else a Ray of its own is started on this machine, without a
            dashboard, and ended by `shutdown`. Where Ray runs in this process already, that one is used, and stays.
        gpus: that each actor holds.

    Raises:
        ConfigurationError: Ray is not installed, not reached, or has no room for a single actor.
    """

    def __init__(self, workers: int | None = None, *, address: str | None = None, gpus: float = 0) -> None:
        self._ray = _import_ray()
        self._gpus = gpus
        self._running: weakref.WeakSet[Generator[Any, None, None]] = weakref.WeakSet()
        self._own = not self._ray.is_initialized()
        if self._own:
            self._connect(address, workers)
        try:
            self.workers = self._room() if workers is None else workers
            if self._room() < 1:
                raise ConfigurationError(
                    f"a Ray with {self._resources('CPU'):g} CPUs and {self._resources('GPU'):g} GPUs",
                    expected=f"a CPU and {gpus:g} GPUs for each worker",
                    do="ask for fewer GPUs per worker, or give the address of a cluster that has them",
                )
        except BaseException:
            self.shutdown()
            raise

    def _connect(self, address: str | None, workers: int | None) -> None:
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
        if address == "local":
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing reaches for the network unasked
            places = max(cores(), workers or 0)
            options |= {"num_cpus": places, "include_dashboard": False, "object_store_memory": _OBJECT_STORE}
        try:
            self._ray.init(**options)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"Ray at {address!r} cannot be reached: {describe(error)[0]}",
                expected="the address of a running cluster ('auto', 'ray://host:10001'), or none to start Ray here",
            ) from error

    def _resources(self, kind: str) -> float:
        return float(self._ray.cluster_resources().get(kind, 0))

    def _room(self) -> int:
        """Return how many actors fit into the cluster."""
        return int(self._resources("GPU") / self._gpus if self._gpus else self._resources("CPU"))

    def map(
        self,
        function: Work[Task, Result],
        tasks: Iterable[Task],
        note: Callable[[Task, Any], None] | None = None,
    ) -> Iterator[Outcome[Task, Result]]:
        """Yield what became of each task; see `Executor.map`."""
        outcomes = self._map(function, tasks, note)
        self._running.add(outcomes)
        return outcomes

    def _map(
        self, function: Work[Task, Result], tasks: Iterable[Task], note: Callable[[Task, Any], None] | None
    ) -> Generator[Outcome[Task, Result], None, None]:
        crew: Crew[Any] = _Actors(self._ray, self._ray.cloudpickle.dumps(function), self._gpus)
        yield from dispatch(crew, tasks, self.workers, note)

    def shutdown(self) -> None:
        """End all actors, and Ray where this executor started or joined it."""
        for outcomes in list(self._running):
            outcomes.close()
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            "the executor 'ray' without the package ray",
            expected="it is installed",
            do="pip install 'ausynth[ray]', or use the executor 'local'",
        ) from error
    return ray


class _Worker:
    """An actor: one task at a time, and whoever listens meanwhile hears how far it is."""

    def __init__(self, payload: bytes, path: Sequence[str]) -> None:
        # What the job's own process can import can be imported here, as in a spawned process, as far as it is there.
        sys.path += [folder for folder in path if folder not in sys.path]
        self._payload = payload
        self._function: Work[Any, Any] | None = None
        self._changed = threading.Condition()
        self._notes: dict[int, Any] = {}
        self._done = 0

    def run(self, number: int, message: bytes) -> bytes:
        """Return the pickled answer to a pickled task, the `number`-th of this actor, from 1."""
        try:
            if self._function is None:
                self._function = pickle.loads(self._payload)
            return pickle.dumps(("value", self._function(pickle.loads(message), lambda what: self._tell(number, what))))
        except (Exception, SystemExit) as error:
            return pickle.dumps(("error", describe(error)))
        finally:
            with self._changed:
                self._done = number
                self._changed.notify_all()

    def _tell(self, number: int, what: Any) -> None:
        with self._changed:
            self._notes = {number: what}
            self._changed.notify_all()

    def listen(self, number: int) -> bytes:
        """Wait for a note on a task, and return it pickled, in a list; an empty one when the task has ended."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._notes or self._done >= number)
            return pickle.dumps([self._notes.pop(number)] if number in self._notes else [])


class _Actors:
    """The crew of actors; see `dispatch.Crew`. A worker is an actor's handle."""

    def __init__(self, ray: Any, payload: bytes, gpus: float) -> None:
        self._ray = ray
        # What is lost is tried again by `dispatch`, on a new actor, as with any other executor. Who listens has a
        # thread of its own; tasks are always done on the same one.
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        self._actor = ray.remote(**options, concurrency_groups={"notes": 1})(_Worker)
        self._payload = payload
        self._numbers: dict[Any, int] = {}
        self._answers: dict[Any, Any] = {}
        self._notes: dict[Any, Any] = {}

    def start(self) -> Any:
        worker = self._actor.remote(self._payload, [folder or str(Path.cwd()) for folder in sys.path])
        self._numbers[worker] = 0
        return worker

    def give(self, worker: Any, task: Any) -> None:
        self._numbers[worker] += 1
        self._answers[worker.run.remote(self._numbers[worker], pickle.dumps(task))] = worker
        self._listen(worker)

    def _listen(self, worker: Any) -> None:
        listening = worker.listen.options(concurrency_group="notes")
        self._notes[listening.remote(self._numbers[worker])] = worker

    def reports(self, busy: Collection[Any]) -> list[Report[Any]]:  # noqa: ARG002 (exactly those have answers to come)
        asked = [*self._notes, *self._answers]
        self._ray.wait(asked, num_returns=1)
        ready = set(self._ray.wait(asked, num_returns=len(asked), timeout=0)[0])
        found: list[Report[Any]] = []
        for reference in [reference for reference in self._notes if reference in ready]:
            worker = self._notes.pop(reference)
            with contextlib.suppress(self._ray.exceptions.RayError):  # the answer will tell
                notes = pickle.loads(self._ray.get(reference))
                found += [Report(worker, "note", note) for note in notes]
                if notes:
                    self._listen(worker)
        for reference in [reference for reference in self._answers if reference in ready]:
            found.append(self._answer(reference, self._answers.pop(reference)))
        return found

    def _answer(self, reference: Any, worker: Any) -> Report[Any]:
        self._notes = {listening: other for listening, other in self._notes.items() if other is not worker}
        try:
            kind, content = pickle.loads(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            self.dismiss(worker)
            return Report(worker, "died", "the actor failed: " + " ".join(str(error).split())[:400])
        return Report(worker, kind, content)

    def dismiss(self, worker: Any) -> None:
        self._numbers.pop(worker, None)
        with contextlib.suppress(Exception):  # it is gone already, or Ray is
            self._ray.kill(worker)

    def close(self, *, now: bool) -> None:  # noqa: ARG002 (whoever is still there is at work, or was not let go)
        for worker in list(self._numbers):
            self.dismiss(worker)
