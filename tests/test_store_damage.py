"""Whatever happens to the bytes of a store, what it gives is what was written, or an error."""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import CODECS, JPEG, RECIPE, SIZE, read, require_equal, require_holds, samples_of, shown, write

from ausynth.errors import AusynthError, DamagedError, StoreError
from ausynth.store import Recipe, Store
from ausynth.store.manifest import Damaged, Drop, append, locked, read_lines
from ausynth.store.shard import DamageError, Shard
from ausynth.store.userblock import read_header

NUMBERS = (*range(5), 9)


@functools.cache
def pristine(codec: str) -> dict[str, bytes]:
    """Return the files of a store of three shards, made once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store.create(folder, CODECS[codec])
        write(store, NUMBERS)
        write(store, range(20, 23))
        write(store, range(4), plan="other", salt=1)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def first_shard(codec: str) -> str:
    return next(name for name, data in pristine(codec).items() if name.endswith(".h5") and _numbers(data) == 6)


def _numbers(data: bytes) -> int:
    match = re.search(rb'"samples": (\d+)', data)
    return int(match[1]) if match else 0


def restore(folder: Path, codec: str, **changed: bytes) -> None:
    for name, data in (pristine(codec) | changed).items():
        (folder / name).write_bytes(data)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


class CopyOf:
    """A copy of the pristine store in a folder that is gone afterwards."""

    def __init__(self, codec: str) -> None:
        self.codec = codec

    def __enter__(self) -> Path:
        self.folder = Path(tempfile.mkdtemp())
        restore(self.folder, self.codec)
        return self.folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)


def errors_of_reading(store: Store, plan: str, numbers: tuple[int, ...], salt: int = 0) -> int:
    """Read every sample of a plan by itself, fail if any is wrong, and return how many were refused."""
    refused = 0
    for number in numbers:
        place = store.find(plan, np.array([number]))
        if place[0] < 0:
            refused += 1
            continue
        try:
            image = read(store, place)[0]
            samples = store.samples(place)
        except DamagedError as error:
            refused += 1
            damage = error
        else:
            damage = None
        if damage is not None:
            assert damage.places == tuple(place.tolist())
            assert damage.position == 0
            assert Path(damage.shard).parent == store.folder
            assert "ausynth cache repair" in str(damage)
            continue
        assert (image == shown(store.recipe, number, salt)).all()
        require_equal(samples, samples_of([number], salt))
    return refused


bits = st.integers(0, 7)
codecs = st.sampled_from(["raw", "jpeg"])
verify = st.sampled_from(["read", "open"])


@settings(max_examples=400)
@given(data=st.data(), codec=codecs, verify=verify, bit=bits)
def test_a_flipped_bit_anywhere_in_a_shard_is_noticed(data, codec, verify, bit):
    name = first_shard(codec)
    content = pristine(codec)[name]
    with CopyOf(codec) as folder:
        header = Shard(folder / name).header
        # The parts of a file are of very different sizes: each has its share of the examples.
        part = data.draw(st.sampled_from(["user block", "pixels", "structures", "anywhere", "end"]))
        low, high = {
            "user block": (0, header.block),
            "pixels": header.pixels,
            "structures": (header.block, header.pixels[0]),
            "anywhere": (0, len(content)),
            "end": (len(content) - 64, len(content)),
        }[part]
        place = data.draw(st.integers(low, high - 1), label="place")
        (folder / name).write_bytes(flipped(content, place, bit))
        store = Store(folder, verify=verify)
        refused = errors_of_reading(store, "plan", NUMBERS)
        assert refused == (1 if header.pixels[0] <= place < header.pixels[1] else len(NUMBERS))
        # What lies in other shards is none the worse.
        require_holds(store, range(20, 23))
        require_holds(store, range(4), plan="other", salt=1)


@settings(max_examples=60)
@given(data=st.data(), codec=codecs, verify=st.sampled_from(["read", "open", "never"]))
def test_a_shard_of_another_length_is_noticed(data, codec, verify):
    name = first_shard(codec)
    content = pristine(codec)[name]
    length = data.draw(st.integers(0, 2 * len(content)).filter(lambda length: length != len(content)))
    with CopyOf(codec) as folder:
        (folder / name).write_bytes((content + b"\0" * len(content))[:length])
        store = Store(folder, verify=verify)
        assert errors_of_reading(store, "plan", NUMBERS) == len(NUMBERS)
        require_holds(store, range(20, 23))


@settings(max_examples=60)
@given(data=st.data(), codec=codecs, verify=st.sampled_from(["read", "open"]))
def test_a_shard_that_is_cut_while_it_is_open_gives_no_wrong_sample(data, codec, verify):
    """A reader's file shrinks under its hands: what it has checked already it may give, nothing else."""
    name = first_shard(codec)
    content = pristine(codec)[name]
    with CopyOf(codec) as folder:
        store = Store(folder, verify=verify)
        require_holds(store, [0])
        os.truncate(folder / name, data.draw(st.integers(0, len(content) - 1)))
        errors_of_reading(store, "plan", NUMBERS)
        os.truncate(folder / name, 0)
        for number in NUMBERS:
            with pytest.raises(DamagedError):
                read(store, store.find("plan", np.array([number])))


def test_never_means_that_only_pixels_are_not_looked_at():
    name = first_shard("raw")
    with CopyOf("raw") as folder:
        header = Shard(folder / name).header
        content = pristine("raw")[name]
        (folder / name).write_bytes(flipped(content, header.pixels[0], 0))
        store = Store(folder, verify="never")
        changed = read(store, store.find("plan", np.array([0])))[0].astype(int) - shown(RECIPE, 0)
        assert np.abs(changed).sum() == 1
        (folder / name).write_bytes(flipped(content, header.pixels[0] - 1, 0))
        assert errors_of_reading(Store(folder, verify="never"), "plan", NUMBERS) == len(NUMBERS)


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
@pytest.mark.parametrize("verify", ["read", "open"])
def test_an_error_says_which_of_the_samples_asked_for_it_concerns(codec, verify):
    name = first_shard(codec)
    with CopyOf(codec) as folder:
        shard = Shard(folder / name)
        spans = [shard.pixels.span(row, row + 1)[0] for row in range(len(shard))]
        content = flipped(pristine(codec)[name], spans[3] + 5, 2)
        (folder / name).write_bytes(content)
        store = Store(folder, verify=verify)
        places = store.find("plan", np.array([22, 4, 3, 0]))
        with pytest.raises(DamagedError, match="checksum of sample 3") as caught:
            read(store, places)
        assert caught.value.position == 2
        assert caught.value.places == (places[2],)
        assert caught.value.shard == str(folder / name)
        with pytest.raises(DamagedError):
            store.encoded(places[2])
        (folder / name).write_bytes(flipped(content, spans[4] + 5, 2))
        with pytest.raises(DamagedError, match="2 samples") as caught:
            read(Store(folder, verify=verify), places)
        assert caught.value.position is None
        assert caught.value.places == (places[1], places[2])
        (folder / name).unlink()
        with pytest.raises(DamagedError, match="missing") as caught:
            read(Store(folder, verify=verify), places)
        assert caught.value.places == tuple(places[1:].tolist())
        with pytest.raises(DamagedError, match="missing") as caught:
            Store(folder, verify=verify).samples(places)
        assert caught.value.places == tuple(places[1:].tolist())


def test_a_shard_in_the_place_of_another_is_noticed():
    with CopyOf("raw") as folder:
        names = sorted(path.name for path in folder.glob("*.h5"))
        shutil.copy(folder / names[0], folder / names[1])
        lost = sum(
            errors_of_reading(Store(folder), plan, numbers, salt)
            for plan, numbers, salt in (("plan", NUMBERS, 0), ("plan", (20, 21, 22), 0), ("other", tuple(range(4)), 1))
        )
        assert lost == _numbers(pristine("raw")[names[1]])


def test_keys_of_a_damaged_shard_are_not_found_and_its_places_are_refused():
    name = first_shard("raw")
    with CopyOf("raw") as folder:
        content = pristine("raw")[name]
        (folder / name).write_bytes(flipped(content, Shard(folder / name).header.block + 100, 1))
        store = Store(folder)
        keys = samples_of([0, 20, 21]).key
        assert (store.find_keys(keys) >= 0).tolist() == [False, True, True]
        for _ in range(2):
            with pytest.raises(DamagedError, match=name):
                store.places()


# The manifest


def everything_or_nothing(folder: Path, codec: str) -> int:
    """Fail if the store gives a wrong sample; return how many it does not find."""
    store = Store(folder)
    missing = errors_of_reading(store, "plan", (*NUMBERS, 20, 21, 22))
    missing += errors_of_reading(store, "other", tuple(range(4)), 1)
    assert set(store.numbers("plan").tolist()) <= {*NUMBERS, 20, 21, 22}
    assert len(store) == 13 - missing
    return missing


@settings(max_examples=150)
@given(data=st.data(), bit=bits)
def test_a_flipped_bit_in_the_manifest_hides_shards_and_moves_none(data, bit):
    manifest = pristine("raw")["manifest.jsonl"]
    place = data.draw(st.integers(0, len(manifest) - 1))
    with CopyOf("raw") as folder:
        (folder / "manifest.jsonl").write_bytes(flipped(manifest, place, bit))
        assert 0 < everything_or_nothing(folder, "raw") <= 12
        assert any(isinstance(line, Damaged) for line in read_lines(folder))
        # What is hidden lies in the folder, where the next writer finds it.
        Store.create(folder, RECIPE)
        assert everything_or_nothing(folder, "raw") == 0


@settings(max_examples=100)
@given(data=st.data())
def test_a_torn_last_line_is_tolerated_and_mended_by_the_next_writer(data):
    manifest = pristine("raw")["manifest.jsonl"]
    length = data.draw(st.integers(0, len(manifest) - 1))
    with CopyOf("raw") as folder:
        (folder / "manifest.jsonl").write_bytes(manifest[:length])
        everything_or_nothing(folder, "raw")
        store = Store(folder)
        store.create(folder, RECIPE)
        assert everything_or_nothing(folder, "raw") == 0
        store.refresh()
        require_holds(store, [0, 9, 22])
        assert not [line for line in read_lines(folder) if isinstance(line, Damaged)]


def test_a_line_without_its_end_counts_once_it_has_one():
    with CopyOf("raw") as folder:
        manifest = pristine("raw")["manifest.jsonl"]
        (folder / "manifest.jsonl").write_bytes(manifest[:-1])
        for path in folder.glob("*.h5"):
            assert path.exists()
        with locked(folder):
            append(folder, [Drop("nobody's.h5")])
        assert (folder / "manifest.jsonl").read_bytes().startswith(manifest)
        assert everything_or_nothing(folder, "raw") == 0


def test_lines_that_say_the_same_twice_count_once():
    with CopyOf("raw") as folder:
        manifest = pristine("raw")["manifest.jsonl"]
        (folder / "manifest.jsonl").write_bytes(manifest * 2)
        assert everything_or_nothing(folder, "raw") == 0
        assert Store(folder).bytes_on_disk == sum(path.stat().st_size for path in folder.glob("*.h5"))


def test_without_its_manifest_a_store_is_found_again_by_the_next_writer():
    with CopyOf("jpeg") as folder:
        store = Store(folder)
        (folder / "manifest.jsonl").unlink()
        assert len(Store(folder)) == 0
        assert store.refresh()
        assert len(store) == 0
        assert len(Store.create(folder, JPEG)) == 13
        store.refresh()
        require_holds(store, [0, 9, 22])


# The recipe


@settings(max_examples=60)
@given(data=st.data(), bit=bits)
def test_a_flipped_bit_in_the_recipe_is_said(data, bit):
    content = pristine("raw")["store.json"]
    place = data.draw(st.integers(0, len(content) - 1))
    with CopyOf("raw") as folder:
        (folder / "store.json").write_bytes(flipped(content, place, bit))
        for attempt in (lambda: Store(folder), lambda: Store.create(folder, RECIPE)):
            with pytest.raises(StoreError, match="damaged.*ausynth cache repair"):
                attempt()


def test_a_store_without_its_recipe_is_not_begun_anew():
    with CopyOf("raw") as folder:
        (folder / "store.json").unlink()
        for attempt in (lambda: Store(folder), lambda: Store.create(folder, RECIPE)):
            with pytest.raises(StoreError, match=r"missing.*repair"):
                attempt()


def test_another_schema_is_refused(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr("ausynth.store.recipe.SCHEMA", 99)
        patch.setattr("ausynth.store.userblock.SCHEMA", 99)
        name = write(Store.create(tmp_path, RECIPE), [1])
    with pytest.raises(StoreError, match="schema 99"):
        Store(tmp_path)
    with pytest.raises(AusynthError, match="schema 99"):
        Shard(tmp_path / name)


# One file by itself


@settings(max_examples=100)
@given(data=st.binary(max_size=10_000))
def test_a_file_of_anything_is_no_shard(data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with pytest.raises(DamageError):
            Shard(Path(file.name))
        with pytest.raises(DamageError):
            read_header(file.fileno())


def test_a_shard_by_itself_names_its_failing_rows():
    for codec in CODECS:
        name = first_shard(codec)
        with CopyOf(codec) as folder:
            shard = Shard(folder / name)
            assert shard.failing().tolist() == []
            content = pristine(codec)[name]
            for row in (1, 4):
                content = flipped(content, shard.pixels.span(row, row + 1)[0], 7)
            (folder / name).write_bytes(content)
            shard = Shard(folder / name)
            assert shard.failing().tolist() == [1, 4]
            assert [shard.is_whole(row) for row in range(6)] == [True, False, True, True, False, True]
            require_equal(shard.columns.samples(), samples_of(NUMBERS))
            whole = np.array([0, 5])
            again = Store.create(folder / "again", CODECS[codec])
            again.write(shard.columns.samples(whole), shard.images(whole), plan="plan")
            require_holds(again, [0, 9])


def test_a_shard_that_belongs_to_another_store_is_refused(tmp_path):
    other = Recipe(**{**vars(RECIPE), "fingerprint": "other"})
    store = Store.create(tmp_path / "a", RECIPE)
    name = write(store, [1])
    stranger = Store.create(tmp_path / "b", other)
    shutil.copy(tmp_path / "a" / name, tmp_path / "b" / name)
    with locked(tmp_path / "b"):
        append(tmp_path / "b", [Shard(tmp_path / "a" / name).entry()])
    stranger.refresh()
    with pytest.raises(DamagedError, match="fingerprint is 'noise', not 'other'"):
        read(stranger, stranger.find("plan", np.array([1])))


def test_an_error_of_the_disk_is_said(monkeypatch):
    with CopyOf("raw") as folder:
        store = Store(folder)
        require_holds(store, [0, 22])
        places = store.find("plan", np.array([22, 0]))

        def broken(*_: object) -> int:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", broken)
            with pytest.raises(DamagedError, match="Input/output error") as caught:
                read(store, places)
        assert caught.value.position == 0  # what is read first
        require_holds(store, [0, 22])


def test_a_system_that_reads_less_than_it_is_asked_for(monkeypatch):
    """Some file systems return fewer bytes than there are."""
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda file, count, offset: pread(file, min(count, 100), offset))
    monkeypatch.setattr(os, "preadv", lambda file, buffers, offset: preadv(file, buffers[:1], offset))
    for codec in CODECS:
        with CopyOf(codec) as folder:
            store = Store(folder)
            require_holds(store, [*NUMBERS, 22])
            out = np.empty((2, SIZE, SIZE, 3), np.uint8)
            store.read(store.find("plan", np.array([0, 1])), out)
            assert (out == np.stack([shown(CODECS[codec], number) for number in (0, 1)])).all()
