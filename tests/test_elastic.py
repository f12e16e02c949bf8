"""The global sequence does not depend on who computes it: threads, workers, ranks, and where it was resumed."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import FakeGenerator, FakeSource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ausynth.errors import ConfigurationError, FrameError
from ausynth.prefetch import prefetch
from ausynth.stream import MixedStream

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:.*use of fork.*", "ignore:'set_vital'"),
    pytest.mark.timeout(240),  # what hangs has failed
]


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ausynth")]


configurations = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.integers(1, 40), min_size=1, max_size=3),
        "ratio": st.sampled_from([0, 0.1, 0.5, 2 / 3, 1]),
        "batch_size": st.integers(1, 9),
        "block_size": st.sampled_from([1, 4, 7]),
        "threads": st.sampled_from([0, 1, 2]),
        "seed": st.integers(0, 3),
    }
)


def build(c: dict, **options) -> MixedStream:
    sources = [FakeSource(size, name=f"s{i}", number=i) for i, size in enumerate(c["sizes"])]
    options = {"threads": c["threads"], "batch_size": c["batch_size"], "balance": None, **options}
    return MixedStream(
        sources,
        c["ratio"],
        generator=FakeGenerator(block_size=c["block_size"]),
        image_size=16,
        seed=c["seed"],
        **options,
    )


def bits(batch) -> tuple:
    return tuple(np.asarray(batch[k]).tobytes() for k in sorted(batch))


def samples(batch) -> list[tuple]:
    """Return a batch's samples, without the number of the batch that they came in."""
    names = [name for name in sorted(batch) if name != "step"]
    return [tuple(np.asarray(batch[name][row]).tobytes() for name in names) for row in range(len(batch["key"]))]


def run(stream: MixedStream, count: int, workers: int = 0, context: str | None = None) -> list:
    loader = DataLoader(stream, batch_size=None, num_workers=workers, multiprocessing_context=context)
    iterator = iter(loader)
    batches = list(islice(iterator, count))
    del iterator, loader
    return batches


@given(c=configurations, world=st.integers(1, 3))
@settings(max_examples=40)
def test_ranks_and_threads_share_one_sequence(c, world):
    whole = [bits(batch) for batch in run(build({**c, "threads": 0}), 6)]
    ranks = [run(build(c, rank=rank, world_size=world), 6 // world) for rank in range(world)]
    assert [bits(batch) for together in zip(*ranks) for batch in together] == whole[: 6 // world * world]


@given(c=configurations, workers=st.integers(1, 3))
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_forked_workers_share_one_sequence(c, workers):
    whole = [bits(batch) for batch in run(build(c), 7)]
    assert [bits(batch) for batch in run(build(c), 7, workers, "fork")] == whole


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_spawned_workers_share_one_sequence(workers):
    c = {"sizes": [30, 7], "ratio": 0.5, "batch_size": 6, "block_size": 4, "threads": 2, "seed": 1}
    whole = [bits(batch) for batch in run(build(c), 7)]
    assert [bits(batch) for batch in run(build(c), 7, workers, "spawn")] == whole


@given(
    c=configurations,
    stop=st.integers(1, 5),
    before=st.tuples(st.integers(1, 3), st.integers(0, 2)),
    after=st.tuples(st.integers(1, 3), st.integers(0, 2)),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
def test_resume_with_other_workers_and_ranks_loses_and_repeats_nothing(c, stop, before, after):
    (world, workers), (new_world, new_workers) = before, after
    streams = [build(c, rank=rank, world_size=world) for rank in range(world)]
    seen = [run(stream, stop, workers) for stream in streams]
    states = [stream.state_dict(after=batches[-1]) for stream, batches in zip(streams, seen)]
    assert all(state == states[0] for state in states)
    resumed = [build(c, rank=rank, world_size=new_world) for rank in range(new_world)]
    for stream in resumed:
        stream.load_state_dict(states[0])
    rest = [run(stream, 3, new_workers) for stream in resumed]
    in_order = [batch for together in (*zip(*seen), *zip(*rest)) for batch in together]
    whole = run(build(c), len(in_order))
    assert [s for batch in in_order for s in samples(batch)] == [s for batch in whole for s in samples(batch)]


@pytest.mark.parametrize("batch_size", [6, None])
@pytest.mark.parametrize("workers", [0, 2])
def test_stateful_data_loader(workers, batch_size):
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    c = {"sizes": [30, 7], "ratio": 0.5, "batch_size": batch_size, "block_size": 4, "threads": 2, "seed": 1}
    options = {"batch_size": None if batch_size else 10, "num_workers": workers}

    def keys(loader, count):
        return [batch["key"].tolist() for batch in islice(iter(loader), count)]

    whole = keys(stateful(build(c), **options), 9)
    loader = stateful(build(c), **options)
    iterator = iter(loader)
    seen = [next(iterator)["key"].tolist() for _ in range(4)]
    state = loader.state_dict()
    del iterator, loader
    again = stateful(build(c), **options)
    again.load_state_dict(state)
    assert seen + keys(again, 5) == whole


def test_memory_does_not_grow_with_the_index_or_the_number_of_frames():
    """Beyond labels and identities, a stream over 10^7 frames holds as much as one over 10^3."""

    def extra(frames: int) -> int:
        source = FakeSource(frames, aus=(12,))
        tracemalloc.start()
        stream = MixedStream(
            source, 0.5, generator=FakeGenerator(), image_size=16, balance=None, batch_size=64, threads=0
        )
        for step in (0, 1, 10**3, 10**9):
            stream.batch(step)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    assert extra(10**7) < extra(10**3) + 2**20 + 10**7  # one bool a frame, to know what is unknown


def test_a_cuda_device_is_refused_where_there_is_none_and_in_workers():
    c = {"sizes": [9], "ratio": 0.5, "batch_size": 4, "block_size": 1, "threads": 1, "seed": 0}
    if not torch.cuda.is_available():
        with pytest.raises(ConfigurationError, match="device 'cuda' without CUDA"):
            build(c, device="cuda")
    with pytest.raises(ConfigurationError, match="device 'gpu'"):
        build(c, device="gpu")
    stream = build(c, device="cpu")
    assert next(iter(stream))["image"].device.type == "cpu"
    with pytest.raises(ConfigurationError, match="device='cpu' in a DataLoader worker"):
        run(build(c, device="cpu"), 1, workers=1)


def test_a_generator_on_cuda_is_refused_in_worker_processes():
    class OnCuda(FakeGenerator):
        device = "cuda:0"

    stream = MixedStream(FakeSource(9), generator=OnCuda(), image_size=16, balance=None, batch_size=4)
    assert next(iter(stream))["image"].shape == (4, 3, 16, 16)
    with pytest.raises(ConfigurationError, match="generator 'fake' on CUDA in a DataLoader worker.*leave num_workers"):
        run(stream, 1, workers=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_arrive_whole_on_cuda():
    c = {"sizes": [30, 7], "ratio": 0.5, "batch_size": 6, "block_size": 4, "threads": 2, "seed": 1}
    there = run(build(c, device="cuda"), 8)
    assert all(batch["image"].is_cuda for batch in there)
    here = [{k: v.cpu() if isinstance(v, torch.Tensor) else v for k, v in batch.items()} for batch in there]
    assert [bits(batch) for batch in here] == [bits(batch) for batch in run(build(c), 8)]


def test_interrupting_the_loop_ends_it_at_once(tmp_path):
    script = tmp_path / "loop.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from fakes import FakeGenerator, FakeSource\n"
        "from ausynth import MixedStream\n"
        "options = {'generator': FakeGenerator(block_size=8), 'image_size': 16, 'batch_size': 8, 'balance': None}\n"
        "stream = MixedStream(FakeSource(50), **options)\n"
        "for batch in stream:\n"
        "    print(batch['step'], flush=True)\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(script)], text=True, **pipes) as process:
        try:
            assert process.stdout.readline() == "0\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode != 0
    assert errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("library", ["albumentations", "torchvision"])
def test_transforms_do_not_depend_on_the_threads(library):
    def transform():
        if library == "albumentations":
            import albumentations as a

            return a.Compose([a.RandomCrop(12, 12), a.HorizontalFlip(p=0.5), a.RandomBrightnessContrast(p=1)])
        from torchvision.transforms import v2

        return v2.Compose([v2.RandomCrop(12), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4)])

    c = {"sizes": [40], "ratio": 0.5, "batch_size": 8, "block_size": 1, "threads": 0, "seed": 0}
    alone = build(c, transform=transform())
    whole = [bits(alone.batch(k)) for k in range(8)]
    before = torch.get_rng_state()
    for threads in (1, 3):
        stream = build({**c, "threads": threads}, transform=transform())
        assert [bits(batch) for batch in islice(stream, 8)] == whole
    assert torch.equal(before, torch.get_rng_state())


def test_stats_say_where_the_time_went_and_what_was_made():
    c = {"sizes": [40, 20], "ratio": 0.5, "batch_size": 8, "block_size": 4, "threads": 2, "seed": 0}
    stream = build(c, steps_per_epoch=6)
    list(stream)
    stats = stream.stats()
    assert sum(stats["counts"].values()) == 48
    assert stats["counts"]["synthetic"] == 24
    assert {"wait", "generate", "assemble"} <= stats["seconds"].keys()
    assert all(seconds >= 0 for seconds in stats["seconds"].values())


def test_far_samples_cost_what_near_ones_do():
    """The same calls are made for sample 10 and for sample 10^9: nothing is walked through."""
    import cProfile

    def calls(step: int) -> int:
        stream = build({"sizes": [1000], "ratio": 0.5, "batch_size": 8, "block_size": 1, "threads": 0, "seed": 0})
        stream.batch(0)  # what is looked up by the block is looked up anew for each of the steps below
        profile = cProfile.Profile()
        profile.runcall(stream.batch, step)
        return sum(entry.callcount for entry in profile.getstats())

    near = [calls(step) for step in (1000, 2000, 3000, 4000, 5000)]
    assert calls(10**9 // 8) <= 1.5 * max(near)


class Slow(FakeGenerator):
    def generate(self, conditions):
        time.sleep(0.05)
        return super().generate(conditions)


class Broken(FakeGenerator):
    def generate(self, conditions):
        raise RuntimeError("out of memory on the device")


@pytest.mark.parametrize(("workers", "block_size"), [(0, 1), (0, 8), (2, 8)])
def test_a_generator_that_raises_ends_the_loop_with_its_cause(block_size, workers):
    stream = MixedStream(
        FakeSource(50), generator=Broken(block_size=block_size), image_size=16, balance=None, batch_size=8
    )
    with pytest.raises(RuntimeError, match="out of memory on the device"):
        run(stream, 3, workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_source_that_raises_ends_the_loop_with_its_cause(workers):
    stream = MixedStream(FakeSource(50, corrupt=range(50)), 0, image_size=16, balance=None, batch_size=8)
    with pytest.raises(FrameError, match="damaged"):
        run(stream, 3, workers)


def refuse(image):
    raise ValueError("no such picture")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_transform_that_raises_ends_the_loop_with_its_cause(workers):
    stream = MixedStream(FakeSource(50), 0, image_size=16, balance=None, batch_size=8, transform=refuse)
    with pytest.raises(ValueError, match="no such picture"):
        run(stream, 3, workers)


def test_a_killed_worker_is_noticed():
    stream = MixedStream(FakeSource(50), generator=Slow(block_size=8), image_size=16, balance=None, batch_size=8)
    iterator = iter(DataLoader(stream, batch_size=None, num_workers=2))
    next(iterator)
    os.kill(iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="DataLoader worker .* killed|exited unexpectedly"):
        list(islice(iterator, 1000))
    del iterator


def test_leaving_the_loop_ends_the_threads():
    stream = MixedStream(
        FakeSource(50), generator=Slow(block_size=8), image_size=16, balance=None, batch_size=8, threads=2
    )
    iterator = iter(stream)
    next(iterator)
    assert ours()
    iterator.close()
    assert not ours()
    for _ in islice(stream, 2):
        pass
    del _


def test_closing_one_iterator_leaves_another_alone():
    stream = MixedStream(
        FakeSource(50), generator=Slow(block_size=8), image_size=16, balance=None, batch_size=8, threads=2
    )
    first, second = iter(stream), iter(stream)
    next(first), next(second)
    first.close()
    assert ours()
    assert len(list(islice(second, 6))) == 6
    second.close()
    assert not ours()


def test_dropping_the_iterator_ends_the_threads():
    stream = MixedStream(
        FakeSource(50), generator=Slow(block_size=8), image_size=16, balance=None, batch_size=8, threads=2
    )
    iterator = iter(stream)
    next(iterator)
    del iterator
    gc.collect()
    deadline = time.monotonic() + 20
    while ours() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not ours()


def test_the_loop_holds_the_threads_back():
    made = []

    def make(task):
        made.append(task)
        return task

    iterator = prefetch(make, range(1000), threads=2, ahead=3)
    assert next(iterator) == 0
    time.sleep(0.2)
    assert len(made) <= 4
    iterator.close()


def test_prefetch_keeps_the_order_whatever_is_quick():
    def make(n):
        time.sleep(0.01 * (n % 3))
        return n

    assert list(prefetch(make, range(20), threads=3, ahead=5)) == list(range(20))


def _rank(rank: int, world: int, store: str, results) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    c = {"sizes": [31, 5], "ratio": 0.5, "batch_size": 4, "block_size": 4, "threads": 1, "seed": 0}
    stream = build(c, steps_per_epoch=5)
    steps = torch.tensor(0)
    for batch in DataLoader(stream, batch_size=None, num_workers=rank):  # 0, 1, 2 workers: they need not agree
        torch.distributed.all_reduce(torch.ones(1))  # hangs where a rank has fewer batches
        steps += 1
        assert batch["step"] == rank + 3 * (int(steps) - 1)
    torch.distributed.all_reduce(steps)
    results.put(int(steps))
    torch.distributed.destroy_process_group()


def test_three_gloo_processes_end_together(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_rank, args=(rank, 3, str(tmp_path / "store"), results)) for rank in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    try:
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert [results.get(timeout=10) for _ in range(3)] == [15, 15, 15]
    finally:
        for process in processes:
            process.kill()
            process.join()
        results.close()
        results.join_thread()
