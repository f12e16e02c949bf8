from __future__ import annotations

import warnings

import pytest
from fakes import FakeSource

from ausynth.errors import ConfigurationError
from ausynth.sources import opening
from ausynth.sources.opening import open_real


@pytest.fixture
def asked(monkeypatch):
    """Return what each data set is opened with, in place of opening it."""
    calls = {}

    def open_source(name, root=None, **options):
        calls[name] = {"root": root, **{k: v for k, v in options.items() if k != "align"}}
        return FakeSource(5, name=name)

    monkeypatch.setattr(opening, "open_source", open_source)
    return calls


BOTH = ["disfa", "bp4d"]


@pytest.mark.parametrize(
    ("options", "disfa", "bp4d"),
    [
        ({"hold_out": "P1"}, {"hold_out": "P1"}, {"hold_out": "P1"}),
        ({"fold": "megraph:1"}, {"fold": "megraph:1"}, {"fold": "megraph:1"}),
        ({"hold_out": "sn001"}, {"hold_out": ["sn001"]}, {}),
        ({"hold_out": ["SN001", "F002"]}, {"hold_out": ["SN001"]}, {"hold_out": ["F002"]}),
        ({"keep": ["P1", "SN003"]}, {"keep": ["P1", "SN003"]}, {"keep": ["P1"]}),
        ({"hold_out": {"disfa": "P2"}}, {"hold_out": "P2"}, {}),
        ({"threshold": 3}, {"threshold": 3}, {"threshold": 3}),
        ({"root": {"disfa": "a", "bp4d": "b"}}, {"root": "a"}, {"root": "b"}),
    ],
)
def test_each_data_set_is_told_what_concerns_it(asked, options, disfa, bp4d):
    open_real(BOTH, **options)
    assert asked == {"disfa": {"root": None, **disfa}, "bp4d": {"root": None, **bp4d}}


def test_an_open_source_may_stand_beside_a_name(asked):
    mine = FakeSource(3, name="mine")
    assert [source.name for source in open_real(["disfa", mine])] == ["disfa", "mine"]
    assert open_real(None) == ()


@pytest.mark.parametrize(
    ("real", "options", "words"),
    [
        (BOTH, {"hold_out": ["SN001", "SN999"]}, r"hold_out names \['SN999'\]"),
        (BOTH, {"hold_out": "F999"}, r"hold_out names \['F999'\]"),
        (BOTH, {"keep": {"disfaa": "P1"}}, r"keep names \['disfaa'\].*bp4d, disfa"),
        (BOTH, {"root": "/data"}, "one root for 2 named sources.*root="),
        ([FakeSource(3)], {"fold": "megraph:1"}, "fold with a source that is open already.*open_source"),
        (None, {"hold_out": "P1"}, "hold_out without real data"),
        ([], {}, "names no source"),
    ],
)
def test_a_misspelt_hold_out_does_not_hold_out_nobody(asked, real, options, words):
    with pytest.raises(ConfigurationError, match=words):
        open_real(real, **options)
    assert not asked


def test_a_large_set_that_is_not_prepared_is_told_once_how_to_be(monkeypatch):
    from ausynth.sources import opening_prepared

    monkeypatch.setattr(opening_prepared, "hint", lambda source, size: f"prepare {source.name} at {size}")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for source in (FakeSource(100), FakeSource(5_000), FakeSource(5_000)):
            assert opening_prepared.use_prepared(source, 77) is source
    assert [str(warning.message) for warning in said] == ["prepare fake at 77"]
