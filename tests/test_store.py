"""A store gives back exactly what was put into it, whoever wrote it and whoever reads it."""

from __future__ import annotations

import errno
import gc
import itertools
import multiprocessing
import os
import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stores import (
    AUS,
    CODECS,
    JPEG,
    RECIPE,
    SIZE,
    coded,
    names,
    picture,
    read,
    require_equal,
    require_holds,
    samples_of,
    shown,
    write,
)

from ausynth.errors import ConfigurationError, DamagedError, StoreError
from ausynth.labels import Labels
from ausynth.store import Recipe, Samples, Store
from ausynth.store.manifest import locked, read_lines


@pytest.fixture(params=["raw", "jpeg"])
def store(request, tmp_path) -> Store:
    """Return a store of three shards and two plans."""
    store = Store.create(tmp_path / "store", CODECS[request.param])
    write(store, range(10))
    write(store, [*range(10, 17), 40, 42])
    write(store, range(5), plan="other", salt=1)
    return store


# What is written is what is read


def test_samples_come_back_in_any_order_and_as_often_as_asked(store):
    numbers = [42, 3, 3, 16, 0, 40, 9, 10, 3, 4, 5]
    require_holds(store, numbers)
    require_holds(Store(store.folder), numbers)
    require_holds(store, [4, 0, 1], plan="other", salt=1)
    assert len(store) == 24
    assert store.plans() == {"plan": 19, "other": 5}
    assert store.numbers("plan").tolist() == [*range(17), 40, 42]
    assert store.numbers("nobody's").tolist() == []


def test_what_is_not_stored_is_not_found(store):
    assert store.find("plan", np.array([-1, 17, 39, 41, 43, 10**15])).tolist() == [-1] * 6
    assert store.find("nobody's", np.array([0])).tolist() == [-1]
    assert store.find("plan", np.array([], np.int64)).tolist() == []
    with pytest.raises(ConfigurationError, match="find"):
        read(store, [-1])
    with pytest.raises(ConfigurationError, match="3 shards"):
        store.samples(np.array([3 << 20]))
    with pytest.raises(ConfigurationError, match="row 10"):
        read(store, store.find("plan", np.array([9])) + 1)
    with pytest.raises(ConfigurationError, match="row 10"):
        store.samples(store.find("plan", np.array([9])) + 1)


def test_nothing_asked_for_is_nothing_given(store):
    store.read(np.array([], np.int64), np.empty((0, SIZE, SIZE, 3), np.uint8))
    assert len(store.samples(np.array([], np.int64))) == 0


def test_rows_of_a_batch_may_lie_apart(store):
    places = store.find("plan", np.array([2, 15, 1]))
    batch = np.full((6, SIZE, SIZE, 3), 9, np.uint8)
    store.read(places, batch[::2])
    assert (batch[::2] == read(store, places)).all()
    assert (batch[1::2] == 9).all()
    store.read(places, batch[4::-2])
    assert (batch[4::-2] == read(store, places)).all()


def test_a_place_for_pictures_that_does_not_fit_is_refused(store):
    places = store.find("plan", np.array([0, 1]))
    for out in (
        np.empty((2, SIZE, SIZE, 3), np.float32),
        np.empty((3, SIZE, SIZE, 3), np.uint8),
        np.empty((2, SIZE + 1, SIZE, 3), np.uint8),
        np.empty((2, 3, SIZE, SIZE), np.uint8).transpose(0, 2, 3, 1),
        np.empty((2, SIZE, 2 * SIZE, 3), np.uint8)[:, :, ::2],
    ):
        with pytest.raises(ConfigurationError, match="out"):
            store.read(places, out)
    frozen = np.empty((2, SIZE, SIZE, 3), np.uint8)
    frozen.flags.writeable = False
    with pytest.raises(ConfigurationError, match="out"):
        store.read(places, frozen)


cells = st.floats(0, 5, width=32) | st.just(float("nan"))


@settings(max_examples=30)
@given(data=st.data())
def test_any_labels_texts_and_numbers_come_back_bit_by_bit(tmp_path_factory, data):
    count = data.draw(st.integers(1, 6), label="count")
    shape = (count, len(AUS))
    occurrence = data.draw(hnp.arrays(np.float32, shape, elements=st.sampled_from([0, 1, float("nan")])))
    whole = hnp.arrays(np.int64, count, elements=st.integers(-(2**63), 2**63 - 1))
    expected = Samples(
        number=np.array(data.draw(st.lists(st.integers(0, 2**62), min_size=count, max_size=count, unique=True))),
        key=data.draw(hnp.arrays(np.uint8, (count, 16))),
        labels=Labels(
            AUS,
            data.draw(hnp.arrays(np.float32, shape, elements=cells)),
            occurrence,
            data.draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))),
        ),
        asked=data.draw(hnp.arrays(np.float32, shape, elements=cells)),
        identity=data.draw(whole),
        noise=data.draw(whole),
        attempt=data.draw(whole),
        # Names of files may hold what is no Unicode character.
        text=tuple(data.draw(st.lists(st.text(st.characters()), min_size=count, max_size=count))),
    )
    recipe = CODECS[data.draw(st.sampled_from(sorted(CODECS)))]
    images: Any = np.stack([picture(row) for row in range(count)])
    if recipe.codec == "jpeg":
        images = [coded(row) for row in range(count)]
    store = Store.create(tmp_path_factory.mktemp("any"), recipe)
    plan = data.draw(st.text(max_size=5))
    store.write(expected, images, plan=plan, configuration={"text": data.draw(st.text())})
    rows = data.draw(st.lists(st.integers(0, count - 1), max_size=12), label="rows")
    again = Store(store.folder)
    places = again.find(plan, expected.number[rows])
    require_equal(again.samples(places), expected.rows(rows))
    out = read(again, places)
    assert all((image == shown(recipe, row)).all() for image, row in zip(out, rows))
    assert again.find_keys(expected.key[rows]).shape == (len(rows),)
    assert (again.samples(again.find_keys(expected.key[rows])).key == expected.key[rows]).all()


def test_a_plan_may_have_a_zero_in_its_name(tmp_path):
    store = Store.create(tmp_path, RECIPE)
    write(store, [0], plan="a\0b")
    assert Store(tmp_path).plans() == {"a\0b": 1}


@settings(max_examples=50)
@given(
    shards=st.lists(st.sets(st.integers(0, 40), min_size=1), min_size=1, max_size=6),
    wanted=st.lists(st.integers(-3, 45), max_size=30),
)
def test_each_number_is_found_once_whatever_shards_overlap(tmp_path_factory, shards, wanted):
    store = Store.create(tmp_path_factory.mktemp("overlap"), RECIPE)
    for shard in shards:
        write(store, shard)
    stored = set.union(*shards)
    assert store.numbers("plan").tolist() == sorted(stored)
    assert len(store) == len(stored) == store.plans()["plan"]
    assert len(store.places()) == len(stored)
    found = store.find("plan", np.array(wanted, np.int64))
    assert [place >= 0 for place in found.tolist()] == [number in stored for number in wanted]
    there = [number for number in wanted if number in stored]
    if there:
        require_holds(store, there)


def test_a_shard_larger_than_one_system_call_takes(tmp_path):
    store = Store.create(tmp_path, RECIPE)
    write(store, range(2500))
    require_holds(store, range(2500))
    require_holds(store, [*range(2000, 600, -1), *range(100)])


def test_jpeg_data_are_kept_as_they_are(tmp_path):
    store = Store.create(tmp_path, JPEG)
    write(store, [3, 1])
    (place,) = store.find("plan", np.array([3]))
    assert store.encoded(place) == coded(3)
    raw = Store.create(tmp_path / "raw", RECIPE)
    write(raw, [3, 1])
    assert raw.encoded(raw.find("plan", np.array([3]))[0]) == picture(3).tobytes()


def test_pictures_without_data_take_their_place(tmp_path):
    store = Store.create(tmp_path, JPEG)
    store.write(samples_of([0, 1]), [b"", b""])
    places = Store(tmp_path).find("", np.array([0, 1]))
    assert store.encoded(places[1]) == b""
    require_equal(store.samples(places), samples_of([0, 1]))
    with pytest.raises(DamagedError):
        read(store, places)


def test_other_tools_read_the_files(store):
    for name in sorted(path.name for path in store.folder.glob("*.h5")):
        with h5py.File(store.folder / name) as shard:
            plan, recipe = shard.attrs["plan"], store.recipe
            numbers = shard["samples/number"][:]
            salt = int(plan == "other")
            expected = samples_of(numbers, salt)
            assert (shard["labels/mask"][:] == expected.labels.mask).all()
            assert shard["labels/intensity"][:].tobytes() == expected.labels.intensity.tobytes()
            assert shard["labels/asked"][:].tobytes() == expected.asked.tobytes()
            starts, text = shard["text/offsets"][:], shard["text/data"][:].tobytes()
            assert [text[a:b].decode() for a, b in itertools.pairwise(starts)] == list(expected.text)
            data = shard["images/data"][:]
            if recipe.codec == "raw":
                assert (data == np.stack([picture(number, salt) for number in numbers])).all()
            else:
                edges = shard["images/offsets"][:]
                assert [data[a:b].tobytes() for a, b in itertools.pairwise(edges)] == [coded(n, salt) for n in numbers]
            facts = {name: shard.attrs[name] for name in ("kind", "codec", "fingerprint", "schema", "image_size")}
            assert facts == {
                "kind": "synthetic",
                "codec": recipe.codec,
                "fingerprint": "noise",
                "schema": 1,
                "image_size": SIZE,
            }
            assert shard.attrs["configuration"] == '{"ratio": 0.5}'
            assert shard.attrs["licence"] == recipe.about.get("licence", "")


# Writing


def test_the_same_samples_are_stored_once(store):
    before = names(store.folder)
    name = write(store, range(9, -1, -1))
    assert name == write(store, range(10))
    assert names(store.folder) == before
    assert len(store) == 24


def test_a_key_is_found_under_any_plan_and_listed_once(store):
    write(store, range(5, 12), plan="third")  # samples 5-11 of the first plan again
    assert len(store) == 31
    places = store.places()
    assert (np.diff(places) > 0).all()
    keys = store.samples(places).key
    assert len({key.tobytes() for key in keys}) == len(places) == 24
    assert store.find_keys(keys).tolist() == places.tolist()
    assert store.find_keys(np.full((2, 16), 255, np.uint8)).tolist() == [-1, -1]
    assert store.find_keys(np.empty((0, 16), np.uint8)).tolist() == []
    require_equal(store.columns(), store.samples(places))


def test_the_index_of_keys_takes_in_what_is_written_later(tmp_path):
    store = Store.create(tmp_path, RECIPE)
    for start in range(0, 60, 3):
        numbers = np.arange(start, start + 3)
        assert (store.find_keys(samples_of(numbers).key) == -1).all()
        write(store, numbers)
        everything = np.arange(start + 3)
        assert store.find_keys(samples_of(everything).key).tolist() == store.find("plan", everything).tolist()
    assert store.places().tolist() == store.find("plan", np.arange(60)).tolist()


def test_keys_that_end_in_zeros_are_told_apart(tmp_path):
    store = Store.create(tmp_path, RECIPE)
    key = np.zeros((3, 16), np.uint8)
    key[1, 0], key[2, 1] = 1, 1
    base = samples_of(range(3))
    store.write(Samples(**{**vars(base), "key": key}), np.stack([picture(number) for number in range(3)]), plan="plan")
    assert store.find_keys(key).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": samples_of([1, 2, 2])}, "twice"),
        ({"samples": samples_of([1, -2, 2])}, "negative"),
        ({"samples": samples_of([])}, "3 pictures for 0"),
        ({"samples": samples_of([1, 2])}, "3 pictures for 2"),
        ({"images": np.zeros((3, SIZE, SIZE), np.uint8)}, "uint8"),
        ({"images": np.zeros((3, SIZE, SIZE, 3), np.float32)}, "float32"),
        ({"images": [coded(1), coded(2), coded(3)]}, "list"),
        ({"configuration": {"a": object()}}, "JSON"),
        (
            {"samples": Samples(**{**vars(samples_of([1, 2, 3])), "labels": Labels.unknown((1, 2, 4), 3)})},
            "labels of AU",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, change, message):
    store = Store.create(tmp_path, RECIPE)
    before = names(tmp_path)
    given = {"samples": samples_of([1, 2, 3]), "images": np.zeros((3, SIZE, SIZE, 3), np.uint8), **change}
    with pytest.raises(ConfigurationError, match=message):
        store.write(**given)
    assert names(tmp_path) == before


def test_coded_pictures_are_looked_at(tmp_path):
    store = Store.create(tmp_path, JPEG)
    large = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    for images, message in (([b"no picture"], "JPEG data"), ([large], "16, 16"), ([picture(1)], "JPEG data")):
        with pytest.raises(ConfigurationError, match=message):
            store.write(samples_of([1]), images)


def test_columns_of_different_lengths_are_refused():
    whole = vars(samples_of([1, 2, 3]))
    for name in ("number", "key", "asked", "noise", "text"):
        with pytest.raises(ConfigurationError, match=r"shape|texts"):
            Samples(**{**whole, name: whole[name][:2]})


def test_samples_are_picked_and_put_together():
    samples = samples_of(range(6))
    require_equal(Samples.concatenate([samples.rows(slice(2)), samples.rows(np.array([2, 3, 4, 5]))]), samples)
    require_equal(samples.rows(np.arange(6) % 2 == 1), samples_of([1, 3, 5]))
    assert len(samples.rows([])) == 0


# Recipes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "real"}, "kind is 'synthetic', not 'real'"),
        ({"aus": (1, 12)}, "aus is (1, 12, 25), not (1, 12)"),
        ({"image_size": 16}, "image_size is 8, not 16"),
        ({"codec": "jpeg", "quality": 50}, "codec is 'raw', not 'jpeg', its quality is None, not 50"),
        ({"fingerprint": "other"}, "fingerprint is 'noise', not 'other'"),
    ],
)
def test_a_store_of_another_recipe_is_refused_in_words(tmp_path, change, words):
    Store.create(tmp_path, RECIPE)
    other = Recipe(**{**vars(RECIPE), **change})
    with pytest.raises(StoreError) as caught:
        Store.create(tmp_path, other)
    assert words in str(caught.value)
    assert Store(tmp_path).recipe == RECIPE


def test_what_a_recipe_says_about_itself_is_kept_and_decides_nothing(tmp_path):
    Store.create(tmp_path, RECIPE)
    again = Store.create(tmp_path, Recipe(**{**vars(RECIPE), "about": {"other": "words"}}))
    assert again.recipe == RECIPE
    assert again.recipe.about == RECIPE.about


@pytest.mark.parametrize("change", [{"kind": "painted"}, {"codec": "png"}, {"image_size": 0}, {"aus": (3,)}])
def test_a_recipe_that_cannot_be_is_refused(change):
    with pytest.raises(ConfigurationError):
        Recipe(**{**vars(RECIPE), **change})


def test_a_folder_without_a_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="holds no store"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="holds no store"):
        Store(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="verify"):
        Store(tmp_path, verify="always")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Store.create(tmp_path / "file", RECIPE)


# Processes and threads


def _create_and_write(folder: Path, start: Any, numbers: list[list[int]]) -> None:
    start.wait()
    store = Store.create(folder, RECIPE)
    for shard in numbers:
        write(store, shard)


def test_processes_create_and_write_at_once(tmp_path):
    folder = tmp_path / "store"
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    # Each writes shards of its own and one that all write.
    tasks = [[[100, 101], *([n, n + 1] for n in range(first, first + 20, 2))] for first in (0, 20, 40)]
    processes = [context.Process(target=_create_and_write, args=(folder, start, task)) for task in tasks]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = Store(folder)
    require_holds(store, [*range(60), 100, 101])
    assert len(store) == 62
    assert len(read_lines(folder)) == len(list(folder.glob("*.h5"))) == 31
    assert not list(folder.glob("*.part"))


def test_a_store_sees_what_others_list_when_it_looks(store):
    other = Store(store.folder)
    assert not other.refresh()
    write(store, [50])
    assert other.find("plan", np.array([50])).tolist() == [-1]
    before = other.find("plan", np.array([3, 42]))
    assert other.refresh()
    assert not other.refresh()
    require_holds(other, [50, 3])
    assert other.find("plan", np.array([3, 42])).tolist() == before.tolist()
    assert other.bytes_on_disk == sum(path.stat().st_size for path in store.folder.glob("*.h5"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_reads_and_writes_for_itself(store):
    require_holds(store, [1, 42])
    store._lock.__enter__()  # as if another thread were looking at the manifest at that moment
    try:
        child = os.fork()
        if child == 0:
            try:
                require_holds(store, [5, 16, 42])
                write(store, [70, 71])
                require_holds(store, [70])
                os._exit(0)
            finally:
                os._exit(1)
    finally:
        store._lock.__exit__()
    assert os.waitpid(child, 0)[1] == 0
    require_holds(store, [1, 42, 0])
    assert store.refresh()
    require_holds(store, [71])


def test_threads_share_a_store(store):
    wrong: list[BaseException] = []
    numbers = store.numbers("plan")

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            for step in range(30):
                require_holds(store, random.choice(numbers, 12).tolist())
                if step % 10 == 0:
                    write(store, [1000 * (seed + 1) + step])
                    require_holds(store, [1000 * (seed + 1) + step])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(Store(store.folder)) == 24 + 4 * 3


def test_a_pickled_store_opens_its_folder_anew(store):
    require_holds(store, [1])
    write(Store(store.folder), [60])
    copy = pickle.loads(pickle.dumps(Store(store.folder, verify="open")))
    assert (copy.folder, copy.verify, copy.recipe) == (store.folder, "open", store.recipe)
    require_holds(copy, [1, 60])
    assert len(pickle.dumps(store)) < 1000


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_few_files_are_open_at_a_time_and_none_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("ausynth.store.handles._OPEN_FILES", 4)
    store = Store.create(tmp_path, RECIPE)
    for number in range(12):
        write(store, [number])
    gc.collect()
    before = _open_files()
    for _ in range(2):
        require_holds(store, range(12))
        assert _open_files() <= before + 5
    del store
    gc.collect()
    assert _open_files() <= before


def test_columns_in_memory_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("ausynth.store.reading._COLUMNS", 1000)
    store = Store.create(tmp_path, RECIPE)
    for number in range(0, 40, 2):
        write(store, [number, number + 1])
    require_holds(store, range(40))
    kept = store._reader._columns._values.values()
    assert 0 < sum(columns.nbytes for columns in kept) <= 1000


# What goes wrong while writing


def _full(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("function", ["open", "write", "pwrite", "pwritev", "fsync", "ftruncate"])
def test_a_full_disk_is_said_and_nothing_is_left(store, monkeypatch, function):
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, function, _full)
        with pytest.raises(StoreError, match="disk is full"):
            write(store, [80, 81])
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before
    require_holds(store, [1, 42])
    assert store.find("plan", np.array([80])).tolist() == [-1]
    write(store, [80, 81])  # there is room again
    require_holds(Store(store.folder), [80, 81, 0])


def test_a_disk_that_fills_up_at_any_step_is_said_and_nothing_is_left(tmp_path, monkeypatch):
    """Let the n-th of all system calls that write fail, for every n."""
    store = Store.create(tmp_path, RECIPE)
    write(store, [0])
    before = names(tmp_path)
    real = {name: getattr(os, name) for name in ("open", "write", "pwrite", "pwritev", "fsync", "ftruncate")}
    said: list[str] = []
    for step in itertools.count():
        left = itertools.count(step, -1)

        def stand_in(name: str, left: Any = left) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                return _full() if next(left) == 0 else real[name](*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for name in real:
                patch.setattr(os, name, stand_in(name))
            try:
                write(store, [80, 81])
            except StoreError as error:
                said.append(str(error))
            else:
                break
        assert names(tmp_path) == before, step
        assert len(Store(tmp_path)) == 1
    assert len(said) > 10
    assert all("disk is full" in each for each in said)
    require_holds(store, [0, 80, 81])


def test_h5py_that_fails_is_no_harm(store, monkeypatch):
    before = names(store.folder)
    with monkeypatch.context() as patch:
        patch.setattr(h5py.Group, "create_dataset", _full)
        with pytest.raises(StoreError, match="disk is full"):
            write(store, [80, 81])
    assert names(store.folder) == before
    write(store, [80, 81])
    require_holds(store, [80])


def test_an_interruption_at_any_step_leaves_the_store_whole(tmp_path, monkeypatch):
    store = Store.create(tmp_path, RECIPE)
    real = {name: getattr(os, name) for name in ("write", "pwrite", "pwritev", "fsync", "ftruncate", "open", "close")}
    for step in itertools.count():
        left = itertools.count(step, -1)

        def stand_in(name: str, left: Any = left) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                result = real[name](*args, **kwargs)
                if next(left) == 0:
                    raise KeyboardInterrupt  # as Python does when the call is done
                return result

            return call

        with monkeypatch.context() as patch:
            for name in real:
                patch.setattr(os, name, stand_in(name))
            try:
                write(store, [2 * step, 2 * step + 1])
            except KeyboardInterrupt:
                pass
            else:
                break
        gc.collect()
        assert not list(tmp_path.glob("*.part")), step
        again = Store(tmp_path)
        if len(again):
            require_holds(again, again.numbers("plan").tolist())
        assert len(list(tmp_path.glob("*.h5"))) == len(read_lines(tmp_path)), step
    assert step > 10


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="may not be written"):
        Store.create(folder, RECIPE)


# What writers that were killed leave behind


def _write_half(folder: Path, ready: Any, forever: Any) -> None:
    from ausynth.store import writing

    def hang(*_: object) -> None:
        ready.set()
        forever.wait()

    writing._write_buffers = hang
    write(Store.create(folder, RECIPE), [90, 91])


def test_a_part_is_removed_when_its_writer_is_dead_and_not_before(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, forever = context.Event(), context.Event()
    store = Store.create(tmp_path, RECIPE)
    process = context.Process(target=_write_half, args=(tmp_path, ready, forever))
    process.start()
    try:
        ready.wait()
        (part,) = tmp_path.glob("*.part")
        Store.create(tmp_path, RECIPE)
        write(store, [1])
        assert part.exists()
    finally:
        process.kill()
        process.join()
    assert part.exists()
    Store(tmp_path)  # who only reads removes nothing
    assert part.exists()
    Store.create(tmp_path, RECIPE)
    assert not part.exists()
    assert store.find("plan", np.array([90])).tolist() == [-1]


def test_parts_of_other_machines_and_of_other_programs_are_let_alone(tmp_path):
    store = Store.create(tmp_path, RECIPE)
    name = write(store, [1])
    fresh, old = (tmp_path / f"{name}.far-away.{process}.0a1b2c3d.part" for process in (1, 2))
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    foreign = tmp_path / "download.part"
    foreign.write_bytes(b"somebody's")
    Store.create(tmp_path, RECIPE)
    assert fresh.exists()
    assert not old.exists()
    assert foreign.exists()


def test_a_whole_shard_that_was_not_listed_is_adopted(store):
    manifest = store.folder / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:1]))  # as if two writers had been killed before they listed theirs
    assert len(Store(store.folder)) == 10
    late = Store(store.folder)
    adopted = Store.create(store.folder, store.recipe)
    assert len(adopted) == 24
    require_holds(adopted, [3, 42])
    require_holds(adopted, [0], plan="other", salt=1)
    write(late, [60])  # one that only read so far becomes a writer
    require_holds(late, [42, 60])
    assert len(read_lines(store.folder)) == 4


def test_what_is_no_sound_shard_of_this_store_is_not_adopted(store):
    (store.folder / "notes.h5").write_bytes(b"nothing of ours")
    broken = bytearray((store.folder / write(store, [50])).read_bytes())
    other = Store.create(store.folder.parent / "other", Recipe(**{**vars(store.recipe), "fingerprint": "other"}))
    name = write(other, [51])
    shutil.copy(other.folder / name, store.folder / name)
    broken[len(broken) // 2] ^= 1
    (store.folder / ("0" * 32 + ".h5")).write_bytes(broken)
    again = Store.create(store.folder, store.recipe)
    assert len(again) == 25
    assert again.find("plan", np.array([51])).tolist() == [-1]


def test_a_dropped_shard_may_be_written_again(store):
    from ausynth.store.manifest import Drop, append

    reader = Store(store.folder)
    name = write(store, range(10))
    old = reader.find("plan", np.array([3]))
    (store.folder / name).unlink()
    with locked(store.folder):
        append(store.folder, [Drop(name)])
    assert store.refresh()
    assert store.find("plan", np.array([3])).tolist() == [-1]
    assert store.find_keys(samples_of([3]).key).tolist() == [-1]
    assert len(store) == 14
    assert write(store, range(10)) == name
    require_holds(store, [3, 42])
    assert store.find_keys(samples_of([3]).key).tolist() == store.find("plan", np.array([3])).tolist()
    reader.refresh()
    require_holds(reader, [3, 42])
    assert reader.find("plan", np.array([3])).tolist() != old.tolist()


def test_a_manifest_written_anew_keeps_the_places_of_what_it_lists(store):
    from ausynth.store.manifest import Entry, rewrite

    numbers = np.array([3, 42, 12])
    places = store.find("plan", numbers)
    entries = [line for line in read_lines(store.folder) if isinstance(line, Entry)]
    with locked(store.folder):
        rewrite(store.folder, entries[1:][::-1])
    assert store.refresh()
    assert store.find("plan", numbers).tolist() == [-1, *places[1:].tolist()]
    require_holds(store, [42, 12])
    assert store.plans() == {"plan": 9, "other": 5}
