"""The measures of MAUGen's benchmark, on cases whose answer is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    assert str(BENCHMARKS) in sys.path


def test_f1_is_of_the_aus_that_are_there_and_leaves_out_what_is_unknown() -> None:
    import maugen_judged as judged

    truth = [[3.0, 0.0, 4.0], [0.0, 0.0, np.nan], [2.0, 0.0, 4.0]]
    found = [[2.0, 3.0, 4.0], [2.5, 0.0, 5.0], [1.9, 0.0, np.nan]]
    scores = judged.f1(found, truth)
    np.testing.assert_allclose(scores, [0.5, np.nan, 1.0])
    assert judged.macro(scores) == 0.75
    assert np.isnan(judged.macro(np.array([np.nan])))
    assert judged.mae([[1.0, np.nan]], [[3.0, 2.0]]) == 2


def test_frechet_distance_is_that_of_the_gaussians() -> None:
    import maugen_looks as looks

    draw = np.random.default_rng(0)
    points = draw.normal(size=(4000, 3))
    assert looks.frechet(points, points) == pytest.approx(0, abs=1e-9)
    # Of one mean and covariance: |shift|^2, and the sum of (s1 - s2)^2 where deviations differ.
    assert looks.frechet(points, points + np.array([1.0, 2.0, 0.0])) == pytest.approx(5)
    wanted = 4 * np.trace(np.cov(points.T)) + 4 * (points.mean(0) ** 2).sum()
    assert looks.frechet(points, 3 * points) == pytest.approx(wanted)


def test_diversity_is_the_mean_distance_of_two() -> None:
    import maugen_looks as looks

    assert looks.spread(np.array([[0.0, 0.0], [3.0, 4.0]])) == pytest.approx(5)
    assert looks.spread(np.zeros((4, 2))) == 0


def test_people_are_told_apart_where_the_same_are_nearer() -> None:
    import maugen_looks as looks

    vectors = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    cosines, same = looks.pairs(vectors, np.array([5, 5, 9, 9]))
    assert looks.area(cosines, same) == 1
    assert looks.area(-cosines, same) == 0


def test_renders_of_several_stores_show_several_people() -> None:
    import maugen_faces as faces

    from ausynth.labels import Labels

    def one(numbers: list[int]) -> faces.Renders:
        asked = np.zeros((len(numbers), 2), np.float32)
        images = np.zeros((len(numbers), 8, 8, 3), np.uint8)
        return faces.Renders(images, Labels.from_intensity((1, 12), asked), asked, np.array(numbers))

    joined = faces.Renders.join([faces.Renders.join([one([7, 7]), one([7, 8])]), one([7])])
    assert joined.person.tolist() == [0, 0, 1, 2, 3]
