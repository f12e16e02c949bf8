"""The Facial Action Coding System: action units, label spaces, and which combinations a face can make.

Sources: Ekman, Friesen and Hager, *Facial Action Coding System* (2002), for the units, their muscles and the
alternatives; Ekman and Friesen (1978) for the emotion prototypes; Du, Tao and Martinez, "Compound facial expressions of
emotion" (PNAS 2014) for the compound ones. The rules bind what a generator is asked for; a human coder's labels are
never dropped for breaking one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError

__all__ = [
    "ACTION_UNITS",
    "ANTAGONISTS",
    "BP4D_12",
    "BP4D_INTENSITY",
    "COMPOUND_PROTOTYPES",
    "DISFA_8",
    "DISFA_12",
    "IMPLIED",
    "IMPOSSIBLE",
    "INTENSITY_LETTERS",
    "LABEL_SPACES",
    "PROTOTYPES",
    "UNION_17",
    "ActionUnit",
    "Prototype",
    "intersection",
    "is_possible",
    "label_space",
    "log_penalty",
    "union",
    "with_implied",
]


@dataclass(frozen=True)
class ActionUnit:
    """One action unit: its number, name, muscle, and what is seen."""

    number: int
    name: str
    muscle: str
    appearance: str

    def __str__(self) -> str:
        return f"AU{self.number} {self.name}"


def _table(rows: Iterable[tuple[int, str, str, str]]) -> Mapping[int, ActionUnit]:
    return MappingProxyType({row[0]: ActionUnit(*row) for row in rows})


ACTION_UNITS: Final[Mapping[int, ActionUnit]] = _table(
    [
        (1, "inner brow raiser", "frontalis, pars medialis", "inner brow corners up, wrinkles mid-forehead"),
        (2, "outer brow raiser", "frontalis, pars lateralis", "outer brows up, arched"),
        (4, "brow lowerer", "corrugator, depressor supercilii", "brows down and together, vertical furrows"),
        (5, "upper lid raiser", "levator palpebrae superioris", "more sclera above the iris"),
        (6, "cheek raiser", "orbicularis oculi, pars orbitalis", "cheeks up, crow's feet, narrowed eyes"),
        (7, "lid tightener", "orbicularis oculi, pars palpebralis", "lower lid up and straight, tense"),
        (8, "lips toward each other", "orbicularis oris", "lips drawn toward each other over parted jaws"),
        (9, "nose wrinkler", "levator labii superioris alaeque nasi", "wrinkled nose root, raised nostril wings"),
        (10, "upper lip raiser", "levator labii superioris", "centre of the upper lip up, squared nasolabial furrow"),
        (11, "nasolabial deepener", "zygomaticus minor", "middle of the nasolabial furrow deeper"),
        (12, "lip corner puller", "zygomaticus major", "corners back and up"),
        (13, "sharp lip puller", "levator anguli oris", "corners sharply up, cheeks puffed"),
        (14, "dimpler", "buccinator", "corners tightened inward, dimples"),
        (15, "lip corner depressor", "depressor anguli oris", "corners down"),
        (16, "lower lip depressor", "depressor labii inferioris", "lower lip down, lower teeth"),
        (17, "chin raiser", "mentalis", "chin boss up and wrinkled, lower lip up"),
        (18, "lip pucker", "incisivii labii superioris and inferioris", "lips drawn to the middle"),
        (19, "tongue show", "genioglossus", "tongue visible between the lips"),
        (20, "lip stretcher", "risorius, platysma", "mouth stretched sideways, flat"),
        (21, "neck tightener", "platysma", "bands and wrinkles in the neck"),
        (22, "lip funneler", "orbicularis oris", "lips out like a funnel"),
        (23, "lip tightener", "orbicularis oris", "lips narrow and tight"),
        (24, "lip pressor", "orbicularis oris", "lips pressed together"),
        (25, "lips part", "depressor labii inferioris, or relaxed mentalis", "lips apart"),
        (26, "jaw drop", "masseter relaxed", "jaw lowered by relaxation"),
        (27, "mouth stretch", "pterygoids, digastric", "jaw pulled open"),
        (28, "lip suck", "orbicularis oris", "lips rolled in"),
        (29, "jaw thrust", "lateral pterygoids", "lower jaw forward"),
        (30, "jaw sideways", "pterygoids", "lower jaw to one side"),
        (31, "jaw clencher", "masseter", "jaw muscles bulge"),
        (32, "lip bite", "orbicularis oris, masseter", "lip between the teeth"),
        (33, "cheek blow", "buccinator relaxed", "cheeks out as air leaves"),
        (34, "cheek puff", "buccinator relaxed", "cheeks out, lips closed"),
        (35, "cheek suck", "buccinator", "cheeks in"),
        (36, "tongue bulge", "genioglossus", "tongue bulges cheek or lip from inside"),
        (37, "lip wipe", "genioglossus", "tongue wipes the lips"),
        (38, "nostril dilator", "nasalis, pars alaris", "nostril wings out"),
        (39, "nostril compressor", "nasalis, pars transversa, depressor septi nasi", "nostrils narrowed"),
        (43, "eye closure", "levator palpebrae superioris relaxed", "lids closed"),
        (45, "blink", "levator palpebrae superioris relaxed", "lids closed for a moment"),
        (46, "wink", "orbicularis oculi", "one eye closed"),
    ]
)
"""Every action unit that the label spaces of this field use, by number."""

INTENSITY_LETTERS: Final = ("absent", "A trace", "B slight", "C marked", "D severe", "E maximum")
"""What the intensities 0-5 stand for."""

DISFA_12: Final = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
DISFA_8: Final = (1, 2, 4, 6, 9, 12, 25, 26)
BP4D_12: Final = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
BP4D_INTENSITY: Final = (6, 10, 12, 14, 17)
UNION_17: Final = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)

LABEL_SPACES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "disfa-12": DISFA_12,
        "disfa-8": DISFA_8,
        "bp4d-12": BP4D_12,
        "bp4d-intensity": BP4D_INTENSITY,
        "union-17": UNION_17,
    }
)
"""DISFA's 12 coded and 8 benchmark AUs, BP4D's 12 benchmark AUs and its 5 graded ones, and their union."""

IMPOSSIBLE: Final = ((5, 43), (5, 45), (18, 28), (22, 28), (24, 25), (8, 24), (26, 27))
"""Pairs that the coding manual lists as alternatives. Beside them: 7 at level E excludes 5 (see `is_possible`)."""

IMPLIED: Final[Mapping[int, tuple[int, ...]]] = MappingProxyType({27: (25,)})
"""AUs that bring others with them. 26 without 25 is legal: the jaw drops behind closed lips."""

ANTAGONISTS: Final[Mapping[tuple[int, int], float]] = MappingProxyType(
    {
        (12, 15): 1.5,
        (12, 20): 1.0,
        (12, 24): 1.0,
        (24, 26): 1.5,
        (17, 25): 0.7,
        (17, 26): 1.0,
        (5, 6): 0.5,
        (2, 9): 0.7,
        (12, 23): 0.5,
    }
)
"""Possible but rare pairs, with the log-penalty that a prior over label vectors subtracts; the values are choices."""


@dataclass(frozen=True)
class Prototype:
    """An expression as AUs: those that make it, and those that may come along."""

    required: tuple[int, ...]
    optional: tuple[int, ...] = ()


def _prototypes(rows: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> Mapping[str, Prototype]:
    return MappingProxyType({name: Prototype(*row) for name, row in rows.items()})


PROTOTYPES: Final[Mapping[str, Prototype]] = _prototypes(
    {
        "happiness": ((6, 12), (25,)),
        "sadness": ((1, 4, 15), (6, 11, 17)),
        "surprise": ((1, 2, 5, 26), (25, 27)),
        "fear": ((1, 2, 4, 5, 20), (7, 25, 26)),
        "anger": ((4, 5, 7, 23), (10, 17, 24)),
        "disgust": ((9, 10, 17), (4, 15, 24, 25)),
        "contempt": ((14,), (12,)),
    }
)
"""The basic emotions. Optional AUs may exclude one another or a required one (24 and 25, 26 and 27)."""

COMPOUND_PROTOTYPES: Final[Mapping[str, Prototype]] = _prototypes(
    {
        "happily surprised": ((1, 2, 12, 25), (5, 26)),
        "happily disgusted": ((10, 12, 25), (4, 6, 9)),
        "sadly fearful": ((1, 4, 20, 25), (2, 5, 6, 15)),
        "sadly angry": ((4, 15), (6, 7, 11, 17)),
        "sadly surprised": ((1, 4, 25, 26), (2, 6)),
        "sadly disgusted": ((4, 10), (1, 6, 9, 11, 15, 17, 25)),
        "fearfully angry": ((4, 20, 25), (5, 7, 10, 11)),
        "fearfully surprised": ((1, 2, 5, 20, 25), (4, 10, 11, 26)),
        "fearfully disgusted": ((1, 4, 10, 20, 25), (2, 5, 6, 9, 15)),
        "angrily surprised": ((4, 25, 26), (5, 7, 10)),
        "angrily disgusted": ((4, 10, 17), (7, 9, 24)),
        "disgustedly surprised": ((1, 2, 5, 10), (4, 9, 17, 24)),
        "appalled": ((4, 10), (6, 9, 17, 24)),
        "hatred": ((4, 10), (7, 9, 17, 24)),
        "awed": ((1, 2, 5, 25), (4, 20, 26)),
    }
)
"""Compound expressions of emotion (Du et al. 2014)."""


def label_space(space: str | Iterable[int]) -> tuple[int, ...]:
    """Return the AUs of a label space, named or listed.

    >>> label_space("disfa-8")
    (1, 2, 4, 6, 9, 12, 25, 26)
    >>> label_space([12, 25])
    (12, 25)

    Args:
        space: a name in `LABEL_SPACES` (letter case and "_" for "-" do not matter), or AU numbers in the order wanted.

    Raises:
        ConfigurationError: unknown name, unknown AU, an AU twice, or none at all.
    """
    if isinstance(space, str):
        name = space.lower().replace("_", "-")
        if name not in LABEL_SPACES:
            raise ConfigurationError(
                f"unknown label space {space!r}", expected=f"one of {sorted(LABEL_SPACES)}, or a list of AU numbers"
            )
        return LABEL_SPACES[name]
    aus = tuple(space)
    unknown = [au for au in aus if isinstance(au, bool) or au not in ACTION_UNITS]
    if unknown:
        raise ConfigurationError(
            f"unknown AU {', '.join(map(repr, unknown))}",
            expected=f"numbers of action units: {', '.join(map(str, ACTION_UNITS))}",
        )
    if not aus:
        raise ConfigurationError("an empty label space", expected="at least one AU")
    if len(set(aus)) != len(aus):
        raise ConfigurationError(f"an AU twice in {aus}", expected="each AU once")
    return tuple(int(au) for au in aus)


def union(*spaces: str | Iterable[int]) -> tuple[int, ...]:
    """Return every AU of any of the label spaces, ascending."""
    return label_space(sorted({au for space in spaces for au in label_space(space)}))


def intersection(*spaces: str | Iterable[int]) -> tuple[int, ...]:
    """Return the AUs that all the label spaces share, ascending.

    >>> intersection("disfa-8", "bp4d-12")
    (1, 2, 4, 6, 12)

    Raises:
        ConfigurationError: they share none.
    """
    resolved = [set(label_space(space)) for space in spaces]
    shared = sorted(set.intersection(*resolved)) if resolved else []
    if not shared:
        raise ConfigurationError(f"no AU is shared by {spaces}", expected="label spaces that overlap")
    return label_space(shared)


def is_possible(intensity: NDArray[np.floating], aus: Sequence[int]) -> NDArray[np.bool_]:
    """Return which label vectors a face can make: no impossible pair, every implied AU there.

    >>> is_possible(np.array([[3.0, 2.0], [3.0, 0.0]]), (24, 25)).tolist()
    [False, True]

    Args:
        intensity: (B, A), 0-5; an AU above 0 is present, NaN counts as absent.
        aus: the A action units of the columns. Rules about AUs that are not among them are not applied.

    Returns:
        (B,) bool.
    """
    column = {au: np.nan_to_num(intensity[:, i]) for i, au in enumerate(aus)}
    possible_B = np.ones(len(intensity), dtype=bool)
    for first, second in IMPOSSIBLE:
        if first in column and second in column:
            possible_B &= ~((column[first] > 0) & (column[second] > 0))
    if 5 in column and 7 in column:
        possible_B &= ~((column[7] >= 5) & (column[5] > 0))
    for cause, effects in IMPLIED.items():
        for effect in effects:
            if cause in column and effect in column:
                possible_B &= ~((column[cause] > 0) & (column[effect] == 0))
    return possible_B


def with_implied(intensity: NDArray[np.floating], aus: Sequence[int]) -> NDArray[np.floating]:
    """Return a copy of the (B, A) label vectors in which every implied AU is at least as strong as what implies it."""
    completed_BA = intensity.copy()
    place = {au: i for i, au in enumerate(aus)}
    for cause, effects in IMPLIED.items():
        for effect in effects:
            if cause in place and effect in place:
                completed_BA[:, place[effect]] = np.fmax(completed_BA[:, place[effect]], completed_BA[:, place[cause]])
    return completed_BA


def log_penalty(
    intensity: NDArray[np.floating],
    aus: Sequence[int],
    penalties: Mapping[tuple[int, int], float] = ANTAGONISTS,
) -> NDArray[np.float64]:
    """Return (B,) what a prior subtracts from each label vector's log-probability for the antagonists in it."""
    column = {au: np.nan_to_num(intensity[:, i]) > 0 for i, au in enumerate(aus)}
    penalty_B = np.zeros(len(intensity))
    for (first, second), value in penalties.items():
        if first in column and second in column:
            penalty_B += value * (column[first] & column[second])
    return penalty_B
