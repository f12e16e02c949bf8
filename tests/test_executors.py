"""One suite for all executors: results, errors, workers that are killed, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ausynth.errors import ConfigurationError
from ausynth.jobs import Executor, open_executor

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:ray", "ignore::DeprecationWarning")

KINDS = ("here", "local-1", "local-2", "ray-2")


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Start Ray with two GPUs that need not be there; executors find it running, and leave it running."""
    module = pytest.importorskip("ray", reason="ray is not installed")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    module.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield module
    assert module.is_initialized()
    module.shutdown()


@pytest.fixture(params=KINDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    kind, _, workers = request.param.partition("-")
    if kind == "ray":
        request.getfixturevalue("ray")
    name = "local" if kind == "here" else kind
    with open_executor(name, workers=int(workers or 0)) as opened:
        yield opened


@dataclass
class Square:
    """Squares numbers; says who did it, and how many times the function had been called in that worker before."""

    calls: int = field(default=0, init=False)

    def __call__(self, task: int, note: Callable[[object], None]) -> tuple[int, int, int]:
        self.calls += 1
        if task % 5 == 3:
            raise ValueError(f"no square\nof {task}")
        return task * task, os.getpid(), self.calls


def test_each_task_has_one_outcome(executor: Executor) -> None:
    function = Square()
    outcomes = {outcome.task: outcome for outcome in executor.map(function, range(12))}
    assert sorted(outcomes) == list(range(12))
    for task, outcome in outcomes.items():
        assert outcome.attempts == 1
        if task % 5 == 3:
            assert outcome.failed
            assert outcome.value is None
            assert outcome.error == f"ValueError: no square of {task}"
            assert "in __call__" in outcome.details
        else:
            assert not outcome.failed
            assert outcome.value[0] == task * task
    done = [outcome.value[1:] for outcome in outcomes.values() if outcome.value]
    processes = {process for process, _ in done}
    assert len(processes) <= max(1, executor.workers)
    assert (processes == {os.getpid()}) == (executor.workers == 0)
    # Every worker has unpickled the function once and kept it: its calls count up, and ours has none of theirs.
    for process in processes:
        calls = [call for who, call in done if who == process]
        assert len(set(calls)) == len(calls)
        assert max(calls) <= 12
    assert sum(max(call for who, call in done if who == process) for process in processes) >= len(done)
    assert function.calls == (12 if executor.workers == 0 else 0)


def test_no_tasks_and_a_second_map(executor: Executor) -> None:
    assert list(executor.map(Square(), [])) == []
    assert [outcome.value[0] for outcome in executor.map(Square(), [7])] == [49]


@dataclass
class Meet:
    """Returns when as many tasks as `party` have begun, wherever they run."""

    folder: Path
    party: int

    def __call__(self, task: str, note: Callable[[object], None]) -> str:
        (self.folder / task).touch()
        while len(list(self.folder.iterdir())) < self.party:
            time.sleep(0.02)
        return task


@pytest.mark.parametrize("executor", ["local-2", "ray-2"], indirect=True)
def test_workers_work_at_the_same_time(executor: Executor, tmp_path: Path) -> None:
    assert {outcome.value for outcome in executor.map(Meet(tmp_path, 2), ["a", "b"])} == {"a", "b"}


@dataclass
class Kill:
    """Kills its own process at the first `times` attempts at a task that is odd."""

    folder: Path
    times: int

    def __call__(self, task: int, note: Callable[[object], None]) -> int:
        before = len(list(self.folder.glob(f"{task}-*")))
        if task % 2 and before < self.times:
            (self.folder / f"{task}-{before}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task


@pytest.mark.parametrize("executor", ["local-1", "local-2", "ray-2"], indirect=True)
def test_the_task_of_a_killed_worker_goes_to_another(executor: Executor, tmp_path: Path) -> None:
    outcomes = {outcome.task: outcome for outcome in executor.map(Kill(tmp_path, 1), range(4))}
    assert {task: outcome.value for task, outcome in outcomes.items()} == {0: 0, 1: 1, 2: 2, 3: 3}
    assert {task: outcome.attempts for task, outcome in outcomes.items()} == {0: 1, 1: 2, 2: 1, 3: 2}


@pytest.mark.parametrize("executor", ["local-1", "local-2", "ray-2"], indirect=True)
def test_a_task_that_kills_three_workers_has_failed_and_the_rest_goes_on(executor: Executor, tmp_path: Path) -> None:
    outcomes = {outcome.task: outcome for outcome in executor.map(Kill(tmp_path, 99), range(3))}
    assert sorted(outcomes) == [0, 1, 2]
    assert [outcomes[task].value for task in (0, 2)] == [0, 2]
    assert outcomes[1].failed
    assert outcomes[1].attempts == 3
    assert "ended its worker 3 times" in outcomes[1].error
    assert len(list(tmp_path.iterdir())) == 3
    if type(executor).__name__ == "LocalExecutor":
        assert "SIGKILL" in outcomes[1].error


@dataclass
class Tell:
    """Notes how far it is, and goes on when somebody has heard it."""

    folder: Path

    def __call__(self, task: int, note: Callable[[object], None]) -> int:
        for step in range(3):
            note((task, step))
            while not (self.folder / f"{task}-{step}").exists():
                time.sleep(0.01)
        return task


def test_notes_arrive_while_the_task_is_under_way(executor: Executor, tmp_path: Path) -> None:
    heard: list[tuple[int, object]] = []

    def hear(task: int, what: tuple[int, int]) -> None:
        heard.append((task, what))
        (tmp_path / f"{task}-{what[1]}").touch()

    assert sorted(outcome.task for outcome in executor.map(Tell(tmp_path), range(3), note=hear)) == [0, 1, 2]
    assert sorted(heard) == [(task, (task, step)) for task in range(3) for step in range(3)]


def test_tasks_are_taken_as_workers_get_free(executor: Executor) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for task in (0, 1, 2, 4, 5):
            taken.append(task)
            yield task

    outcomes = executor.map(Square(), tasks())
    next(outcomes)
    assert len(taken) <= max(1, executor.workers) + 1
    assert len(list(outcomes)) == 4


@dataclass
class Unpicklable:
    """Cannot be unpickled, or its answer or task cannot."""

    what: str

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["what"] == "function":
            raise RuntimeError("not here")
        self.__dict__.update(state)

    def __call__(self, task: int, note: Callable[[object], None]) -> object:
        return (lambda: 0) if self.what == "answer" else task


@pytest.mark.parametrize("executor", ["local-2", "ray-2"], indirect=True)
@pytest.mark.parametrize(("what", "says"), [("function", "not here"), ("answer", "lambda")])
def test_what_does_not_pickle_fails_its_tasks(executor: Executor, what: str, says: str) -> None:
    outcomes = list(executor.map(Unpicklable(what), range(3)))
    assert len(outcomes) == 3
    for outcome in outcomes:
        assert says in outcome.error
        assert outcome.attempts == 1


@pytest.mark.parametrize("executor", ["local-2"], indirect=True)
def test_a_function_that_does_not_pickle_is_an_error_before_anything_starts(executor: Executor) -> None:
    with pytest.raises((pickle.PicklingError, AttributeError)):
        next(executor.map(lambda task, note: task, [1]))


@dataclass
class Sleep:
    """Says which process it is in, and never ends."""

    folder: Path

    def __call__(self, task: int, note: Callable[[object], None]) -> None:
        if task:
            (self.folder / f"{os.getpid()}.aside").touch()
            (self.folder / f"{os.getpid()}.aside").rename(self.folder / str(os.getpid()))
            time.sleep(3600)


def gone(process: int) -> bool:
    """Return whether no such process runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{process}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # One whose parent was killed may wait for the system to note that it has ended.
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, "it does not come to that"
        time.sleep(0.02)


def sleepers(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


@pytest.mark.parametrize("executor", ["local-2", "ray-2"], indirect=True)
@pytest.mark.parametrize("how", ["close", "shutdown", "raise"])
def test_workers_end_in_the_middle_of_a_task(executor: Executor, how: str, tmp_path: Path) -> None:
    outcomes = executor.map(Sleep(tmp_path), [1, 0, 0])
    assert next(outcomes).task == 0
    wait_until(lambda: sleepers(tmp_path))
    (process,) = sleepers(tmp_path)
    assert not gone(process)
    if how == "close":
        outcomes.close()  # type: ignore[attr-defined]
    elif how == "shutdown":
        executor.shutdown()
        executor.shutdown()
    else:
        with pytest.raises(KeyboardInterrupt):
            raise_in(outcomes)
    wait_until(lambda: gone(process))


def raise_in(outcomes: Iterator[object]) -> None:
    with contextlib.closing(outcomes):  # type: ignore[type-var]
        next(outcomes)
        raise KeyboardInterrupt


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_executors import Sleep
from ausynth.jobs import open_executor

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    with open_executor(sys.argv[1], workers=2) as executor:
        for _ in executor.map(Sleep(folder), [1, 2]):
            pass
"""


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("local", signal.SIGINT),
        ("local", signal.SIGTERM),
        ("local", signal.SIGKILL),
        ("ray", signal.SIGINT),
        ("ray", signal.SIGKILL),
    ],
)
def test_workers_end_with_their_parent(name: str, number: signal.Signals, tmp_path: Path) -> None:
    if name == "ray":
        pytest.importorskip("ray")
    script, folder = tmp_path / "script.py", tmp_path / "sleepers"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, str(script), name, str(folder)], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        wait_until(lambda: len(sleepers(folder)) == 2 or process.poll() is not None)
        workers = sleepers(folder)
        assert len(workers) == 2
        if number == signal.SIGINT:  # as a terminal does: to everybody
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, stderr = process.communicate()
    assert process.returncode == -number
    if number == signal.SIGINT:
        assert stderr.count("KeyboardInterrupt") == 1  # only the parent has anything to say
    wait_until(lambda: all(gone(worker) for worker in workers))


def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="unknown executor 'dask'.*'local', 'ray'"):
        open_executor("dask")
    with pytest.raises(ConfigurationError, match="workers -1"):
        open_executor("local", workers=-1)
    with pytest.raises(ConfigurationError, match="workers 0.*1 or more"):
        open_executor("ray", workers=0)
    with pytest.raises(ConfigurationError, match="'local'"):
        open_executor("local", gpus=1)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'ausynth\[ray\]'"):
        open_executor("ray")


class Devices:
    """Says which GPUs its process may use."""

    def __call__(self, task: int, note: Callable[[object], None]) -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_ray_actors_hold_the_gpus_that_were_asked_for(ray: Any, tmp_path: Path) -> None:
    with open_executor("ray", gpus=1) as executor:
        assert executor.workers == 2
        assert {outcome.value for outcome in executor.map(Devices(), range(8))} <= {"0", "1"}
    with open_executor("ray", gpus=0.5) as executor:
        assert executor.workers == 4
    with open_executor("ray") as executor:
        assert executor.workers == 2
    with open_executor("ray", workers=5, gpus=1) as executor:  # more than there is room for: some wait for a place
        assert sorted(outcome.task for outcome in executor.map(Devices(), range(7))) == list(range(7))


def test_ray_without_room_or_address_is_an_error(ray: Any) -> None:
    with pytest.raises(ConfigurationError, match="2 GPUs.*fewer GPUs"):
        open_executor("ray", gpus=3)
    code = "from ausynth.jobs import open_executor; open_executor('ray', address='ray://127.0.0.1:1')"
    environment = {**os.environ, "RAY_CLIENT_MAX_CONNECT_ATTEMPTS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert "ConfigurationError: Ray at 'ray://127.0.0.1:1' cannot be reached" in done.stderr


def test_local_workers_are_as_many_as_the_cores_that_may_be_used() -> None:
    with open_executor() as executor:
        assert 1 <= executor.workers <= (os.cpu_count() or 1)
