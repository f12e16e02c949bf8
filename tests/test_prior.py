from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.samplers import prior as prior_module
from ausynth.samplers.prior import fit_prior
from ausynth.samplers.published import published_phi, published_rates

spaces = st.lists(st.sampled_from(list(facs.ACTION_UNITS)), min_size=1, max_size=11, unique=True)


def probability(prior, *aus):
    """Return how often all of `aus` occur."""
    columns = [prior.aus.index(au) for au in aus]
    return float(np.exp(prior.log_probability) @ prior.patterns[:, columns].all(axis=1))


@settings(max_examples=40)
@example(aus=[24, 27, 12])  # 27 brings 25, which is not in the space and bars 24
@example(aus=[5, 43, 45, 18, 22, 28, 8, 24, 25, 26, 27])
@given(aus=spaces)
def test_only_what_a_face_can_show(aus):
    prior = fit_prior(aus)
    patterns = prior.patterns
    completed = np.zeros((len(patterns), len(facs.ACTION_UNITS)))
    everything = list(facs.ACTION_UNITS)
    completed[:, [everything.index(au) for au in aus]] = patterns
    assert facs.is_possible(facs.with_implied(completed, everything), everything).all()
    assert facs.is_possible(patterns.astype(float), aus).all()
    assert len(np.unique(patterns, axis=0)) == len(patterns)
    assert patterns.sum(axis=1).max() <= 7
    assert not patterns[0].any()  # a neutral face is always possible
    assert np.exp(prior.log_probability).sum() == pytest.approx(1)


def test_the_union_is_a_pool_of_possible_patterns_that_follows_from_its_seed():
    prior, same, other = (fit_prior(facs.UNION_17, seed=seed) for seed in (0, 0, 1))
    assert not prior.exact
    assert facs.is_possible(prior.patterns.astype(float), facs.UNION_17).all()
    assert prior.patterns.sum(axis=1).max() <= 7
    assert np.array_equal(prior.patterns, same.patterns)
    assert np.array_equal(prior.log_probability, same.log_probability)
    assert not np.array_equal(prior.patterns.shape, other.patterns.shape) or (prior.patterns != other.patterns).any()


def test_drawing_agrees_with_listing(monkeypatch):
    exact = fit_prior(facs.DISFA_12, prototypes=0)
    monkeypatch.setattr(prior_module, "EXACT_UP_TO", 4)
    drawn = fit_prior(facs.DISFA_12, prototypes=0, candidates=8192)
    assert exact.exact
    assert not drawn.exact
    assert np.abs(exact.rates - drawn.rates).max() < 0.03
    off = [
        abs(probability(exact, *pair) - probability(drawn, *pair)) for pair in itertools.combinations(facs.DISFA_12, 2)
    ]
    assert max(off) < 0.05
    assert np.mean(off) < 0.01


def test_at_temperature_1_the_fit_has_the_rates_and_correlations_it_was_given():
    rates, phi = published_rates(facs.DISFA_8), published_phi(facs.DISFA_8)
    prior = fit_prior(facs.DISFA_8, rates, phi, temperature=1, penalties={}, prototypes=0, most=8)
    assert prior.rates == pytest.approx(rates, abs=0.005)
    share = np.exp(prior.log_probability)
    for i, j in itertools.combinations(range(8), 2):
        joint = share @ (prior.patterns[:, i] * prior.patterns[:, j])
        reached = (joint - prior.rates[i] * prior.rates[j]) / np.sqrt(
            prior.rates[i] * (1 - prior.rates[i]) * prior.rates[j] * (1 - prior.rates[j])
        )
        assert reached == pytest.approx(phi[i, j], abs=0.03)


def test_temperature_flattens_penalties_keep_apart_and_prototypes_bring_together():
    natural = fit_prior(facs.DISFA_12, temperature=1, prototypes=0, penalties={})
    flat = fit_prior(facs.DISFA_12, temperature=2, prototypes=0, penalties={})
    assert (flat.rates > natural.rates).all()  # all are below a half
    punished = fit_prior(facs.DISFA_12, temperature=2, prototypes=0, penalties={(12, 15): 1.5})
    odds = [probability(p, 12, 15) / probability(p) for p in (flat, punished)]
    assert odds[1] < 0.5 * odds[0]
    expressive = fit_prior(facs.DISFA_12, prototypes=0.5, penalties={})
    assert probability(expressive, 1, 2, 5, 26) > 3 * probability(flat, 1, 2, 5, 26)


def test_it_works_with_rates_that_nobody_knows_and_aus_that_never_occur():
    prior = fit_prior((1, 2, 4, 12), rates=[np.nan, 0.0, 1.0, 0.6], phi=np.full((4, 4), np.nan))
    assert np.isfinite(prior.log_probability).all()
    assert (prior.rates > 0).all()
    assert (prior.rates < 1).all()


@settings(max_examples=8)
@given(wide=st.integers(16, 41), rate=st.floats(0.001, 0.6), seed=st.integers(0, 5))
def test_wide_label_spaces(wide, rate, seed):
    aus = list(facs.ACTION_UNITS)[:wide]
    prior = fit_prior(aus, np.full(wide, rate), np.zeros((wide, wide)), seed=seed, candidates=256)
    assert facs.is_possible(prior.patterns.astype(float), aus).all()
    assert prior.patterns.sum(axis=1).max() <= 7
    assert np.isfinite(prior.log_probability).all()


def test_real_patterns_join_a_pool_if_a_face_can_show_them():
    aus = facs.UNION_17
    rows = np.zeros((2, 17))
    rows[0, [aus.index(au) for au in (1, 5, 9, 14, 20, 23)]] = 1  # as rare as can be
    rows[1, [aus.index(au) for au in (24, 25)]] = 1
    prior = fit_prior(aus, observed=(rows, np.array([0.5, 0.5])), candidates=256)
    assert (prior.patterns == rows[0]).all(axis=1).any()
    assert not (prior.patterns == rows[1]).all(axis=1).any()


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0}, {"prototypes": 1}, {"most": 0}, {"rates": [0.1]}, {"candidates": 1}],
)
def test_arguments_that_cannot_be_right(wrong):
    with pytest.raises(ConfigurationError):
        fit_prior(facs.DISFA_8, **wrong)
