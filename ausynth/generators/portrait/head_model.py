"""What every head model has in common: the packaged head and ICT-FaceKit's.

Legend of the shapes: V vertices, T triangles, S changes of shape, N rows of sparse changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ausynth.labels import Floats

__all__ = ["HeadModel"]


@runtime_checkable
class HeadModel(Protocol):
    """A head as a mesh, and named changes of its shape that are added to it with weights.

    `rendered.head.load_head()` and `portrait.ict.load_ict()` both return one; geometry that asks for no more than this
    works on either:

    >>> from ausynth.generators.rendered.head import load_head
    >>> from ausynth.generators.rendered.mesh import add_shapes
    >>> head = load_head()
    >>> isinstance(head, HeadModel)
    True
    >>> vertices = head.vertices.copy()
    >>> add_shapes(vertices, head.weights({"jawOpen": 0.4}), head.starts, head.rows, head.deltas)
    >>> vertices.shape == head.vertices.shape
    True

    Lengths are centimetres: x to the person's left, y up, z out of the face.
    """

    @property
    def vertices(self) -> Floats:
        """Return (V, 3) float32: the head at rest."""
        ...

    @property
    def triangles(self) -> NDArray[np.int32]:
        """Return (T, 3) int32, counterclockwise seen from outside."""
        ...

    @property
    def materials(self) -> NDArray[np.uint8]:
        """Return (T,) uint8: each triangle's place in `material_names`."""
        ...

    @property
    def material_names(self) -> tuple[str, ...]:
        """Return what triangles can be made of."""
        ...

    @property
    def uv(self) -> Floats:
        """Return (T, 3, 2) float32: texture coordinates of each triangle's corners, 0-1, v up."""
        ...

    @property
    def shapes(self) -> Mapping[str, int]:
        """Return the number in 0..S-1 of each named change of shape."""
        ...

    @property
    def starts(self) -> NDArray[np.int32]:
        """Return (S + 1,) int32: change s owns the rows starts[s]:starts[s + 1]."""
        ...

    @property
    def rows(self) -> NDArray[np.int32]:
        """Return (N,) int32: the vertex that a row moves."""
        ...

    @property
    def deltas(self) -> Floats:
        """Return (N, 3) float32: how far it moves it at weight 1."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of all of it."""
        ...

    def material(self, name: str) -> int:
        """Return the number of a material."""
        ...

    def vertices_of(self, *materials: str) -> NDArray[np.int32]:
        """Return the vertices that triangles of these materials use, ascending."""
        ...

    def weights(self, weights: Mapping[str, float]) -> Floats:
        """Return the (S,) float32 weights of changes given by name; raise ConfigurationError for an unknown one."""
        ...
