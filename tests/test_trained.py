"""A generator that has learned from somebody is refused by a stream that holds them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import FakeGenerator, FakeSource

from ausynth.errors import ConfigurationError
from ausynth.sources.made import recipe_of
from ausynth.store import Store
from ausynth.stream import MixedStream


class Learned(FakeGenerator):
    trained_on = ("fake/fake-0", "fake/fake-2")


def stream(source: FakeSource, **options: Any) -> MixedStream:
    return MixedStream(real=source, ratio=0.5, batch_size=4, balance=None, **options)


def source_without(held: int) -> FakeSource:
    """Return a source of three people, one of whom is in none of its pictures."""
    source = FakeSource(30)
    shown = [person for person in range(3) if person != held]
    source.identities = source.identities % 2
    source.identities[:] = [shown[person] for person in source.identities]
    return source


def test_held_out_people_must_not_have_trained_the_generator() -> None:
    with pytest.raises(ConfigurationError, match="trained on fake/fake-2, whom this stream holds out"):
        stream(source_without(2), generator=Learned())
    stream(source_without(1), generator=Learned())  # who is held out is not one it has learned from
    stream(FakeSource(30), generator=Learned())  # nobody is
    stream(source_without(2), generator=FakeGenerator())  # it has learned from nobody
    MixedStream(real=source_without(2), ratio=0, generator=Learned(), batch_size=4)  # nothing of it is shown


def test_a_store_remembers_who_trained_its_generator(tmp_path: Path) -> None:
    assert recipe_of(Learned()).about["trained_on"] == ["fake/fake-0", "fake/fake-2"]
    assert "trained_on" not in recipe_of(FakeGenerator()).about
    filled = MixedStream(real=None, ratio=1, generator=Learned(), batch_size=4, cache=tmp_path / "cache")
    next(iter(filled))
    assert len(Store(tmp_path / "cache")) > 0
    for options in ({"synthetic": tmp_path / "cache"}, {"generator": None, "cache": tmp_path / "cache"}):
        with pytest.raises(ConfigurationError, match="fake/fake-2"):
            stream(source_without(2), **options)
