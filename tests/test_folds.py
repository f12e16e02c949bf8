"""Which subjects are kept: parts, fold names of other code bases, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ausynth.errors import ConfigurationError
from ausynth.sources.folds import FOLDS, PARTS, select, subject_order

DISFA = subject_order("disfa")
BP4D = subject_order("bp4d")


def test_parts_are_disjoint_and_hold_everyone():
    for dataset, people in (("disfa", 27), ("bp4d", 41)):
        listed = [subject for part in PARTS[dataset].values() for subject in part]
        assert len(listed) == len(set(listed)) == people
        assert sorted(listed) == list(subject_order(dataset))
    assert [len(part) for part in PARTS["disfa"].values()] == [9, 9, 9]
    assert [len(part) for part in PARTS["bp4d"].values()] == [14, 14, 13]


def test_canonical_order():
    assert DISFA[12:16] == ("SN013", "SN016", "SN017", "SN018")
    assert DISFA[-1] == "SN032"
    assert tuple(f"F{i:03d}" for i in range(1, 24)) + tuple(f"M{i:03d}" for i in range(1, 19)) == BP4D
    assert subject_order("DISFA") == DISFA
    with pytest.raises(ConfigurationError, match="bp4d"):
        subject_order("ck+")


@pytest.mark.parametrize(
    ("dataset", "fold", "part"),
    [
        ("disfa", "megraph:3", "P1"),
        ("disfa", "mdhr:3", "P1"),
        ("disfa", "fgnet:0", "P1"),
        ("disfa", "libreface:2", "P1"),
        ("disfa", "jaanet:combine_2_3", "P1"),
        ("disfa", "megraph:2", "P2"),
        ("disfa", "mdhr:2", "P2"),
        ("disfa", "fgnet:1", "P2"),
        ("disfa", "libreface:1", "P2"),
        ("disfa", "jaanet:combine_1_3", "P2"),
        ("disfa", "megraph:1", "P3"),
        ("disfa", "mdhr:1", "P3"),
        ("disfa", "fgnet:2", "P3"),
        ("disfa", "libreface:0", "P3"),
        ("disfa", "jaanet:combine_1_2", "P3"),
        ("bp4d", "megraph:1", "P3"),
        ("bp4d", "megraph:2", "P2"),
        ("bp4d", "megraph:3", "P1"),
        ("bp4d", "fgnet:0", "P1"),
        ("bp4d", "fgnet:1", "P2"),
        ("bp4d", "fgnet:2", "P3"),
    ],
)
def test_folds_of_other_code_bases(dataset, fold, part):
    everyone = subject_order(dataset)
    train = select(dataset, everyone, fold=fold.upper(), split="train")
    test = select(dataset, everyone, fold=fold, split="test")
    assert set(test) == set(PARTS[dataset][part])
    assert not set(test) & set(train)
    assert set(test) | set(train) == set(everyone)
    assert train == select(dataset, everyone, hold_out=part)


def test_every_fold_name_is_covered_above():
    assert sum(len(folds) for folds in FOLDS.values()) == 21


def test_what_is_kept():
    there = ["SN010", "SN001", "SN003", "SN006"]
    assert select("disfa", there) == tuple(there)
    assert select("disfa", there, hold_out="p1") == ("SN003", "SN006")
    assert select("disfa", there, hold_out=["P2", "sn003"]) == ("SN010", "SN001")
    assert select("disfa", there, hold_out="SN032") == tuple(there), "a subject that is not on disk may be held out"
    assert select("disfa", there, keep=("P3", "SN001")) == ("SN001", "SN003")
    assert select("disfa", there, keep={"P1"}) == ("SN010", "SN001")
    assert select("DISFA", there, fold="FGNet:1", split="test") == ("SN006",)


def test_a_data_set_without_parts_takes_its_own_subjects():
    assert select("mine", ["Ann", "Bob"], hold_out="ann") == ("Bob",)
    assert select("mine", ["Ann", "Bob"], keep=["Bob"]) == ("Bob",)
    with pytest.raises(ConfigurationError, match="no subject of mine.*Ann, Bob"):
        select("mine", ["Ann", "Bob"], hold_out="P1")
    with pytest.raises(ConfigurationError, match="no fold"):
        select("mine", ["Ann", "Bob"], fold="megraph:1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hold_out": "P4"}, "P4.*P1, P2, P3.*SN001"),
        ({"hold_out": ["P1", "SN014"]}, "SN014.*SN013, SN016"),
        ({"hold_out": "F001"}, "F001"),
        ({"keep": "P9"}, "P9"),
        ({"hold_out": []}, "empty"),
        ({"hold_out": ""}, "empty"),
        ({"keep": ()}, "empty"),
        ({"hold_out": ["P1", ""]}, "empty"),
        ({"hold_out": 1}, "names"),
        ({"hold_out": [1]}, "names 1"),
        ({"fold": "megraph:4"}, "megraph:4.*megraph:1.*jaanet:combine_2_3"),
        ({"fold": 1}, "fold 1"),
        ({"fold": ""}, "unknown fold"),
        ({"fold": "megraph:1", "split": "val"}, "'val'.*train"),
        ({"split": "test"}, "fold"),
        ({"hold_out": "P1", "keep": "P2"}, "hold_out and keep"),
        ({"hold_out": "P1", "fold": "megraph:1"}, "at most one"),
        ({"hold_out": ["P1", "P2", "P3"]}, "nobody is left"),
        ({"keep": "SN032"}, "nobody is left"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(ConfigurationError, match=f"(?s){words}"):
        select("disfa", DISFA[:-1], **options)


def test_someone_of_another_data_set_is_refused():
    with pytest.raises(ConfigurationError, match="SN014"):
        select("disfa", ["SN001", "SN014"])
    with pytest.raises(ConfigurationError, match="nobody is left"):
        select("disfa", [])


@given(
    there=st.sets(st.sampled_from(DISFA), min_size=1),
    out=st.lists(st.sampled_from([*DISFA, "P1", "P2", "P3"]), min_size=1),
)
def test_hold_out_and_keep_split_those_that_are_there(there, out):
    there = sorted(there)

    def chosen(**options):
        try:
            return select("disfa", there, **options)
        except ConfigurationError:
            return ()

    kept, held = chosen(hold_out=out), chosen(keep=out)
    assert not set(kept) & set(held)
    assert sorted((*kept, *held)) == there
    assert list(kept) == sorted(kept)
