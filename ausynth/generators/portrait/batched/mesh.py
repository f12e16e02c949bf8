"""Arithmetic on B meshes at once: changes of shape, normals, turning the head, the camera.

Products of matrices are taken in 64 bits: in 32 bits their last bits would follow the process's TensorFloat-32 switch.
Nothing is added up by atomic operations, whose order changes from run to run.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ausynth.generators.portrait.kernels import Integers

__all__ = ["Incidence", "combined", "normals", "pose", "project", "turned"]


class Incidence:
    """Which triangles meet at each vertex of a mesh, for sums over them in a fixed order.

    Args:
        triangles_T3: the mesh.
        vertices: those whose sums are asked for.
        device: where the sums are taken.
    """

    def __init__(self, triangles_T3: Integers, vertices: Integers, device: torch.device) -> None:
        corner_N = triangles_T3.ravel()
        order_N = np.argsort(corner_N, kind="stable")
        count_V = np.bincount(corner_N, minlength=int(vertices.max(initial=0)) + 1)
        first_V = (np.cumsum(count_V) - count_V)[vertices]
        count_V = count_V[vertices]
        self._steps = []
        for step in range(int(count_V.max(initial=0))):
            own = np.flatnonzero(count_V > step)
            triangle = order_N[first_V[own] + step] // 3
            self._steps.append(tuple(torch.from_numpy(part.astype(np.int64)).to(device) for part in (own, triangle)))
        self._vertices = len(vertices)

    def sums(self, values_BTC: Tensor) -> Tensor:
        """Return (B, V, C) the sums of the triangles' values around each vertex."""
        total_BVC = values_BTC.new_zeros((len(values_BTC), self._vertices, values_BTC.shape[2]))
        for own, triangle in self._steps:
            total_BVC[:, own] = total_BVC[:, own] + values_BTC[:, triangle]
        return total_BVC


def combined(weights_BS: Tensor, changes_SN: Tensor) -> Tensor:
    """Return (B, N) float32 weighted sums of S changes of shape, which are float64."""
    return (weights_BS.double() @ changes_SN).float()


def normals(vertices_BV3: Tensor, triangles_T3: Tensor, incidence: Incidence, counts_BT: Tensor | None) -> Tensor:
    """Return (B, V, 3) unit vertex normals, weighted by area; `counts_BT` is 0 for triangles that do not count."""
    a_BT3, b_BT3, c_BT3 = (vertices_BV3[:, triangles_T3[:, corner]] for corner in range(3))
    faces_BT3 = torch.linalg.cross(b_BT3 - a_BT3, c_BT3 - a_BT3)
    if counts_BT is not None:
        faces_BT3 = faces_BT3 * counts_BT[:, :, None]
    normals_BV3 = incidence.sums(faces_BT3)
    length_BV1 = normals_BV3.square().sum(2, keepdim=True).sqrt()
    return normals_BV3 / torch.where(length_BV1 > 0, length_BV1, 1)


def turned(points_BN3: Tensor, turns_B33: Tensor) -> Tensor:
    """Return (B, N, 3) points turned about the origin, each picture's by its own matrix."""
    x, y, z = points_BN3.unbind(2)
    rows = [
        turns_B33[:, j, 0, None] * x + turns_B33[:, j, 1, None] * y + turns_B33[:, j, 2, None] * z for j in range(3)
    ]
    return torch.stack(rows, 2)


def pose(vertices_BV3: Tensor, turns_B33: Tensor, pivot_3: Tensor, share_V1: Tensor) -> Tensor:
    """Return the vertices turned about `pivot_3`, each by its share, (V, 1) or (B, V, 1), as `rendered.mesh.pose`."""
    turned_BV3 = turned(vertices_BV3 - pivot_3, turns_B33) + pivot_3
    return vertices_BV3 + share_V1 * (turned_BV3 - vertices_BV3)


def project(vertices_BV3: Tensor, target_B3: Tensor, distance_B: Tensor, scale_B: Tensor, middle_B2: Tensor) -> Tensor:
    """Return (B, V, 3): column, row and nearness (1/cm) of each vertex, as `rendered.raster.project`."""
    depth_BV = distance_B[:, None] - (vertices_BV3[..., 2] - target_B3[:, 2, None])
    size_BV = (scale_B * distance_B)[:, None] / depth_BV
    column_BV = middle_B2[:, 0, None] + (vertices_BV3[..., 0] - target_B3[:, 0, None]) * size_BV
    row_BV = middle_B2[:, 1, None] - (vertices_BV3[..., 1] - target_B3[:, 1, None]) * size_BV
    return torch.stack([column_BV, row_BV, 1 / depth_BV], 2)
