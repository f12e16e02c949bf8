from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Labels
from ausynth.samplers import Balance, Target, calibrate, cooccurrence, fit_prior, problem
from ausynth.samplers.chosen import Chosen
from ausynth.samplers.dual import Packing, Weighed
from ausynth.samplers.problem import Objective
from ausynth.samplers.statistics import LabelTable
from ausynth.samplers.targets import resolve

SMALL = (["000", "100", "110", "001", "011"], [600, 250, 50, 80, 20])
AUS = (12, 25, 4)


@pytest.fixture(scope="module")
def disfa(test_data: Path):
    stored = json.loads((test_data / "label_statistics.json").read_text())["disfa12"]
    return list(stored["pattern_counts"]), list(stored["pattern_counts"].values())


def faces(aus, count=4000, seed=0, graded=True):
    """Return labels that co-occur: a few causes behind all AUs, intensities 0-5."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(count, 4)) @ rng.normal(size=(4, len(aus))) * 0.7 + rng.normal(size=(count, len(aus)))
    edges = np.quantile(causes, rng.uniform(0.7, 0.97, len(aus)), axis=0).diagonal()
    intensity = np.clip(np.rint(causes - edges + 2), 0, 5)
    labels = Labels.from_intensity(aus, intensity)
    if graded:
        return labels
    return Labels(labels.aus, np.full_like(labels.intensity, np.nan), labels.occurrence, labels.confidence)


def emitted(balance: Balance, occurrence: np.ndarray):
    """Return the mixture's rates and phi, counted from weights and probabilities as a stream would emit them."""
    share = (1 - balance.ratio) * balance.real_weights / len(balance.real_weights)
    share = np.concatenate([share, balance.ratio * balance.probabilities])
    rows = np.concatenate([occurrence, balance.patterns])
    rates = share @ rows
    spread = np.sqrt(rates * (1 - rates))
    phi = (rows.T @ (rows * share[:, None]) - np.outer(rates, rates)) / np.outer(spread, spread)
    return rates, phi


# What must be true of DISFA


def test_hard_targets_are_reached_on_disfa(disfa):
    balance = calibrate(disfa, aus=facs.DISFA_12, ratio=0.5, target="hard", alpha=0)
    assert balance.marginal_error <= 0.0015
    assert balance.max_abs_phi <= 0.005
    assert balance.effective_share >= 0.19
    assert balance.largest_weight <= 10
    assert balance.real_weights.min() >= 0.05  # real samples are never dropped


def test_soft_targets_cost_almost_nothing_on_disfa(disfa):
    balance = calibrate(disfa, aus=facs.DISFA_12, ratio=0.5)
    assert balance.effective_share >= 0.96
    assert balance.marginal_error <= 0.0015
    natural = calibrate(disfa, aus=facs.DISFA_12, ratio=0, target="natural").natural_phi
    upper = np.triu_indices(12, 1)
    assert balance.asked_phi[upper] == pytest.approx(0.3 * natural[upper], abs=0.05)  # as far as rates allow it
    assert balance.phi_error < 0.005


def test_real_frames_alone_cannot_reach_it_and_the_report_says_so(disfa):
    balance = calibrate(disfa, aus=facs.DISFA_12, ratio=0, target="hard")
    report = balance.report()
    assert report["marginal_error"] == pytest.approx(0.212, abs=0.003)
    assert report["effective_share"] == pytest.approx(0.116, abs=0.005)
    assert 5 in report["unreached_rates"]
    assert report["unreached_pairs"][0]["aus"] == [1, 2]
    assert "Not reached: the rates of AU1" in str(report)


def test_more_synthetic_samples_keep_real_weights_flatter(disfa):
    shares = [calibrate(disfa, aus=facs.DISFA_12, ratio=r, target="hard").effective_share for r in (0.25, 0.5, 0.75)]
    assert shares == sorted(shares)
    assert shares[2] > 0.6


# Oracles


def test_iterative_proportional_fitting_finds_the_same_distribution():
    aus = (1, 2, 12, 25, 26)
    prior = fit_prior(aus, most=5)
    target = Target(rates=[0.3, 0.25, 0.4, 0.5, 0.2], correlations={(1, 2): 0.3, (12, 25): 0.2, (2, 26): -0.1})
    balance = calibrate(None, aus=aus, ratio=1, target=target, prior=prior, sigma2=1e-7)
    asked = resolve(target, aus, None)
    share = np.exp(prior.log_probability)
    for _ in range(300):  # IPF over all two-way margins
        for i, j in itertools.combinations(range(5), 2):
            both = asked.joint[i, j]
            table = {(1, 1): both, (1, 0): asked.rates[i] - both, (0, 1): asked.rates[j] - both}
            table[0, 0] = 1 - sum(table.values())
            for (a, b), wanted in table.items():
                cell = (prior.patterns[:, i] == a) & (prior.patterns[:, j] == b)
                share[cell] *= wanted / share[cell].sum()
    assert balance.probabilities == pytest.approx(share, abs=2e-3)
    assert np.abs(balance.probabilities - share).sum() < 5e-3


def test_the_gradient_is_the_slope():
    """With masks, levels, subjects, alternatives, AU7 beside AU5, an AU that the generator lacks, and a pool."""
    aus = (5, 7, 12, 24, 25)
    rng = np.random.default_rng(0)
    intensity = faces(aus, 300).intensity.copy()
    intensity[:100, 2] = np.nan
    intensity[50:200, 4] = np.nan
    table = LabelTable.of_labels(Labels.from_intensity(aus, intensity), subjects=rng.integers(0, 4, 300))
    pool = LabelTable.of_labels(faces(aus, 100, seed=1))
    asked = resolve("hard", aus, table)
    prior = fit_prior((5, 7, 24, 25))
    patterns = np.zeros((len(prior), 5), np.uint8)
    shown = np.array([True, True, False, True, True])
    patterns[:, shown] = prior.patterns
    chosen = Chosen(aus, patterns, prior.log_probability, shown=shown, asked=asked, share=0.5, tau=0.2, first=2)
    sides = [
        Weighed(table, asked.joint, share=0.3, temperature=1, caps=(0.05, 10)),
        Weighed(pool, asked.joint, share=0.2, temperature=0.2, caps=(0.5, 2)),
    ]
    objective = Objective(Packing(asked, 2, np.ones(5, bool), np.array([0.1, 0.2, 0.3, 0.4])), sides, chosen, 3e-4)
    point = rng.normal(scale=0.2, size=objective.size)
    _, gradient = objective(point)
    step = 1e-5 * np.eye(objective.size)
    slopes = [(objective(point + h)[0] - objective(point - h)[0]) / 2e-5 for h in step]
    assert gradient == pytest.approx(np.array(slopes), abs=1e-6)
    assert np.abs(gradient).max() > 0.01


@pytest.mark.parametrize("graded", [True, False])
def test_the_figures_are_those_of_what_is_emitted(graded):
    labels = faces(facs.DISFA_8, graded=graded)
    balance = calibrate(labels, ratio=0.4)
    rates, phi = emitted(balance, labels.occurrence)
    upper = np.triu_indices(8, 1)
    assert balance.reached_rates == pytest.approx(rates)
    assert balance.reached_phi[upper] == pytest.approx(phi[upper])
    assert balance.marginal_error == pytest.approx(np.abs(rates - balance.asked_rates).max())
    share = balance.real_weights / balance.real_weights.sum()
    assert balance.effective_share == pytest.approx(1 / (4000 * (share**2).sum()))
    assert balance.residual.diagonal() == pytest.approx(rates - balance.asked_rates)


# Levels


def test_levels_are_reached_over_both_sides():
    labels = faces(facs.DISFA_8)
    balance = calibrate(labels, ratio=0.5)
    mass = np.zeros((8, 6))
    for level in range(6):
        real = balance.real_weights @ (labels.intensity == level) / len(labels)
        absent = level < balance.first_level
        side = 1 - balance.synthetic_rates if absent else balance.synthetic_rates
        mass[:, level] = 0.5 * real + 0.5 * side * balance.levels[:, level]
    asked = resolve("soft", facs.DISFA_8, LabelTable.of_labels(labels)).levels
    present = mass[:, 2:].sum(axis=1, keepdims=True)
    assert np.abs(mass[:, 2:] - asked[:, 2:] * present).max() < 0.002
    assert balance.level_error < 0.002


def test_what_an_au_may_not_show_beside_another_it_shows_alone():
    """AU7 at level E excludes AU5."""
    balance = calibrate(None, aus=(5, 7, 12), ratio=1, target=Target(0.4, levels={7: [1, 0, 1, 1, 1, 1]}))
    both, lids = balance.patterns[:, :2].all(axis=1), balance.patterns[:, 1] > 0
    strongest = balance.probabilities[lids & ~both].sum() * balance.levels[1, 5]
    assert strongest == pytest.approx(0.25 * 0.4, abs=0.003)
    assert balance.level_error < 0.003


def test_a_level_that_no_real_label_has_is_not_asked_for():
    labels = faces(facs.DISFA_8)
    intensity = labels.intensity.copy()
    intensity[:, 3] = np.minimum(intensity[:, 3], 4)
    balance = calibrate(Labels.from_intensity(facs.DISFA_8, intensity), ratio=0.5)
    assert balance.levels[3, 5] == 0
    assert balance.levels[2, 5] > 0


def test_levels_of_ones_own():
    target = Target(rates=0.3, levels={12: [9, 1, 0, 0, 0, 1]})
    balance = calibrate(SMALL, aus=AUS, ratio=0.5, target=target)
    assert balance.levels[0] == pytest.approx([0.9, 0.1, 0, 0, 0, 1])
    with pytest.raises(ConfigurationError, match="6 numbers"):
        calibrate(SMALL, aus=AUS, ratio=0.5, target=Target(rates=0.3, levels={12: [1, 1]}))


# What is not known


def test_what_is_asked_holds_among_the_samples_in_which_an_au_is_known():
    labels = faces(facs.DISFA_8)
    occurrence = labels.occurrence.copy()
    occurrence[:2000, 3] = np.nan
    labels = Labels(facs.DISFA_8, np.full_like(occurrence, np.nan), occurrence, np.ones_like(occurrence))
    balance = calibrate(labels, ratio=0.3, target="hard")
    known = ~np.isnan(occurrence[:, 3])
    weights = balance.real_weights / len(labels)
    positive = 0.7 * weights[known] @ occurrence[known, 3] + 0.3 * balance.probabilities @ balance.patterns[:, 3]
    assert positive / (0.7 * weights[known].sum() + 0.3) == pytest.approx(balance.reached_rates[3])
    assert balance.marginal_error < 0.003
    assert balance.natural_rates[3] == pytest.approx(np.nanmean(occurrence[:, 3]))


def test_aus_that_the_generator_lacks_are_balanced_by_real_frames_alone():
    balance = calibrate(faces(facs.DISFA_8), ratio=0.5, controls=[1, 2, 4, 12])
    assert balance.shown.tolist() == [True, True, True, False, False, True, False, False]
    assert not balance.patterns[:, ~balance.shown].any()
    assert np.isnan(balance.synthetic_rates[~balance.shown]).all()
    assert balance.reached_rates[~balance.shown] == pytest.approx(balance.real_rates[~balance.shown])
    assert any("does not show AU6, AU9, AU25, AU26" in note for note in balance.notes)
    with pytest.raises(ConfigurationError, match="controls none"):
        calibrate(faces(facs.DISFA_8), ratio=0.5, controls=[43])


def test_uncoded_and_absent_aus_are_said_by_name():
    patterns = np.array([[0, 0, np.nan], [1, 0, np.nan]])
    balance = calibrate((patterns, [50, 10]), aus=AUS, ratio=0.5)
    assert any("never code AU4" in note for note in balance.notes)
    assert any("No real label has AU25" in note for note in balance.notes)
    assert balance.marginal_error < 0.002
    assert json.loads(json.dumps(balance.report()))["aus"][2]["natural"] is None


# Label spaces with rules


def test_nothing_impossible_is_asked_and_nothing_real_is_dropped_on_the_union():
    labels = faces(facs.UNION_17)
    clash = (labels.occurrence[:, facs.UNION_17.index(24)] > 0) & (labels.occurrence[:, facs.UNION_17.index(25)] > 0)
    assert clash.any()  # human labels break rules
    balance = calibrate(labels, ratio=0.5)
    asked = balance.patterns[balance.probabilities > 0] * 5.0
    lids = asked[:, facs.UNION_17.index(7)]
    lids[lids > 0] = 4  # beside AU5 it is never asked for at level E
    assert facs.is_possible(asked, facs.UNION_17).all()
    assert balance.real_weights[clash].min() >= 0.05
    assert any("24-25" in note for note in balance.notes)
    assert balance.marginal_error < 0.01


@settings(max_examples=20)
@given(data=st.data())
def test_any_label_statistics(data):
    wide = data.draw(st.sampled_from([8, 9, 12, 15, 17, 25, 41]), label="AUs")
    seed = data.draw(st.integers(0, 1000), label="seed")
    rng = np.random.default_rng(seed)
    aus = sorted(rng.permutation(list(facs.ACTION_UNITS))[:wide].tolist())
    rates = np.exp(rng.uniform(np.log(0.001), np.log(0.6), wide))
    patterns = (rng.random((data.draw(st.integers(1, 60), label="patterns"), wide)) < rates).astype(float)
    patterns[:, rng.random(wide) < data.draw(st.sampled_from([0, 0.2]), label="never")] = 0
    patterns[rng.random(patterns.shape) < data.draw(st.sampled_from([0, 0.1]), label="unknown cells")] = np.nan
    patterns[:, rng.random(wide) < data.draw(st.sampled_from([0, 0.2]), label="uncoded")] = np.nan
    counts = rng.integers(1, 2000, len(patterns))
    ratio = data.draw(st.sampled_from([0, 0.1, 0.5, 1]), label="ratio")
    target = data.draw(st.sampled_from(["soft", "hard", "natural", "uniform"]), label="target")
    prior = fit_prior(aus, candidates=128) if wide > 15 else None
    balance = calibrate((patterns, counts), aus=aus, ratio=ratio, target=target, prior=prior)
    assert np.isfinite(balance.real_weights).all()
    assert balance.real_weights.min() >= 0.05
    assert balance.real_weights.max() <= 10
    assert balance.real_weights @ counts / counts.sum() == pytest.approx(1)
    if ratio:
        assert np.isfinite(balance.probabilities).all()
        assert balance.probabilities.sum() == pytest.approx(1)
        assert np.isfinite(balance.reached_rates).all()
        assert facs.is_possible(balance.patterns.astype(float), aus).all()
    assert np.isfinite(balance.levels).all()
    assert np.isfinite([balance.marginal_error, balance.max_abs_phi, balance.effective_share]).all()
    for values in (balance.logit_offsets(), balance.pos_weight(), balance.loss_weights()):
        assert np.isfinite(values).all()
    report = balance.report()
    assert "nan" not in json.dumps(report).lower()
    assert all(f"AU{au} " in str(report) for au in aus)


def test_a_target_that_no_face_can_meet_is_said():
    balance = calibrate(None, aus=facs.UNION_17, ratio=1, target=Target(rates=0.9), prior=fit_prior(facs.UNION_17))
    assert balance.marginal_error > 0.1
    assert any("Not reached" in note for note in balance.notes)
    assert any("15.3 AUs" in note for note in balance.notes)


# Sides


def test_subjects_are_asked_to_carry_as_much():
    labels = faces(facs.DISFA_8, seed=3)
    who = np.where(labels.occurrence[:, 1] > 0, 0, np.arange(len(labels)) % 10)  # one person shows AU2
    who[:400] = np.arange(400) % 10
    plain, even = calibrate(labels, ratio=0.5, target="hard"), calibrate(labels, ratio=0.5, target="hard", subjects=who)
    before = [plain.real_weights[who == s].sum() / len(labels) for s in range(10)]
    after = [even.real_weights[who == s].sum() / len(labels) for s in range(10)]
    assert max(before) > 0.2
    assert after == pytest.approx([0.1] * 10, abs=0.03)
    assert even.reached_people[1] > even.natural_people[1]
    assert even.report()["aus"][1]["people"] > even.report()["aus"][1]["people_before"]


def test_a_pool_is_weighed_by_its_final_labels():
    real, pool = faces(facs.DISFA_8, 3000), faces(facs.DISFA_8, 2000, seed=5)
    balance = calibrate(real, ratio=0.5, pool=pool, hi=6, lo=0.1)
    assert balance.pool_weights.shape == (2000,)
    assert balance.pool_weights.mean() == pytest.approx(1)
    assert balance.pool_weights.min() >= 0.1
    assert balance.pool_weights.max() <= 6
    assert not len(balance.patterns)
    rates = 0.5 * balance.real_weights @ real.occurrence / 3000 + 0.5 * balance.pool_weights @ pool.occurrence / 2000
    assert balance.reached_rates == pytest.approx(rates)
    assert balance.marginal_error < 0.02
    # The pool is the cheap side: it moves more than the real one.
    assert balance.pool_weights.std() > balance.real_weights.std()
    only = calibrate(None, aus=facs.DISFA_8, ratio=1, pool=pool)
    assert only.pool_weights.shape == (2000,)


def test_frames_that_come_more_often_by_themselves():
    labels = faces(facs.DISFA_8)
    base = np.where(np.arange(4000) < 1000, 3.0, 1.0)
    balance = calibrate(labels, ratio=0.5, target="natural", base=base)
    assert balance.natural_rates == pytest.approx(base @ labels.occurrence / base.sum())
    assert (balance.real_weights * base).sum() / base.sum() == pytest.approx(1)


def test_without_real_labels_the_published_rates_are_natural():
    balance = calibrate(None, aus="disfa-8", ratio=1, target="soft")
    assert balance.asked_rates == pytest.approx(np.clip(np.sqrt(0.3 * np.array(
        [0.050, 0.040, 0.150, 0.079, 0.042, 0.129, 0.278, 0.088])), 0.1, 0.5))  # fmt: skip
    assert balance.marginal_error < 0.002
    assert len(balance.real_weights) == 0


def test_a_target_of_ones_own():
    rates = {12: 0.4, 25: 0.35, 4: 0.2}
    balance = calibrate(SMALL, aus=AUS, ratio=0.6, target=Target(rates, {(12, 25): 0.25}))
    assert balance.reached_rates == pytest.approx([0.4, 0.35, 0.2], abs=0.003)
    assert balance.reached_phi[0, 1] == pytest.approx(0.25, abs=0.01)
    assert balance.reached_phi[0, 2] == pytest.approx(0, abs=0.01)


# Identity and keeping


def test_every_question_has_a_fingerprint_of_its_own():
    labels = faces(facs.DISFA_8, 500)
    asked = [
        {"ratio": 0.5},
        {"ratio": 0.4},
        {"ratio": 0.5, "target": "hard"},
        {"ratio": 0.5, "alpha": 0.1},
        {"ratio": 0.5, "aus": (1, 2, 4)},
        {"ratio": 0.5, "tau": 0.3},
        {"ratio": 0.5, "levels": False},
        {"ratio": 0.5, "controls": (1, 2)},
        {"ratio": 0.5, "pool": faces(facs.DISFA_8, 100)},
        {"ratio": 0.5, "subjects": np.arange(500) % 5},
    ]
    prints = [calibrate(labels, **arguments).fingerprint for arguments in asked]
    prints.append(calibrate(labels[:400], ratio=0.5).fingerprint)  # a hold-out
    assert len(set(prints)) == len(prints)
    assert calibrate(labels, ratio=0.5).fingerprint == prints[0]


def test_a_balance_survives_json_exactly():
    balance = calibrate(faces(facs.DISFA_8, 300), ratio=0.5)
    back = Balance.from_dict(json.loads(json.dumps(balance.to_dict())))
    for name in vars(balance):
        assert np.array_equal(np.asarray(getattr(back, name)), np.asarray(getattr(balance, name)), equal_nan=False) or (
            np.array_equal(getattr(back, name), getattr(balance, name), equal_nan=True)
        )
    assert str(back.report()) == str(balance.report())
    stored = balance.to_dict()
    for broken in ({}, {**stored, "format": 0}, {**stored, "levels": {**stored["levels"], "zlib": "AAAA"}}):
        with pytest.raises(ConfigurationError, match="stored balance"):
            Balance.from_dict(broken)


def test_a_question_asked_before_is_not_solved_again(tmp_path, monkeypatch):
    first = calibrate(SMALL, aus=AUS, ratio=0.5, cache=tmp_path / "balances")
    stored = list((tmp_path / "balances").iterdir())
    assert [path.name for path in stored] == [f"{first.fingerprint}.json"]

    def refuse(*arguments, **options):
        raise AssertionError("solved again")

    with monkeypatch.context() as patched:
        patched.setattr(problem, "minimise", refuse)
        again = calibrate(SMALL, aus=AUS, ratio=0.5, cache=tmp_path / "balances")
        assert np.array_equal(again.probabilities, first.probabilities)
        with pytest.raises(AssertionError, match="solved again"):
            calibrate(SMALL, aus=AUS, ratio=0.4, cache=tmp_path / "balances")
    stored[0].write_text("{")  # a file cut short is no obstacle
    assert np.array_equal(
        calibrate(SMALL, aus=AUS, ratio=0.5, cache=tmp_path / "balances").real_weights, first.real_weights
    )
    assert json.loads(stored[0].read_text())["fingerprint"] == first.fingerprint


# After training


def test_corrections_are_computed_on_what_is_emitted():
    balance = calibrate(SMALL, aus=AUS, ratio=0.5, target="hard")
    natural, reached = balance.natural_rates, balance.reached_rates
    assert balance.pos_weight() == pytest.approx((1 - reached) / reached)
    assert balance.logit_offsets() == pytest.approx(np.log(natural / (1 - natural)) - np.log(reached / (1 - reached)))
    assert balance.loss_weights() == pytest.approx(3 / reached / (1 / reached).sum())
    assert balance.loss_weights().mean() == pytest.approx(1)
    # A detector that knows nothing predicts the rate it was trained at; with the offsets the natural one.
    corrected = np.log(reached / (1 - reached)) + balance.logit_offsets()
    assert 1 / (1 + np.exp(-corrected)) == pytest.approx(natural)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"ratio": 1.5}, "ratio"),
        ({"target": "medium"}, "target"),
        ({"alpha": 2}, "alpha"),
        ({"target": Target(0.3), "alpha": 0.1}, "alpha"),
        ({"target": Target(1.0)}, "rates"),
        ({"target": Target({12: 0.3})}, "without a rate"),
        ({"target": Target(0.3, 1.5)}, "correlations"),
        ({"hi": 0.5}, "caps"),
        ({"lo": 0}, "lo"),
        ({"tau": 0}, "tau"),
        ({"sigma2": -1}, "sigma2"),
        ({"threshold": 0}, "threshold"),
        ({"seed": -1}, "seed"),
    ],
)
def test_arguments_that_cannot_be_right(wrong, what):
    with pytest.raises(ConfigurationError, match=what):
        calibrate(SMALL, **{"aus": AUS, "ratio": 0.5, **wrong})


@pytest.mark.parametrize(
    "labels",
    [
        (["00"], [1]),
        (["000"], [0]),
        (["000"], [1, 2]),
        (["002"], [1]),
        (["000", "001"], [3, -1]),
        None,
    ],
)
def test_labels_that_hold_nothing(labels):
    with pytest.raises(ConfigurationError):
        calibrate(labels, aus=AUS, ratio=0.5)


def test_patterns_need_to_say_of_which_aus_they_are():
    with pytest.raises(ConfigurationError, match="aus="):
        cooccurrence.calibrate(SMALL, ratio=0.5)
