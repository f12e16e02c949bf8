"""The people of a bank on the device: each is loaded once, and stays.

Legend of the shapes: N people, V vertices, S the texture's height and width, G nodes of the layer, T its triangles.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ausynth.generators.portrait.draw import turning
from ausynth.generators.portrait.mixing import Known
from ausynth.generators.portrait.sitter import Studio
from ausynth.labels import Floats

__all__ = ["Roster", "Tables"]

_FIRST: Final = 16


class Tables(NamedTuple):
    """What is known of N people, as of `mixing.Known` and `layer.Layer`; rows beyond the last person are empty.

    Attributes:
        vertices: (N, V, 3).
        texture: (N, S, S, 3) uint8.
        lab, mean, spread: (N, h, w, 3), (N, 3), (N, 3) of the texture around the inner face, in CIE L*a*b*.
        eyes: (N, 2, P, P, 3).
        nodes, node_normals, node_turning: (N, G, 3), (N, G, 3), (N, G, 1) how far each node turns with the head.
        lit: (N, G, 3).
        places: (N, G, 2).
        picture: (N, H, W, 4) uint8.
        carriers, pulls: (N, G, K) int32, and float32.
        triangles: (N, T, 3) int32; those who have fewer have empty ones at the end.
    """

    vertices: Tensor
    texture: Tensor
    lab: Tensor
    mean: Tensor
    spread: Tensor
    eyes: Tensor
    nodes: Tensor
    node_normals: Tensor
    node_turning: Tensor
    lit: Tensor
    places: Tensor
    picture: Tensor
    carriers: Tensor
    pulls: Tensor
    triangles: Tensor


class Roster:
    """Loads people of a bank when they are first asked for.

    Attributes:
        tables: of those who are loaded.
        lights: of each, (9, 3) the photograph's own light.
        ages: of each, in years.
    """

    def __init__(self, studio: Studio, device: torch.device) -> None:
        self._studio, self._device = studio, device
        self._slots: dict[int, int] = {}
        self._tables: Tables | None = None
        self.lights: list[Floats] = []
        self.ages: list[float] = []

    @property
    def tables(self) -> Tables:
        """Return what is known of those who are loaded; somebody must be."""
        if self._tables is None:
            raise LookupError("nobody is loaded")
        return self._tables

    def slots(self, numbers: list[int]) -> list[int]:
        """Return the rows of people, by their numbers in the bank; who is not there yet is loaded."""
        for number in dict.fromkeys(numbers):
            if number not in self._slots:
                self._add(number)
        return [self._slots[number] for number in numbers]

    def _add(self, number: int) -> None:
        known = self._studio.known(number)
        row, arrays = len(self._slots), _arrays(known)
        if self._tables is None:
            self._tables = Tables(*(self._room(part, _FIRST) for part in arrays))
        if row == len(self._tables.vertices):
            self._tables = Tables(*(torch.cat([table, torch.zeros_like(table)]) for table in self._tables))
        missing = len(arrays.triangles) - self._tables.triangles.shape[1]
        if missing > 0:
            wider = torch.nn.functional.pad(self._tables.triangles, (0, 0, 0, missing))
            self._tables = self._tables._replace(triangles=wider)
        for table, part in zip(self._tables, arrays, strict=True):
            table[row, : len(part)] = torch.from_numpy(np.ascontiguousarray(part)).to(self._device)
        self._slots[number] = row
        self.lights.append(known.light)
        self.ages.append(known.age)

    def _room(self, part: np.ndarray, rows: int) -> Tensor:
        example = torch.from_numpy(np.ascontiguousarray(part[:0]))
        return torch.zeros((rows, *part.shape), dtype=example.dtype, device=self._device)


class _Arrays(NamedTuple):
    vertices: np.ndarray
    texture: np.ndarray
    lab: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    eyes: np.ndarray
    nodes: np.ndarray
    node_normals: np.ndarray
    node_turning: np.ndarray
    lit: np.ndarray
    places: np.ndarray
    picture: np.ndarray
    carriers: np.ndarray
    pulls: np.ndarray
    triangles: np.ndarray


def _arrays(known: Known) -> _Arrays:
    layer = known.layer
    return _Arrays(
        vertices=known.vertices,
        texture=known.texture,
        lab=known.lab,
        mean=np.asarray(known.mean, np.float32),
        spread=np.asarray(known.spread, np.float32),
        eyes=known.eyes,
        nodes=layer.nodes,
        node_normals=layer.normals,
        node_turning=turning(layer.nodes)[:, None],
        lit=layer.lit,
        places=layer.places,
        picture=layer.picture,
        carriers=layer.carriers,
        pulls=layer.pulls,
        triangles=layer.triangles,
    )
