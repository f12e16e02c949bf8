"""Which triangle is seen at each point of B pictures: z-buffers of packed keys, no loop over pictures or triangles.

Every point whose middle lies in a triangle's box is a candidate. Each candidate inside its triangle bids for its point
with one number, nearness above and the triangle's number below, and the highest bid stays (`scatter_reduce` "amax" of
64-bit integers: the same whatever the order of the bids).
"""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

import torch
from torch import Tensor

__all__ = ["Seen", "rasterise"]

_LEAST: Final = -1e-5  # tolerance of `portrait.raster`: no cracks between neighbours
_LAST_TRIANGLE: Final = 2**31 - 1
_CANDIDATES: Final = 1 << 24  # looked at in one go, about 2 GB


class Seen(NamedTuple):
    """What is seen at the points of B pictures.

    Attributes:
        triangle: (B, P, P) int64, -1 where there is none.
        nearest: (B, P, P) float32 its nearness, 0 where there is none.
        weights: (N, 3) float32 of its corners, at the N points where there is one, in the order of `places`.
        places: (N,) int64 numbers of these points, counted through the flattened (B, P, P).
    """

    triangle: Tensor
    nearest: Tensor
    weights: Tensor
    places: Tensor

    def pictures(self) -> Tensor:
        """Return (N,) int64 which of the B pictures each of the N points is in."""
        return torch.div(self.places, self.triangle[0].numel(), rounding_mode="floor")


def rasterise(seen_BV3: Tensor, triangles: Tensor, points: int, inner: tuple[int, Tensor] | None = None) -> Seen:
    """Return what is seen of B meshes: of the triangles that face the viewer the nearest, of equals the first.

    Args:
        seen_BV3: column, row and nearness of each vertex.
        triangles: (T, 3) of all pictures, or (B, T, 3) of each; counterclockwise to who sees their front.
        points: height and width of the pictures.
        inner: (first, box_B4): triangles from number `first` on are drawn within each picture's box alone: left, right,
            top, bottom (included).
    """
    count = len(seen_BV3)
    corners_BT33 = _corners(seen_BV3, triangles)
    number_M, left_M, top_M, width_M, height_M = _boxes(corners_BT33, points, inner)
    corners_M33 = corners_BT33.reshape(-1, 3, 3)[number_M]
    total = corners_BT33.shape[1]
    key_N = torch.zeros(count * points * points, dtype=torch.int64, device=seen_BV3.device)
    size_M = width_M * height_M
    end_M = size_M.cumsum(0)
    for part in _parts(end_M):
        own_C = torch.repeat_interleave(torch.arange(part.start, part.stop, device=size_M.device), size_M[part])
        offset_C = torch.arange(len(own_C), device=own_C.device)
        offset_C -= (end_M[own_C] - size_M[own_C]) - (end_M[part.start] - size_M[part.start])
        row_C = torch.div(offset_C, width_M[own_C], rounding_mode="floor")
        column_C = offset_C - row_C * width_M[own_C] + left_M[own_C]
        row_C += top_M[own_C]
        weights_C3, nearness_C = _weigh(corners_M33[own_C], column_C, row_C)
        inside_C = (weights_C3 >= _LEAST).all(1) & (nearness_C > 0)
        own_C, row_C, column_C = own_C[inside_C], row_C[inside_C], column_C[inside_C]
        picture_C = torch.div(number_M[own_C], total, rounding_mode="floor")
        triangle_C = number_M[own_C] - picture_C * total
        bid_C = (nearness_C[inside_C].view(torch.int32).long() << 32) | (_LAST_TRIANGLE - triangle_C)
        key_N.scatter_reduce_(0, (picture_C * points + row_C) * points + column_C, bid_C, "amax")
    return _read(key_N, corners_BT33, points)


def _corners(seen_BV3: Tensor, triangles: Tensor) -> Tensor:
    """Return (B, T, 3 corners, 3)."""
    if triangles.dim() == 2:
        return seen_BV3[:, triangles]
    picture_B11 = torch.arange(len(seen_BV3), device=seen_BV3.device)[:, None, None]
    return seen_BV3[picture_B11, triangles]


def _boxes(corners_BT33: Tensor, points: int, inner: tuple[int, Tensor] | None) -> tuple[Tensor, ...]:
    """Return of the M triangles with candidates: number among all, left, top, width and height of the box of points."""
    (xa, ya), (xb, yb), (xc, yc) = (corners_BT33[:, :, corner, :2].unbind(2) for corner in range(3))
    area_BT = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
    edges = []
    for axis in (0, 1):
        places_BT3 = corners_BT33[..., axis] - 0.5
        first_BT = places_BT3.amin(2).ceil().clamp(0, points).long()
        last_BT = places_BT3.amax(2).floor().clamp(-1, points - 1).long()
        if inner is not None:
            start, box_B4 = inner
            first_BT[:, start:] = torch.maximum(first_BT[:, start:], box_B4[:, 2 * axis, None])
            last_BT[:, start:] = torch.minimum(last_BT[:, start:], box_B4[:, 2 * axis + 1, None])
        edges += [first_BT, last_BT]
    left_BT, right_BT, top_BT, bottom_BT = edges
    # Rows grow downward, so what is counterclockwise to the viewer has a negative area here.
    number_M = torch.nonzero(((area_BT < 0) & (left_BT <= right_BT) & (top_BT <= bottom_BT)).reshape(-1))[:, 0]
    left_M, right_M, top_M, bottom_M = (edge.reshape(-1)[number_M] for edge in edges)
    return number_M, left_M, top_M, right_M - left_M + 1, bottom_M - top_M + 1


def _parts(end_M: Tensor) -> list[slice]:
    """Return the triangles in runs of bounded numbers of candidates (a bound that one triangle alone may pass)."""
    if not len(end_M):
        return []
    total = int(end_M[-1])
    if total <= _CANDIDATES:
        return [slice(0, len(end_M))]
    goals = torch.arange(_CANDIDATES, total + _CANDIDATES, _CANDIDATES, device=end_M.device)
    cuts = [0, *torch.searchsorted(end_M, goals, right=True).clamp(max=len(end_M)).tolist()]
    return [slice(a, b) for a, b in itertools.pairwise(cuts) if b > a]


def _weigh(corners_C33: Tensor, column_C: Tensor, row_C: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of the corners at the points' middles, and the nearness there."""
    (xa, ya, za), (xb, yb, zb), (xc, yc, zc) = (corners_C33[:, corner].unbind(1) for corner in range(3))
    inverse_C = 1 / ((xb - xa) * (yc - ya) - (xc - xa) * (yb - ya))
    x_C, y_C = column_C.float() + 0.5 - xa, row_C.float() + 0.5 - ya
    wb_C = (yc - ya) * inverse_C * x_C - (xc - xa) * inverse_C * y_C
    wc_C = (xb - xa) * inverse_C * y_C - (yb - ya) * inverse_C * x_C
    wa_C = 1 - wb_C - wc_C
    return torch.stack([wa_C, wb_C, wc_C], 1), wa_C * za + wb_C * zb + wc_C * zc


def _read(key_N: Tensor, corners_BT33: Tensor, points: int) -> Seen:
    places_N = torch.nonzero(key_N)[:, 0]
    count, total = corners_BT33.shape[:2]
    triangle_N = _LAST_TRIANGLE - (key_N & 0xFFFFFFFF)
    shape = (count, points, points)
    picture_C = torch.div(places_N, points * points, rounding_mode="floor")
    row_C = torch.div(places_N, points, rounding_mode="floor") - picture_C * points
    corners_C33 = corners_BT33.reshape(-1, 3, 3)[picture_C * total + triangle_N[places_N]]
    weights_C3, _ = _weigh(corners_C33, places_N % points, row_C)
    nearest_N = (key_N >> 32).to(torch.int32).view(torch.float32)
    triangle_N = torch.where(key_N > 0, triangle_N, -1)
    return Seen(triangle_N.reshape(shape), nearest_N.reshape(shape), weights_C3, places_N)
