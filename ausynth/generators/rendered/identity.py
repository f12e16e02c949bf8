"""Who is in the picture: an identity number becomes a person, the same one always."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.head import Head
from ausynth.labels import Floats

__all__ = ["ANCESTRIES", "Person", "Traits", "draw_traits", "shape_weights"]

ANCESTRIES: Final = ("african", "asian", "caucasian")

_OPPOSITES: Final = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)

# Standard deviation of a change's weight, by the first pattern that matches its name; weights are cut at 2.2 of them.
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
class Traits:
    """What is drawn for a person beside the shape of the head.

    Attributes:
        male: 0 (female) to 1 (male).
        age: years.
        ancestry: shares over `ANCESTRIES`.
        fat: -1 (lean) to 1 (heavy).
        melanin, blood: how much of each pigment the skin holds.
        hair, iris, lips: colours, linear red-green-blue.
        hair_grow: thickness of the hair in centimetres; 0 is a shaved head.
        hair_length: how far below the ears long hair ends, centimetres; 0 is short hair, ears free.
        hair_line: how far the hairline has gone back, centimetres.
        brow_density, brow_thickness, brow_height, brow_arch: brows; density 0-1, lengths in centimetres.
        beard: density 0-1.
        lashes: density 0-1.
        wrinkles: how deep lines get when the face moves, and how much stays at rest.
        mottling, freckles: unevenness of the skin, 0-1.
        shine: how strongly the skin mirrors the light.
        texture: where in the noise this person's skin and hair lie.
        cloth: colour, linear red-green-blue.
    """

    male: float
    age: float
    ancestry: tuple[float, float, float]
    fat: float
    melanin: float
    blood: float
    hair: tuple[float, float, float]
    iris: tuple[float, float, float]
    lips: float
    hair_grow: float
    hair_length: float
    hair_line: float
    brow_density: float
    brow_thickness: float
    brow_height: float
    brow_arch: float
    beard: float
    lashes: float
    wrinkles: float
    mottling: float
    freckles: float
    shine: float
    texture: tuple[float, float]
    cloth: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Person:
    """One identity, ready to be drawn.

    Attributes:
        traits: see `Traits`.
        neutral: (V, 3) float32 centimetres: the face at rest, lips closed, the middle between the eyes where the base
            head has it. Read-only.
        gap_cm: how far the lips are apart at rest, see `lips`.
        asymmetry: (A,) float32, how the person's two sides differ in strength, see `Actions.weights`.
        hair: (V,) float32, how far inside the hair's edge a vertex is, centimetres.
        face: (3,) the middle of the face, on which pictures are centred.
        height: from the eyes to the chin, centimetres.
    """

    traits: Traits
    neutral: Floats
    gap_cm: float
    asymmetry: Floats
    hair: Floats
    face: Floats
    height: float


def draw_traits(identity: int) -> Traits:
    """Return the traits of a person."""
    draw = stream("person", identity)
    male = float(draw.random() < 0.5)
    male_shape = abs(male - draw.beta(1.2, 8))
    age = float(18 + 57 * draw.beta(1.2, 1.9))
    ancestry = draw.dirichlet([0.35, 0.35, 0.45])
    african, asian, caucasian = (float(share) for share in ancestry)
    pigment = 1.75 * african + 0.55 * asian + 0.22 * caucasian
    melanin = float(np.clip(pigment * np.exp(0.32 * draw.standard_normal()), 0.06, 2.4))
    dark = min(1.0, african + 0.85 * asian + 0.35 * draw.random())
    hair = _hair_colour(draw, dark)
    gray = np.clip((age - 45) / 30 + 0.25 * draw.standard_normal(), 0, 1)
    hair = hair * (1 - gray) + np.array([0.42, 0.41, 0.40]) * gray
    bald = male and draw.random() < 0.05 + 0.25 * (age > 45)
    iris_light = draw.random() < 0.75 * caucasian
    iris = (
        np.array([(0.10, 0.19, 0.30), (0.12, 0.20, 0.12), (0.20, 0.22, 0.24), (0.20, 0.13, 0.06)])[draw.integers(4)]
        if iris_light
        else np.array([0.065, 0.030, 0.014]) * draw.uniform(0.6, 1.8)
    )
    return Traits(
        male=float(male_shape),
        age=age,
        ancestry=(african, asian, caucasian),
        fat=float(np.clip(draw.normal(0.0, 0.4), -0.8, 0.9)),
        melanin=melanin,
        blood=float(draw.uniform(0.6, 1.25)),
        hair=_triple(hair),
        iris=_triple(iris),
        lips=float(draw.uniform(0.5, 1.0) + (0.5 * draw.random() if male < 0.5 else 0)),
        hair_grow=0.0 if bald else float(draw.uniform(0.15, 0.7) if male else draw.uniform(0.5, 1.3)),
        hair_length=float(draw.uniform(1.5, 9.0)) if draw.random() < (0.03 if male else 0.65) and not bald else 0.0,
        hair_line=float(draw.uniform(-0.5, 0.6) + (draw.random() * max(0, age - 30) / 20 if male else 0)),
        brow_density=float(draw.uniform(0.55, 0.95)),
        brow_thickness=float(draw.uniform(0.34, 0.52) + 0.12 * male),
        brow_height=float(draw.uniform(-0.15, 0.2)),
        brow_arch=float(draw.uniform(0.0, 0.45) + 0.2 * (1 - male)),
        beard=float(max(0.0, draw.uniform(-0.5, 0.7)) if male else 0),
        lashes=float(draw.uniform(0.3, 0.6) + 0.4 * (1 - male)),
        wrinkles=float(np.clip((age - 20) / 50, 0, 1)),
        mottling=float(draw.uniform(0.3, 1.0)),
        freckles=float(max(0.0, draw.uniform(-1.2, 0.9)) * caucasian),
        shine=float(draw.uniform(0.4, 1.0)),
        texture=(float(draw.random()), float(draw.random())),
        cloth=_triple(draw.uniform(0.02, 0.5) * (0.6 + 0.4 * draw.random(3))),
    )


def shape_weights(head: Head, traits: Traits, identity: int) -> Floats:
    """Return the (S,) weights of the head's changes of shape for a person."""
    weights = {}
    old = float(np.clip((traits.age - 25) / 55, 0, 1))
    for ancestry, share in zip(ANCESTRIES, traits.ancestry, strict=True):
        for sex, sexed in (("female", 1 - traits.male), ("male", traits.male)):
            weights[f"{ancestry}-{sex}-young"] = share * sexed * (1 - old)
            weights[f"{ancestry}-{sex}-old"] = share * sexed * old
    extreme = "maxweight" if traits.fat > 0 else "minweight"
    for sex, sexed in (("female", 1 - traits.male), ("male", traits.male)):
        weights[f"universal-{sex}-young-averagemuscle-{extreme}"] = abs(traits.fat) * sexed * (1 - old)
        weights[f"universal-{sex}-old-averagemuscle-{extreme}"] = abs(traits.fat) * sexed * old
    draw = stream("face", identity)
    for less, more in _changes(head):
        value = float(np.clip(draw.standard_normal(), -2.2, 2.2)) * _spread(less)
        weights[less if value < 0 else more] = abs(value)
    outlines = [name for name in head.shapes if _OUTLINES.search(name)]
    weights[outlines[draw.integers(len(outlines))]] = float(draw.uniform(0, 0.5))
    return head.weights(weights)


@functools.cache
def _changes(head: Head) -> list[tuple[str, str]]:
    """Return the (less, more) names of every change of shape that goes both ways."""
    pairs = []
    for name, kind in head.kinds.items():
        for less, more in _OPPOSITES:
            if kind == "change" and name.endswith(f"-{less}"):
                opposite = f"{name.removesuffix(less)}{more}"
                if opposite in head.shapes:
                    pairs.append((name, opposite))
    return pairs


def _spread(name: str) -> float:
    return next(spread for pattern, spread in _SPREAD if pattern.match(name))


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
