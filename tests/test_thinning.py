"""Which frames thinning keeps, and that a thinned source is a source like any other."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from fakes import FakeSource
from hypothesis import given
from hypothesis import strategies as st
from test_disfa import COUNT, PEOPLE, told_by, write_images, write_labels, write_landmarks
from test_sources_conformance import bp4d_padded, folder_tree

from ausynth.errors import ConfigurationError, FrameError
from ausynth.labels import Labels
from ausynth.sources import open_source
from ausynth.sources.bp4d import BP4D
from ausynth.sources.disfa import DISFA
from ausynth.sources.folder import Folder
from ausynth.sources.opening import open_real
from ausynth.sources.thinning import Subset, kept_rows, sequences_of, thin
from ausynth.testing import check_source

NAN = float("nan")


def one_by_one(labels: Labels, sequences: np.ndarray, how) -> list[int]:
    """Return what `kept_rows` should, found by going through the frames of each sequence."""
    last: dict[int, tuple[int, str]] = {}
    kept = []
    for row, sequence in enumerate(sequences.tolist()):
        count, before = last.get(sequence, (0, ""))
        now = str((labels.intensity[row].tolist(), labels.occurrence[row].tolist()))
        if now != before or (how != "runs" and count % how == 0):
            kept.append(row)
        last[sequence] = (count + 1, now)
    return kept


@given(
    cells=st.lists(st.tuples(st.sampled_from([0.0, 1.0, 3.0, NAN]), st.sampled_from([0.0, 1.0, NAN])), max_size=40),
    people=st.lists(st.integers(0, 2), min_size=40, max_size=40),
    how=st.one_of(st.just("runs"), st.integers(2, 7)),
)
def test_a_frame_is_kept_where_labels_change_and_every_kth_of_a_sequence(cells, people, how):
    count = len(cells)
    graded = np.array([cell[0] for cell in cells], np.float32).reshape(count, 1)
    coded = np.array([cell[1] for cell in cells], np.float32).reshape(count, 1)
    known = ~np.isnan(coded)
    labels = Labels((12,), graded, coded, known.astype(np.float32))
    sequences = np.array(people[:count], dtype=np.int64)
    assert kept_rows(labels, sequences, how).tolist() == one_by_one(labels, sequences, how)


def test_every_kth_is_counted_from_the_start_of_a_sequence_and_joins_the_changes():
    intensity = np.zeros((60, 1))
    intensity[17:] = 2
    labels = Labels.from_intensity((12,), intensity)
    assert kept_rows(labels, np.arange(60) // 33, 10).tolist() == [0, 10, 17, 20, 30, 33, 43, 53]
    assert kept_rows(labels, np.arange(60) // 33, "runs").tolist() == [0, 17, 33]


@pytest.mark.parametrize("how", ["run", 1, 0, -3, True, 2.5, None, ("runs",)])
def test_what_is_no_way_of_thinning_is_refused(how):
    with pytest.raises(ConfigurationError, match=r"thin=.*'runs'.*2 or more"):
        thin(FakeSource(5), how)


@pytest.fixture
def disfa(tmp_path):
    """Return the root of a tree in which every frame tells its person and label line, and labels change at each."""
    write_labels(tmp_path)
    write_images(tmp_path, "frames/{s}/{k}.png", 0)
    return tmp_path


def shown_by(source) -> list[tuple[str, int]]:
    out = np.empty((len(source), 64, 64, 3), np.uint8)
    source.read(range(len(source)), out)
    return [told_by(image) for image in out]


def steady(root, changes: dict[str, set[int]]) -> None:
    """Rewrite the label files so that AU12 changes at the given lines (from 1) and nothing else does."""
    for path in root.rglob("*_au*.txt"):
        lines = changes[path.parent.name] if path.stem.endswith("_au12") else ()
        level, text = 0, ""
        for line in range(1, COUNT + 1):
            level = 5 - level if line in lines else level
            text += f"{line},{level}\n"
        path.write_text(text)


def test_disfa_keeps_the_frames_at_which_labels_change(disfa):
    steady(disfa, {"SN001": {4, 9}, "SN003": set(), "SN010": {12}})
    expected = [("SN001", 1), ("SN001", 4), ("SN001", 9), ("SN003", 1), ("SN010", 1), ("SN010", 12)]
    source = DISFA(disfa, thin="runs")
    assert shown_by(source) == expected
    assert source.labels.intensity[:, source.labels.aus.index(12)].tolist() == [0, 5, 0, 0, 0, 5]
    assert [source.subjects[person] for person in source.identities] == [subject for subject, _ in expected]
    assert [source.frames.describe(index) for index in range(6)][1] == "frames/SN001/3.png"
    every_fifth = [("SN003", 1), ("SN003", 6), ("SN003", 11), ("SN010", 1), ("SN010", 6), ("SN010", 11), ("SN010", 12)]
    assert shown_by(DISFA(disfa, thin=5, hold_out="SN001")) == every_fifth
    assert shown_by(open_source("disfa", disfa, thin=5, keep="SN003")) == every_fifth[:3]


def test_the_wrapper_and_the_option_keep_the_same(disfa):
    steady(disfa, {"SN001": {4, 9}, "SN003": {2}, "SN010": {12}})
    for how in ("runs", 2, 7):
        option, wrapper = DISFA(disfa, thin=how), thin(DISFA(disfa), how)
        assert shown_by(option) == shown_by(wrapper)
        assert np.array_equal(option.labels.intensity, wrapper.labels.intensity)
        assert np.array_equal(option.identities, wrapper.identities)
        assert np.array_equal(sequences_of(option), sequences_of(wrapper))


def test_landmarks_stay_with_their_frames(disfa):
    steady(disfa, {subject: {5, 6} for subject in PEOPLE})
    write_landmarks(disfa, "Landmark_Points/{s}/tmp_frame_lm/{s}_{k:04d}_lm.mat", 0)
    whole, thinned = (DISFA(disfa, align="landmarks", thin=how) for how in (None, "runs"))
    rows = kept_rows(whole.labels, whole.sequences, "runs")
    assert 0 < len(rows) < len(whole)
    expected, found = np.empty((2, len(rows), 40, 40, 3), np.uint8)
    whole.read(rows, expected)
    thinned.read(range(len(rows)), found)
    assert np.array_equal(found, expected)


def test_a_new_task_begins_a_new_sequence(tmp_path):
    source, _, _, _ = bp4d_padded(tmp_path)
    assert sequences_of(source).tolist() == [0, 0, 0, 1, 1]
    for path in (tmp_path / "AUCoding" / "AU_OCC").iterdir():
        rows = path.read_text().splitlines()
        path.write_text("\n".join([rows[0], *(f"{row.split(',')[0]},1,1,1,0" for row in rows[1:])]))
    (tmp_path / "AUCoding" / "AU_INT" / "AU12" / "F001_T1_AU12.csv").unlink()
    assert [BP4D(tmp_path, thin="runs").frames.describe(index) for index in range(2)] == [
        "F001/T1/0009.jpg",
        "M002/T4/0010.jpg",
    ]


def test_pictures_of_one_person_in_two_folders_are_two_sequences(tmp_path):
    folder_tree(tmp_path)
    source = Folder(tmp_path / "labels.csv")
    assert sequences_of(source).tolist() == [0, 1, 0, 2, 1, 2, 0]
    assert sequences_of(FakeSource(5)).tolist() == [0, 1, 2, 0, 1]  # a source without files: by person
    text = (tmp_path / "labels.csv").read_text().splitlines()
    (tmp_path / "b" / "other").mkdir()
    (tmp_path / "b" / "2.jpg").rename(tmp_path / "b" / "other" / "2.jpg")
    (tmp_path / "labels.csv").write_text("\n".join(text).replace("b/2.jpg", "b/other/2.jpg"))
    assert sequences_of(Folder(tmp_path / "labels.csv")).tolist() == [0, 1, 2, 3, 1, 3, 0]


@given(how=st.one_of(st.just("runs"), st.integers(2, 5)), out=st.sampled_from(["a", "b", "c"]))
def test_who_else_is_there_does_not_decide_which_frames_of_a_person_are_kept(how, out, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "thinned-folder"
    if not root.is_dir():
        root.mkdir()
        folder_tree(root)
    everyone = Folder(root / "labels.csv", thin=how)
    others = Folder(root / "labels.csv", thin=how, hold_out=out)
    names = [everyone.frames.describe(index) for index in range(len(everyone))]
    assert [others.frames.describe(index) for index in range(len(others))] == [
        name for name in names if not name.startswith(f"{out}/")
    ]


def test_each_way_of_thinning_has_its_own_fingerprint(disfa):
    steady(disfa, {subject: {4, 9} for subject in PEOPLE})
    found = [DISFA(disfa, thin=how).fingerprint for how in (None, "runs", 2, 5, 6)]
    found += [thin(DISFA(disfa), how).fingerprint for how in ("runs", 2, 5, 6)]
    assert len(set(found)) == len(found)
    assert DISFA(disfa, thin=5).fingerprint == found[3]


def test_thinned_sources_keep_the_contract(disfa, tmp_path):
    steady(disfa, {subject: {4, 9} for subject in PEOPLE})
    check_source(DISFA(disfa, thin=2))
    check_source(thin(DISFA(disfa, hold_out="SN003"), "runs"))


def test_a_subset_passes_on_what_its_source_says_of_a_damaged_picture(disfa):
    subset = Subset(DISFA(disfa), [30, 2, 2, 11])
    assert shown_by(subset) == [("SN010", 7), ("SN001", 3), ("SN001", 3), ("SN001", 12)]
    (disfa / "frames" / "SN001" / "2.png").write_text("no picture")
    out = np.empty((4, 64, 64, 3), np.uint8)
    with pytest.raises(FrameError) as caught:
        pickle.loads(pickle.dumps(subset)).read([0, 3, 1, 2], out)
    assert caught.value.position == 2
    assert caught.value.path.endswith("SN001/2.png")


def test_a_subset_refuses_rows_that_are_not_there():
    source = FakeSource(5)
    for rows in ([5], [-1]):
        with pytest.raises(ConfigurationError, match="0 to 4"):
            Subset(source, rows)
    subset = Subset(source, [1, 3])
    for index in (-1, 2):
        with pytest.raises(ConfigurationError, match="0 to 1"):
            subset.read([index], np.empty((1, 8, 8, 3), np.uint8))


def test_a_stream_thins_named_and_open_sources_alike(disfa):
    steady(disfa, {subject: {4, 9} for subject in PEOPLE})
    (named,) = open_real("disfa", root=disfa, thin="runs")
    (opened,) = open_real(DISFA(disfa), thin="runs")
    assert shown_by(named) == shown_by(opened)
    assert len(named) == 3 * len(PEOPLE)
