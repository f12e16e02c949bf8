"""Warmup: jobs on a stream in memory and on disk that says what was asked of it, and the command on the real one."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeGenerator
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

import ausynth
from ausynth.cli import app
from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated
from ausynth.jobs import open_executor
from ausynth.jobs.options import StreamOptions, read_options
from ausynth.jobs.warmup import SHARD, Shard, Standing, Warmup


@dataclass(frozen=True)
class FolderStream:
    """A stream whose cache is a folder of empty files: one for each ordinal, and one for each time it was opened.

    Shards of which it finds "fail-START" fail, "kill-START" kill its process once, "murder-START" always, and at
    "wait-START" it says so and never ends.
    """

    folder: Path
    block_size: int = 1
    plan: str = "plan"

    def __call__(self) -> FolderStream:
        (self.folder / f"opened-{os.getpid()}-{time.monotonic_ns()}").touch()
        return self

    def stored(self, start: int, stop: int) -> NDArray[np.bool_]:
        there = {int(path.name[1:]) for path in self.folder.glob("o*") if path.name[1:].isdecimal()}
        return np.array([ordinal in there for ordinal in range(start, stop)], bool)

    def warm(self, start: int, stop: int, progress: Callable[[int], None] | None = None) -> int:
        (self.folder / f"asked-{start}-{stop}-{time.monotonic_ns()}").touch()
        missing = (start + np.flatnonzero(~self.stored(start, stop))).tolist()
        for number, _ in enumerate(missing):
            if progress is not None:
                progress(1)
            if number == len(missing) // 2:
                self._mishap(start)
        for ordinal in missing:
            (self.folder / f"o{ordinal}").touch()
        return len(missing)

    def _mishap(self, start: int) -> None:
        if (self.folder / f"fail-{start}").exists():
            raise ValueError(f"no luck at {start}")
        if (self.folder / f"kill-{start}").exists():
            (self.folder / f"kill-{start}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (self.folder / f"murder-{start}").exists():
            os.kill(os.getpid(), signal.SIGKILL)

    def all_stored(self) -> list[int]:
        return np.flatnonzero(self.stored(0, 4096)).tolist()

    def asked(self) -> list[tuple[int, int]]:
        return sorted(tuple(map(int, path.name.split("-")[1:3])) for path in self.folder.glob("asked-*"))

    def opened(self) -> int:
        return len(list(self.folder.glob("opened-*")))


@pytest.fixture(params=[0, 1, 2])
def workers(request: pytest.FixtureRequest) -> int:
    return request.param


def run(job: Warmup, workers: int = 0, show: Callable[[Standing], None] | None = None) -> Any:
    with open_executor("local", workers=workers) as executor:
        return job.run(executor, show)


def test_a_job_makes_what_is_missing_and_a_rerun_nothing(tmp_path: Path, workers: int) -> None:
    stream = FolderStream(tmp_path)
    for ordinal in (3, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29):
        (tmp_path / f"o{ordinal}").touch()
    job = Warmup(stream, count=57, shard_size=10, workers=workers)
    assert [shard.number for shard in job.shards] == [0, 1, 3, 4, 5]
    assert (job.samples, job.missing) == (57, 46)
    warmed = run(job, workers)
    assert warmed.complete
    assert (warmed.made, warmed.found, warmed.failed, warmed.given_up) == (46, 11, (), 0)
    assert stream.all_stored() == list(range(57))
    assert stream.asked() == [(0, 10), (10, 20), (30, 40), (40, 50), (50, 57)]
    assert stream.opened() <= 1 + workers  # in this process once, to see what is missing; and once in each worker
    again = Warmup(stream, count=57, shard_size=10)
    assert again.shards == ()
    assert run(again).found == 57
    more = Warmup(stream, count=60, shard_size=10)
    assert more.shards == (Shard(5, 50, 60, 3),)


def test_a_killed_worker_s_shard_is_made_again(tmp_path: Path) -> None:
    stream = FolderStream(tmp_path)
    for start in (0, 30):
        (tmp_path / f"kill-{start}").touch()
    warmed = run(Warmup(stream, count=50, shard_size=10), workers=2)
    assert warmed.complete
    assert warmed.made == 50
    assert stream.all_stored() == list(range(50))


def test_failed_shards_are_told_and_the_others_made(tmp_path: Path) -> None:
    stream = FolderStream(tmp_path)
    (tmp_path / "fail-10").touch()
    (tmp_path / "murder-30").touch()
    told: list[Standing] = []
    warmed = run(Warmup(stream, count=50, shard_size=10), 2, told.append)
    assert not warmed.complete
    failed = {outcome.task.number: outcome for outcome in warmed.failed}
    assert sorted(failed) == [1, 3]
    assert failed[1].error == "ValueError: no luck at 10"
    assert "in _mishap" in failed[1].details
    assert failed[3].attempts == 3
    assert "SIGKILL" in failed[3].error
    assert (warmed.made, warmed.given_up) == (30, 0)
    assert told[-1].failed == 2
    assert sum(standing.ended is not None for standing in told) == 5
    for name in ("fail-10", "murder-30"):
        (tmp_path / name).unlink()
    again = Warmup(stream, count=50, shard_size=10)
    assert again.missing == 20
    assert run(again).complete


def test_progress_counts_shards_under_way_and_never_twice(tmp_path: Path, workers: int) -> None:
    stream = FolderStream(tmp_path)
    if workers:
        (tmp_path / "kill-10").touch()
    told: list[Standing] = []
    run(Warmup(stream, count=40, shard_size=10), workers, told.append)
    assert all(0 <= standing.made <= standing.missing == 40 for standing in told)
    assert told[-1].made == 40
    assert any(standing.ended is None and standing.made for standing in told)


def test_what_ails_all_shards_ends_the_job(tmp_path: Path, workers: int) -> None:
    for start in range(0, 400, 10):
        (tmp_path / f"fail-{start}").touch()
    warmed = run(Warmup(FolderStream(tmp_path), count=400, shard_size=10), workers)
    assert not warmed.complete
    assert len(warmed.failed) == 5
    assert warmed.given_up == 35


def test_what_another_job_made_meanwhile_counts_as_found(tmp_path: Path) -> None:
    stream = FolderStream(tmp_path)
    job, other = (Warmup(stream, count=20, shard_size=10) for _ in range(2))
    assert run(other).made == 20
    warmed = run(job)
    assert (warmed.made, warmed.found, warmed.complete) == (0, 20, True)


def test_a_worker_with_another_plan_is_an_error(tmp_path: Path) -> None:
    @dataclass
    class Changing:
        plans: Iterator[str]

        def __call__(self) -> FolderStream:
            return FolderStream(tmp_path, plan=next(self.plans))

    job = Warmup(Changing(iter(["a", "b"])), count=10)

    class Elsewhere:
        """Calls the function as a worker does: after a copy, which does not bring the stream along."""

        workers = 1

        def map(self, function: Any, tasks: Any, note: Any) -> Iterator[Any]:
            assert function.__getstate__()["stream"] is None
            assert function.stream is None
            with pytest.raises(ConfigurationError, match="plan b.*Expected: the plan a"):
                function(tasks[0], lambda what: None)
            yield from ()

    job.run(Elsewhere())  # type: ignore[arg-type]


def test_interruption_ends_the_job_and_keeps_whole_shards(tmp_path: Path, workers: int) -> None:
    stream = FolderStream(tmp_path)

    def interrupt(standing: Standing) -> None:
        if standing.ended is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Warmup(stream, count=60, shard_size=10), workers, interrupt)
    there = stream.all_stored()
    assert 10 <= len(there) < 60
    assert run(Warmup(stream, count=60, shard_size=10), workers).complete
    assert stream.all_stored() == list(range(60))


@given(
    count=st.integers(1, 300),
    block=st.integers(1, 7),
    blocks=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_jobs_that_share_the_shards_make_each_sample_once(
    count: int, block: int, blocks: int, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stream = InMemory(block, set())
    size = block * blocks
    last = max(-(-count // size), 1)
    edges = sorted({0, last, *(cut for cut in cuts if cut < last)})
    made: list[int] = []
    for first, end in itertools.pairwise(edges):
        job = Warmup(stream, count=count, shards=(first, end), shard_size=size)
        for shard in job.shards:
            assert shard.start == shard.number * size
            assert shard.start < shard.stop <= shard.start + size
            made += range(shard.start, shard.stop)
    assert made == list(range(-(-count // block) * block))


@dataclass
class InMemory:
    """A stream that remembers ordinals in a set."""

    block_size: int
    there: set[int]
    plan: str = "plan"

    def __call__(self) -> InMemory:
        return self

    def stored(self, start: int, stop: int) -> NDArray[np.bool_]:
        return np.array([ordinal in self.there for ordinal in range(start, stop)], bool)

    def warm(self, start: int, stop: int, progress: Callable[[int], None] | None = None) -> int:
        missing = set(range(start, stop)) - self.there
        self.there |= missing
        return len(missing)


@pytest.mark.parametrize(
    ("count", "workers", "block", "size"),
    [
        (1_000_000, 8, 1, SHARD),
        (1_000_000, 8, 48, 4128),
        (1_000_000, 8, 10_000, 10_000),
        (4000, 2, 1, 500),
        (100, 8, 1, 256),
        (100, 8, 24, 264),
    ],
)
def test_a_small_job_has_smaller_shards(count: int, workers: int, block: int, size: int) -> None:
    class Empty(InMemory):
        def stored(self, start: int, stop: int) -> NDArray[np.bool_]:
            return np.zeros(stop - start, bool)

    job = Warmup(Empty(block, set()), count=count, workers=workers)
    assert job.shard_size == size
    assert job.missing == job.samples == -(-count // block) * block
    assert (
        Warmup(Empty(block, set()), count=count, shards=(0, 2), workers=workers).shard_size
        == -(-SHARD // block) * block
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "neither a count nor shards"),
        ({"count": 0}, "count 0"),
        ({"count": 10, "shards": (3, 3)}, "shards 3:3"),
        ({"count": 10, "shards": (-1, 3)}, "shards -1:3"),
        ({"count": 10, "shard_size": 10}, "a multiple, such as 8"),
        ({"count": 10, "shard_size": 3}, "a multiple, such as 8"),
        ({"count": 10, "shard_size": 0}, "shard_size 0"),
    ],
)
def test_wrong_numbers_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Warmup(InMemory(8, set()), **options)


def test_shards_beyond_the_count_are_none() -> None:
    job = Warmup(InMemory(1, set()), count=25, shards=(3, 9), shard_size=10)
    assert (job.shards, job.samples) == ((), 0)
    assert run(job).complete
    assert Warmup(InMemory(1, set()), shards=(3, 5), shard_size=10).samples == 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ratio: [1", "no YAML"),
        ("- ratio", "holds a list"),
        ("ratios: 0.5\nseed: 1", "the key ratios.*Expected: arguments of MixedStream.*ratio, root"),
        ("cahce: x\nsede: 1", "keys cahce, sede"),
        ("1: 2", "the key 1"),
        ("transform: flip", "transform.*in Python"),
        ("seed: !!python/object/apply:os.getcwd []", "no YAML"),
    ],
)
def test_a_wrong_file_of_options_is_refused(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "stream.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        read_options(file)


def test_a_file_of_options_is_read(tmp_path: Path) -> None:
    file = tmp_path / "stream.yaml"
    file.write_text("real: [disfa, bp4d]\nratio: 0.25\nhold_out: P1\naus: [1, 2]\ncache: faces\nbatch_size: 8\n")
    assert read_options(file) == {
        "real": ["disfa", "bp4d"],
        "ratio": 0.25,
        "hold_out": "P1",
        "aus": [1, 2],
        "cache": "faces",
        "batch_size": 8,
    }
    file.write_text("real: none\n")
    assert read_options(file) == {"real": None}
    file.write_text("# nothing\n")
    assert read_options(file) == {}
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_options(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "without a cache"),
        ({"cache": "x", "cache_mode": "read"}, "cache_mode 'read'"),
        ({"cache": "x", "synthetic": "y"}, "finished faces"),
        ({"cache": "x", "generator": None}, "finished faces"),
    ],
)
def test_a_stream_that_fills_no_cache_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        StreamOptions(options)


# The real stream and store, from here on.

SMALL = {"real": None, "ratio": 1, "aus": "disfa-8", "image_size": 32}


@dataclass
class Mortal:
    """The generator of the fakes, in blocks; it kills its process at the first call that finds the marker."""

    marker: Path
    block_size: int = 4

    def __post_init__(self) -> None:
        self._made = FakeGenerator(block_size=self.block_size)
        self.name, self.image_size, self.aus = "mortal", self._made.image_size, self._made.aus
        self.fingerprint = self._made.fingerprint

    def generate(self, conditions: Conditions) -> Generated:
        if self.marker.exists():
            self.marker.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._made.generate(conditions)


def contents(folder: Path) -> dict[tuple[str, int], tuple[bytes, bytes, bytes]]:
    """Return all that a store holds, by plan and number: key, pixels, labels."""
    store = ausynth.Store(folder)
    found = {}
    for plan in store.plans():
        numbers = store.numbers(plan)
        places = store.find(plan, numbers)
        size = store.recipe.image_size
        images = np.empty((len(places), size, size, 3), np.uint8)
        store.read(places, images)
        samples = store.samples(places)
        for row, number in enumerate(samples.number.tolist()):
            assert number == numbers[row]
            labels = samples.labels.intensity[row].tobytes()
            found[plan, number] = (samples.key[row].tobytes(), images[row].tobytes(), labels)
    return found


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of the first 60 samples of a small stream, made in this process."""
    cache = tmp_path_factory.mktemp("small") / "faces"
    assert run(Warmup(StreamOptions({**SMALL, "cache": cache}), count=60, shard_size=16)).made == 60
    return cache


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    pytest.importorskip("ray", reason="ray is not installed")
    with open_executor("ray", workers=2):
        yield


@pytest.mark.parametrize(("name", "workers"), [("local", 1), ("local", 2), ("local", 3), ("ray", 2)])
def test_a_store_holds_the_same_whoever_made_it(
    name: str, workers: int, small_store: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "ray":
        request.getfixturevalue("ray")
    cache = tmp_path / "faces"
    stream = StreamOptions({**SMALL, "cache": cache})
    with open_executor(name, workers) as executor:
        assert Warmup(stream, count=60, shard_size=8).run(executor).complete
    expected = contents(small_store)
    assert contents(cache) == expected
    assert sorted(number for _, number in expected) == list(range(60))
    assert len({pixels for _, pixels, _ in expected.values()}) == 60
    assert Warmup(stream, count=60).missing == 0


@pytest.mark.parametrize("name", ["local", "ray"])
def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "ray":
        request.getfixturevalue("ray")
    marker = tmp_path / "marker"
    folders = [tmp_path / "calm", tmp_path / "killed"]
    for cache in folders:
        job = Warmup(StreamOptions({**SMALL, "generator": Mortal(marker), "cache": cache}), count=61, shard_size=8)
        if cache.name == "killed":
            marker.touch()
        with open_executor(*((name, 2) if cache.name == "killed" else ("local", 0))) as executor:
            warmed = job.run(executor)
        assert (warmed.made, warmed.complete) == (64, True)  # whole blocks
    assert not marker.exists()
    assert contents(folders[0]) == contents(folders[1])


def test_warm_and_cold_streams_are_equal(small_store: Path) -> None:
    cold, warm = (
        ausynth.MixedStream(**SMALL, batch_size=15, threads=0, **cache)  # type: ignore[arg-type]
        for cache in ({}, {"cache": small_store, "cache_mode": "read"})
    )
    for k in (0, 3):
        for name, column in cold.batch(k).items():
            np.testing.assert_array_equal(column, warm.batch(k)[name])


def test_a_cache_made_without_the_real_set_serves_an_unbalanced_stream_with_it(tmp_path: Path) -> None:
    root = tmp_path / "practice"
    call("simulate", "disfa", root, "--subjects", 3, "--frames", 6, "--size", 48)
    cache = tmp_path / "faces"
    result = call("warmup", "--real", "none", "--aus", "disfa-8", "--balance", "none", "--image-size", 32,
                  "--count", 20, "--workers", 0, "--cache", cache)  # fmt: skip
    assert result.exit_code == 0, result.output
    options = {"root": root, "image_size": 32, "cache": cache, "balance": None}
    assert ausynth.MixedStream("disfa", 0.25, hold_out="SN001", **options).stored(0, 20).all()
    assert ausynth.MixedStream("disfa", 0.25, seed=1, **options).stored(0, 20).sum() == 0
    assert len(ausynth.MixedStream("disfa", 0.25, root=root, image_size=32, synthetic=cache).batch(0)["image"]) == 64


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def small(*arguments: object) -> list[str]:
    """Return a warmup of the small stream."""
    options = ["warmup", "--real", "none", "--aus", "disfa-8", "--image-size", "32", "--workers", "0"]
    return [*options, *map(str, arguments)]


def test_the_command_makes_what_is_missing_and_says_so(small_store: Path, tmp_path: Path) -> None:
    cache = tmp_path / "faces"
    first = call(*small("--cache", cache, "--count", 20, "--shard-size", 16))
    assert first.exit_code == 0, first.output
    assert "20 of 20 samples are to be made, in 2 shards" in first.output
    assert "made 20 samples" in first.output
    more = call(*small("--cache", cache, "--count", 60, "--shard-size", 16))
    assert "40 of 60 samples are to be made, in 3 shards" in more.output
    assert "made 40 samples" in more.output
    assert "20 were there already" in more.output
    again = call(*small("--cache", cache, "--count", 60))
    assert again.exit_code == 0
    assert "0 of 60 samples are to be made" in again.output
    assert contents(cache) == contents(small_store)


def test_jobs_with_shards_make_one_store(small_store: Path, tmp_path: Path) -> None:
    cache = tmp_path / "faces"
    for shards in ("2:4", "0:2", "4:8"):
        result = call(*small("--cache", cache, "--count", 60, "--shard-size", 16, "--shards", shards))
        assert result.exit_code == 0, result.output
    assert "0 of 0 samples" in result.output
    assert contents(cache) == contents(small_store)


def test_a_file_and_flags_together_make_the_stream(small_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "stream.yaml"
    file.write_text(
        f"real: none\nratio: 1\naus: disfa-8\nimage_size: 64\ncache: {tmp_path / 'other'}\n"
        "batch_size: 8\ndevice: cuda\nthreads: 3\non_exhausted: stop\n"
    )
    cache = tmp_path / "faces"
    result = call("warmup", "--config", file, "--image-size", 32, "--cache", cache, "--count", 60, "--workers", 0)
    assert result.exit_code == 0, result.output
    assert contents(cache) == contents(small_store)
    assert not (tmp_path / "other").exists()


def test_jpeg_and_its_quality(tmp_path: Path) -> None:
    sizes = {}
    for quality in (50, 95):
        cache = tmp_path / str(quality)
        options = ("--cache", cache, "--count", 16, "--codec", "jpeg", "--quality", quality)
        assert call(*small(*options)).exit_code == 0
        recipe = ausynth.Store(cache).recipe
        assert (recipe.codec, recipe.quality) == ("jpeg", quality)
        store = ausynth.Store(cache)
        sizes[quality] = sum(len(store.encoded(place)) for place in store.places().tolist())
    assert sizes[50] < sizes[95]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--cache", "faces"], "--count"),
        (["--count", "10"], "--cache"),
        (["--cache", "faces", "--count", "10", "--shards", "5"], "A:B"),
        (["--cache", "faces", "--shards", "5:5"], "shards 5:5"),
        (["--cache", "faces", "--count", "10", "--quality", "90"], "--codec jpeg"),
        (["--cache", "faces", "--count", "10", "--codec", "png"], "png"),
        (["--cache", "faces", "--count", "10", "--executor", "dask"], "dask"),
        (["--cache", "faces", "--count", "10", "--gpus", "1"], "'local'"),
        (["--cache", "faces", "--count", "10", "--ratio", "0"], "ratio"),
        (["--cache", "faces", "--count", "10", "--config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_wrong_arguments_end_with_one_message_and_code_2(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*small(*arguments))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_failed_shards_end_the_command_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, conditions: Conditions) -> Generated:
        raise ValueError("no light")

    monkeypatch.setattr("ausynth.generators.rendered.generator.RenderedGenerator.generate", broken)
    result = call(*small("--cache", tmp_path / "faces", "--count", 20, "--shard-size", 10))
    assert result.exit_code == 1
    assert "failed shards: 2" in result.output
    assert "shard 1, samples 10 to 19: ValueError: no light" in result.output


def session(leader: int) -> set[int]:
    """Return the living processes of a session."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, number = path.read_text().rpartition(")")[2].split()[:4]
            if int(number) == leader and state != "Z":
                found.add(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_ctrl_c_loses_at_most_the_shards_in_flight(tmp_path: Path) -> None:
    cache = tmp_path / "faces"
    options = small("--cache", cache, "--count", 6000, "--shard-size", 16, "--workers", 2)

    def listed() -> int:
        manifest = cache / "manifest.jsonl"
        return manifest.read_bytes().count(b"\n") if manifest.exists() else 0

    command = [sys.executable, "-m", "ausynth", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as process:
        while process.poll() is None and listed() < 3:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody
        _, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert stderr.strip().startswith("interrupted")
    assert "the same command goes on" in stderr
    assert "Traceback" not in stderr
    until = time.monotonic() + 60
    while session(process.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not session(process.pid)
    made = len(ausynth.Store(cache))
    assert 3 * 16 <= made < 6000
    options = small("--cache", cache, "--count", made + 40, "--shard-size", 16, "--workers", 2)
    done = subprocess.run([sys.executable, "-m", "ausynth", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stream = StreamOptions({**SMALL, "cache": cache})
    assert Warmup(stream, count=made + 40).missing == 0
    contents(cache)  # every sample is whole


EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(("tasks", "count"), [(1, 1), (4, 4096 * 10), (16, 1_000_000), (7, 4097)])
def test_the_tasks_of_the_slurm_script_share_all_shards(tasks: int, count: int, tmp_path: Path) -> None:
    shim = tmp_path / "ausynth"
    shim.write_text('#!/bin/sh\necho "$@"\n')
    shim.chmod(0o755)
    made: list[int] = []
    for task in range(tasks):
        array = {"COUNT": tasks, "ID": task + 3, "MIN": 3}
        environment = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in array.items()}
        line = subprocess.run(
            ["bash", str(EXAMPLES / "warmup_slurm.sh"), "stream.yaml", "faces", str(count)],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert line[:7] == ["warmup", "--config", "stream.yaml", "--cache", "faces", "--count", str(count)]
        assert line[7:10] == ["--shard-size", "4096", "--shards"]
        first, last = map(int, line[10].split(":"))
        made += range(first, min(last, -(-count // 4096)))
    assert made == list(range(-(-count // 4096)))


def test_the_ray_example_fills_a_cache(small_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    cache = tmp_path / "faces"
    options = ["--cache", str(cache), "--count", "60", "--image-size", "32", "--aus", "disfa-8", "--workers", "2"]
    command = [sys.executable, str(EXAMPLES / "warmup_ray.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "made 60, found 0, failed shards: 0" in done.stdout
    assert contents(cache) == contents(small_store)
