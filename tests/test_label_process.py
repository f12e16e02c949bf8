from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.label_process import PUBLISHED, LabelProcess, complete_correlation, tetrachoric


def runs_of(occurs_STA: np.ndarray) -> np.ndarray:
    """Return the length of every run of equal rows."""
    lengths = []
    for occurs_TA in occurs_STA:
        changes = np.flatnonzero((occurs_TA[1:] != occurs_TA[:-1]).any(axis=1)) + 1
        lengths.append(np.diff([0, *changes, len(occurs_TA)]))
    return np.concatenate(lengths)


@pytest.mark.parametrize("name", PUBLISHED)
def test_rates_and_phi_are_the_published_ones(name: str) -> None:
    process = LabelProcess.published(name, run_length=4)
    occurs_STA = process.draw(100, 5000, seed=3) >= 2
    occurs_NA = occurs_STA.reshape(-1, len(process.aus))
    draws = occurs_NA.size / len(process.aus) / 4
    rates = np.array(process.rates)
    # Durations are geometric, which doubles the variance of a share of frames; 5 standard errors.
    error = 5 * np.sqrt(2 * rates * (1 - rates) / draws)
    assert (np.abs(occurs_NA.mean(axis=0) - rates) < error).all()
    phi = np.corrcoef(occurs_NA.T)
    for (first, second), published in process.phi.items():
        here = phi[process.aus.index(first), process.aus.index(second)]
        # The standard error of a correlation grows as the rarer of the two gets rare.
        rare = min(rates[process.aus.index(first)], rates[process.aus.index(second)])
        assert abs(here - published) < 5 * np.sqrt(2 / (draws * min(1, 4 * rare)))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("length", [53, 12])
def test_labels_stay_the_same_for_as_long_as_they_should(name: str, length: float) -> None:
    occurs_STA = LabelProcess.published(name, run_length=length).draw(20, 20_000, seed=1) >= 2
    runs = runs_of(occurs_STA)
    assert runs.mean() == pytest.approx(length, abs=5 * runs.std() / np.sqrt(len(runs)))


def test_a_run_has_one_label_vector() -> None:
    intensity_STA = LabelProcess.published("disfa").draw(5, 3000, seed=2)
    assert (runs_of(intensity_STA) > 1).mean() > 0.9
    assert len(runs_of(intensity_STA)) == len(runs_of(intensity_STA >= 2))


def test_intensities_are_as_stated() -> None:
    process = LabelProcess.published("disfa", run_length=2)
    intensity_NA = process.draw(40, 5000, seed=0).reshape(-1, 12)
    assert intensity_NA.dtype == np.float32
    assert np.isin(intensity_NA, range(6)).all()
    ordinary = [i for i, au in enumerate(process.aus) if au not in (15, 20)]
    positive = intensity_NA[:, ordinary][intensity_NA[:, ordinary] >= 2]
    for level, share in zip(range(2, 6), process.strengths, strict=True):
        assert (positive == level).mean() == pytest.approx(share, abs=0.02)
    negative = intensity_NA[intensity_NA < 2]
    assert (negative == 1).mean() == pytest.approx(process.trace, abs=0.005)
    for au in (15, 20):
        assert intensity_NA[:, process.aus.index(au)].max() == 4


def test_bp4d_codes_presence_so_nothing_is_a_trace() -> None:
    assert not (LabelProcess.published("bp4d").draw(20, 2000) == 1).any()


def test_same_arguments_same_labels() -> None:
    process = LabelProcess.published("disfa")
    assert (process.draw(3, 500, seed=5) == process.draw(3, 500, seed=5)).all()
    assert (process.draw(3, 500, seed=5) != process.draw(3, 500, seed=6)).any()


def test_a_small_draw_is_close_to_the_rates() -> None:
    """Nine people with 120 frames: as many draws as runs, and yet AU25 is there about as often as in DISFA."""
    process = LabelProcess.published("disfa")
    shares = [(process.draw(9, 120, seed=seed)[..., 10] >= 2).mean() for seed in range(40)]
    assert np.mean(shares) == pytest.approx(0.278, abs=0.04)


def test_no_face_is_asked_for_the_impossible() -> None:
    aus = (5, 7, 24, 25, 26, 27)
    process = LabelProcess(aus, (0.4, 0.5, 0.3, 0.5, 0.3, 0.2), run_length=2, trace=0.5)
    intensity_NA = process.draw(10, 1000).reshape(-1, len(aus))
    assert facs.is_possible(intensity_NA, aus).all()
    assert (intensity_NA >= 2).any(axis=0).all()


def test_rates_that_leave_no_possible_face_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="hardly ever"):
        LabelProcess((24, 25), (0.99999, 0.99999)).draw(1, 5000)


@given(
    first=st.floats(0.05, 0.95), second=st.floats(0.05, 0.95), correlation=st.floats(-0.9, 0.9, allow_subnormal=False)
)
def test_tetrachoric_inverts_the_cut(first: float, second: float, correlation: float) -> None:
    both = multivariate_normal.cdf(norm.ppf([first, second]), mean=[0, 0], cov=[[1, correlation], [correlation, 1]])
    phi = (both - first * second) / np.sqrt(first * (1 - first) * second * (1 - second))
    low, high = max(0.0, first + second - 1), min(first, second)
    if low + 1e-4 < both < high - 1e-4:
        assert tetrachoric(first, second, float(phi)) == pytest.approx(correlation, abs=0.02)


def test_tetrachoric_of_independent_events_is_zero() -> None:
    assert tetrachoric(0.2, 0.7, 0) == pytest.approx(0, abs=1e-4)


def test_a_phi_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"between -0\.\d+ and 0\.\d+"):
        tetrachoric(0.01, 0.5, 0.9)


def test_pairs_without_published_phi_are_conditionally_independent() -> None:
    listed = {(0, 1): 0.7, (1, 2): 0.7, (2, 3): -0.5, (0, 3): -0.4}
    correlation = complete_correlation(5, listed)
    assert np.linalg.eigvalsh(correlation).min() > 0
    assert np.diag(correlation) == pytest.approx(np.ones(5))
    for pair, value in listed.items():
        assert correlation[pair] == pytest.approx(value, abs=1e-6)
    precision = np.linalg.inv(correlation)
    for pair in ((0, 2), (1, 3), (0, 4), (2, 4)):
        assert precision[pair] == pytest.approx(0, abs=1e-6)
    assert correlation[0, 2] > 0.4


def test_correlations_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot hold together"):
        complete_correlation(3, {(0, 1): 0.9, (1, 2): 0.9, (0, 2): -0.9})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": (0.1,)}, "rates"),
        ({"rates": (0.1, 1.0)}, "rates"),
        ({"run_length": 0.5}, "run length"),
        ({"run_length": float("nan")}, "run length"),
        ({"phi": {(6, 7): 0.1}}, "phi"),
        ({"strengths": (1.0, 1.0, 0.0, 0.0)}, "strengths"),
        ({"trace": -0.1}, "trace"),
        ({"aus": (6, 99)}, "unknown AU"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        LabelProcess(**({"aus": (6, 12), "rates": (0.1, 0.2)} | arguments))


def test_unknown_statistics_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="ck"):
        LabelProcess.published("ck")


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 sequences"):
        LabelProcess.published("disfa").draw(0, 10)
