"""Haircuts: which there are, who wears them, and the scalp that they grow on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.head import Head
from ausynth.generators.rendered.shell import Hairdo
from ausynth.labels import Floats

__all__ = ["CUTS", "cut_hair", "inside_hairline", "scalp"]

# The hair's edge on the scalp: (z, lowest y of the hair) from the nape over the ear and the temple to the forehead.
_HAIRLINE: Final = (
    (-8.0, 66.5), (1.5, 67.0), (2.6, 70.0), (3.4, 74.2), (6.4, 74.2), (6.9, 71.6), (7.9, 71.8), (8.6, 74.6),
    (10.0, 76.6), (12.0, 78.4), (14.0, 79.6), (17.0, 79.8),
)  # fmt: skip

_Draw = np.random.Generator


def _short(draw: _Draw) -> Hairdo:
    return Hairdo(top=draw.uniform(0.7, 1.5), sides=draw.uniform(0.25, 0.6), wisp=0.5)


def _quiff(draw: _Draw) -> Hairdo:
    return Hairdo(top=draw.uniform(1.6, 2.5), sides=draw.uniform(0.3, 0.7), wisp=0.6)


def _fringe(draw: _Draw) -> Hairdo:
    return Hairdo(
        top=draw.uniform(0.8, 1.4), sides=draw.uniform(0.5, 0.8), fringe=draw.uniform(0.5, 0.95),
        sweep=draw.uniform(-0.7, 0.7), wisp=0.8,
    )  # fmt: skip


def _bob(draw: _Draw) -> Hairdo:
    return Hairdo(
        top=draw.uniform(0.9, 1.5), sides=draw.uniform(0.8, 1.4), length=draw.uniform(2.0, 5.5),
        opens=draw.uniform(46, 58), inward=draw.uniform(0.3, 1.3),
        fringe=draw.uniform(0.5, 0.95) if draw.random() < 0.45 else 0.0, sweep=draw.uniform(-0.7, 0.7), wisp=0.8,
    )  # fmt: skip


def _long(draw: _Draw) -> Hairdo:
    return Hairdo(
        top=draw.uniform(0.8, 1.4), sides=draw.uniform(0.6, 1.2), length=draw.uniform(8, 16),
        opens=draw.choice((draw.uniform(46, 58), draw.uniform(92, 104))), inward=draw.uniform(-0.4, 0.4),
        curl=0.35 if draw.random() < 0.35 else 0.0,
        fringe=draw.uniform(0.5, 0.9) if draw.random() < 0.25 else 0.0, sweep=draw.uniform(-0.7, 0.7), wisp=1.0,
    )  # fmt: skip


def _tied(draw: _Draw) -> Hairdo:
    return Hairdo(
        top=draw.uniform(0.4, 0.7), sides=draw.uniform(0.3, 0.45), wisp=0.4,
        bun=draw.uniform(2.0, 3.0) if draw.random() < 0.6 else 0.0,
    )  # fmt: skip


def _curly(draw: _Draw) -> Hairdo:
    return Hairdo(top=draw.uniform(1.4, 2.4), sides=draw.uniform(0.8, 1.5), curl=draw.uniform(0.7, 1.0), wisp=0.9)


def _curly_long(draw: _Draw) -> Hairdo:
    return Hairdo(
        top=draw.uniform(1.5, 2.4), sides=draw.uniform(1.4, 2.4), length=draw.uniform(3, 9), opens=draw.uniform(46, 58),
        curl=draw.uniform(0.6, 1.0), wisp=1.2,
    )  # fmt: skip


def _afro(draw: _Draw) -> Hairdo:
    thick = draw.uniform(2.2, 4.2)
    return Hairdo(top=thick, sides=0.85 * thick, curl=1.0, wisp=0.9)


def _buzz(draw: _Draw) -> Hairdo:  # noqa: ARG001
    return Hairdo()


# Cut -> (how it is drawn, how often women and men wear it, and how much more often with African hair).
CUTS: Final[dict[str, tuple[Callable[[_Draw], Hairdo], float, float, float]]] = {
    "short": (_short, 0.5, 3.0, 0.4),
    "quiff": (_quiff, 0.1, 1.4, 0.3),
    "fringe": (_fringe, 0.6, 0.8, 0.1),
    "bob": (_bob, 1.7, 0.05, 0.4),
    "long": (_long, 2.4, 0.18, 0.4),
    "tied": (_tied, 1.4, 0.06, 1.3),
    "curly": (_curly, 0.4, 0.5, 1.5),
    "curly long": (_curly_long, 0.6, 0.05, 1.5),
    "afro": (_afro, 0.05, 0.04, 14.0),
    "buzz": (_buzz, 0.12, 1.3, 2.2),
}


def cut_hair(draw: _Draw, male: float, african: float) -> tuple[str, Hairdo]:
    """Return the name of a haircut and the haircut itself, drawn for a person.

    Args:
        draw: random numbers.
        male: 0 (female) to 1 (male).
        african: 0-1, the share of African descent.
    """
    weights = np.array([
        (women * (1 - male) + men * male) * (1 - african + african * factor) for _, women, men, factor in CUTS.values()
    ])  # fmt: skip
    name = list(CUTS)[int(draw.choice(len(weights), p=weights / weights.sum()))]
    return name, CUTS[name][0](draw)


@functools.cache
def inside_hairline(head: Head) -> NDArray[np.float64]:
    """Return (V,) how far inside the hairline each vertex of the base head lies, centimetres; outside negative."""
    x, y, z = head.vertices.T.astype(np.float64)
    hair_V = y - np.interp(z, *np.array(_HAIRLINE).T)
    # A widow's peak: lower in the middle than at the corners of the forehead.
    hair_V = hair_V - 0.5 * np.clip(1 - np.abs(np.abs(x) - 4.5) / 2.5, 0, 1) * (z > 9)
    return np.where(head.masks["ears"] > 0.3, -2, hair_V)


def scalp(head: Head, hairdo: Hairdo, bald: float) -> Floats:
    """Return (V,) float32 how far inside the hair's edge each vertex of the scalp is, centimetres.

    Args:
        head: the base head.
        hairdo: the haircut, whose hairline may have gone back.
        bald: 0 for hair all over, 1 for none on the crown.
    """
    hair_V = inside_hairline(head)
    x, y, z = head.vertices.T.astype(np.float64)
    temples_V = np.exp(-(((np.abs(x) - 4.6) / 2.2) ** 2)) * (z > 8)
    hair_V = hair_V - 0.16 * hairdo.recede * temples_V - 0.06 * hairdo.recede * (z > 9)
    if bald > 0:
        # What stays is a wreath: nothing above the ears' height and a hand, nothing in front.
        wreath_V = 78.5 - 2.5 * bald - y - 0.35 * np.maximum(z - 2, 0)
        hair_V = np.minimum(hair_V, wreath_V)
    return np.asarray(hair_V, np.float32)
