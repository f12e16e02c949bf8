"""What rendered faces promise whoever is drawn: exact labels, a face in every picture, switches that switch off."""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators import Conditions, load_generator
from ausynth.generators.rendered.generator import RenderedGenerator
from ausynth.generators.rendered.hair import CUTS, cut_hair
from ausynth.generators.rendered.head import load_head
from ausynth.generators.rendered.identity import Variety, draw_traits
from ausynth.generators.rendered.jaw import Jaw, intensity_of_drop
from ausynth.generators.rendered.lips import SEEN_CM, intensity_of_gap
from ausynth.generators.rendered.shape import Shaper
from ausynth.generators.rendered.table import load_table, read_table
from ausynth.generators.rendered.wrinkles import CHANNELS, depths, groove_maps, grooves

AUS = facs.UNION_17
TEXT = resources.files("ausynth.generators.rendered").joinpath("assets/actions.toml").read_text("utf-8")


@functools.cache
def shaper() -> Shaper:
    return Shaper(asymmetry=0.12)


@functools.cache
def generator(size: int) -> RenderedGenerator:
    return load_generator("rendered", image_size=size)  # type: ignore[return-value]


def vector(asked: dict[int, float]) -> np.ndarray:
    return np.array([asked.get(au, 0) for au in AUS], np.float32)


def conditions(asked: dict[int, float], identity: int = 3, noise: int = 0) -> Conditions:
    return Conditions(vector(asked)[None], np.array([identity]), np.array([noise]))


# Labels


def lip_gap(vertices: np.ndarray) -> float:
    """The widest gap between the lips, measured by nothing of the library: on more than twice as many places."""
    head = load_head()
    upper, lower = vertices[head.lip_upper], vertices[head.lip_lower]
    right = max(upper[0, :, 0].max(), lower[0, :, 0].max())
    left = min(upper[-1, :, 0].min(), lower[-1, :, 0].min())
    x = right + (left - right) * np.linspace(0.04, 0.96, 79)

    def edge(lip: np.ndarray, sign: int) -> np.ndarray:
        a, b = lip[:-1].reshape(-1, 3), lip[1:].reshape(-1, 3)
        share = (x[:, None] - a[:, 0]) / np.where(a[:, 0] == b[:, 0], np.inf, b[:, 0] - a[:, 0])
        height = a[:, 1] + share * (b[:, 1] - a[:, 1])
        return sign * np.where((share >= 0) & (share <= 1) & (a[:, 0] != b[:, 0]), sign * height, np.inf).min(1)

    return float((edge(upper, 1) - edge(lower, -1)).max())


def test_au25_and_au26_are_the_grades_of_what_a_thousand_renders_show() -> None:
    draw = np.random.default_rng(1)
    intensity = (draw.integers(1, 6, (1000, len(AUS))) * (draw.random((1000, len(AUS))) < 0.2)).astype(np.float32)
    people, noise = draw.integers(0, 60, 1000), draw.integers(0, 10**9, 1000)
    labels = generator(32).generate(Conditions(intensity, people, noise)).labels.intensity
    jaw, off = Jaw.of(load_head()), []
    for row in range(1000):
        person = shaper().person(int(people[row]))
        made = shaper().face(person, intensity[row])
        found = lip_gap(made.vertices)
        # The lips' lines bend between the places of either measurement: three tenths of a millimetre.
        assert abs(made.gap_cm - found) < 0.03 or max(made.gap_cm, found) < SEEN_CM
        assert labels[row, AUS.index(25)] == pytest.approx(intensity_of_gap(made.gap_cm))
        off.append(np.rint(labels[row, AUS.index(25)]) != np.rint(intensity_of_gap(found)))
        dropped = jaw.dropped(made.vertices) - jaw.dropped(person.neutral)
        assert labels[row, AUS.index(26)] == pytest.approx(intensity_of_drop(dropped), abs=1e-5)
    assert np.mean(off) < 0.01


@pytest.mark.parametrize("au", [9, 10, 17, 24])
def test_lips_are_closed_to_a_millimetre_unless_parting_is_asked_for(au: int) -> None:
    for identity in range(40):
        person = shaper().person(identity)
        assert lip_gap(shaper().face(person, vector({au: 5})).vertices) < 0.1


@settings(max_examples=40, deadline=None)
@given(
    asked=st.sampled_from(np.arange(0, 5.01, 0.25).tolist()), identity=st.integers(0, 60), other=st.sampled_from(AUS)
)
def test_au26_is_read_from_the_jaw_and_nothing_else_moves_it(asked: float, identity: int, other: int) -> None:
    """Whatever else is asked, and however uneven the person is."""
    person = shaper().person(identity)
    made = shaper().face(person, vector({other: 5} | {26: asked}))
    assert intensity_of_drop(made.jaw_cm) == pytest.approx(asked, abs=0.051)


# Every picture


@settings(max_examples=40, deadline=None)
@given(
    intensity=st.lists(st.floats(0, 5, width=32), min_size=17, max_size=17),
    identity=st.integers(0, 2**62),
    noise=st.integers(0, 2**62),
    size=st.sampled_from([32, 33, 47, 64, 96, 131, 512]),
)
def test_any_vector_any_seed_any_size(intensity: list[float], identity: int, noise: int, size: int) -> None:
    asked = Conditions(np.array([intensity], np.float32), np.array([identity]), np.array([noise]))
    made, again = generator(size).generate(asked), load_generator("rendered", image_size=size).generate(asked)
    assert np.array_equal(made.images, again.images)
    assert np.isfinite(made.labels.intensity).all()
    assert ((made.labels.intensity >= 0) & (made.labels.intensity <= 5)).all()
    shown = generator(size).render(asked)
    assert np.array_equal(shown.images, made.images)
    assert np.isfinite(shown.landmarks).all()
    assert ((shown.landmarks >= 0) & (shown.landmarks <= size)).all()
    assert 0.1 < shown.mask.mean() < 0.8
    assert np.isfinite(shown.depth[shown.mask]).all()
    # Nothing asked is the neutral face, whatever the seed.
    neutral = Conditions(np.zeros((1, 17), np.float32), np.array([identity]), np.array([noise]))
    labels = generator(size).label(neutral)
    assert not labels.intensity.any()


def test_no_au_is_the_neutral_face_and_the_same_person() -> None:
    person = shaper().person(11)
    assert np.array_equal(shaper().face(person, np.zeros(17, np.float32)).vertices, person.neutral)


# People


def test_people_wear_all_cuts_and_beards_of_several_kinds() -> None:
    traits = [draw_traits(identity) for identity in range(600)]
    assert {trait.cut for trait in traits} >= set(CUTS) | {"bald"}
    whiskers = {trait.whiskers[:3] != (0, 0, 0) and (trait.stubble, *np.sign(trait.whiskers[:3])) for trait in traits}
    assert len(whiskers) >= 5  # none, stubble, full, goatee, moustache ...
    assert not any(any(trait.whiskers[:3]) for trait in traits if trait.male < 0.35)
    for name, most in (("age", 75), ("melanin", 2.4)):
        values = [getattr(trait, name) for trait in traits]
        assert min(values) < 0.35 * most
        assert max(values) > 0.9 * most
    ancestry = np.array([trait.ancestry for trait in traits])
    assert (ancestry.max(0) > 0.9).all()
    assert 0.4 < np.mean([trait.male > 0.5 for trait in traits]) < 0.6


def test_a_cut_is_drawn_by_who_wears_it() -> None:
    draw = np.random.default_rng(0)
    women = [cut_hair(draw, 0, 0)[0] for _ in range(300)]
    men = [cut_hair(draw, 1, 0)[0] for _ in range(300)]
    assert women.count("long") > 10 * men.count("long") + 10
    assert men.count("short") > 3 * women.count("short")


def test_switched_off_is_off() -> None:
    nothing = Variety(shape=0, hair=0, beard=0, skin=0, wrinkles=0)
    for identity in range(40):
        traits = draw_traits(identity, nothing)
        assert not traits.hairdo.is_grown
        assert traits.whiskers == (0, 0, 0, 0)
        assert traits.beard_cm == traits.mottling == traits.freckles == traits.tired == traits.wrinkles == 0
    everything = draw_traits(5)
    assert draw_traits(5, Variety()) == everything
    # A switch changes what it is for and nothing else.
    shaved = draw_traits(5, Variety(hair=0))
    assert (shaved.age, shaved.melanin, shaved.whiskers) == (everything.age, everything.melanin, everything.whiskers)


@pytest.mark.parametrize("option", ["shape", "hair", "beard", "skin", "wrinkles", "lines"])
def test_every_switch_changes_pictures(option: str) -> None:
    asked = Conditions(np.tile(vector({1: 4, 12: 4}), (8, 1)), np.arange(8), np.arange(8))
    off = load_generator("rendered", image_size=48, **{option: 0}).generate(asked).images
    assert not np.array_equal(off, generator(48).generate(asked).images)


# Sides


def test_sides_say_how_strongly_each_side_moves() -> None:
    people = np.arange(30)
    even = load_generator("rendered", image_size=32, asymmetry=0)
    assert (even.sides(people) == 1).all()
    uneven = load_generator("rendered", image_size=32, asymmetry=0.3)
    sides = uneven.sides(people)
    assert sides.shape == (30, 2, 17)
    assert (sides.max(1) == 1).all()
    assert sides.min() < 0.6
    assert (sides[:, :, [AUS.index(au) for au in (17, 23, 26)]] == 1).all()  # chin, lips and jaw move as a whole
    head, mine = load_head(), Shaper(asymmetry=0.3)
    column = AUS.index(12)
    who = int(np.argmax(np.abs(sides[:, 0, column] - sides[:, 1, column])))
    person = mine.person(who)
    moved = np.abs(mine.face(person, vector({12: 5})).vertices - person.neutral).sum(1)
    left = moved[head.vertices[:, 0] > 2].sum()
    right = moved[head.vertices[:, 0] < -2].sum()
    assert (left > right) == (sides[who, 0, column] > sides[who, 1, column])


def test_lines_follow_each_sides_strength() -> None:
    intensity, even = vector({12: 5}), np.zeros(17, np.float32)
    uneven = np.where(np.array(AUS) == 12, np.float32(0.5), np.float32(0))  # the right side moves half as far
    left, right = depths(intensity, uneven, 0.0)
    channel = CHANNELS.index("nasolabial")
    assert right[channel] == pytest.approx(left[channel] / 2)
    drawn, mirrored = grooves(intensity, uneven, 0.0), grooves(intensity, -uneven, 0.0)
    assert np.abs(drawn - mirrored[:, ::-1]).max() < 1e-5
    assert np.abs(grooves(intensity, even, 0.0) - grooves(intensity, even, 0.0)[:, ::-1]).max() < 1e-5
    assert not grooves(intensity, even, 1.0, lines=0).any()
    assert groove_maps().shape[0] == len(CHANNELS)


# The table


def test_the_packages_table_is_whole() -> None:
    table = load_table()
    assert set(table.shapes) == set(AUS)
    assert {channel for row in table.wrinkles.values() for channel in row} == set(table.lines)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[shapes]", "[shapes", "TOML"),
        ("[at_rest]", "[at_peace]", "just"),
        ("gain = [0.0, 0.12", "gain = [0.0, 0.42", "rise from 0 to 1"),
        ("gain = [0.0, ", "gain = [0.1, ", "rise from 0 to 1"),
        ("\n26 = {", "\n27 = {", "AU '27'"),
        ("\n26 = { \"jawOpen\" = 0.40 }", "", "all of"),
        ("crows_feet = 0.9", "crows_foot = 0.9", "no lines of channel"),
        ("crows_feet = 0.9", "crows_feet = -1", "0 to 3"),
        ("crows_feet = 0.9", 'crows_feet = "deep"', "a number"),
        ("crows_feet = 0.9", "crows_feet = nan", "a number"),
        ("width = 0.26,", "wide = 0.26,", "points"),
        ("[[1.95, 69.6], ", "[[1.95, 9.6], ", "55 to 90"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError, match=message):
        read_table(TEXT.replace(old, new, 1))
