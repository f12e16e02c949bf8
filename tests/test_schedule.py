from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ausynth.errors import ConfigurationError
from ausynth.schedule import Interleave, Mixture, Permutation, as_share, random_bits, uniform

RATIOS = [0, 0.1, 0.5, 2 / 3, 1]
starts = st.integers(0, 10**15)


@pytest.mark.parametrize(("value", "meant"), [(0.1, Fraction(1, 10)), (2 / 3, Fraction(2, 3)), (1, Fraction(1))])
def test_a_float_is_the_fraction_that_was_meant(value, meant):
    assert as_share(value) == meant


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), float("inf"), "half", None])
def test_a_share_outside_0_to_1_is_refused(value):
    with pytest.raises(ConfigurationError, match="ratio .* Expected: a number from 0"):
        as_share(value)


@given(ratio=st.sampled_from(RATIOS) | st.floats(0, 1), start=starts, length=st.integers(0, 3000))
def test_any_window_holds_the_share_within_one(ratio, start, length):
    share = as_share(ratio)
    window = np.arange(start, start + length)
    first, _ = Interleave(share).deal(window)
    assert abs(int(first.sum()) - length * share) < 1


@given(ratio=st.sampled_from(RATIOS) | st.floats(0, 1), start=starts)
def test_each_hand_is_dealt_without_gap_or_repeat(ratio, start):
    hand = Interleave(as_share(ratio))
    window = np.arange(start, start + 500)
    first, ordinal = hand.deal(window)
    for mine in (first, ~first):
        assert (np.diff(ordinal[mine]) == 1).all()


def test_both_hands_start_at_zero():
    first, ordinal = Interleave(Fraction(1, 3)).deal(range(30))
    assert ordinal[first].tolist() == list(range(10))
    assert ordinal[~first].tolist() == list(range(20))


@given(weights=st.lists(st.floats(0, 100), min_size=1, max_size=5).filter(lambda w: sum(w) > 1), start=starts)
def test_a_mixture_deals_every_source_in_order_and_in_proportion(weights, start):
    source, ordinal = Mixture(weights).deal(np.arange(start, start + 2000))
    for number, weight in enumerate(weights):
        mine = source == number
        assert (np.diff(ordinal[mine]) == 1).all()
        assert abs(mine.sum() - 2000 * weight / sum(weights)) <= len(weights) + 1


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1]])
def test_weights_that_choose_nothing_are_refused(weights):
    with pytest.raises(ConfigurationError, match="weights"):
        Mixture(weights)


@given(length=st.integers(1, 3000), seed=st.integers(0, 2**40), epoch=st.integers(0, 10**9))
def test_a_permutation_holds_everything_once(length, seed, epoch):
    assert sorted(Permutation(length, seed).at(np.arange(length), epoch).tolist()) == list(range(length))


def test_permutations_differ_by_seed_epoch_and_purpose():
    a = Permutation(1000, 1).at(range(1000))
    for other in (
        Permutation(1000, 2).at(range(1000)),
        Permutation(1000, 1).at(range(1000), 1),
        Permutation(1000, 1, "other").at(range(1000)),
    ):
        assert (a == other).mean() < 0.02


def test_a_permutation_looks_shuffled():
    n = 20_000
    order = Permutation(n, 0).at(range(n))
    assert abs(np.corrcoef(np.arange(n), order)[0, 1]) < 0.03
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.03


def test_endless_order_shows_all_once_in_each_epoch():
    order = Permutation(7, 3)
    seen = order.endless(range(7 * 10**6, 7 * 10**6 + 21)).reshape(3, 7)
    assert (np.sort(seen, axis=1) == np.arange(7)).all()


def test_random_words_do_not_depend_on_their_company():
    many = random_bits(5, "noise", np.arange(100), 2)
    assert int(random_bits(5, "noise", 42, 2)) == int(many[42])
    assert len(set(many.tolist())) == 100


def test_uniform_numbers_are_uniform():
    numbers = uniform(0, "test", np.arange(100_000))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.abs(np.histogram(numbers, bins=10, range=(0, 1))[0] - 10_000).max() < 500
