from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.samplers import Balance, baseline
from ausynth.samplers.baselines import BASELINES

PATTERNS, COUNTS, AUS = ["000", "100", "110", "001"], [60, 25, 5, 10], (12, 25, 4)
SMALL = (PATTERNS, COUNTS)


@pytest.fixture(scope="module")
def disfa(test_data: Path):
    stored = json.loads((test_data / "label_statistics.json").read_text())["disfa12"]
    return list(stored["pattern_counts"]), list(stored["pattern_counts"].values())


# Worst distance of a rate from clip(m, .3, .5), mean and largest |phi|, effective share, on DISFA's 12 AUs.
@pytest.mark.parametrize(
    ("method", "figures"),
    [
        ("natural", (0.291, 0.096, 0.657, 1.0)),
        ("inverse frequency", (0.183, 0.140, 0.670, 0.257)),
        ("repeat factor", (0.266, 0.108, 0.666, 0.771)),
        ("class-aware", (0.205, 0.151, 0.700, 0.262)),
    ],
)
def test_figures_on_disfa(disfa, method, figures):
    balance = baseline(disfa, method, aus=facs.DISFA_12)
    found = (balance.marginal_error, balance.mean_abs_phi, balance.max_abs_phi, balance.effective_share)
    assert found == pytest.approx(figures, abs=0.001)


def weights(method, **options):
    found = baseline(SMALL, method, aus=AUS, **options).real_weights
    return found / found[0]


def test_each_is_what_its_source_says():
    assert weights("natural") == pytest.approx([1, 1, 1, 1])
    assert weights("inverse frequency") == pytest.approx([1, 1 / 0.3, 1 / 0.05, 1 / 0.1])
    assert weights("repeat factor") == pytest.approx([1, 1, (0.3 / 0.05) ** 0.5, (0.3 / 0.1) ** 0.5])
    # Drawing one of four classes, then one of its frames:
    neutral, brow = 1 / 4 / 60, 1 / 4 / 10
    smile, smile_and_lips = 1 / 4 / 30, 1 / 4 / 30 + 1 / 4 / 5
    assert weights("class-aware") == pytest.approx(np.array([neutral, smile, smile_and_lips, brow]) / neutral)


@pytest.mark.parametrize("method", list(BASELINES))
@pytest.mark.parametrize("ratio", [0, 0.5, 1])
def test_all_are_balances(method, ratio):
    balance = baseline(SMALL, method, aus=AUS, ratio=ratio)
    assert isinstance(balance, Balance)
    counts = np.array(COUNTS)
    assert balance.real_weights @ counts / counts.sum() == pytest.approx(1)
    assert (len(balance.patterns) > 0) == (ratio > 0)
    if ratio:
        assert balance.probabilities.sum() == pytest.approx(1)
        assert balance.synthetic_rates == pytest.approx([0.4] * 3, abs=0.01)
    assert balance.report()["marginal_error"] == pytest.approx(balance.marginal_error, abs=1e-5)
    assert Balance.from_dict(json.loads(json.dumps(balance.to_dict()))).fingerprint == balance.fingerprint


def test_aus_that_never_occur_and_patterns_that_are_unknown():
    patterns = np.array([[0, 0, np.nan], [1, 0, np.nan], [0, 0, 1]])
    for method in BASELINES:
        balance = baseline((patterns, [50, 10, 5]), method, aus=AUS)
        assert np.isfinite(balance.real_weights).all()
        assert balance.natural_rates.tolist() == [10 / 65, 0, 1]


def test_a_function_of_ones_own_and_unknown_names():
    doubled = baseline(SMALL, lambda table: 1 + table.present[:, 0], aus=AUS).real_weights
    assert doubled[1] == pytest.approx(2 * doubled[0])
    with pytest.raises(ConfigurationError, match="class-aware"):
        baseline(SMALL, "sqrt", aus=AUS)
    with pytest.raises(ConfigurationError, match="choose nothing"):
        baseline(SMALL, lambda table: table.mass * 0, aus=AUS)
    with pytest.raises(ConfigurationError, match="without real labels"):
        baseline(None, "natural", aus=AUS)
