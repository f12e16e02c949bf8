"""A stream with a cache gives what it gives without one, whoever filled it, and says clearly what it cannot give."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import FakeGenerator, FakeSource
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ausynth import MixedStream, Store
from ausynth.errors import ConfigurationError, DamagedError, GenerationError, StoreError
from ausynth.labels import Labels

BATCH = 6


def stream(cache: Path | None = None, *, block_size: int = 4, generator: object = "fake", **options) -> MixedStream:
    made = FakeGenerator(block_size=block_size) if generator == "fake" else generator
    settings = {
        "ratio": 0.5,
        "image_size": 16,
        "batch_size": BATCH,
        "seed": 3,
        "threads": 0,
        "balance": None,
        **options,
    }
    if settings["ratio"] == 1:
        return MixedStream(None, generator=made, cache=cache, **settings)
    return MixedStream(FakeSource(50), generator=made, cache=cache, **settings)


def pixels(batches) -> list[bytes]:
    return [batch["image"].numpy().tobytes() for batch in batches]


def require_equal(found: list, wanted: list) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(torch.nan_to_num(value.float(), -1), torch.nan_to_num(other[name].float(), -1)), name
            else:
                assert value == other[name]


@pytest.mark.parametrize("block_size", [1, 4])
@pytest.mark.parametrize("threads", [0, 2])
def test_a_warm_stream_equals_a_cold_one(tmp_path, block_size, threads):
    cold = list(islice(stream(block_size=block_size, threads=threads), 12))
    generator = FakeGenerator(block_size=block_size)
    filling = stream(tmp_path, generator=generator, threads=threads, steps_per_epoch=12)
    require_equal(list(filling), cold)
    assert generator.calls
    again = FakeGenerator(block_size=block_size)
    warm = stream(tmp_path, generator=again, threads=threads, steps_per_epoch=12)
    require_equal(list(warm), cold)
    assert not again.calls
    assert warm.plan == filling.plan == stream(block_size=block_size).plan


@settings(max_examples=20)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.sampled_from([1, 4]))
def test_batches_in_any_order_equal_those_without_a_cache(tmp_path_factory, numbers, block_size):
    folder = tmp_path_factory.mktemp("cache")
    plain = stream(block_size=block_size)
    for _ in range(2):
        cached = stream(folder, block_size=block_size)
        require_equal([cached.batch(k) for k in numbers], [plain.batch(k) for k in numbers])
        cached._assembler.synthetic.memo.flush()


def test_a_stream_without_a_generator_shows_what_is_stored_and_carries_its_state_over(tmp_path):
    filling = stream(tmp_path)
    assert filling.warm(0, 40) == 40
    bare = stream(tmp_path, generator=None, on_exhausted="stop")
    batches = list(bare)
    require_equal(batches, list(islice(stream(), len(batches))))
    assert bare.plan == filling.plan
    resumed = stream(tmp_path, generator=None, on_exhausted="stop")
    resumed.load_state_dict(filling.state_dict(after=batches[3]))
    require_equal(list(islice(resumed, 2)), batches[4:6])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_read_a_warm_cache(tmp_path, workers):
    stream(tmp_path).warm(0, 40)
    bare = stream(tmp_path, generator=None, on_exhausted="stop")
    alone = list(bare)
    assert len(alone) == 13  # 40 faces at 3 a batch
    require_equal(list(DataLoader(bare, batch_size=None, num_workers=workers)), alone)


def test_all_ranks_stop_at_the_same_batch(tmp_path):
    stream(tmp_path).warm(0, 40)
    lengths = {
        len(list(stream(tmp_path, generator=None, on_exhausted="stop", rank=rank, world_size=4))) for rank in range(4)
    }
    assert lengths == {3}


def test_a_stream_that_stops_begins_again_when_iterated_again(tmp_path):
    stream(tmp_path).warm(0, 20)
    bare = stream(tmp_path, generator=None, on_exhausted="stop")
    with pytest.warns(UserWarning, match="used up: the iteration ends here") as said:
        first, second = pixels(bare), pixels(bare)
    assert first == second
    assert len(said) == 1


def test_stored_faces_come_again_and_this_is_said_once(tmp_path):
    stream(tmp_path, ratio=1).warm(0, 12)
    bare = stream(tmp_path, generator=None, ratio=1)
    with pytest.warns(UserWarning, match="12 stored faces are used up") as said:
        batches = pixels(islice(bare, 8))
    assert len(said) == 1
    assert batches == batches[:2] * 4
    with pytest.raises(ConfigurationError, match="a state of plan"):  # where it repeats is part of what sample k is
        bare.load_state_dict(stream(tmp_path, ratio=1).state_dict())


def test_beyond_the_stored_faces_a_generator_goes_on(tmp_path):
    stream(tmp_path).warm(0, 8)
    generator = FakeGenerator(block_size=4)
    require_equal(list(islice(stream(tmp_path, generator=generator), 6)), list(islice(stream(), 6)))
    assert len(generator.calls) == 3  # ordinals 8-19


def test_what_cannot_be_given_is_refused_before_the_first_batch(tmp_path):
    stream(tmp_path).warm(0, 8)
    with pytest.raises(StoreError, match="has no sample 0 of plan .* synthetic=FOLDER"):
        stream(tmp_path, generator=None, seed=4)
    with pytest.raises(ConfigurationError, match="on_exhausted='generate' with generator=None"):
        stream(tmp_path, generator=None, on_exhausted="generate")
    with pytest.raises(ConfigurationError, match="generator=None without a cache"):
        stream(generator=None)
    with pytest.raises(StoreError, match="fingerprint"):
        stream(tmp_path, block_size=1)
    with pytest.raises(StoreError):
        stream(tmp_path / "none", cache_mode="read")
    assert not (tmp_path / "none").exists()
    for wrong in ({"cache_mode": "write"}, {"cache_codec": "png"}, {"cache_limit": "many"}, {"on_exhausted": "end"}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            stream(tmp_path / "new", **wrong)
    with pytest.raises(ConfigurationError, match="on_exhausted='stop' without a cache"):
        stream(on_exhausted="stop")


def test_reading_mode_writes_nothing(tmp_path):
    stream(tmp_path).warm(0, 8)
    before = sorted(path.name for path in tmp_path.rglob("*.h5"))
    with pytest.warns(UserWarning, match="lacks faces.*synthetic sample 8 and others.*not stored"):
        assert len(list(islice(stream(tmp_path, cache_mode="read"), 10))) == 10
    assert sorted(path.name for path in tmp_path.rglob("*.h5")) == before
    with pytest.raises(ConfigurationError, match="cache_mode='readwrite'"):
        stream(tmp_path, cache_mode="read").warm(0, 8)


def dim(images, labels):
    """Reject the darker half of the fakes."""
    return images.reshape(len(images), -1).mean(axis=1) < 127


def test_rejected_faces_are_replaced_alike_warm_and_cold(tmp_path):
    for block_size in (1, 4):
        folder = tmp_path / str(block_size)
        cold = list(islice(stream(reject=dim, block_size=block_size), 8))
        require_equal(list(islice(stream(folder, reject=dim, block_size=block_size), 8)), cold)
        again = FakeGenerator(block_size=block_size)
        require_equal(list(islice(stream(folder, reject=dim, generator=again), 8)), cold)
        assert not again.calls


@pytest.mark.parametrize("block_size", [1, 4])
def test_plans_that_ask_for_the_same_face_share_it(tmp_path, block_size):
    """A plan that rejects faces asks first for those that the plan without rejection shows."""
    stream(tmp_path, block_size=block_size).warm(0, 24)
    generator = FakeGenerator(block_size=block_size)
    rejecting = stream(tmp_path, generator=generator, reject=dim)
    require_equal(list(islice(rejecting, 8)), list(islice(stream(block_size=block_size, reject=dim), 8)))
    fresh = FakeGenerator(block_size=block_size)
    list(islice(stream(generator=fresh, reject=dim), 8))
    assert 0 < sum(generator.calls) <= sum(fresh.calls) - 24  # first attempts are read, only later ones are made
    # The other way round: nothing of a plan that is stored under another name is made again.
    plain = FakeGenerator(block_size=block_size)
    assert stream(tmp_path, generator=plain, ratio=0.25).warm(0, 24) == 0
    assert not plain.calls


@pytest.mark.parametrize("block_size", [1, 4])
def test_faces_of_another_plan_and_new_ones_are_stored_together_as_jpegs(tmp_path, block_size):
    stream(tmp_path, block_size=block_size, cache_codec="jpeg").warm(0, 12)  # the new plan asks for more than these
    options = {"block_size": block_size, "reject": dim, "steps_per_epoch": 8, "batch_size": 7}
    first = list(stream(tmp_path, **options))
    require_equal(list(stream(tmp_path / "own", cache_codec="jpeg", **options)), first)
    again = FakeGenerator(block_size=block_size)
    require_equal(list(stream(tmp_path, **{**options, "generator": again})), first)


def test_content_of_another_plan_counts_as_stored(tmp_path):
    stream(tmp_path, reject=never).warm(0, 24)
    other = stream(tmp_path, ratio=0.25)
    assert other.stored(0, 26).tolist() == [True] * 24 + [False] * 2
    assert other.warm(0, 24) == 0
    bare = stream(tmp_path, generator=None, on_exhausted="stop", ratio=0.5)
    require_equal(list(bare), list(islice(stream(), 8)))


def never(images, labels):
    """Reject nothing."""
    return np.zeros(len(images), bool)


def test_warming_makes_what_is_missing_and_says_how_many(tmp_path):
    steps = []
    filling = stream(tmp_path, block_size=4)
    assert filling.block_size == 4
    assert filling.warm(4, 12, steps.append) == 8
    assert sum(steps) == 8
    assert filling.stored(0, 16).tolist() == [False] * 4 + [True] * 8 + [False] * 4
    assert filling.warm(0, 16) == 8
    assert filling.warm(0, 16) == 0
    assert filling.warm(17, 18) == 4  # whole blocks
    assert len(Store(tmp_path)) == 20


def test_a_full_disk_is_said_once_and_training_goes_on(tmp_path):
    filling = stream(tmp_path)
    filling._assembler.synthetic.memo._writer.write = _full
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        require_equal(list(islice(filling, 5)), list(islice(stream(), 5)))
        filling.batch(7)
        filling._assembler.synthetic.memo.flush()
    assert ["disk is full" in str(w.message) and "stores nothing and goes on" in str(w.message) for w in said] == [True]


def _full(parts):
    raise StoreError("the disk is full")


def test_nothing_is_stored_beyond_the_limit(tmp_path):
    limited = stream(tmp_path, cache_limit="0.1MB", ratio=1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(8):
            list(islice(limited, 5))
            limited._assembler.synthetic.memo.flush()
    assert ["nothing is ever deleted" in str(warning.message) for warning in said] == [True]
    assert 30_000 < Store(tmp_path).bytes_on_disk <= 100_000


def test_a_damaged_face_is_made_again_where_there_is_a_generator(tmp_path):
    stream(tmp_path, ratio=1).warm(0, 12)
    cold = pixels(islice(stream(ratio=1), 2))
    (shard,) = tmp_path.rglob("*.h5")
    data = bytearray(shard.read_bytes())
    place = data.find(stream(ratio=1).batch(0)["image"].permute(0, 2, 3, 1).contiguous().numpy()[4].tobytes())
    assert place > 0
    data[place + 100] ^= 4
    shard.write_bytes(data)
    with pytest.warns(UserWarning, match="cache repair.*generated anew"):
        assert pixels(islice(stream(tmp_path, ratio=1), 2)) == cold
    with pytest.raises(DamagedError, match=f"{shard.name}.*cache repair"):
        list(islice(stream(tmp_path, ratio=1, generator=None), 2))


def test_a_cache_of_jpegs_shows_the_same_whether_or_not_it_was_stored(tmp_path):
    cold = stream(tmp_path, cache_codec="jpeg:80")
    first = list(islice(cold, 8))
    warm = stream(tmp_path, generator=FakeGenerator(block_size=4))
    require_equal(list(islice(warm, 8)), first)
    assert warm.plan == cold.plan != stream().plan  # other pixels, another plan
    with pytest.raises(StoreError, match="codec"):
        stream(tmp_path, cache_codec="raw")


def _fill(folder: Path, start: int) -> None:
    stream(folder).warm(start, start + 20)


def test_processes_share_a_cache(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(tmp_path, start)) for start in (0, 20, 10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert stream(tmp_path).stored(0, 40).all()
    require_equal(list(stream(tmp_path, generator=None, on_exhausted="stop")), list(islice(stream(), 13)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_workers_generate_is_stored_when_they_end(tmp_path, method):
    filling = stream(tmp_path, steps_per_epoch=8)
    loader = DataLoader(filling, batch_size=None, num_workers=2, multiprocessing_context=method)
    assert len(list(loader)) == 8
    assert stream(tmp_path).stored(0, 24).all()


@pytest.mark.parametrize("end", ["", "raise RuntimeError('out of memory')"])
def test_what_a_script_generated_last_is_stored_when_it_ends(tmp_path, end):
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_cache import stream\n"
        f"kept = stream({str(tmp_path)!r})\n"
        f"kept.batch(0)\n{end}\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == (1 if end else 0), ended.stderr
    assert stream(tmp_path).stored(0, BATCH // 2).all()


def test_a_stream_sees_what_others_store_meanwhile(tmp_path):
    generator = FakeGenerator(block_size=4)
    late = stream(tmp_path, generator=generator)
    stream(tmp_path).warm(0, 24)
    require_equal(list(islice(late, 8)), list(islice(stream(), 8)))
    assert not generator.calls


class Relabelled(FakeGenerator):
    """Shows an AU 25 that nobody asked for in every third face."""

    def generate(self, conditions):
        made = super().generate(conditions)
        intensity = conditions.intensity.copy()
        intensity[conditions.noise % 3 == 0, self.aus.index(25)] = 4
        return type(made)(made.images, Labels.from_intensity(self.aus, intensity))


def pool(folder: Path, count: int = 30) -> Path:
    stream(folder, generator=Relabelled(block_size=4), ratio=1).warm(0, count)
    return folder


def test_a_pool_shows_each_face_once_with_its_final_labels(tmp_path):
    store = Store(pool(tmp_path))
    shown = stream(generator="rendered", synthetic=tmp_path, ratio=1, batch_size=len(store), aus=store.recipe.aus)
    batch = shown.batch(0)
    images = batch["image"].permute(0, 2, 3, 1).contiguous().numpy()
    assert len({image.tobytes() for image in images}) == len(store) == 32
    made = stream(generator=Relabelled(block_size=4), ratio=1, batch_size=32, aus=store.recipe.aus).batch(0)
    labels = {
        image.tobytes(): row.tolist()
        for image, row in zip(made["image"].permute(0, 2, 3, 1).contiguous().numpy(), made["intensity"])
    }
    assert [labels[image.tobytes()] for image in images] == batch["intensity"].tolist()
    assert pixels([shown.batch(0)]) != pixels([shown.batch(1)])  # the next round has another order


def test_one_pool_serves_every_ratio_and_any_order_of_shards(tmp_path):
    pool(tmp_path / "one")
    for start in (16, 0, 8, 24):  # the same faces, in other shards
        stream(tmp_path / "two", generator=Relabelled(block_size=4), ratio=1).warm(start, start + 8)
    for ratio in (0.25, 0.5, 1):
        one, two = (stream(generator="rendered", synthetic=tmp_path / name, ratio=ratio) for name in ("one", "two"))
        assert one.plan == two.plan
        batches = list(islice(one, 8))
        require_equal(list(islice(two, 8)), batches)
        assert sum(int(batch["synthetic"].sum()) for batch in batches) == 48 * ratio


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_threads_read_a_pool(tmp_path, workers):
    pool(tmp_path)
    shown = stream(generator="rendered", synthetic=tmp_path, steps_per_epoch=9, threads=2)
    wanted = [shown.batch(k) for k in range(9)]
    require_equal(list(DataLoader(shown, batch_size=None, num_workers=workers)), wanted)


def test_what_a_pool_shows_can_be_rejected(tmp_path):
    pool(tmp_path)
    shown = stream(generator="rendered", synthetic=tmp_path, reject=dim, ratio=1)
    batches = list(islice(shown, 8))
    assert not any(dim(batch["image"].permute(0, 2, 3, 1).numpy(), None).any() for batch in batches)
    assert shown.stats()["rejected"] > 0
    require_equal(batches, [shown.batch(k) for k in range(8)])
    with pytest.raises(GenerationError, match="rejected 17 times.*larger pool"):
        stream(generator="rendered", synthetic=tmp_path, reject=everything).batch(0)


def everything(images, labels):
    """Reject all."""
    return np.ones(len(images), bool)


def test_a_pool_is_not_generated(tmp_path):
    pool(tmp_path)
    with pytest.raises(ConfigurationError, match="cache or generator with synthetic="):
        stream(tmp_path, generator="rendered", synthetic=tmp_path)
    with pytest.raises(ConfigurationError, match="a stream that generates nothing"):
        stream(generator="rendered", synthetic=tmp_path).warm(0, 8)
    with pytest.raises(StoreError):
        stream(generator="rendered", synthetic=tmp_path / "none")


def test_a_cached_stream_does_not_warn_where_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(islice(stream(tmp_path), 5))
        list(islice(stream(tmp_path), 5))


def test_a_stream_is_handed_on_as_a_data_set(tmp_path):
    for name, options in (("cold", {}), ("pool", {"generator": "rendered", "synthetic": pool(tmp_path / "store")})):
        shown = stream(ratio=1, **options)
        found = shown.to_hf(10, tmp_path / name)
        wanted = [shown.batch(k) for k in range(2)]
        images = torch.cat([batch["image"] for batch in wanted])[:10].permute(0, 2, 3, 1).numpy()
        assert all(np.array_equal(np.asarray(row["image"]), image) for row, image in zip(found, images))
        column = shown.aus.index(12)
        intensity = torch.cat([batch["intensity"] for batch in wanted])[:10, column]
        assert [row["AU12_intensity"] for row in found] == intensity.tolist()
    with pytest.raises(ConfigurationError, match="50% is real.*licensed, and never exported"):
        stream().to_hf(10, tmp_path / "real")
