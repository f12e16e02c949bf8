"""Who sits for a picture: a person of the bank, or a new one mixed from several.

Legend of the shapes: V vertices of the topology, S the height and width of the texture.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from ausynth.generators.portrait.bank import FaceBank
from ausynth.generators.portrait.colours import balanced, muted
from ausynth.generators.portrait.irises import eye_maps
from ausynth.generators.portrait.layer import Layer, make_layer
from ausynth.generators.portrait.mixing import Known, inner_box, inner_face, mixed_texture, mixed_vertices
from ausynth.generators.portrait.pixels import Pixels, halved, lab_of, linear
from ausynth.generators.portrait.shape import Build, Shaper
from ausynth.generators.portrait.table import AUS
from ausynth.generators.rendered.draws import stream
from ausynth.labels import Floats

__all__ = ["Mixture", "Sitter", "Studio", "Traits", "wrinkles_at"]

Kept = TypeVar("Kept")

_KEPT_PEOPLE, _KEPT_SITTERS = 128, 256
_SHARES: Final = (0.35, 0.60)
"""The least and the most that the others give to the inner face of a mixed person."""


@dataclass(frozen=True)
class Mixture:
    """Of whom a person is made.

    Attributes:
        base: number in the bank of whom hair, ears, neck and the face's outline come from.
        others: numbers of those who give to the inner face.
        shares: how much each of them gives; the rest is the base's.
    """

    base: int
    others: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Traits:
    """What is drawn of a person beside the mixture.

    Attributes:
        eyes: whose eyes: 0 the base's, 1 and 2 the others'.
        wrinkles: how much deeper than usual at this age the lines are, in standard deviations.
        asymmetry: (A,), see `Studio.asymmetry`.
    """

    eyes: int
    wrinkles: float
    asymmetry: Floats


@dataclass(frozen=True, eq=False)
class Sitter:
    """A person, ready to be rendered.

    Attributes:
        build: the neutral face.
        texture: (S, S, 3) uint8 sRGB, the skin without light.
        layer: hair, ears and neck.
        light: (9, 3) the photograph's own light.
        eyes: (2, P, P, 3), see `irises.eye_maps`.
        wrinkles: how deep this person's lines are, about 0.5-1.5.
    """

    build: Build
    texture: Pixels
    layer: Layer
    light: Floats
    eyes: Floats
    wrinkles: float


class Studio:
    """Turns identity numbers into sitters, and remembers the last ones. Thread-safe.

    Args:
        bank: the people.
        shaper: of the head.
        blend: whether identity numbers stand for mixed people; else for people of the bank.
        mixed: (least, most) how many people of the bank a mixed person is made of.
        asymmetry: standard deviation of the difference in strength between a person's two sides.
        texture_size: height and width of the texture, a half, a quarter ... of the bank's.
        shrink: how often the photograph's size is halved.
    """

    def __init__(
        self,
        bank: FaceBank,
        shaper: Shaper,
        *,
        blend: bool,
        mixed: tuple[int, int],
        asymmetry: float,
        texture_size: int,
        shrink: int,
    ) -> None:
        self._bank, self._shaper, self._blend, self._asymmetry = bank, shaper, blend, asymmetry
        self._mixed, self._size, self._shrink = mixed, texture_size, shrink
        self._people: OrderedDict[int, Known] = OrderedDict()
        self._sitters: OrderedDict[int, Sitter] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = [threading.Lock() for _ in range(16)]
        self._genders = [bank.attributes(name).get("gender", "") for name in bank.names]

    def mixture(self, identity: int) -> Mixture:
        """Return of whom the person of an identity number is made."""
        people = len(self._bank)
        if not self._blend or people < 2:
            return Mixture(identity % people)
        draw = stream("person", identity)
        base = int(draw.integers(people))
        others = [n for n in self._alike(base) if n != base]
        count = min(len(others), int(draw.integers(self._mixed[0] - 1, self._mixed[1])))
        chosen = tuple(int(n) for n in draw.choice(others, count, replace=False))
        total = draw.uniform(*_SHARES)
        parts = draw.dirichlet(np.full(count, 4.0)) * total
        return Mixture(base, chosen, tuple(float(part) for part in parts))

    def traits(self, identity: int, mixture: Mixture) -> Traits:
        """Return what else of the person of an identity number is drawn, who is made of `mixture`."""
        own = identity if self._blend else mixture.base
        draw = stream("face", own)
        eyes = int(draw.integers(1 + len(mixture.others)))
        return Traits(eyes, float(draw.standard_normal()), self._unevenness(own))

    def sitter(self, identity: int) -> Sitter:
        """Return the person of an identity number."""
        return _remembered(self._sitters, identity, _KEPT_SITTERS, self._lock, self._make)

    def asymmetry(self, identity: int) -> Floats:
        """Return (A,) how much weaker a person's right (above 0) or left side (below 0) moves, over `table.AUS`."""
        return self._unevenness(self._own(identity))

    def _unevenness(self, own: int) -> Floats:
        uneven_A = stream("asymmetry", own).standard_normal(len(AUS)) * self._asymmetry
        return np.clip(uneven_A, -0.6, 0.6).astype(np.float32)

    def _own(self, identity: int) -> int:
        """Return the number that a person's own traits are drawn from: unmixed, the same face is the same person."""
        return identity if self._blend else self.mixture(identity).base

    def _make(self, identity: int) -> Sitter:
        mixture = self.mixture(identity)
        base = self.known(mixture.base)
        others = [self.known(n) for n in mixture.others]
        traits = self.traits(identity, mixture)
        vertices_V3, texture = base.vertices, base.texture
        if others:
            masks = inner_face(self._shaper.topology, self._size)
            vertices_V3 = mixed_vertices(self._shaper.topology, masks.vertices, base, others, mixture.shares)
            texture = mixed_texture(masks.texture, base, others, mixture.shares)
        ages = float(
            np.average([base.age, *(o.age for o in others)], weights=[1 - sum(mixture.shares), *mixture.shares])
        )
        return Sitter(
            build=self._shaper.build(vertices_V3, traits.asymmetry),
            texture=texture,
            layer=base.layer,
            light=base.light,
            eyes=[base, *others][traits.eyes].eyes,
            wrinkles=wrinkles_at(ages, traits.wrinkles),
        )

    def known(self, number: int) -> Known:
        """Return a person of the bank by number."""
        # One thread loads a person, the others wait: it takes as long as a dozen pictures.
        with self._loading[number % len(self._loading)]:
            return _remembered(self._people, number, _KEPT_PEOPLE, self._lock, self._load)

    def _load(self, number: int) -> Known:
        topology = self._shaper.topology
        face = muted(balanced(self._bank[number]), topology)
        texture = face.texture
        while texture.shape[0] > self._size:
            texture = halved(texture)
        mask_HW = inner_face(topology, texture.shape[0]).texture
        top, bottom, left, right = inner_box(mask_HW)
        lab = lab_of(texture[top:bottom, left:right])
        inner = lab[mask_HW[top:bottom, left:right] > 0.5]
        return Known(
            vertices=np.ascontiguousarray(face.neutral[topology.source]),
            texture=np.array(texture),  # compiled code knows writable arrays alone
            layer=make_layer(face, self._shaper.head, topology, self._shrink),
            light=np.asarray(face.light, np.float32),
            eyes=eye_maps(face, topology, linear(face.iris)),
            age=_number(face.attributes.get("age", ""), 30.0),
            lab=np.ascontiguousarray(lab) if self._blend else lab[:0],
            mean=inner.mean(0),
            spread=inner.std(0),
        )

    def _alike(self, base: int) -> list[int]:
        """Return the people that mix well with one: of the same gender where that is known and there are some."""
        genders, own = self._genders, self._genders[base]
        same = [n for n, gender in enumerate(genders) if gender == own]
        return same if len(same) > 2 else list(range(len(genders)))


def wrinkles_at(age: float, more: float) -> float:
    """Return how deep a person's lines are, about 0.5-1.5, at an age in years and `more` standard deviations above."""
    return float(np.clip(0.75 + (age - 25) / 60 + 0.12 * more, 0.55, 1.5))


def _remembered(
    kept: OrderedDict[int, Kept], key: int, most: int, lock: threading.Lock, make: Callable[[int], Kept]
) -> Kept:
    with lock:
        found = kept.get(key)
        if found is not None:
            kept.move_to_end(key)
            return found
    made = make(key)
    with lock:
        kept[key] = made
        while len(kept) > most:
            kept.popitem(last=False)
    return made


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text)
    except ValueError:
        return otherwise
