"""Expressions that rise and fall: nothing jumps, and what occurs is what was asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth.errors import ConfigurationError
from ausynth.performance import Manner, perform

RUNS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), min_size=1, max_size=12)


def steps(runs: list[tuple[int, int]]) -> np.ndarray:
    return np.repeat([float(value) for value, _ in runs], [length for _, length in runs])[:, None].astype(np.float32)


@settings(max_examples=200, deadline=None)
@given(runs=RUNS, person=st.integers(0, 10**9), threshold=st.sampled_from([0.5, 1.5]))
def test_nothing_jumps_and_what_occurs_was_asked(runs: list[tuple[int, int]], person: int, threshold: float) -> None:
    asked, manner = steps(runs), Manner.of(person, 1)
    shown = perform(asked, manner, threshold=threshold, ceiling=4.0)
    assert ((shown >= threshold) == (asked >= threshold)).all()
    assert shown.min() >= 0
    assert shown.max() <= 4
    if len(shown) > 1:
        change = np.diff(shown[:, 0])
        fastest = max(manner.onset[0], manner.offset[0])
        assert np.abs(change).max() <= fastest + 1e-5
        assert np.abs(np.diff(np.rint(shown[:, 0]))).max() <= 1
    again = perform(asked, Manner.of(person, 1), threshold=threshold, ceiling=4.0)
    assert np.array_equal(shown, again)


def test_an_expression_has_an_onset_an_apex_and_a_slower_offset() -> None:
    asked = steps([(0, 40), (4, 60), (0, 60)])
    shown = perform(asked, Manner(*np.float32([[0.8], [0.3], [1.0]])))[:, 0]
    assert shown[0] == shown[-1] == 0
    assert shown[70] == 4
    rising, falling = np.flatnonzero(np.diff(shown) > 1e-6), np.flatnonzero(np.diff(shown) < -1e-6)
    assert rising.max() < falling.min()
    assert len(falling) > 2 * len(rising)


def test_people_differ() -> None:
    manners = [Manner.of(person, 12) for person in range(50)]
    assert np.std([manner.strength.mean() for manner in manners]) > 0.05
    assert np.std([manner.onset.mean() for manner in manners]) > 0.05
    assert np.std(manners[0].strength) > 0.02


@pytest.mark.parametrize(
    "asked", [np.full((3, 1), np.nan), np.full((3, 1), 6.0), np.zeros(3)], ids=["nan", "above", "shape"]
)
def test_wrong_intensities_are_refused(asked: np.ndarray) -> None:
    with pytest.raises(ConfigurationError, match="intensities"):
        perform(asked, Manner.of(1, 1))


def test_a_manner_faster_than_a_letter_a_frame_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="onset"):
        Manner(np.float32([1.5]), np.float32([0.5]), np.float32([1]))
