"""Verify, repair, merge and describe: what is whole stays, what is damaged is named, nothing is made up."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import killed_at
from typer.testing import CliRunner

from ausynth.cli import app
from ausynth.errors import ConfigurationError, DamagedError, StoreError
from ausynth.labels import Labels
from ausynth.store import Recipe, Samples, Store
from ausynth.store.files import seal
from ausynth.store.maintenance import describe, merge, repair, verify
from ausynth.store.manifest import Drop, append
from ausynth.store.shard import Shard, ShardPixels

SIZE = 8
AUS = (1, 12, 25)
RECIPES = {
    "raw": Recipe(kind="synthetic", aus=AUS, image_size=SIZE, fingerprint="noise", about={"licence": "none needed"}),
    "jpeg": Recipe(kind="synthetic", aus=AUS, image_size=SIZE, codec="jpeg", quality=90, fingerprint="noise"),
}
RECIPE = RECIPES["raw"]

Content = dict[tuple[str, int], tuple[bytes, ...]]


def samples_of(numbers: Sequence[int], plan: str = "plan") -> Samples:
    number = np.asarray(numbers, np.int64)
    intensity = ((number[:, None] + len(plan)) % np.array([6, 5, 4])).astype(np.float32)
    key = np.zeros((len(number), 16), np.uint8)
    key[:, :8] = number[:, None].view(np.uint8)
    key[:, 8] = sum(plan.encode()) % 256
    return Samples(
        number=number,
        key=key,
        labels=Labels.from_intensity(AUS, intensity),
        asked=intensity,
        identity=number // 3,
        noise=number * 5,
        attempt=number % 2,
        text=tuple(f"number {each}" for each in number),
    )


def picture(number: int, plan: str = "plan") -> np.ndarray:
    return np.random.default_rng((number, sum(plan.encode()))).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def write(store: Store, numbers: Iterable[int], plan: str = "plan") -> str:
    numbers = list(numbers)
    images: Any = np.stack([picture(number, plan) for number in numbers])
    if store.recipe.codec == "jpeg":
        images = [cv2.imencode(".jpg", image)[1].tobytes() for image in images]
    return store.write(samples_of(numbers, plan), images, plan=plan, configuration={"ratio": 0.5})


def make(folder: Path, codec: str = "raw") -> Store:
    """Make a store of three shards and two plans."""
    store = Store.create(folder, RECIPES[codec])
    write(store, range(10))
    write(store, [*range(10, 17), 40, 42])
    write(store, range(5), plan="other")
    return store


def content(folder: Path) -> Content:
    """Return everything about every stored sample, by plan and number, read with all checks."""
    store = Store(folder)
    found: Content = {}
    for plan in store.plans():
        numbers = store.numbers(plan)
        places = store.find(plan, numbers)
        assert (places >= 0).all()
        pictures = np.empty((len(numbers), SIZE, SIZE, 3), np.uint8)
        store.read(places, pictures)
        samples = store.samples(places)
        for row, number in enumerate(numbers.tolist()):
            labels = samples.labels
            cells = (labels.intensity, labels.occurrence, labels.confidence, samples.asked, samples.key, pictures)
            numbers_too = (samples.identity[row], samples.noise[row], samples.attempt[row], samples.number[row])
            found[plan, number] = (
                *(cell[row].tobytes() for cell in cells),
                store.encoded(int(places[row])),
                repr(tuple(map(int, numbers_too))).encode(),
                samples.text[row].encode(),
            )
    return found


def lost_set(lost: Any) -> set[tuple[str, int]]:
    return {(plan, number) for plan, numbers in lost.items() for number in numbers.tolist()}


def tree(folder: Path) -> dict[str, bytes]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.endswith(".lock")}


def shard_path(folder: Path, name: str) -> Path:
    return next(folder.rglob(name))


def flip(path: Path, place: int, mask: int = 0x10) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= mask
    path.write_bytes(bytes(data))


def flip_picture(folder: Path, number: int, plan: str = "plan", shard: str | None = None) -> Path:
    """Flip one bit of the stored bytes of a picture, in the file where they lie."""
    store = Store(folder)
    stored = store.encoded(int(store.find(plan, np.array([number]))[0]))
    for path in folder.rglob("*"):
        if path.is_file() and (shard is None or shard in path.name):
            at = path.read_bytes().find(stored)
            if at >= 0:
                flip(path, at + len(stored) // 2)
                return path
    raise AssertionError("its bytes lie in no file")


def test_a_whole_store_verifies_and_says_what_it_holds(tmp_path: Path) -> None:
    make(tmp_path / "store")
    before = tree(tmp_path / "store")
    found = verify(tmp_path / "store")
    assert found.ok
    assert (found.shards, found.samples) == (3, 24)
    told = describe(tmp_path / "store")
    assert told.recipe == RECIPE
    assert {plan: numbers.tolist() for plan, numbers in told.plans.items()} == {
        "plan": [*range(17), 40, 42],
        "other": list(range(5)),
    }
    assert told.bytes >= 24 * SIZE * SIZE * 3
    assert not repair(tmp_path / "store").changed
    assert tree(tmp_path / "store") == before


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_damaged_picture_is_dropped_and_named_and_the_others_stay(tmp_path: Path, codec: str) -> None:
    folder = tmp_path / "store"
    make(folder, codec)
    whole = content(folder)
    path = flip_picture(folder, 12)
    found = verify(folder)
    assert not found.ok
    assert [(each.shard in path.name, each.whole) for each in found.damaged] == [(True, False)]
    assert lost_set(found.lost) == {("plan", 12)}
    done = repair(folder)
    assert done.changed
    assert lost_set(done.lost) == {("plan", 12)}
    assert done.kept == 23
    del whole["plan", 12]
    assert content(folder) == whole
    assert verify(folder).ok
    assert not path.exists()
    write(Store(folder), [12])
    assert len(Store(folder)) == 24


def test_damage_of_the_structure_drops_the_shard(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = make(folder)
    whole = content(folder)
    path = shard_path(folder, store.write(samples_of([99]), picture(99)[None], plan="plan"))
    flip(path, path.stat().st_size - 1)
    found = verify(folder)
    assert [each.whole for each in found.damaged] == [True]
    assert lost_set(found.lost) == lost_set(repair(folder).lost) == {("plan", 99)}
    assert content(folder) == whole
    assert verify(folder).ok


def test_a_shard_that_is_gone_or_cut_is_lost_by_its_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = make(folder)
    gone, cut = shard_path(folder, write(store, [50, 51])), shard_path(folder, write(store, [60]))
    gone.unlink()
    os.truncate(cut, cut.stat().st_size // 2)
    expected = {("plan", 50), ("plan", 51), ("plan", 60)}
    assert lost_set(verify(folder).lost) == expected
    assert lost_set(repair(folder).lost) == expected
    assert verify(folder).ok
    assert len(content(folder)) == 24


def test_what_another_shard_still_holds_is_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = make(folder)
    whole = content(folder)
    again = shard_path(folder, write(store, [3, 4, 77]))
    flip(again, again.stat().st_size - 1)
    assert lost_set(repair(folder).lost) == {("plan", 77)}
    assert content(folder) == whole


def test_an_open_store_sees_what_a_repair_did(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = make(folder)
    flip_picture(folder, 12)
    repair(folder)
    store.refresh()
    assert store.find("plan", np.array([12])).tolist() == [-1]
    places = store.find("plan", np.array([11, 13]))
    pictures = np.empty((2, SIZE, SIZE, 3), np.uint8)
    store.read(places, pictures)
    assert (pictures == np.stack([picture(11), picture(13)])).all()


@pytest.mark.parametrize("damage", ["gone", "empty", "noise", "flipped", "one line"])
def test_the_manifest_is_rebuilt_from_the_shards(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "store"
    make(folder)
    whole = content(folder)
    manifest = folder / "manifest.jsonl"
    data = manifest.read_bytes()
    if damage == "gone":
        manifest.unlink()
    else:
        lines = data.splitlines(keepends=True)
        manifest.write_bytes(
            {
                "empty": b"",
                "noise": bytes(range(256)) * 3,
                "flipped": data[:20] + bytes([data[20] ^ 1]) + data[21:],
                "one line": b"".join(lines[1:]),
            }[damage]
        )
    done = repair(folder)
    assert done.changed
    assert not done.lost
    assert content(folder) == whole
    assert verify(folder).ok


@pytest.mark.parametrize("damage", ["gone", "empty", "flipped", "another schema"])
def test_the_recipe_is_rebuilt_from_the_shards(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "store"
    make(folder)
    whole, path = content(folder), folder / "store.json"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        at = data.index(b"noise")
        path.write_bytes(
            {"empty": b"", "flipped": data[:at] + b"noisy" + data[at + 5 :], "another schema": b"{}"}[damage]
        )
    found = verify(folder)
    assert not found.ok
    assert found.recipe_problem
    done = repair(folder)
    assert done.recipe_rebuilt
    assert not done.lost
    assert Store(folder).recipe == RECIPE
    assert dict(Store(folder).recipe.about) == dict(RECIPE.about)
    assert content(folder) == whole
    assert verify(folder).ok


def test_everything_gone_is_said_and_not_invented(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        verify(tmp_path / "nothing")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"mine")
    for function in (verify, repair, describe):
        with pytest.raises(StoreError, match="no store"):
            function(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["me.jpg"]


def test_repair_twice_is_repair_once(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    make(folder)
    flip_picture(folder, 12)
    flip_picture(folder, 2, plan="other")
    repair(folder)
    once = tree(folder)
    again = repair(folder)
    assert not again.changed
    assert not again.lost
    assert tree(folder) == once


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_repair_killed_at_any_step_loses_nothing_more(tmp_path: Path) -> None:
    make(tmp_path / "damaged")
    whole = content(tmp_path / "damaged")
    flip_picture(tmp_path / "damaged", 12)
    structure = flip_picture(tmp_path / "damaged", 2, plan="other")
    flip(structure, structure.stat().st_size - 1)
    (tmp_path / "damaged" / "store.json").write_bytes(b"")
    flip(tmp_path / "damaged" / "manifest.jsonl", 30)
    lost = {("plan", 12), *(("other", number) for number in range(5))}
    step, folder = 0, tmp_path / "store"
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "damaged", folder)
        alive = not killed_at(step, lambda: repair(folder))
        repair(folder)
        assert content(folder) == {place: sample for place, sample in whole.items() if place not in lost}, step
        assert verify(folder).ok
        assert not list(folder.rglob("*.part"))
        if alive:
            break
        step += 1
    assert step > 20


@settings(max_examples=100)
@given(data=st.data(), codec=st.sampled_from(["raw", "jpeg"]))
def test_whatever_bytes_flip_nothing_wrong_survives_and_nothing_lost_is_hidden(data: Any, codec: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        make(folder, codec)
        whole = content(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
        for _ in range(data.draw(st.integers(1, 4), label="flips")):
            path = data.draw(st.sampled_from(files), label="file")
            size = path.stat().st_size
            # A quarter of them at either end, where headers lie; else anywhere.
            near = data.draw(st.sampled_from(["start", "end", "anywhere"]), label="where")
            span = range(size) if near == "anywhere" else range(min(size, 400))
            place = data.draw(st.sampled_from(span), label="byte")
            flip(path, size - 1 - place if near == "end" else place, 1 << data.draw(st.integers(0, 7), label="bit"))
        found = verify(folder)
        if found.recipe_problem and len(found.damaged) == 3 and all(each.whole for each in found.damaged):
            with contextlib.suppress(StoreError):  # it may be that nothing tells what the store was
                repair(folder)
            return
        done = repair(folder)
        assert verify(folder).ok
        survivors = content(folder)
        assert all(whole[place] == sample for place, sample in survivors.items())
        reported, gone = lost_set(done.lost), set(whole) - set(survivors)
        assert reported <= gone
        assert reported == gone or done.unknown
        assert done.changed == (not found.ok)
        assert lost_set(found.lost) == reported


def test_an_older_rescue_that_is_damaged_itself_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = make(folder)
    whole = content(folder)
    # What a repair had written when it was killed, before it dropped the shard with the damaged number 12.
    rescue = write(store, [10, 11, *range(13, 17), 40, 42])
    flip_picture(folder, 13, shard=rescue)
    damaged = next(path for path in folder.glob("*.h5") if path.name != rescue and 12 in Shard(path).entry().numbers)
    flip_picture(folder, 12, shard=damaged.name)
    assert lost_set(repair(folder).lost) == {("plan", 12)}
    del whole["plan", 12]
    assert content(folder) == whole
    assert verify(folder).ok


def test_a_dropped_shard_that_was_not_removed_yet_is_a_leftover(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = make(folder)
    path = folder / write(store, [60])
    flip(path, path.stat().st_size - 1)
    append(folder, [Drop(path.name)])
    found = verify(folder)
    assert (found.ok, found.leftovers) == (True, (path.name,))
    repair(folder)
    assert not path.exists()


def test_a_disk_that_cannot_read_some_rows_costs_only_those(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    make(folder)
    whole = content(folder)
    bad = next(path for path in folder.glob("*.h5") if 12 in Shard(path).entry().numbers)
    inode, read = bad.stat().st_ino, ShardPixels.read_coded

    def failing_read(pixels: ShardPixels, descriptor: int, first: int, end: int) -> list[bytes]:
        if os.fstat(descriptor).st_ino == inode and first <= 2 < end:
            raise OSError(errno.EIO, "Input/output error")
        return read(pixels, descriptor, first, end)

    with monkeypatch.context() as patched:
        patched.setattr(ShardPixels, "read_coded", failing_read)
        assert lost_set(repair(folder).lost) == {("plan", 12)}
    del whole["plan", 12]
    assert content(folder) == whole


def test_a_file_that_may_not_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    make(folder)
    before = tree(folder)

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("ausynth.store.look.Shard", refused)
        for function in (verify, repair):
            with pytest.raises(StoreError, match="Permission denied"):
                function(folder)
    assert tree(folder) == before


def test_shards_of_another_store_are_let_alone(tmp_path: Path) -> None:
    raw, jpeg = tmp_path / "raw", tmp_path / "jpeg"
    make(raw)
    make(jpeg, "jpeg")
    whole, stray = content(raw), next(jpeg.glob("*.h5"))
    moved = raw / f"{'0' * 32}.h5"
    shutil.copy(stray, moved)
    (raw / "mine.h5").write_bytes(b"mine")
    found = verify(raw)
    assert (found.ok, found.foreign) == (True, (moved.name,))
    assert not repair(raw).changed
    assert moved.read_bytes() == stray.read_bytes()
    assert (raw / "mine.h5").read_bytes() == b"mine"
    assert content(raw) == whole


def test_a_description_of_another_store_removes_no_file(tmp_path: Path) -> None:
    raw, jpeg = tmp_path / "raw", tmp_path / "jpeg"
    make(raw)
    make(jpeg, "jpeg")
    whole, description = content(raw), (raw / "store.json").read_bytes()
    shutil.copy(jpeg / "store.json", raw / "store.json")
    found = verify(raw)
    assert [each.what for each in found.damaged] == [found.damaged[0].what] * 3
    assert "codec is 'raw', not 'jpeg'" in found.damaged[0].what
    assert lost_set(repair(raw).lost) == set(whole)
    assert len(Store(raw)) == 0
    (raw / "store.json").write_bytes(description)
    assert len(repair(raw).relisted) == 3
    assert content(raw) == whole


def test_a_store_of_another_schema_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "store")
    (tmp_path / "store" / "store.json").write_bytes(seal({"schema": 2, "recipe": {}}))
    before = tree(tmp_path / "store")
    for function in (verify, repair, describe):
        with pytest.raises(StoreError, match="schema 2"):
            function(tmp_path / "store")
    assert tree(tmp_path / "store") == before


def test_a_repair_during_a_look_is_no_damage(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    make(folder)
    flip_picture(folder, 12)
    flip(folder / "manifest.jsonl", 30)
    heard: list[str] = []

    def in_between(done: int, total: int, shard: str) -> None:
        if not heard:
            repair(folder)
        heard.append(shard)

    assert verify(folder, progress=in_between).ok
    assert verify(folder).ok


def test_repair_goes_on_beside_a_writer(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = make(folder)
    flip_picture(folder, 12)
    seen: list[str] = []

    def in_between(done: int, total: int, shard: str) -> None:
        if not seen:
            write(store, [70, 71])
        seen.append(shard)

    assert lost_set(repair(folder, progress=in_between).lost) == {("plan", 12)}
    assert {("plan", 70), ("plan", 71)} <= set(content(folder))
    assert verify(folder).ok


def test_progress_counts_samples_to_the_total(tmp_path: Path) -> None:
    make(tmp_path / "store")
    heard: list[tuple[int, int]] = []
    verify(tmp_path / "store", progress=lambda done, total, _: heard.append((done, total)))
    assert heard[-1] == (24, 24)
    assert heard == sorted(heard)


def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Make two stores that overlap in a shard, in part of one, and not at all."""
    first, second = tmp_path / "first", tmp_path / "second"
    make(first)
    store = Store.create(second, RECIPE)
    write(store, range(10))
    write(store, [*range(15, 22)])
    write(store, range(5, 9), plan="other")
    return first, second


@pytest.mark.parametrize("link", [True, False])
def test_merge_holds_every_sample_once_and_leaves_the_inputs(tmp_path: Path, link: bool) -> None:
    first, second = pair(tmp_path)
    expected, before = content(first) | content(second), (tree(first), tree(second))
    out = tmp_path / "deep" / "out"
    merged = merge([first, second], out, link=link)
    assert content(out) == expected
    assert merged.samples == len(Store(out)) == len(expected)
    assert merged.duplicates == 12
    assert verify(out).ok
    assert (tree(first), tree(second)) == before
    inodes = [{path.stat().st_ino for path in folder.rglob("*.h5")} for folder in (first, second, out)]
    assert bool(inodes[2] & (inodes[0] | inodes[1])) == link
    assert (merged.linked > 0) == link
    once = tree(out)
    again = merge([first, second], out, link=link)
    assert tree(out) == once
    assert again.linked + again.copied + again.rewritten == 0
    # No shard holds what another has.
    assert verify(out).samples == len(expected)


def test_merge_adds_to_a_store_and_takes_the_same_one_twice(tmp_path: Path) -> None:
    first, second = pair(tmp_path)
    expected = content(first) | content(second)
    merge([second, second, first], first)
    assert content(first) == expected
    assert verify(first).ok


def test_merge_is_the_same_in_any_order(tmp_path: Path) -> None:
    first, second = pair(tmp_path)
    merge([first, second], tmp_path / "ab")
    merge([second, first], tmp_path / "ba")
    assert content(tmp_path / "ab") == content(tmp_path / "ba")


def test_stores_of_another_recipe_are_not_merged(tmp_path: Path) -> None:
    make(tmp_path / "raw")
    make(tmp_path / "jpeg", "jpeg")
    with pytest.raises(StoreError, match="codec"):
        merge([tmp_path / "raw", tmp_path / "jpeg"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(StoreError, match="raw holds other samples than .*jpeg: its codec is 'raw', not 'jpeg'"):
        merge([tmp_path / "raw"], tmp_path / "jpeg")
    with pytest.raises(ConfigurationError):
        merge([], tmp_path / "out")


def test_one_number_with_two_contents_is_no_duplicate(tmp_path: Path) -> None:
    make(tmp_path / "first")
    second = Store.create(tmp_path / "second", RECIPE)
    samples = samples_of([3])
    key = samples.key.copy()
    key[:, 15] = 1
    another = Samples(**{name: getattr(samples, name) for name in samples.__dataclass_fields__} | {"key": key})
    second.write(another, picture(4)[None], plan="plan")
    with pytest.raises(StoreError, match="number 3 .*second"):
        merge([tmp_path / "first", tmp_path / "second"], tmp_path / "out")


def test_damage_is_not_merged(tmp_path: Path) -> None:
    first, second = pair(tmp_path)
    flip_picture(second, 20)
    with pytest.raises(DamagedError, match="cache repair .*second"):
        merge([first, second], tmp_path / "out")
    assert verify(tmp_path / "out").ok
    repair(second)
    merge([first, second], tmp_path / "out")
    assert content(tmp_path / "out") == content(first) | content(second)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_merge_killed_at_any_step_goes_on(tmp_path: Path) -> None:
    first, second = pair(tmp_path)
    expected, out, step = content(first) | content(second), tmp_path / "out", 0
    while killed_at(step, lambda: merge([first, second], out)):
        if (out / "store.json").exists():
            assert content(out).items() <= expected.items()
            assert not verify(out).damaged
        merge([first, second], out)
        assert content(out) == expected, step
        assert verify(out).ok
        assert not list(out.rglob("*.part"))
        shutil.rmtree(out)
        step += 1
    assert step > 20
    assert content(out) == expected


runner = CliRunner()


def call(*arguments: object) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments])


def test_the_commands_say_what_is_whole(tmp_path: Path) -> None:
    make(tmp_path / "store")
    result = call("cache", "verify", tmp_path / "store")
    assert result.exit_code == 0, result.output
    assert "3 shards, 24 samples" in result.output
    result = call("cache", "info", tmp_path / "store")
    assert result.exit_code == 0, result.output
    assert "numbers 0-16, 40, 42" in result.output
    assert "none needed" in result.output
    result = call("cache", "repair", tmp_path / "store")
    assert (result.exit_code, "nothing to repair" in result.output) == (0, True)


def test_the_commands_find_damage_and_repair_it(tmp_path: Path) -> None:
    make(tmp_path / "store")
    flip_picture(tmp_path / "store", 12)
    result = call("cache", "verify", tmp_path / "store")
    assert result.exit_code == 1, result.output
    assert "1 sample of plan plan, to be made again: 12" in result.output
    assert f"ausynth cache repair {tmp_path / 'store'}" in result.output
    told = json.loads(call("cache", "verify", tmp_path / "store", "--json").stdout)
    assert told["lost"] == {"plan": "12"}
    result = call("cache", "repair", tmp_path / "store", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["lost"] == {"plan": "12"}
    assert call("cache", "verify", tmp_path / "store").exit_code == 0
    assert json.loads(call("cache", "info", tmp_path / "store", "--json").stdout)["samples"] == 23


def test_the_command_merges(tmp_path: Path) -> None:
    first, second = pair(tmp_path)
    result = call("cache", "merge", first, second, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "12 samples of the inputs were there already" in result.output
    assert content(tmp_path / "out") == content(first) | content(second)


def test_the_commands_refuse_what_is_no_store(tmp_path: Path) -> None:
    for command in ("verify", "info", "repair"):
        result = call("cache", command, tmp_path)
        assert result.exit_code == 1
        assert "no store" in result.output
