from __future__ import annotations

import numpy as np
import pytest

from ausynth import facs
from ausynth.errors import ConfigurationError


def test_the_union_is_the_union():
    assert facs.union("disfa-12", "bp4d-12") == facs.UNION_17
    assert set(facs.BP4D_INTENSITY) <= set(facs.BP4D_12)


def test_what_disfa_and_bp4d_share():
    assert facs.intersection("disfa-12", "bp4d-12") == (1, 2, 4, 6, 12, 15, 17)
    assert facs.intersection("disfa-8", "bp4d-12") == (1, 2, 4, 6, 12)


def test_every_table_speaks_of_known_units():
    named = set(facs.UNION_17) | {au for pair in (*facs.IMPOSSIBLE, *facs.ANTAGONISTS) for au in pair}
    for prototype in (*facs.PROTOTYPES.values(), *facs.COMPOUND_PROTOTYPES.values()):
        named |= {*prototype.required, *prototype.optional}
        assert not set(prototype.required) & set(prototype.optional)
    assert named <= set(facs.ACTION_UNITS)
    assert all(unit.number == number for number, unit in facs.ACTION_UNITS.items())


def test_required_units_of_a_prototype_are_possible_together():
    for name, prototype in {**facs.PROTOTYPES, **facs.COMPOUND_PROTOTYPES}.items():
        vector = np.full((1, len(prototype.required)), 3.0)
        assert facs.is_possible(vector, prototype.required).all(), name


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ([99], "unknown AU 99.*numbers of action units"),
        ([1, 3], "unknown AU 3"),
        (["12"], "unknown AU '12'"),
        ([True], "unknown AU True"),
        ([], "empty label space"),
        ([1, 1], "an AU twice"),
        ("disfa-13", "unknown label space 'disfa-13'.*disfa-8"),
    ],
)
def test_a_wrong_label_space_is_named(space, words):
    with pytest.raises(ConfigurationError, match=words):
        facs.label_space(space)


def test_names_are_lenient_about_case():
    assert facs.label_space("DISFA_8") == facs.DISFA_8


def test_spaces_that_do_not_meet():
    with pytest.raises(ConfigurationError, match="no AU is shared"):
        facs.intersection([1], [2])


@pytest.mark.parametrize(
    ("active", "possible"),
    [
        ({5: 2, 43: 1}, False),
        ({24: 1, 25: 1}, False),
        ({26: 3, 27: 3, 25: 3}, False),
        ({27: 3}, False),
        ({27: 3, 25: 1}, True),
        ({26: 3}, True),
        ({7: 5, 5: 1}, False),
        ({7: 4, 5: 1}, True),
        ({4: 5, 12: 5}, True),
        ({}, True),
    ],
)
def test_what_a_face_can_do(active, possible):
    aus = (4, 5, 7, 12, 24, 25, 26, 27, 43)
    vector = np.array([[active.get(au, 0) for au in aus]], float)
    assert facs.is_possible(vector, aus).tolist() == [possible]


def test_implied_units_come_along():
    vector = facs.with_implied(np.array([[4.0, 1.0], [0.0, 1.0]]), (27, 25))
    assert vector.tolist() == [[4, 4], [0, 1]]


def test_antagonists_cost():
    penalty = facs.log_penalty(np.array([[3.0, 2.0, 0], [3.0, 0, 0], [1, 1, 1]]), (12, 15, 20))
    assert penalty.tolist() == [1.5, 0, 2.5]
