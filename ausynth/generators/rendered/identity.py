"""Who is in the picture: an identity number becomes a person, the same one always."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.hair import cut_hair
from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.shell import Hairdo, Shell
from ausynth.labels import Floats

__all__ = ["ANCESTRIES", "Person", "Traits", "Variety", "draw_traits", "shape_weights"]

ANCESTRIES: Final = ("african", "asian", "caucasian")

_OPPOSITES: Final = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)

# Standard deviation of a change's weight, by the first pattern that matches its name; weights are cut at 2 of them.
# Where a change moves the lids, the lips or the whole eye, a large weight leaves what the facial actions can cope with.
_SPREAD: Final = tuple(
    (re.compile(pattern), spread)
    for pattern, spread in (
        (r"eye-(trans|push|scale)", 0.12),
        (r"eye-epicanthus|eye-eyefold", 0.30),
        (r"eye-", 0.18),
        (r"eyebrows-", 0.25),
        (r"mouth-(trans|lowerlip-ext|upperlip-ext|laugh|dimples)", 0.12),
        (r"mouth-", 0.25),
        (r"neck-double", 0.10),
        (r"neck-", 0.15),
        (r"head-(scale|angle|back)", 0.16),
        (r"head-fat", 0.18),
        (r"ear-(trans|rot)", 0.15),
        (r"ear-", 0.25),
        (r"nose-(trans|compression|greek|nostrils-angle|septumangle)", 0.14),
        (r"nose-", 0.25),
        (r"forehead-", 0.18),
        (r"chin-(jaw-drop|prognathism)", 0.12),
        (r"", 0.22),
    )
)
_OUTLINES: Final = re.compile(r"head-(diamond|invertedtriangular|oval|rectangular|round|square|triangular)$")


@dataclass(frozen=True)
class Variety:
    """How much people differ, each 0 (not at all) to 1.

    Attributes:
        shape: of the head's shape; 0 gives everyone of one sex, age and descent the same face.
        hair: share of people who keep the haircut they are drawn with; the rest have shaved heads.
        beard: share of men who keep their beard or stubble; the rest are smoothly shaved.
        skin: unevenness, freckles, grease and shadows below the eyes.
        wrinkles: depth of lines, at rest and in movement.
    """

    shape: float = 1.0
    hair: float = 1.0
    beard: float = 1.0
    skin: float = 1.0
    wrinkles: float = 1.0


@dataclass(frozen=True)
class Traits:
    """What is drawn for a person beside the shape of the head; colours are linear red-green-blue.

    Attributes:
        male: 0 (female) to 1 (male).
        age: years.
        ancestry: shares over `ANCESTRIES`.
        fat: -1 (lean) to 1 (heavy).
        melanin, blood: how much of each pigment the skin holds.
        lips: how much redder than the skin.
        mottling, freckles, shine, tired: 0-1: unevenness, freckles, grease, shadows below the eyes.
        wrinkles: 0-1: how deep lines get when the face moves, and how much stays at rest.
        hair, brow, beard, iris, cloth: colours.
        cut: the haircut's name, see `hair.CUTS`.
        hairdo: the haircut.
        bald: 0-1, how far the crown has lost its hair.
        cover: 0-1, how much of the scalp its hairs cover.
        streaks: 0-1, how unevenly coloured the hair is.
        brow_density, brow_thickness, brow_height, brow_arch, brow_length: brows; density 0-1, thickness, height and
            arch in centimetres, length as a share of the usual one.
        whiskers: where a beard grows.
        stubble: 1 for stubble, 0 for a beard.
        beard_cm: how far the beard stands off.
        lashes: density 0-1.
        texture: where in the noise this person's skin and hair lie.
        cloth_low: 0-1, how low the collar is cut.
    """

    male: float
    age: float
    ancestry: tuple[float, float, float]
    fat: float
    melanin: float
    blood: float
    lips: float
    mottling: float
    freckles: float
    shine: float
    tired: float
    wrinkles: float
    hair: tuple[float, float, float]
    brow: tuple[float, float, float]
    beard: tuple[float, float, float]
    iris: tuple[float, float, float]
    cloth: tuple[float, float, float]
    cut: str
    hairdo: Hairdo
    bald: float
    cover: float
    streaks: float
    brow_density: float
    brow_thickness: float
    brow_height: float
    brow_arch: float
    brow_length: float
    whiskers: tuple[float, float, float, float]
    stubble: float
    beard_cm: float
    lashes: float
    texture: tuple[float, float]
    cloth_low: float


@dataclass(frozen=True, eq=False)
class Person:
    """One identity, ready to be drawn.

    Attributes:
        traits: see `Traits`.
        neutral: (V, 3) float32 centimetres: the face at rest, lips closed, the middle between the eyes where the base
            head has it. Read-only.
        gap_cm: how far the lips are apart at rest, see `lips`.
        asymmetry: (A,) float32, how the person's two sides differ in strength, see `Actions.weights`.
        shell: the hair.
        fields: (V, F) what is painted, see `paint.FIELDS`.
        face: (3,) the middle of the face, on which pictures are centred.
        height: from the eyes to the chin, centimetres.
    """

    traits: Traits
    neutral: Floats
    gap_cm: float
    asymmetry: Floats
    shell: Shell
    fields: Floats
    face: Floats
    height: float


def draw_traits(identity: int, variety: Variety = Variety()) -> Traits:
    """Return the traits of a person."""
    draw = stream("person", identity)
    male = float(draw.random() < 0.5)
    male_shape = abs(male - draw.beta(1.2, 8))
    age = float(18 + 57 * draw.beta(1.2, 1.9))
    ancestry = draw.dirichlet([0.35, 0.35, 0.45])
    african, asian, caucasian = (float(share) for share in ancestry)
    pigment = 1.75 * african + 0.55 * asian + 0.25 * caucasian
    melanin = min(max(pigment * math.exp(0.32 * draw.standard_normal()), 0.06), 2.4)
    fat = min(max(draw.normal(0.0, 0.4), -0.8), 0.9)
    return Traits(
        male=float(male_shape),
        age=age,
        ancestry=(african, asian, caucasian),
        fat=fat,
        melanin=melanin,
        blood=float(draw.uniform(0.6, 1.25)),
        lips=float(draw.uniform(0.45, 0.9) + (0.45 * draw.random() if male < 0.5 else 0)),
        mottling=variety.skin * float(draw.uniform(0.4, 1.0)),
        freckles=variety.skin * float(max(0.0, draw.uniform(-1.4, 0.9)) * caucasian),
        shine=0.6 + variety.skin * float(draw.uniform(-0.25, 0.4)),
        tired=variety.skin * float(draw.uniform(0.0, 0.6) + 0.4 * (age - 18) / 57),
        wrinkles=variety.wrinkles * min(max((age - 20) / 50, 0.0), 1.0),
        iris=_iris_colour(draw, caucasian),
        lashes=float(draw.uniform(0.25, 0.5) + 0.4 * (1 - male)),
        texture=(float(draw.random()), float(draw.random())),
        cloth=_triple(draw.uniform(0.02, 0.5) * (0.65 + 0.35 * draw.random(3))),
        cloth_low=float(max(0.0, draw.uniform(-0.8, 1.0))) * (1.0 if male < 0.5 else 0.5),
        **_draw_hair(identity, male, age, (african, asian, caucasian), variety),
    )


def _draw_hair(
    identity: int, male: float, age: float, ancestry: tuple[float, float, float], variety: Variety
) -> dict[str, Any]:
    """Return the traits of everything that is hair."""
    draw = stream("hair", identity)
    african, asian, _ = ancestry
    cut, hairdo = cut_hair(draw, male, african)
    dark = min(1.0, african + 0.85 * asian + 0.35 * draw.random())
    colour = _hair_colour(draw, dark)
    gray = min(max((age - 48) / 28 + 0.2 * draw.standard_normal(), 0.0), 1.0)
    # Women dye: half of them show little of it.
    gray *= 0.25 if male < 0.5 and draw.random() < 0.5 else 1.0
    silver = np.array([0.40, 0.39, 0.38])
    hair, brow = colour * (1 - gray) + silver * gray, colour * (1 - 0.6 * gray) * 0.75 + silver * 0.6 * gray * 0.7
    beard = colour * (1 - min(1.0, 1.3 * gray)) * 0.8 + silver * min(1.0, 1.3 * gray)
    bald = male > 0.5 and draw.random() < 0.04 + 0.25 * (age > 42)
    recede = float(draw.uniform(-2, 3) + (draw.random() * max(0.0, age - 28) * 0.55 if male else 0))
    # Thick curls stand on a whole hairline: further back they would hang in the air.
    recede = min(recede, 3.0) if hairdo.curl > 0 else recede
    hairdo = replace(hairdo, recede=recede)
    if bald or draw.random() >= variety.hair:
        cut, hairdo = ("bald" if bald else "shaved"), Hairdo(recede=recede)
    cover = {"bald": 0.45, "shaved": 0.3, "buzz": float(draw.uniform(0.55, 0.9))}.get(cut, 0.93)
    whiskers, stubble, beard_cm = _draw_beard(draw, male > 0.5 and draw.random() < variety.beard)
    return {
        "hair": _triple(hair),
        "brow": _triple(brow),
        "beard": _triple(beard),
        "cut": cut,
        "hairdo": hairdo,
        "bald": float(draw.uniform(0.3, 1.0)) if bald else 0.0,
        "cover": cover,
        "streaks": float(draw.uniform(0.5, 1.0)),
        "brow_density": float(draw.uniform(0.45, 0.95)),
        "brow_thickness": float(draw.uniform(0.26, 0.46) + 0.14 * male),
        "brow_height": float(draw.uniform(-0.12, 0.2)),
        "brow_arch": float(draw.uniform(0.0, 0.4) + 0.25 * (1 - male)),
        "brow_length": float(draw.uniform(0.86, 1.04)),
        "whiskers": whiskers,
        "stubble": stubble,
        "beard_cm": beard_cm,
    }


def _draw_beard(draw: np.random.Generator, grows: bool) -> tuple[tuple[float, float, float, float], float, float]:
    """Return the whiskers, whether they are stubble, and how far they stand off, centimetres."""
    kind, dense, shade, length = draw.random(), draw.uniform(0.7, 1.0), draw.uniform(0.1, 0.75), draw.random()
    if not grows or kind < 0.38:
        return (0.0, 0.0, 0.0, float(shade) if grows else 0.0), 1.0, 0.0
    if kind < 0.62:
        part = float(draw.uniform(0.3, 0.75))
        return (part, part, part * 0.9, float(shade)), 1.0, 0.0
    jaw, chin, upper = ((1, 1, 1), (0, 1, 1), (0, 0, 1), (0, 1, 0.2), (0.6, 1, 1))[
        int(draw.choice(5, p=(0.4, 0.2, 0.15, 0.1, 0.15)))
    ]
    whiskers = (float(jaw * dense), float(chin * dense), float(upper * dense), float(shade))
    return whiskers, 0.0, float(0.15 + (0.75 * length * length if jaw == 1 else 0.25 * length))


def shape_weights(head: Head, traits: Traits, identity: int, variety: Variety = Variety()) -> Floats:
    """Return the (S,) weights of the head's changes of shape for a person."""
    weights = {}
    old = min(max((traits.age - 25) / 55, 0.0), 1.0)
    for ancestry, share in zip(ANCESTRIES, traits.ancestry, strict=True):
        for sex, sexed in (("female", 1 - traits.male), ("male", traits.male)):
            weights[f"{ancestry}-{sex}-young"] = share * sexed * (1 - old)
            weights[f"{ancestry}-{sex}-old"] = share * sexed * old
    extreme = "maxweight" if traits.fat > 0 else "minweight"
    for sex, sexed in (("female", 1 - traits.male), ("male", traits.male)):
        weights[f"universal-{sex}-young-averagemuscle-{extreme}"] = abs(traits.fat) * sexed * (1 - old)
        weights[f"universal-{sex}-old-averagemuscle-{extreme}"] = abs(traits.fat) * sexed * old
    weights_S = head.weights(weights)
    draw = stream("face", identity)
    less_C, more_C, spread_C, outlines = _changes(head)
    value_C = np.clip(draw.standard_normal(len(less_C)), -2.0, 2.0) * spread_C * variety.shape
    weights_S[np.where(value_C < 0, less_C, more_C)] += np.abs(value_C).astype(np.float32)
    weights_S[outlines[draw.integers(len(outlines))]] += np.float32(draw.uniform(0, 0.45) * variety.shape)
    return weights_S


@functools.cache
def _changes(head: Head) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], list[int]]:
    """Return the (C,) numbers of every change of shape that goes both ways, less and more, its spread; and outlines."""
    less, more, spread = [], [], []
    for name, kind in head.kinds.items():
        for down, up in _OPPOSITES:
            if kind == "change" and name.endswith(f"-{down}"):
                opposite = f"{name.removesuffix(down)}{up}"
                if opposite in head.shapes:
                    less.append(head.shapes[name])
                    more.append(head.shapes[opposite])
                    spread.append(_spread(name))
    outlines = [number for name, number in head.shapes.items() if _OUTLINES.search(name)]
    return np.array(less), np.array(more), np.array(spread), outlines


def _spread(name: str) -> float:
    return next(spread for pattern, spread in _SPREAD if pattern.match(name))


def _iris_colour(draw: np.random.Generator, caucasian: float) -> tuple[float, float, float]:
    light = ((0.10, 0.19, 0.30), (0.12, 0.20, 0.12), (0.20, 0.22, 0.24), (0.20, 0.13, 0.06))[int(draw.integers(4))]
    is_light, depth = draw.random() < 0.75 * caucasian, draw.uniform(0.6, 1.8)
    return _triple(np.array(light) * 0.85 if is_light else np.array([0.065, 0.030, 0.014]) * depth)


def _hair_colour(draw: np.random.Generator, dark: float) -> NDArray[np.float64]:
    black, brown, blond, red = (
        np.array(colour)
        for colour in ((0.012, 0.010, 0.009), (0.07, 0.038, 0.018), (0.34, 0.22, 0.10), (0.20, 0.06, 0.02))
    )
    share = draw.random() * (1 - dark)
    light = red if draw.random() < 0.12 else blond
    low, high, part = (black, brown, share / 0.35) if share < 0.35 else (brown, light, (share - 0.35) / 0.65)
    return np.asarray(low + (high - low) * part)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
