"""A prepared data set gives the samples of its files, whatever is chosen of it, and says where it cannot."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_disfa import PEOPLE, write_images, write_labels, write_landmarks, write_videos
from test_sources_conformance import bp4d_padded, folder_tree, middle_box, write_picture
from typer.testing import CliRunner

from ausynth.cli import app
from ausynth.errors import AusynthError, ConfigurationError, FrameError, StoreError
from ausynth.jobs import prepare as job
from ausynth.jobs.prepare import prepare
from ausynth.sources import PreparedSource, Subset, open_source
from ausynth.sources.disfa import DISFA
from ausynth.sources.prepared_lookup import PackedSource, hint, prepared_folder, prepared_for
from ausynth.sources.real import RealSource
from ausynth.testing import check_corrupt, check_source

SIZE = 40


def pixels(source, size=SIZE, indices=None) -> np.ndarray:
    indices = range(len(source)) if indices is None else indices
    out = np.full((len(indices), size, size, 3), 77, np.uint8)
    source.read(indices, out)
    return out


def require_same(found, wanted, size=SIZE) -> None:
    """Require that two sources offer the same samples under the same names and numbers."""
    assert found.name == wanted.name
    assert found.subjects == wanted.subjects
    assert found.benchmark == wanted.benchmark
    assert found.labels.aus == wanted.labels.aus
    for column in ("intensity", "occurrence", "confidence"):
        assert np.array_equal(getattr(found.labels, column), getattr(wanted.labels, column), equal_nan=True)
    assert np.array_equal(found.identities, wanted.identities)
    assert found.fingerprint == wanted.fingerprint
    assert np.array_equal(pixels(found, size), pixels(wanted, size))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(job, "SHARD", 10)


def disfa_images(root: Path) -> tuple[str, Path]:
    write_labels(root)
    write_images(root, "frames/{s}/{k}.png", 0)
    write_landmarks(root, "Landmark_Points/{s}/tmp_frame_lm/{s}_{k:04d}_lm.mat", 0)
    return "disfa", root


def disfa_videos(root: Path) -> tuple[str, Path]:
    write_labels(root)
    write_videos(root, "Videos_LeftCamera/LeftVideo{s}_comp.avi")
    return "disfa", root


def bp4d_images(root: Path) -> tuple[str, Path]:
    bp4d_padded(root)
    return "bp4d", root


def folder_images(root: Path) -> tuple[str, Path]:
    folder_tree(root)
    return "folder", root / "labels.csv"


TREES = [disfa_images, disfa_videos, bp4d_images, folder_images]
CHOICES = {
    "disfa": [
        {"hold_out": "P1"},
        {"keep": ["SN010", "sn003"]},
        {"fold": "megraph:1", "split": "test"},
        {"aus": (1, 2, 14), "threshold": 3},
        {"thin": "runs"},
        {"thin": 5, "hold_out": "SN003"},
    ],
    "bp4d": [{"hold_out": "P1"}, {"keep": "M002"}, {"tasks": "T4"}, {"threshold": 3, "aus": [6, 12]}, {"thin": 2}],
    "folder": [{"hold_out": "a"}, {"keep": ["b", "c"]}, {"aus": [12], "threshold": 1}, {"thin": 2}],
}


@pytest.mark.parametrize("make", TREES)
def test_a_prepared_data_set_gives_what_its_files_give(make, tmp_path):
    name, root = make(tmp_path / "tree")
    made = prepare(name, root, tmp_path / "store", size=SIZE, workers=0)
    assert (made.made, made.unreadable, made.exact) == (made.pictures, 0, True)
    for choice in ({}, *CHOICES[name]):
        raw = open_source(name, root, **choice)
        found = open_source(name, tmp_path / "store", **choice)
        assert isinstance(found, PreparedSource)
        assert found.native_size == SIZE
        require_same(found, raw)
        packed = prepared_for(raw, SIZE)
        assert isinstance(packed, PackedSource)
        require_same(packed, raw)


@pytest.mark.parametrize("make", TREES)
def test_the_store_needs_no_files_and_may_move(make, tmp_path):
    name, root = make(tmp_path / "tree")
    prepare(name, root, tmp_path / "store", size=SIZE, workers=0)
    before = pixels(open_source(name, root))
    shutil.rmtree(tmp_path / "tree")
    (tmp_path / "store").rename(tmp_path / "moved")
    assert np.array_equal(pixels(open_source(name, tmp_path / "moved")), before)


@pytest.mark.parametrize("make", [disfa_images, bp4d_images, folder_images])
def test_prepared_sources_keep_the_contract(make, tmp_path):
    name, root = make(tmp_path / "tree")
    prepare(name, root, tmp_path / "store", size=48, workers=0)
    raw = open_source(name, root)
    check_source(open_source(name, tmp_path / "store"), expected=raw.labels)
    check_source(prepared_for(raw, 48), expected=raw.labels)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return a DISFA and a BP4D tree, and their stores."""
    base = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUSYNTH_CACHE", str(base / "cache"))
        patch.setattr(job, "SHARD", 7)
        for make in (disfa_images, bp4d_images):
            name, root = make(base / make.__name__)
            prepare(name, root, base / f"{name}-store", size=SIZE, workers=0)
    return {"disfa": (base / "disfa_images", base / "disfa-store"), "bp4d": (base / "bp4d_images", base / "bp4d-store")}


def outcome(name, root, options):
    """Return what opening gives: a source, or the kind of error."""
    try:
        return open_source(name, root, **options)
    except AusynthError as error:
        return type(error)


PARTS = st.sampled_from(["P1", "P2", "P3"])
COMMON = {
    "threshold": st.sampled_from([0.5, 1, 2, 3, 5, 6]),
    "thin": st.one_of(st.just("runs"), st.integers(1, 6)),
}
ANY_DISFA = st.fixed_dictionaries(
    {},
    optional={
        **COMMON,
        "hold_out": st.one_of(PARTS, st.lists(st.sampled_from([*PEOPLE, "sn010", "SN002", "SN999"]), max_size=3)),
        "keep": st.one_of(PARTS, st.lists(st.sampled_from([*PEOPLE, "P2"]), max_size=3)),
        "fold": st.sampled_from(["megraph:1", "fgnet:0", "none:7"]),
        "split": st.sampled_from(["train", "test"]),
        "aus": st.one_of(st.just("disfa-8"), st.lists(st.sampled_from([1, 4, 12, 14, 25, 3]), max_size=4)),
    },
)
ANY_BP4D = st.fixed_dictionaries(
    {},
    optional={
        **COMMON,
        "hold_out": st.one_of(PARTS, st.sampled_from(["F001", "M002", "M003"])),
        "keep": st.one_of(PARTS, st.sampled_from(["F001", "m002"])),
        "tasks": st.one_of(st.sampled_from(["T1", "T4", "T5"]), st.just(["T1", "T4"])),
        "aus": st.lists(st.sampled_from([1, 6, 12, 17]), max_size=3),
    },
)


@pytest.mark.parametrize(("name", "options"), [("disfa", ANY_DISFA), ("bp4d", ANY_BP4D)])
def test_whatever_is_chosen_is_chosen_as_of_the_files(name, options, both):
    @given(options)
    def check(chosen):
        root, store = both[name]
        raw, found = outcome(name, root, chosen), outcome(name, store, chosen)
        if isinstance(raw, type):
            assert found is raw, chosen
        else:
            require_same(found, raw)

    check()


def test_alignment_by_landmarks_and_by_a_function(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    for number, align in enumerate(("landmarks", middle_box)):
        store = tmp_path / f"store{number}"
        prepare("disfa", root, store, size=SIZE, align=align, workers=0)
        require_same(open_source("disfa", store, align=align), DISFA(root, align=align))
        assert np.array_equal(pixels(open_source("disfa", store)), pixels(DISFA(root, align=align)))
        require_same(prepared_for(DISFA(root, align=align), SIZE), DISFA(root, align=align))
        with pytest.raises(ConfigurationError, match=r"align='none' of .*store.*ausynth prepare"):
            open_source("disfa", store, align="none")
    assert prepared_for(DISFA(root), SIZE) is None  # both stores are cut out otherwise


def jpeg_tree(root: Path, size: int) -> Path:
    write_labels(root, PEOPLE[:2])
    for subject in PEOPLE[:2]:
        for line in range(1, 13):
            write_picture(root / "frames" / subject / f"{line:05d}.jpg", line, size, size)
    return root


def test_files_that_are_jpegs_of_that_size_go_in_as_they_are(tmp_path):
    root = jpeg_tree(tmp_path / "tree", 64)
    made = prepare("disfa", root, tmp_path / "store", size=64, codec="jpeg", workers=0)
    assert made.exact
    raw, found = DISFA(root), open_source("disfa", tmp_path / "store")
    require_same(found, raw, 64)
    require_same(prepared_for(raw, 64), raw, 64)
    for index in (0, 13):
        stored = found.store.encoded(int(found.frames.places[index]))
        assert stored == (root / raw.frames.describe(index)).read_bytes()
    assert prepare("disfa", root, tmp_path / "thinned", size=64, codec="jpeg", workers=0, thin=3).exact
    require_same(open_source("disfa", tmp_path / "thinned"), DISFA(root, thin=3), 64)


def test_jpegs_that_are_encoded_anew_are_other_samples(tmp_path):
    root = jpeg_tree(tmp_path / "tree", 64)
    made = prepare("disfa", root, tmp_path / "store", size=SIZE, codec="jpeg", quality=80, workers=0)
    assert not made.exact
    raw, found = DISFA(root), open_source("disfa", tmp_path / "store")
    assert np.array_equal(found.labels.intensity, raw.labels.intensity)
    difference = np.abs(pixels(found).astype(int) - pixels(raw))
    assert 0 < difference.mean() < 12
    assert found.fingerprint != raw.fingerprint
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepared_for(raw, SIZE) is None  # never in place of the files, unless named
    prepare("disfa", root, tmp_path / "better", size=SIZE, codec="jpeg", quality=90, workers=0)
    assert open_source("disfa", tmp_path / "better").fingerprint not in (found.fingerprint, raw.fingerprint)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.h5")}


def test_any_number_of_processes_makes_the_same_store(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    stores = [tmp_path / f"by{workers}" for workers in (0, 1, 2)]
    for workers, store in enumerate(stores):
        seen: list[tuple[int, int]] = []
        prepare("disfa", root, store, size=SIZE, workers=workers, progress=lambda *now, seen=seen: seen.append(now))
        assert seen[-1] == (36, 36)
        assert seen == sorted(seen)
    assert len(shards(stores[0])) == 4
    for store in stores[1:]:
        assert shards(store).keys() == shards(stores[0]).keys()
        require_same(open_source("disfa", store), DISFA(root))


KILLED = """
import os, signal, sys
from ausynth.jobs import packing, prepare as job
if __name__ == "__main__":
    job.SHARD, packing._NOTED = 10, 2
    root, store, workers = sys.argv[1:]
    def stop(done, total):
        if done >= 16:
            os.kill(os.getpid(), signal.SIGKILL)
    job.prepare("disfa", root, store, size=40, workers=int(workers), progress=stop)
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_killed_goes_on_where_it_was(workers, tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    script, store = tmp_path / "killed.py", tmp_path / "store"
    script.write_text(KILLED)
    done = subprocess.run([sys.executable, script, root, store, str(workers)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(StoreError, match="of 36 pictures.*same `ausynth prepare` again"):
        open_source("disfa", store)
    before = shards(store)
    again = prepare("disfa", root, store, size=SIZE, workers=0)
    if workers == 0:
        assert (again.made, len(before)) == (26, 1)
    assert 0 < again.made <= 36
    assert before.items() <= shards(store).items()
    require_same(open_source("disfa", store), DISFA(root))
    assert prepare("disfa", root, store, size=SIZE, workers=0).made == 0


def test_a_run_does_not_go_on_with_other_files(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    write_picture(root / "frames" / "SN001" / "0.png", 5)
    with pytest.raises(StoreError, match="frames/SN001/0.png under .* is not what .*store"):
        prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    with pytest.raises(StoreError, match="image_size|size"):
        prepare("disfa", root, tmp_path / "store", size=SIZE + 8, workers=0)
    with pytest.raises(StoreError, match="fingerprint"):
        prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0, options={"hold_out": "SN001"})


def test_a_tree_that_has_changed_is_read_from_its_files_with_a_warning(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    for path in root.rglob("*.png"):
        image = cv2.imread(str(path))
        cv2.imwrite(str(path), 255 - image)
    with pytest.warns(UserWarning, match="SN001/0.png under .* is not what .*store holds.*prepare the data set anew"):
        assert prepared_for(DISFA(root), SIZE) is None


def test_other_labels_of_the_same_pictures_do_not_matter_to_the_pixels(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    (root / "ActionUnit_Labels" / "SN001" / "SN001_au1.txt").write_text("".join(f"{i},5\n" for i in range(1, 13)))
    raw = DISFA(root, thin=3)
    require_same(prepared_for(raw, SIZE), raw)


def test_a_store_of_some_people_serves_those_and_is_named_for_others(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0, options={"hold_out": "SN003"})
    raw = DISFA(root, hold_out={"SN003"})
    require_same(open_source("disfa", tmp_path / "store"), raw)
    require_same(open_source("disfa", tmp_path / "store", hold_out="SN003"), raw)
    require_same(prepared_for(raw, SIZE), raw)
    with pytest.warns(UserWarning, match="lacks 12 of 36 pictures, the first frames/SN003/0.png"):
        assert prepared_for(DISFA(root), SIZE) is None
    with pytest.raises(ConfigurationError):
        open_source("disfa", tmp_path / "store", keep="SN003")


def test_a_store_of_thinned_frames(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    made = prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0, thin=5)
    raw = DISFA(root, thin=5)
    assert made.pictures == len(raw)
    for options in ({}, {"hold_out": "SN001"}, {"thin": 5}):
        require_same(open_source("disfa", tmp_path / "store", **options), DISFA(root, **{**options, "thin": 5}))
    require_same(prepared_for(raw, SIZE), raw)
    for options in ({"thin": "runs"}, {"thin": 5, "aus": [12]}):
        with pytest.raises(ConfigurationError, match="prepared with thin=5"):
            open_source("disfa", tmp_path / "store", **options)


def test_a_subset_of_a_source_is_read_from_the_store_too(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    subset = Subset(DISFA(root), [5, 30, 30, 2])
    found = prepared_for(subset, SIZE)
    require_same(found, subset)
    assert found.native_size == SIZE
    assert subset.native_size is None


def test_what_is_not_known_is_not_used(tmp_path, monkeypatch):
    _, root = disfa_images(tmp_path / "tree")
    raw = DISFA(root)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepared_for(raw, SIZE) is None
        made = prepare("disfa", root, size=SIZE, workers=0)
        assert made.folder.parent == prepared_folder()
        assert prepare("disfa", root, size=SIZE, workers=0, codec="jpeg").folder != made.folder
        require_same(prepared_for(raw, SIZE), raw)
        assert prepared_for(raw, SIZE + 1) is None
        link = tmp_path / "link"
        link.symlink_to(root)
        require_same(prepared_for(DISFA(link), SIZE), raw)  # the same tree under another name
        for note in prepared_folder().glob("*.json"):
            note.write_text(note.read_text()[:40])  # torn
        assert prepared_for(raw, SIZE) is None
        prepare("disfa", root, size=SIZE, workers=0)
        require_same(prepared_for(raw, SIZE), raw)
        shutil.rmtree(made.folder)
        assert prepared_for(raw, SIZE) is None
        assert prepared_for(open_source("folder", folder_images(tmp_path / "other")[1]), SIZE) is None


def test_a_store_that_is_no_longer_whole_is_named_and_not_used(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    made = prepare("disfa", root, size=SIZE, workers=0)
    (made.folder / "store.json").write_text("{")
    with pytest.warns(UserWarning, match="cannot be used.*ausynth cache repair"):
        assert prepared_for(DISFA(root), SIZE) is None


def test_the_hint_says_what_to_run(tmp_path):
    _, root = disfa_images(tmp_path / "a tree")
    said = hint(DISFA(root), 96)
    assert f"ausynth prepare disfa --root '{root}' --size 96`" in said
    assert "--align landmarks" in hint(DISFA(root, align="landmarks"), 96)
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    assert hint(open_source("disfa", tmp_path / "store"), SIZE) is None


def damage(store: Path, picture: np.ndarray) -> Path:
    """Flip a byte in the middle of a stored picture, and return the file."""
    for path in store.rglob("*.h5"):
        data = bytearray(path.read_bytes())
        start = data.find(picture.tobytes())
        if start >= 0:
            data[start + picture.size // 2] ^= 64
            path.chmod(0o644)
            path.write_bytes(data)
            return path
    raise AssertionError("no shard holds the picture")


def test_a_damaged_picture_is_named_and_skipped(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=48, workers=0)
    path = damage(tmp_path / "store", pixels(DISFA(root), 48, [14])[0])
    found = open_source("disfa", tmp_path / "store")
    check_corrupt(found, 14)
    with pytest.raises(FrameError, match=f"{path.name}.*ausynth cache repair {tmp_path / 'store'}") as caught:
        pixels(found, 48, [3, 2, 14, 1])
    assert caught.value.position == 2
    assert path.name in caught.value.path
    side = RealSource([found], aus=found.labels.aus, seed=0, on_error="skip")
    side.read(np.arange(36), np.empty((36, 48, 48, 3), np.uint8))
    assert sum(side.skipped.values()) == 1


def test_damage_is_repaired_by_preparing_again(tmp_path):
    from ausynth.store.maintenance import repair

    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    damage(tmp_path / "store", pixels(DISFA(root), SIZE, [14])[0])
    repair(tmp_path / "store")
    with pytest.raises(StoreError, match="35 of 36 pictures"):
        open_source("disfa", tmp_path / "store")
    assert prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0).made == 10
    require_same(open_source("disfa", tmp_path / "store"), DISFA(root))


def test_pictures_that_cannot_be_read_stop_the_run_after_the_others(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    for number in (3, 4, 11):
        (root / "frames" / "SN001" / f"{number}.png").write_text("no picture")
    with pytest.raises(FrameError, match="3 pictures cannot be read, and 2 shards lack them.*--skip-damaged"):
        prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    with pytest.raises(StoreError, match="16 of 36 pictures"):
        open_source("disfa", tmp_path / "store")
    made = prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0, skip_damaged=True)
    assert (made.made, made.unreadable) == (20, 3)


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_skipping_an_unreadable_picture_takes_the_same_other_one(codec, tmp_path):
    root = jpeg_tree(tmp_path / "tree", SIZE)
    for path in (root / "frames" / "SN001" / "00004.jpg", root / "frames" / "SN003" / "00012.jpg"):
        path.write_bytes(path.read_bytes()[:100])
    made = prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0, codec=codec, skip_damaged=True)
    assert (made.unreadable, made.exact) == (2, True)
    raw, found = DISFA(root), open_source("disfa", tmp_path / "store")
    assert found.fingerprint == raw.fingerprint
    with pytest.raises(FrameError, match="frames/SN001/00004.jpg: it could not be read when") as caught:
        pixels(found, SIZE, [0, 3, 1])
    assert caught.value.position == 1
    batches = []
    for source in (raw, found, prepared_for(raw, SIZE)):
        side = RealSource([source], aus=source.labels.aus, seed=7, on_error="skip")
        out = np.empty((60, SIZE, SIZE, 3), np.uint8)
        side.read(np.arange(60), out)
        assert sum(side.skipped.values()) >= 4
        batches.append(out)
    assert np.array_equal(batches[0], batches[1])
    assert np.array_equal(batches[0], batches[2])


def test_another_size_is_resized_from_the_stored_one(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=64, workers=0)
    found = open_source("disfa", tmp_path / "store")
    wanted = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) for image in pixels(DISFA(root), 64)])
    assert np.array_equal(pixels(found, 32), wanted)


def test_rows_that_lie_apart_are_written_and_nothing_else(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    found, whole = open_source("disfa", tmp_path / "store"), pixels(DISFA(root))
    batch = np.full((9, SIZE, SIZE, 3), 77, np.uint8)
    found.read([4, 30, 4, 1], batch[1::2])
    assert np.array_equal(batch[1::2], whole[[4, 30, 4, 1]])
    assert (batch[::2] == 77).all()


def test_the_root_may_come_from_the_environment(tmp_path, monkeypatch):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    monkeypatch.setenv("AUSYNTH_DISFA_ROOT", str(tmp_path / "store"))
    require_same(open_source("DISFA"), DISFA(root))


def test_options_that_were_settled_when_it_was_prepared(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0, options={"exclude": "jaanet", "frame_base": 0})
    for options in ({"camera": "left", "exclude": "jaanet"}, {"frame_base": 0, "cache": "/nowhere", "progress": False}):
        open_source("disfa", tmp_path / "store", **options)
    for options in ({"camera": "right"}, {"exclude": None}, {"frames": "video"}):
        (option,) = options
        with pytest.raises(ConfigurationError, match=f"{option}=.*prepared with {option}="):
            open_source("disfa", tmp_path / "store", **options)
    with pytest.raises(ConfigurationError, match="disfa has no option tasks"):
        open_source("disfa", tmp_path / "store", tasks="T1")
    with pytest.raises(ConfigurationError, match="disfa has no option tasks"):
        PreparedSource(tmp_path / "store", tasks="T1")


def test_a_folder_is_prepared_with_its_csv_beside_it(tmp_path):
    folder_tree(tmp_path / "tree")
    made = prepare(
        "folder",
        tmp_path / "tree",
        tmp_path / "store",
        size=SIZE,
        workers=0,
        options={"csv": tmp_path / "tree/labels.csv"},
    )
    assert made.pictures == 7
    raw = open_source("folder", tmp_path / "tree", csv=tmp_path / "tree/labels.csv")
    require_same(open_source("folder", tmp_path / "store"), raw)
    require_same(open_source("folder", tmp_path / "store", csv=tmp_path / "tree/labels.csv"), raw)
    with pytest.raises(ConfigurationError, match="no labels of AU 2"):
        open_source("folder", tmp_path / "store", aus=[1, 2])


def test_another_data_set_or_no_store_is_refused(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    prepare("disfa", root, tmp_path / "store", size=SIZE, workers=0)
    with pytest.raises(ConfigurationError, match="holds disfa, and bp4d is asked for"):
        open_source("bp4d", tmp_path / "store")
    with pytest.raises(StoreError):
        PreparedSource(root)
    with pytest.raises(ConfigurationError, match="is prepared already"):
        prepare("disfa", tmp_path / "store", tmp_path / "again", workers=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 8}, "16 or more"),
        ({"size": 5000}, "16 to 1024"),
        ({"codec": "png"}, "'raw' or 'jpeg'"),
        ({"quality": 101, "codec": "jpeg"}, "quality of 1 to 100"),
        ({"thin": 1}, "thin=1"),
        ({"workers": -1}, "workers -1"),
        ({"align": "eyes"}, "align='eyes'"),
        ({"options": {"aus": [1]}}, "aus while a data set is prepared"),
        ({"options": {"threshold": 2}}, "threshold while a data set is prepared"),
        ({"options": {"colour": 2}}, "disfa has no option colour"),
        ({"options": {"hold_out": "P9"}}, "no part and no subject"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(options, words, tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    with pytest.raises(ConfigurationError, match=words):
        prepare("disfa", root, tmp_path / "store", **{"size": SIZE, "workers": 0, **options})
    assert not (tmp_path / "store").exists() or not shards(tmp_path / "store")


def test_the_command(tmp_path):
    _, root = disfa_images(tmp_path / "tree")
    words = ["prepare", "disfa", "--root", root, "--out", tmp_path / "store", "--size", SIZE, "--workers", 0]
    words += ["--hold-out", "SN003,P2", "--thin", 4, "--option", "camera=left", "--option", "frame_base=0"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'store'}" in done.output.replace("\n", "")
    require_same(open_source("disfa", tmp_path / "store"), DISFA(root, hold_out=["SN003", "P2"], thin=4))
    again = CliRunner().invoke(app, list(map(str, words)))
    assert "were there already" in again.output
    for wrong in (["--align", "nowhere:at_all"], ["--option", "camera"], ["--codec", "png"]):
        refused = CliRunner().invoke(app, [*map(str, words), *wrong])
        assert refused.exit_code == 2
    assert os.listdir(root)  # noqa: PTH208 (the tree is as it was)
