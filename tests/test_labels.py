from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Labels

intensities = hnp.arrays(
    np.float32, st.tuples(st.integers(0, 6), st.just(12)), elements=st.sampled_from([0, 1, 2, 3, 4, 5, np.nan])
)
spaces = st.lists(st.sampled_from(list(facs.ACTION_UNITS)), min_size=1, max_size=20, unique=True)


def same(a: Labels, b: Labels) -> bool:
    return a.aus == b.aus and all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True)
        for name in ("intensity", "occurrence", "confidence")
    )


@given(values=intensities, threshold=st.sampled_from([0.5, 1, 2, 3]))
def test_occurrence_follows_intensity_and_nan_stays_unknown(values, threshold):
    labels = Labels.from_intensity(facs.DISFA_12, values.reshape(-1, 12), threshold=threshold)
    known = ~np.isnan(values)
    assert (labels.mask == known).all()
    assert (labels.occurrence[known] == (values[known] >= threshold)).all()
    assert (labels.confidence == known).all()


@given(values=intensities, space=spaces)
def test_projection_keeps_what_both_spaces_have_and_masks_the_rest(values, space):
    labels = Labels.from_intensity(facs.DISFA_12, values.reshape(-1, 12))
    projected = labels.project(space)
    assert projected.aus == tuple(space)
    for column, au in enumerate(space):
        if au in labels.aus:
            expected = labels.intensity[:, labels.aus.index(au)]
            assert np.array_equal(projected.intensity[:, column], expected, equal_nan=True)
        else:
            assert not projected.mask[:, column].any()
            assert (projected.confidence[:, column] == 0).all()


@given(values=intensities)
def test_projection_onto_a_larger_space_and_back_loses_nothing(values):
    labels = Labels.from_intensity(facs.DISFA_12, values.reshape(-1, 12))
    assert same(labels.project("union-17").project(labels.aus), labels)


@given(values=intensities)
def test_rows_split_and_joined_are_the_same(values):
    labels = Labels.from_intensity(facs.DISFA_12, values.reshape(-1, 12))
    assert same(Labels.concatenate([labels[:2], labels[2:]]), labels)


def test_an_occurrence_without_intensity_survives_another_threshold():
    labels = Labels((6, 7), np.array([[3, np.nan]]), np.array([[1, 1]]), np.ones((1, 2)))
    stricter = labels.at_threshold(4)
    assert stricter.occurrence.tolist() == [[0, 1]]
    assert stricter.mask.all()


def test_rates_count_only_what_is_known():
    labels = Labels.from_intensity((1, 2, 4), [[3, np.nan, np.nan], [0, 2, np.nan]])
    assert np.array_equal(labels.rates(), np.array([0.5, 1, np.nan], np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Labels.from_intensity((1,), [[9]]), "intensity ranges from 9 to 9.*not coded"),
        (lambda: Labels.from_intensity((1,), [[-1]]), "intensity ranges from -1"),
        (lambda: Labels.from_intensity((1, 2), [[1]]), r"shape \(1, 1\).*column an AU"),
        (lambda: Labels.from_intensity((1,), [[1]], threshold=0), "threshold 0"),
        (lambda: Labels((1,), np.ones((1, 1)), np.full((1, 1), 0.5), np.ones((1, 1))), "other values than 0 and 1"),
        (lambda: Labels((1,), np.ones((1, 1)), np.ones((1, 1)), np.full((1, 1), np.nan)), "confidence holds NaN"),
        (lambda: Labels.concatenate([]), "no labels"),
        (lambda: Labels.concatenate([Labels.unknown((1,), 1), Labels.unknown((2,), 1)]), "different spaces"),
        (lambda: Labels.unknown((3,), 1), "unknown AU 3"),
    ],
)
def test_what_no_label_can_be_is_refused(build, words):
    with pytest.raises(ConfigurationError, match=words):
        build()
