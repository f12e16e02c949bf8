"""Who sits for a picture: a person of the bank, or a new one mixed from several.

Legend of the shapes: V vertices of the topology, S the height and width of the texture.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from ausynth.generators.portrait.bank import BankFace, FaceBank
from ausynth.generators.portrait.irises import eye_maps
from ausynth.generators.portrait.kernels import Real, kernel
from ausynth.generators.portrait.layer import Layer, make_layer
from ausynth.generators.portrait.pixels import LINEAR, Pixels, encoded, halved, lab_of, linear, rgb_of
from ausynth.generators.portrait.raster import clear, rasterise
from ausynth.generators.portrait.shape import Build, Shaper
from ausynth.generators.portrait.table import AUS
from ausynth.generators.portrait.topology import Topology
from ausynth.generators.rendered.draws import stream
from ausynth.labels import Floats

__all__ = ["Mixture", "Sitter", "Studio"]

Kept = TypeVar("Kept")

_KEPT_PEOPLE, _KEPT_SITTERS = 128, 256
_MOST_CHROMA: Final = 21.0  # of skin: studios with better cameras show 8 to 20
_LEAST_WALL: Final = 0.02  # of the photograph: less of a wall is no measure
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


@dataclass(frozen=True, eq=False)
class _Known:
    """What is kept of a bank's person; `lab`: the texture around the inner face in CIE L*a*b*, its mean and spread."""

    vertices: Floats
    texture: Pixels
    layer: Layer
    light: Floats
    eyes: Floats
    age: float
    lab: Floats
    mean: Floats
    spread: Floats


class Studio:
    """Turns identity numbers into sitters, and remembers the last ones. Thread-safe.

    Args:
        bank: the people.
        shaper: of the head.
        blend: whether identity numbers stand for mixed people; else for people of the bank.
        asymmetry: standard deviation of the difference in strength between a person's two sides.
        texture_size: height and width of the texture, a half, a quarter ... of the bank's.
        shrink: how often the photograph's size is halved.
    """

    def __init__(
        self, bank: FaceBank, shaper: Shaper, *, blend: bool, asymmetry: float, texture_size: int, shrink: int
    ) -> None:
        self._bank, self._shaper, self._blend, self._asymmetry = bank, shaper, blend, asymmetry
        self._size, self._shrink = texture_size, shrink
        self._people: OrderedDict[int, _Known] = OrderedDict()
        self._sitters: OrderedDict[int, Sitter] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = [threading.Lock() for _ in range(16)]
        self._genders = [bank.attributes(name).get("gender", "") for name in bank.names]

    def mixture(self, identity: int) -> Mixture:
        """Return of whom the person of an identity number is made."""
        draw = stream("person", identity)
        people = len(self._bank)
        base = int(draw.integers(people))
        if not self._blend or people < 2:
            return Mixture(base)
        others = [n for n in self._alike(base) if n != base]
        count = min(len(others), int(draw.integers(1, 3)))
        chosen = tuple(int(n) for n in draw.choice(others, count, replace=False))
        total = draw.uniform(*_SHARES)
        parts = draw.dirichlet(np.full(count, 4.0)) * total
        return Mixture(base, chosen, tuple(float(part) for part in parts))

    def sitter(self, identity: int) -> Sitter:
        """Return the person of an identity number."""
        return _remembered(self._sitters, identity, _KEPT_SITTERS, self._lock, self._make)

    def asymmetry(self, identity: int) -> Floats:
        """Return (A,) how much weaker a person's right (above 0) or left side (below 0) moves, over `table.AUS`."""
        uneven_A = stream("asymmetry", self._own(identity)).standard_normal(len(AUS)) * self._asymmetry
        return np.clip(uneven_A, -0.6, 0.6).astype(np.float32)

    def _own(self, identity: int) -> int:
        """Return the number that a person's own traits are drawn from: unmixed, the same face is the same person."""
        return identity if self._blend else self.mixture(identity).base

    def _make(self, identity: int) -> Sitter:
        mixture = self.mixture(identity)
        base = self._known(mixture.base)
        others = [self._known(n) for n in mixture.others]
        own = self._own(identity)
        draw = stream("face", own)
        vertices_V3, texture = base.vertices, base.texture
        if others:
            masks = _masks(self._shaper.topology, self._size)
            vertices_V3 = _mixed_vertices(self._shaper.topology, masks.vertices, base, others, mixture.shares)
            texture = _mixed_texture(masks.texture, base, others, mixture.shares)
        eyes = [base, *others][int(draw.integers(1 + len(others)))].eyes
        ages = float(
            np.average([base.age, *(o.age for o in others)], weights=[1 - sum(mixture.shares), *mixture.shares])
        )
        return Sitter(
            build=self._shaper.build(vertices_V3, self.asymmetry(identity)),
            texture=texture,
            layer=base.layer,
            light=base.light,
            eyes=eyes,
            wrinkles=float(np.clip(0.75 + (ages - 25) / 60 + 0.12 * draw.standard_normal(), 0.55, 1.5)),
        )

    def _known(self, number: int) -> _Known:
        # One thread loads a person, the others wait: it takes as long as a dozen pictures.
        with self._loading[number % len(self._loading)]:
            return _remembered(self._people, number, _KEPT_PEOPLE, self._lock, self._load)

    def _load(self, number: int) -> _Known:
        topology = self._shaper.topology
        face = _muted(_balanced(self._bank[number]), topology)
        texture = face.texture
        while texture.shape[0] > self._size:
            texture = halved(texture)
        mask_HW = _masks(topology, texture.shape[0]).texture
        top, bottom, left, right = _box(mask_HW)
        lab = lab_of(texture[top:bottom, left:right])
        inner = lab[mask_HW[top:bottom, left:right] > 0.5]
        return _Known(
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


def _balanced(face: BankFace) -> BankFace:
    """Return a person with the photograph's white balance set by the wall behind, where that is plain and nearly gray.

    People of several studios stand side by side in a bank, and are mixed: a pink cast would be a property of theirs.
    """
    wall_N3 = linear(face.photo[face.matte == 0])
    if len(wall_N3) < _LEAST_WALL * face.matte.size:
        return face
    wall_3 = np.median(wall_N3, axis=0)
    if wall_3.min() < 0.03 or wall_3.max() > 2 * wall_3.min():
        return face
    gains_3 = np.clip((wall_3.mean() / wall_3) ** 0.9, 0.8, 1.25)
    gains_3 /= gains_3 @ np.array([0.2126, 0.7152, 0.0722])
    table_256x3 = np.rint(encoded(LINEAR[:, None] * gains_3)).astype(np.uint8)
    texture, photo = (
        np.stack([table_256x3[image[..., k], k] for k in range(3)], -1) for image in (face.texture, face.photo)
    )
    return dataclasses.replace(face, texture=texture, photo=photo)


def _muted(face: BankFace, topology: Topology) -> BankFace:
    """Return a person whose skin has a CIE L*a*b* chroma of about 21 at most, whatever the camera made of it."""
    small = halved(face.texture, 2)
    inner_N3 = lab_of(small)[_masks(topology, small.shape[0]).texture > 0.5]
    chroma = float(np.hypot(*inner_N3[:, 1:].mean(0)))
    if chroma <= _MOST_CHROMA:
        return face
    keep = np.float32((_MOST_CHROMA / chroma) ** 0.85)
    images = []
    for image in (face.texture, face.photo):
        lab = lab_of(image)
        lab[..., 1:] *= keep
        images.append(np.clip(rgb_of(lab) * 255 + 0.5, 0, 255).astype(np.uint8))
    return dataclasses.replace(face, texture=images[0], photo=images[1])


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


@dataclass(frozen=True, eq=False)
class _Masks:
    """Where the inner face is, 0-1: (V,) of the vertices, and (S, S) of the texture."""

    vertices: Floats
    texture: Floats


@functools.lru_cache(maxsize=8)
def _masks(topology: Topology, size: int) -> _Masks:
    x, y, z = topology.rest.T
    away = np.sqrt((x / 6.2) ** 2 + ((y - 0.6) / 8.4) ** 2)
    share = np.clip((1.0 - away) / 0.30, 0, 1) * np.clip((z - 3.5) / 2.5, 0, 1)
    mask_V = (share * share * (3 - 2 * share)).astype(np.float32)
    mask_V[topology.skin :] = 1  # eyeballs and jaws move as wholes, and are well inside
    # Seen from above its own plane, the texture is a picture of the mesh.
    corners_TK2 = topology.uv[: topology.outer][topology.kinds[: topology.outer] == 0]
    triangles_T3 = topology.triangles[: topology.outer][topology.kinds[: topology.outer] == 0]
    flat_N3 = np.ones((3 * len(corners_TK2), 3), np.float32)
    flat_N3[:, :2] = corners_TK2.reshape(-1, 2) * size
    numbers = np.arange(len(flat_N3), dtype=np.int32).reshape(-1, 3)
    nearest, triangle = np.zeros((size, size), np.float32), np.zeros((size, size), np.int32)
    weights = np.zeros((size, size, 2), np.float32)
    clear(nearest, triangle)
    box = np.array([0, size - 1, 0, size - 1], np.int32)
    for turned in (numbers, np.ascontiguousarray(numbers[:, [0, 2, 1]])):  # whichever way the texture is turned
        rasterise(flat_N3, turned, 0, len(turned), box, nearest, triangle, weights)
        if (triangle >= 0).mean() > 0.2:
            values_T3 = mask_V[triangles_T3] if turned is numbers else mask_V[triangles_T3][:, [0, 2, 1]]
            break
    at_HW3 = values_T3[np.maximum(triangle, 0)]
    b, c = weights[..., 0], weights[..., 1]
    mask_HW = at_HW3[..., 0] * (1 - b - c) + at_HW3[..., 1] * b + at_HW3[..., 2] * c
    return _Masks(mask_V, np.where(triangle >= 0, mask_HW, 0).astype(np.float32))


def _mixed_vertices(
    topology: Topology, mask_V: Floats, base: _Known, others: list[_Known], shares: tuple[float, ...]
) -> Floats:
    mixed_V3 = base.vertices.copy()
    for other, share in zip(others, shares, strict=True):
        # Faces laid over each other at the eyes and the mouth, so that outlines do not pull the inner face about.
        middle_3 = (other.vertices - base.vertices)[topology.landmarks[17:]].mean(0)
        mixed_V3 += (np.float32(share) * mask_V)[:, None] * (other.vertices - base.vertices - middle_3)
    return np.asarray(mixed_V3, np.float32)


def _mixed_texture(mask_HW: Floats, base: _Known, others: list[_Known], shares: tuple[float, ...]) -> Pixels:
    """Return the base's texture with the others' inner faces mixed in, their colours matched in CIE L*a*b*."""
    top, bottom, left, right = _box(mask_HW)
    mixed = base.lab.copy()
    share_HW = np.ascontiguousarray(mask_HW[top:bottom, left:right])
    for other, share in zip(others, shares, strict=True):
        scale_3 = np.clip(base.spread / np.maximum(other.spread, np.float32(1e-3)), 0.7, 1.3).astype(np.float32)
        shift_3 = (base.mean - other.mean * scale_3).astype(np.float32)
        _mix(mixed, base.lab, other.lab, share_HW, np.float32(share), scale_3, shift_3)
    colours = rgb_of(mixed)
    texture = base.texture.copy()
    _write(texture, colours, top, left)
    return texture


@kernel
def _mix(  # noqa: PLR0917
    mixed: Floats, base: Floats, other: Floats, mask_HW: Floats, share: Real, scale_3: Floats, shift_3: Floats
) -> None:
    for row in range(mixed.shape[0]):
        for column in range(mixed.shape[1]):
            part = share * mask_HW[row, column]
            if part > 0:
                for k in range(3):
                    matched = other[row, column, k] * scale_3[k] + shift_3[k]
                    mixed[row, column, k] += part * (matched - base[row, column, k])


@kernel
def _write(texture: Pixels, colours: Floats, top: int, left: int) -> None:
    for row in range(colours.shape[0]):
        for column in range(colours.shape[1]):
            for k in range(3):
                value = min(
                    max(colours[row, column, k] * np.float32(255) + np.float32(0.5), np.float32(0)), np.float32(255)
                )
                texture[top + row, left + column, k] = np.uint8(value)


def _box(mask_HW: Floats) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text)
    except ValueError:
        return otherwise
