"""The head of the portrait look: ICT-FaceKit, read from the file that `ausynth assets import ict-facekit` made.

ICT-FaceKit is a morphable head of USC's Institute for Creative Technologies (Li et al., "Learning Formation of
Physically-Based Face Attributes", CVPR 2020): https://github.com/USC-ICT/ICT-FaceKit, MIT licence. It does not ship
with this package.

Legend of the shapes: V vertices, T triangles, E expression shapes, N rows of sparse deltas, M identity modes. Lengths
are centimetres: x to the person's left, y up, z out of the face.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.assets import ICT_FACEKIT, find_asset
from ausynth.errors import AusynthError, ConfigurationError
from ausynth.labels import Floats

__all__ = ["EYES", "FORMAT", "LANDMARKS_68", "MATERIALS", "IctHead", "load_ict", "read_ict"]

Integers = NDArray[np.int32]

FORMAT: Final = "ausynth-ict 1"

MATERIALS: Final = ("face", "head", "mouth", "gums", "teeth", "eye_L", "eye_R", "lashes")
"""Of triangles, by number: the face with its ears and the front of the neck; the rest of head and neck; the socket of
the mouth; gums and tongue; teeth; eyeballs (the opaque sclera: the iris is painted on it); eyelashes."""

EYES: Final = ("eye_L", "eye_R")

LANDMARKS_68: Final = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
    1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732,
    5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)  # fmt: skip
"""Vertices of ICT-FaceKit's own numbering at the 68 facial landmarks of Multi-PIE and 300-W, as the kit itself lists
them (`vertex_indices.json`): jaw from the picture's left to its right, brows, nose, eyes, outer lips, inner lips."""


@dataclass(frozen=True, eq=False)
class IctHead:
    """ICT-FaceKit without what is never seen: 23 thousand vertices. Arrays are shared and read-only.

    `starts`, `rows` and `deltas` are laid out as those of the packaged head (`rendered.head.Head`), so that the
    compiled `rendered.mesh.add_shapes` adds expressions to either.

    Attributes:
        vertices: (V, 3) float32, the mean head with a neutral face.
        triangles: (T, 3) int32, counterclockwise seen from outside.
        materials: (T,) uint8, an index into `MATERIALS`.
        uv: (T, 3, 2) float32 in 0-1, texture coordinates of each triangle's corners, v up; every material has a texture
            of its own ("face" is the one that photographs are baked into).
        mirror: (V,) int32, the vertex on the other side of the head; `mirror[mirror] == arange(V)`.
        landmarks: (68,) int32, vertices of the 68 facial landmarks, in the order of 300-W.
        shapes: name of an expression shape ("jawOpen", "browDown_L") -> its number; `_L` is the person's left.
        starts: (E + 1,) int32; shape e owns the rows starts[e]:starts[e + 1].
        rows: (N,) int32, the vertex that a row moves.
        deltas: (N, 3) float32, centimetres that it moves it at weight 1.
        modes: (M, V, 3) float32, centimetres: identity modes, the strongest first. A person is
            `vertices + einsum(weights_M, modes)`; weights have about unit variance.
        eyes: (2, 4) float32: centre (x, y, z) and radius of the mean head's left and right eyeball.
        source_vertices: (V,) int32, each vertex's number in ICT-FaceKit's files.
        fingerprint: hash of the file.
    """

    vertices: Floats
    triangles: Integers
    materials: NDArray[np.uint8]
    uv: Floats
    mirror: Integers
    landmarks: Integers
    shapes: Mapping[str, int]
    starts: Integers
    rows: Integers
    deltas: Floats
    modes: Floats
    eyes: Floats
    source_vertices: Integers
    fingerprint: str

    @property
    def material_names(self) -> tuple[str, ...]:
        """Return the names of materials: `MATERIALS`."""
        return MATERIALS

    def material(self, name: str) -> int:
        """Return the number of a material."""
        return MATERIALS.index(name)

    def triangles_of(self, *materials: str) -> Integers:
        """Return the numbers (in 0..T-1) of the triangles of these materials, ascending."""
        numbers = [MATERIALS.index(name) for name in materials]
        return np.flatnonzero(np.isin(self.materials, numbers)).astype(np.int32)

    def vertices_of(self, *materials: str) -> Integers:
        """Return the vertices that triangles of these materials use, ascending."""
        return np.unique(self.triangles[self.triangles_of(*materials)]).astype(np.int32)

    def weights(self, weights: Mapping[str, float]) -> Floats:
        """Return the (E,) float32 weights for expression shapes given by name; "cheekSquint*" stands for _L and _R.

        Raises:
            ConfigurationError: no shape of that name.
        """
        weights_E = np.zeros(len(self.shapes), np.float32)
        for name, weight in weights.items():
            for side in (name[:-1] + "_L", name[:-1] + "_R") if name.endswith("*") else (name,):
                if side not in self.shapes:
                    raise ConfigurationError(
                        f"the head knows no shape {side!r}", expected=f"one of {sorted(self.shapes)}"
                    )
                weights_E[self.shapes[side]] += weight
        return weights_E

    def person(self, weights_M: Floats) -> Floats:
        """Return the (V, 3) neutral head of identity weights; fewer than M leave the last modes alone."""
        weights_M = np.asarray(weights_M, np.float32)
        offset_V3 = np.tensordot(weights_M, self.modes[: len(weights_M)], axes=1)
        return (self.vertices + offset_V3).astype(np.float32)

    def expressed(self, neutral_V3: Floats, weights: Mapping[str, float]) -> Floats:
        """Return a copy of `neutral_V3` with expression shapes added by name (see `weights`)."""
        moved_V3 = np.array(neutral_V3, np.float32)
        weights_E = self.weights(weights)
        for e in np.flatnonzero(weights_E):
            own = slice(self.starts[e], self.starts[e + 1])
            moved_V3[self.rows[own]] += weights_E[e] * self.deltas[own]
        return moved_V3


def load_ict() -> IctHead:
    """Return the head of the asset folder.

    Raises:
        MissingAssetError: it was never imported; the message names the command.
        AusynthError: the file is damaged, or of another version.
    """
    path = find_asset(ICT_FACEKIT)
    return _load(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _load(path: Path, _changed: int) -> IctHead:
    return read_ict(path)


def read_ict(path: Path) -> IctHead:
    """Return the head of a file that `ausynth assets import ict-facekit` wrote; errors as `load_ict`."""
    data = path.read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            packed = {name: file[name] for name in file.files}
        metadata: dict[str, Any] = json.loads(str(packed.pop("metadata")))
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise AusynthError(
            f"cannot read {path}: {error}",
            expected="a whole head file",
            do="run `ausynth assets import ict-facekit` again",
        ) from error
    if metadata.get("format") != FORMAT:
        raise AusynthError(
            f"{path} has the format {metadata.get('format')!r}",
            expected=FORMAT,
            do="run `ausynth assets import ict-facekit` of this version again",
        )
    head = IctHead(
        vertices=packed["vertices"],
        triangles=packed["triangles"].astype(np.int32),
        materials=packed["materials"],
        uv=packed["uv"].astype(np.float32) / np.float32(65535),
        mirror=packed["mirror"].astype(np.int32),
        landmarks=packed["landmarks"].astype(np.int32),
        shapes={name: i for i, name in enumerate(metadata["shapes"])},
        starts=packed["starts"].astype(np.int32),
        rows=packed["rows"].astype(np.int32),
        deltas=packed["deltas"].astype(np.float32),
        modes=packed["modes"].astype(np.float32),
        eyes=packed["eyes"],
        source_vertices=packed["source_vertices"].astype(np.int32),
        fingerprint=hashlib.sha256(data).hexdigest()[:16],
    )
    for field in fields(head):
        value = getattr(head, field.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return head
