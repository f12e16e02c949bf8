from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.samplers import BalancedSampler, Channel, LabelSampler, SpacedFrames, Target, calibrate, solve_through
from ausynth.samplers.herding import BLOCK, Herd


@pytest.fixture(scope="module")
def hard():
    """Return a balance of hard targets for DISFA's eight AUs, from published figures alone."""
    return calibrate(None, aus=facs.DISFA_8, ratio=1, target="hard")


@pytest.fixture(scope="module")
def mixture():
    """Return a balance of half real frames, with their labels (N, A): patterns that co-occur, most of them neutral."""
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 8)) + rng.normal(size=(400, 8))
    patterns = np.unique(causes > np.quantile(causes, 0.85, axis=0), axis=0).astype(float)
    counts = np.ceil(4000 / (1 + np.arange(len(patterns))) ** 1.2).astype(int)
    balance = calibrate((patterns, counts), aus=facs.DISFA_8, ratio=0.5, target="hard")
    frames = np.repeat(np.arange(len(counts)), counts)
    return balance, patterns[frames], frames


def worst(occurrence, rates, window=1000, step=137):
    """Return how far the rates of any window are off, at most."""
    starts = range(0, len(occurrence) - window + 1, step)
    return max(np.abs(occurrence[a : a + window].mean(axis=0) - rates).max() for a in starts)


# Synthetic label vectors


@pytest.mark.parametrize("ordinal", [0, 10**12])
def test_counts_keep_to_the_distribution_in_every_stretch(hard, ordinal):
    vectors = BalancedSampler(hard).sample(ordinal + np.arange(20_000), seed=3)
    occurrence = vectors >= 2
    assert np.abs(occurrence.mean(axis=0) - hard.synthetic_rates).max() < 0.005
    assert worst(occurrence, hard.synthetic_rates) < 0.02
    together = occurrence.T.astype(float) @ occurrence / len(occurrence)
    expected = (hard.patterns * hard.probabilities[:, None]).T @ hard.patterns
    assert np.abs(together - expected).max() < 0.005


def test_independent_draws_would_not():
    """The limits above are beyond chance: what herding is for."""
    balance = calibrate(None, aus=facs.DISFA_8, ratio=1, target="hard")
    drawn = np.random.default_rng(0).choice(len(balance.patterns), 20_000, p=balance.probabilities)
    assert worst(balance.patterns[drawn], balance.synthetic_rates) > 0.02


def test_levels_are_dealt_in_their_shares(hard):
    vectors = BalancedSampler(hard).sample(np.arange(20_000), seed=0)
    for column in range(8):
        shares = np.bincount(vectors[:, column].astype(int), minlength=6) / len(vectors)
        rate = hard.synthetic_rates[column]
        assert shares[2:] == pytest.approx(rate * hard.levels[column, 2:], abs=0.01)
        assert shares[:2] == pytest.approx((1 - rate) * hard.levels[column, :2], abs=0.01)


def test_levels_of_two_aus_go_their_own_ways(hard):
    vectors = BalancedSampler(hard).sample(np.arange(20_000), seed=0)
    both = (vectors[:, 0] >= 2) & (vectors[:, 1] >= 2)
    assert abs(np.corrcoef(vectors[both, 0], vectors[both, 1])[0, 1]) < 0.1


@settings(max_examples=10)
@given(ordinals=st.lists(st.integers(0, 10**13), min_size=1, max_size=5), seed=st.integers(0, 2**40))
def test_a_vector_depends_on_its_ordinal_alone(hard, ordinals, seed):
    together = BalancedSampler(hard).sample(np.array(ordinals), seed)
    alone = [BalancedSampler(hard).sample(np.array([j]), seed)[0] for j in ordinals]
    assert np.array_equal(together, alone)


def test_seeds_and_blocks_differ(hard):
    sampler = BalancedSampler(hard)
    first = sampler.sample(np.arange(BLOCK), 0)
    assert not np.array_equal(first, sampler.sample(np.arange(BLOCK), 1))
    assert not np.array_equal(first, sampler.sample(np.arange(BLOCK, 2 * BLOCK), 0))
    assert np.array_equal(first, sampler.sample(np.arange(BLOCK), 0))


def test_it_is_a_label_sampler_that_pickles_and_says_what_it_is(hard):
    sampler = BalancedSampler(hard, facs.UNION_17)
    assert isinstance(sampler, LabelSampler)
    vectors = sampler.sample(np.arange(50), 0)
    copy = pickle.loads(pickle.dumps(sampler))
    assert np.array_equal(copy.sample(np.arange(50), 0), vectors)
    assert copy.fingerprint == sampler.fingerprint
    other = calibrate(None, aus=facs.DISFA_8, ratio=1, target="soft")
    assert len({sampler.fingerprint, BalancedSampler(hard).fingerprint, BalancedSampler(other).fingerprint}) == 3
    assert sampler.sample(np.zeros(0, np.int64), 0).shape == (0, 17)


def test_a_generator_of_more_aus_shows_the_others_now_and_then(hard):
    vectors = BalancedSampler(hard, facs.UNION_17).sample(np.arange(5000), 0)
    own = BalancedSampler(hard).sample(np.arange(5000), 0)
    columns = [facs.UNION_17.index(au) for au in facs.DISFA_8]
    assert np.array_equal(vectors[:, columns], own)  # what is balanced stays as it is
    assert facs.is_possible(vectors, facs.UNION_17).all()
    assert set(np.unique(vectors)) <= {0, 1, 2, 3, 4, 5}
    rates = (vectors > 0).mean(axis=0)
    others = np.setdiff1d(np.arange(17), columns)
    assert rates[others].min() > 0.005
    assert rates[others].max() < 0.06
    smile, lips_down = facs.UNION_17.index(12), facs.UNION_17.index(15)
    down = vectors[:, lips_down] > 0
    assert down[vectors[:, smile] > 0].mean() < 0.6 * down[vectors[:, smile] == 0].mean()  # antagonists


def test_the_union_and_every_rule():
    aus = (5, 7, 12, 24, 25, 26, 27, 28, 18, 22, 43)
    balance = calibrate(
        None, aus=aus, ratio=1, target=Target(0.25, levels={7: [1, 1, 0, 0, 1, 3], 5: [1, 1, 1, 0, 0, 0]})
    )
    generator = tuple(facs.ACTION_UNITS)
    sampler = BalancedSampler(balance, generator)
    vectors = sampler.sample(np.arange(4000), 0)
    assert facs.is_possible(vectors, generator).all()
    jaw, lips = generator.index(27), generator.index(25)
    assert (vectors[:, lips] >= vectors[:, jaw]).all()
    lids, brows = vectors[:, generator.index(7)], vectors[:, generator.index(5)]
    assert (lids == 5).any()  # alone it may
    assert ((lids >= 2) & (brows >= 2)).any()


def test_what_an_au_of_the_balance_implies_is_there_too():
    balance = calibrate(None, aus=(12, 24, 27), ratio=1, target=Target(0.3))
    vectors = BalancedSampler(balance, (12, 24, 25, 27)).sample(np.arange(1000), 0)
    assert (vectors[vectors[:, 3] > 0, 2] > 0).all()
    assert facs.is_possible(vectors, (12, 24, 25, 27)).all()
    assert not ((vectors[:, 1] > 0) & (vectors[:, 3] > 0)).any()


def test_a_balance_that_asks_for_nothing_or_for_too_much(hard):
    with pytest.raises(ConfigurationError, match="no label vectors"):
        BalancedSampler(calibrate((["0", "1"], [3, 1]), aus=(12,), ratio=0))
    with pytest.raises(ConfigurationError, match="controls="):
        BalancedSampler(hard, (1, 2, 4))
    lacking = calibrate((["00", "11"], [3, 1]), aus=(12, 9), ratio=0.5, controls=(12, 25))
    assert BalancedSampler(lacking, (12, 25)).sample(np.arange(10), 0).shape == (10, 2)


def test_a_pattern_without_probability_is_never_drawn():
    herd = Herd(np.array([[0], [1], [1]], np.uint8), np.array([0.5, 0.0, 0.5]))
    assert set(herd.block(0, 0)) == {0, 2}


# Real frames


def test_windows_of_real_frames_have_the_rates(mixture):
    balance, labels, frames = mixture
    order = SpacedFrames(balance.real_weights[frames], balance.real_groups[frames], seed=0)
    shown = labels[order.at(np.arange(3 * len(labels)))]
    assert np.abs(shown.mean(axis=0) - balance.real_rates).max() < 0.001
    assert worst(shown, balance.real_rates) < 0.02


def test_windows_of_the_mixture_have_the_rates(mixture):
    balance, labels, frames = mixture
    order = SpacedFrames(balance.real_weights[frames], balance.real_groups[frames], seed=0)
    mixed = np.empty((20_000, 8))
    mixed[0::2] = labels[order.at(np.arange(10_000))]
    mixed[1::2] = BalancedSampler(balance).sample(np.arange(10_000), 0) >= 2
    assert np.abs(mixed.mean(axis=0) - balance.reached_rates).max() < 0.005
    assert worst(mixed, balance.reached_rates) < 0.02


def test_disfa_windows(test_data: Path):
    stored = json.loads((test_data / "label_statistics.json").read_text())["disfa12"]
    patterns, counts = list(stored["pattern_counts"]), np.array(list(stored["pattern_counts"].values()))
    balance = calibrate((patterns, counts), aus=facs.DISFA_12, ratio=0.5, target="hard")
    frames = np.repeat(np.arange(len(counts)), counts)
    labels = np.array([[int(cell) for cell in pattern] for pattern in patterns])[frames]
    order = SpacedFrames(balance.real_weights[frames], balance.real_groups[frames], seed=0)
    shown = labels[order.at(np.arange(len(frames)))]
    off = [
        np.abs(shown[a : a + 1000].mean(axis=0) - balance.real_rates).max() for a in range(0, len(shown) - 1000, 1000)
    ]
    assert np.mean(off) < 0.008
    assert max(off) < 0.015
    vectors = BalancedSampler(balance).sample(np.arange(20_000), 0) >= 2
    assert np.abs(vectors.mean(axis=0) - balance.synthetic_rates).max() < 0.005
    assert worst(vectors, balance.synthetic_rates) < 0.02


@given(
    weights=st.lists(st.floats(0, 20), min_size=1, max_size=60).filter(lambda w: sum(w) > 0.1),
    seed=st.integers(0, 2**30),
    length=st.integers(1, 300),
    data=st.data(),
)
def test_a_weight_is_its_number_of_copies(weights, seed, length, data):
    groups = data.draw(st.lists(st.integers(0, 5), min_size=len(weights), max_size=len(weights)))
    order = SpacedFrames(weights, groups, seed=seed, length=length)
    exact = np.array(weights) * length / sum(weights)
    for epoch in range(3):
        copies = np.bincount(order.at(epoch * length + np.arange(length)), minlength=len(weights))
        assert np.array_equal(copies, order.copies(epoch))
        assert (np.abs(copies - exact) < 1 + 1e-6).all()
        for group in set(groups):
            mine = np.array(groups) == group
            assert abs(copies[mine].sum() - exact[mine].sum()) < 1 + 1e-6


def test_copies_are_spread_and_take_turns():
    groups = np.repeat([0, 1], [50, 950])
    weights = np.repeat([2.0, 900 / 950], [50, 950])
    order = SpacedFrames(weights, groups, seed=0)
    epoch = order.at(np.arange(1000))
    rare = np.flatnonzero(epoch < 50)
    assert np.diff(rare).max() <= 11  # every tenth sample is of the rare pattern
    for frame in range(50):
        first, second = np.flatnonzero(epoch == frame)
        assert second - first > 300  # its two copies lie half an epoch apart
    # Those that an epoch leaves out come in one of the next.
    ten = np.bincount(order.at(np.arange(10_000)), minlength=1000)
    assert ten[50:].min() >= 8
    assert ten[50:].max() <= 11
    assert ten[:50].tolist() == [20] * 50


def test_the_order_is_a_pure_function_of_the_ordinal():
    order = SpacedFrames([1.0, 2.5, 0.3, 1.2] * 25, np.arange(100) % 7, seed=5)
    far = 10**11 + np.arange(50)
    assert np.array_equal(order.at(far), [order.at(j)[0] for j in far])
    assert np.array_equal(order.at(far), SpacedFrames([1.0, 2.5, 0.3, 1.2] * 25, np.arange(100) % 7, seed=5).at(far))
    assert not np.array_equal(order.at(np.arange(100)), order.at(100 + np.arange(100)))
    other = SpacedFrames([1.0, 2.5, 0.3, 1.2] * 25, np.arange(100) % 7, seed=6)
    assert not np.array_equal(order.at(np.arange(100)), other.at(np.arange(100)))


@pytest.mark.parametrize("weights", [[], [0.0], [-1.0, 2.0], [np.nan], [[1.0]]])
def test_weights_that_choose_nothing(weights):
    with pytest.raises(ConfigurationError):
        SpacedFrames(weights, seed=0)


# What a generator makes of requests


def crooked(occurrence, rng):
    """Return what a generator shows: weak AU6, AU25 that comes unasked, AU12 hindered by AU4; AU1 as asked."""
    chance = np.where(occurrence, 0.9, 0.02)
    chance[:, 3] = np.where(occurrence[:, 3], 0.7, 0.01)
    chance[:, 6] = np.where(occurrence[:, 6], 0.98, 0.15)
    chance[:, 5] *= np.where(occurrence[:, 2], 0.8, 1)
    chance[:, 0] = occurrence[:, 0]
    return rng.random(occurrence.shape) < chance


def test_requests_are_solved_through_what_the_generator_makes_of_them():
    balance = calibrate(None, aus=facs.DISFA_8, ratio=1, target="soft")
    rng = np.random.default_rng(0)
    pilot = BalancedSampler(balance).sample(np.arange(4000), 0) >= 2
    channel = Channel.measure(facs.DISFA_8, pilot, crooked(pilot, rng))
    assert channel.faithful.tolist() == [True] + [False] * 7
    solved = solve_through(balance, channel)
    off = []
    for requests in (balance, solved):
        asked = BalancedSampler(requests).sample(np.arange(50_000), 1) >= 2
        final = crooked(asked, rng)
        off.append(np.abs(final.mean(axis=0) - balance.synthetic_rates).max())
        last = final
    assert off[0] > 0.08
    assert off[1] < 0.02
    assert last.mean(axis=0) == pytest.approx(solved.synthetic_rates, abs=0.015)  # it knows what comes of it
    assert solved.reached_rates == pytest.approx(solved.synthetic_rates)
    assert solved.fingerprint != balance.fingerprint
    assert any("4000 pictures" in note for note in solved.notes)


def test_a_faithful_generator_changes_nothing(mixture):
    balance = mixture[0]
    pilot = BalancedSampler(balance).sample(np.arange(1000), 0) >= 2
    solved = solve_through(balance, Channel.measure(facs.DISFA_8, pilot, pilot))
    assert solved.probabilities == pytest.approx(balance.probabilities, abs=1e-4)
    assert solved.reached_rates == pytest.approx(balance.reached_rates, abs=1e-4)
    assert np.nan_to_num(solved.reached_phi) == pytest.approx(np.nan_to_num(balance.reached_phi), abs=1e-3)


def test_a_channel_of_other_aus(hard):
    with pytest.raises(ConfigurationError, match="channel of AUs"):
        solve_through(hard, Channel.measure((1, 2), np.zeros((5, 2)), np.zeros((5, 2))))
    with pytest.raises(ConfigurationError, match="shape"):
        Channel.measure((1, 2), np.zeros((5, 2)), np.zeros((4, 2)))
    with pytest.raises(ConfigurationError, match="empty pilot"):
        Channel.measure((1, 2), np.zeros((0, 2)), np.zeros((0, 2)))
