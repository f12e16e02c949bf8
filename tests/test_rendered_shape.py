"""The rendered generator's geometry: each AU moves the part of the face it should, in the right direction."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators.rendered.actions import GAIN, gain
from ausynth.generators.rendered.eyes import LID_RADII, Eyes
from ausynth.generators.rendered.head import load_head
from ausynth.generators.rendered.identity import Person
from ausynth.generators.rendered.labels import labels_of
from ausynth.generators.rendered.lips import (
    OPEN_CM,
    SEALED_CM,
    Lips,
    gap_of_intensity,
    intensity_of_gap,
)
from ausynth.generators.rendered.shape import Face, Shaper

AUS = facs.UNION_17
PEOPLE = (2, 3, 11, 14, 23)

# (least x, most x, least y, most y, least z) of the left half of the base head, centimetres.
REGIONS = {
    "inner brow": (1.0, 2.2, 74.0, 75.6, 13.0),
    "outer brow": (4.2, 5.6, 73.8, 75.5, 10.0),
    "upper lid": (2.3, 3.9, 73.1, 73.5, 13.5),
    "lower lid": (2.3, 3.9, 71.9, 72.5, 13.0),
    "cheek": (3.5, 6.0, 68.5, 70.5, 9.0),
    "nose wing": (1.2, 2.1, 68.8, 70.0, 13.5),
    "nose root": (0.2, 1.2, 72.2, 73.6, 13.5),
    "upper lip": (0.0, 0.7, 66.4, 67.2, 15.3),
    "lower lip": (0.0, 0.7, 64.9, 65.9, 15.0),
    "corner": (2.1, 2.7, 65.8, 66.5, 13.0),
    "chin boss": (0.0, 1.2, 63.0, 64.2, 14.0),
    "jaw": (0.0, 2.0, 61.8, 62.8, 12.0),
    "forehead": (0.0, 5.0, 79.0, 82.0, 9.0),
    "crown": (0.0, 6.0, 83.0, 90.0, -9.0),
    "ear": (8.0, 9.0, 68.0, 74.0, 3.0),
    "neck": (0.0, 5.0, 55.0, 58.0, -9.0),
}
BROWS, EYES, MID = ("inner brow", "outer brow"), ("upper lid", "lower lid"), ("nose wing", "nose root", "cheek")
MOUTH, LOW = ("upper lip", "lower lip", "corner"), ("chin boss", "jaw")


@functools.cache
def shaper() -> Shaper:
    return Shaper(asymmetry=0)


@functools.cache
def region(name: str, side: int = 1) -> np.ndarray:
    """The vertices of a region, on the person's left (1) or right (-1)."""
    head = load_head()
    low_x, high_x, low_y, high_y, low_z = REGIONS[name]
    x, y, z = head.vertices.T
    inside = (side * x >= low_x - 1e-3) & (side * x <= high_x) & (y >= low_y) & (y <= high_y) & (z >= low_z)
    inside &= head.masks["inside-mouth"] < 0.5
    found = np.intersect1d(np.flatnonzero(inside), head.vertices_of("skin"))
    assert len(found) >= 3, name
    return found


def face(person: Person, asked: dict[int, float]) -> Face:
    intensity_A = np.zeros(len(AUS), np.float32)
    for au, value in asked.items():
        intensity_A[AUS.index(au)] = value
    return shaper().face(person, intensity_A)


def movement(person: Person, asked: dict[int, float], name: str, side: int = 1) -> np.ndarray:
    """The mean movement (outward, up, forward) of a region in centimetres."""
    moved = face(person, asked).vertices - person.neutral
    return moved[region(name, side)].mean(0) * (side, 1, 1)


def lip_height(vertices: np.ndarray) -> float:
    """How high the red of both lips is in the middle of the mouth."""
    head = load_head()
    red = (head.masks["lips"] > 0.5) & (np.abs(head.vertices[:, 0]) < 0.3) & (head.vertices[:, 2] > 14.5)
    return float(np.ptp(vertices[red, 1]))


OUT, UP, FORWARD = 0, 1, 2

# AU at 5 -> (region, axis, least movement in cm with its sign).
EXPECTED: dict[int, list[tuple[str, int, float]]] = {
    1: [("inner brow", UP, 0.4)],
    2: [("outer brow", UP, 0.3)],
    4: [("inner brow", UP, -0.3), ("inner brow", OUT, -0.2), ("outer brow", UP, -0.02)],
    5: [("upper lid", UP, 0.12)],
    6: [("cheek", UP, 0.25), ("lower lid", UP, 0.03)],
    7: [("lower lid", UP, 0.08), ("upper lid", UP, -0.05)],
    9: [("nose wing", UP, 0.3), ("inner brow", UP, -0.2)],
    10: [("upper lip", UP, 0.12), ("nose wing", UP, 0.05)],
    12: [("corner", UP, 0.4), ("corner", OUT, 0.3)],
    14: [("corner", OUT, 0.3), ("corner", FORWARD, -0.2)],
    15: [("corner", UP, -0.35)],
    17: [("chin boss", UP, 0.1), ("lower lip", UP, 0.2)],
    20: [("corner", OUT, 0.4)],
    25: [("lower lip", UP, -0.2)],
    26: [("jaw", UP, -0.5), ("chin boss", UP, -0.6), ("lower lip", UP, -0.8)],
}


@pytest.mark.parametrize("au", EXPECTED)
@pytest.mark.parametrize("identity", PEOPLE[:3])
def test_an_au_moves_its_part_of_the_face(au: int, identity: int) -> None:
    person = shaper().person(identity)
    for name, axis, least in EXPECTED[au]:
        for side in (1, -1):
            moved = movement(person, {au: 5}, name, side)[axis]
            assert moved * np.sign(least) >= abs(least), (name, side, moved)


@pytest.mark.parametrize("identity", PEOPLE)
def test_au1_raises_the_inner_and_au2_the_outer_brow_more(identity: int) -> None:
    person = shaper().person(identity)
    assert movement(person, {1: 5}, "inner brow")[UP] > 2 * movement(person, {1: 5}, "outer brow")[UP]
    assert movement(person, {2: 5}, "outer brow")[UP] > 1.5 * movement(person, {2: 5}, "inner brow")[UP]


@pytest.mark.parametrize("identity", PEOPLE)
def test_au9_lowers_the_inner_brow_and_not_the_outer(identity: int) -> None:
    person = shaper().person(identity)
    assert movement(person, {9: 5}, "inner brow")[UP] < 3 * movement(person, {9: 5}, "outer brow")[UP] - 0.1


@pytest.mark.parametrize("identity", PEOPLE)
@pytest.mark.parametrize("au", [23, 24])
def test_au23_and_au24_make_the_lips_thinner_and_do_not_smile(au: int, identity: int) -> None:
    person = shaper().person(identity)
    assert lip_height(face(person, {au: 5}).vertices) < 0.9 * lip_height(person.neutral)
    corner = movement(person, {au: 5}, "corner")
    assert abs(corner[UP]) < 0.25
    assert corner[OUT] < 0.35


@pytest.mark.parametrize("identity", PEOPLE)
def test_au12_lifts_and_au15_lowers_the_corners_and_au20_does_neither(identity: int) -> None:
    person = shaper().person(identity)
    up = {au: movement(person, {au: 5}, "corner")[UP] for au in (12, 15, 20)}
    assert up[12] > up[20] > up[15]


@pytest.mark.parametrize("identity", PEOPLE)
def test_au14_draws_the_corners_back_and_less_apart_than_au20(identity: int) -> None:
    person = shaper().person(identity)
    dimpled, stretched = (movement(person, {au: 5}, "corner") for au in (14, 20))
    assert dimpled[OUT] < 0.6 * stretched[OUT]
    assert abs(dimpled[UP]) < 0.25


# Where nothing may happen: regions that the AU's muscles do not reach.
STILL = {
    **dict.fromkeys((1, 2, 4), (*MOUTH, *LOW, "nose wing", "cheek")),
    **dict.fromkeys((5, 7), (*MOUTH, *LOW, "nose wing")),
    6: (*LOW, "lower lip", "forehead"),
    9: (*LOW, "forehead"),
    10: (*BROWS, *EYES, "jaw"),
    **dict.fromkeys((12, 14, 15, 17, 20, 23, 24, 25, 26), (*BROWS, *EYES)),
}


@pytest.mark.parametrize("au", AUS)
def test_an_au_leaves_the_rest_alone(au: int) -> None:
    person = shaper().person(PEOPLE[0])
    moved = np.linalg.norm(face(person, {au: 5}).vertices - person.neutral, axis=1)
    peak = np.quantile(moved[load_head().vertices_of("skin")], 0.995)
    assert peak > 0.15
    for name in (*STILL[au], "crown", "ear", "neck"):
        assert moved[region(name)].mean() < 0.2 * peak, name


@settings(max_examples=60, deadline=None)
@given(
    au=st.sampled_from(AUS),
    identity=st.sampled_from(PEOPLE),
    low=st.floats(0, 5, width=32),
    high=st.floats(0, 5, width=32),
)
def test_more_intensity_moves_the_face_further(au: int, identity: int, low: float, high: float) -> None:
    low, high = sorted((low, high))
    person = shaper().person(identity)
    head_V = load_head().vertices_of("skin")

    def amount(value: float) -> float:
        return float(np.abs(face(person, {au: value}).vertices - person.neutral)[head_V].sum())

    assert amount(low) <= amount(high) * 1.001 + 1.0


def test_gain_is_monotone_and_hits_the_letters() -> None:
    assert gain(np.arange(6)).tolist() == pytest.approx(GAIN)
    assert (np.diff(gain(np.linspace(0, 5, 51))) > 0).all()


@pytest.mark.parametrize("identity", PEOPLE)
def test_no_au_is_the_neutral_face_to_the_bit(identity: int) -> None:
    person = shaper().person(identity)
    assert np.array_equal(face(person, {}).vertices, person.neutral)


def test_asymmetry_makes_one_side_weaker() -> None:
    lopsided = Shaper(asymmetry=0.3)
    smile = np.where(np.array(AUS) == 12, 5, 0).astype(np.float32)
    ratios = []
    for identity in range(6):
        person = lopsided.person(identity)
        moved = lopsided.face(person, smile).vertices - person.neutral
        ratios.append(moved[region("corner", 1), 1].mean() / moved[region("corner", -1), 1].mean())
        even = shaper().person(identity)
        moved = shaper().face(even, smile).vertices - even.neutral
        assert moved[region("corner", 1), 1].mean() == pytest.approx(moved[region("corner", -1), 1].mean(), rel=0.06)
    assert max(abs(np.log(ratios))) > 0.1


# Lips


@pytest.mark.parametrize("identity", PEOPLE)
@pytest.mark.parametrize("au", [au for au in AUS if au not in (25, 26)])
def test_lips_stay_sealed_unless_they_are_asked_to_part(au: int, identity: int) -> None:
    person = shaper().person(identity)
    made = face(person, {au: 5})
    assert made.gap_cm < 0.02
    assert labels_of([made]).intensity[0, AUS.index(25)] == 0


@settings(max_examples=40, deadline=None)
@given(
    identity=st.sampled_from(PEOPLE),
    intensities=st.lists(st.integers(0, 5), min_size=len(AUS), max_size=len(AUS)),
    chosen=st.sets(st.sampled_from(AUS), max_size=5),
)
def test_au25_says_what_the_gap_is(identity: int, intensities: list[int], chosen: set[int]) -> None:
    asked = {au: float(intensities[AUS.index(au)]) for au in chosen}
    made = face(shaper().person(identity), asked)
    # Measured anew, by other means than the correction's own bookkeeping.
    gap = Lips.of(load_head()).gap(made.vertices)
    labels = labels_of([made])
    assert made.gap_cm == pytest.approx(gap, abs=1e-5)
    assert labels.intensity[0, AUS.index(25)] == pytest.approx(intensity_of_gap(gap))
    asked_25, asked_26 = asked.get(25, 0), asked.get(26, 0)
    if asked_25 == 0 and asked_26 == 0:
        assert labels.intensity[0, AUS.index(25)] == 0
    if asked_25 > 0 and asked_26 == 0:
        assert labels.intensity[0, AUS.index(25)] == pytest.approx(asked_25, abs=0.051)


@pytest.mark.parametrize("identity", PEOPLE)
def test_au26_parts_the_lips_and_says_so(identity: int) -> None:
    made = face(shaper().person(identity), {26: 5})
    assert made.gap_cm > 0.4
    assert labels_of([made]).intensity[0, AUS.index(25)] >= 3


def test_the_jaw_drops_behind_pressed_lips() -> None:
    person = shaper().person(PEOPLE[0])
    made = face(person, {24: 3, 26: 3})
    assert made.gap_cm < 0.02
    labels = labels_of([made])
    assert labels.intensity[0, [AUS.index(24), AUS.index(25), AUS.index(26)]].tolist() == [3, 0, 3]
    assert movement(person, {24: 3, 26: 3}, "jaw")[UP] < -0.2


def test_pressed_and_parted_at_once_is_given_up() -> None:
    labels = labels_of([face(shaper().person(2), {24: 4, 25: 3})])
    assert labels.intensity[0, AUS.index(24)] == 0
    assert labels.intensity[0, AUS.index(25)] == pytest.approx(3, abs=0.051)


def test_other_labels_are_as_asked() -> None:
    asked = {au: 1 + (i % 5) for i, au in enumerate(AUS) if au not in (24, 25)}
    labels = labels_of([face(shaper().person(3), asked)])
    for au, value in asked.items():
        assert labels.intensity[0, AUS.index(au)] == value
    assert (labels.confidence == 1).all()


@pytest.mark.parametrize("identity", PEOPLE)
def test_au17_does_not_push_one_lip_through_the_other(identity: int) -> None:
    lips, person = Lips.of(load_head()), shaper().person(identity)
    vertices = face(person, {17: 5}).vertices
    upper = vertices[lips.upper[:, 2:]].min(1)[len(lips.upper) // 2, 1]
    lower = vertices[lips.lower[:, 2:]].max(1)[len(lips.lower) // 2, 1]
    assert upper - lower > SEALED_CM - 0.05


def test_gap_and_intensity_are_each_others_inverse() -> None:
    for intensity in (1, 1.5, 2, 3, 4, 5):
        assert intensity_of_gap(gap_of_intensity(intensity)) == pytest.approx(intensity)
    assert gap_of_intensity(5) == pytest.approx(OPEN_CM)
    assert intensity_of_gap(0.04) == 0
    assert intensity_of_gap(9) == 5


def test_the_measured_gap_is_the_distance_of_parted_lips() -> None:
    """Lower the whole lower lip of a sealed face by hand: the gap grows by as much."""
    head, lips = load_head(), Lips.of(load_head())
    vertices = shaper().person(2).neutral.copy()
    before = lips.gap(vertices)
    vertices[np.unique(head.lip_lower), 1] -= 0.5
    assert lips.gap(vertices) - before == pytest.approx(0.5, abs=0.03)


# Eyes


@settings(max_examples=30, deadline=None)
@given(
    identity=st.sampled_from(PEOPLE),
    levels=st.tuples(*[st.integers(0, 5)] * 4),
)
def test_lids_stay_outside_the_eyeballs(identity: int, levels: tuple[int, ...]) -> None:
    vertices = face(shaper().person(identity), dict(zip((5, 6, 7, 4), levels, strict=True))).vertices
    eyes = Eyes.of(load_head())
    for ball, lids in zip(eyes.balls, eyes.lids, strict=True):
        middle = vertices[ball].mean(0)
        radius = np.linalg.norm(vertices[ball] - middle, axis=1).max()
        ahead = lids[vertices[lids, 2] > middle[2]]
        assert np.linalg.norm(vertices[ahead] - middle, axis=1).min() >= radius * LID_RADII * 0.999


# People and the head


def test_people_differ_and_stay_the_same() -> None:
    first, again, other = Shaper().person(5), Shaper().person(5), Shaper().person(6)
    assert np.array_equal(first.neutral, again.neutral)
    assert first.traits == again.traits
    assert np.abs(first.neutral - other.neutral).max() > 0.3
    assert first.traits != other.traits


def test_people_are_of_every_kind() -> None:
    traits = [shaper().person(identity).traits for identity in range(60)]
    assert 18 <= min(t.age for t in traits) < 28
    assert 55 < max(t.age for t in traits) <= 75
    assert 0.25 < np.mean([t.male > 0.5 for t in traits]) < 0.75
    for column in range(3):
        assert sum(t.ancestry[column] > 0.6 for t in traits) >= 5
    assert np.ptp([t.melanin for t in traits]) > 1


def test_faces_are_plausible() -> None:
    for identity in range(40):
        person = shaper().person(identity)
        eyes = Eyes.of(load_head()).middles(person.neutral)
        assert 5 < eyes[0, 0] - eyes[1, 0] < 8, identity
        assert 8.5 < person.height < 14, identity
        assert person.gap_cm < 0.02


def test_the_head_is_whole() -> None:
    head = load_head()
    assert head.metadata["licence"] == "CC0-1.0"
    assert head.triangles.min() == 0
    assert head.triangles.max() == len(head.vertices) - 1
    assert head.starts[-1] == len(head.rows) == len(head.deltas)
    assert set(head.kinds.values()) == {"action", "phenotype", "change"}
    assert sum(kind == "action" for kind in head.kinds.values()) == 53
    assert 0 <= head.uv.min() <= head.uv.max() <= 1
    with pytest.raises(ValueError, match="read-only"):
        head.vertices[0] = 0


def test_shape_changes_are_symmetric() -> None:
    """A person's neutral face is the same on both sides: one-sided change would be read as expression."""
    head = load_head()
    place = {tuple(np.round(v * 1000).astype(int)): i for i, v in enumerate(head.vertices)}
    skin = head.vertices_of("skin")
    mirror = np.array(
        [place.get(tuple(np.round(head.vertices[i] * (-1000, 1000, 1000)).astype(int)), -1) for i in skin]
    )
    assert (mirror >= 0).mean() > 0.97
    pairs = skin[mirror >= 0], mirror[mirror >= 0]
    for identity in PEOPLE:
        neutral = shaper().person(identity).neutral
        difference = np.abs(neutral[pairs[0]] * (-1, 1, 1) - neutral[pairs[1]])
        assert np.quantile(difference, 0.99) < 0.1


def test_an_unknown_shape_is_named() -> None:
    with pytest.raises(ConfigurationError, match="earWiggle"):
        load_head().weights({"earWiggle": 1})
