"""Bringing the lips of B faces to their gaps: `rendered.lips.Lips.settle` on tensors, each face until it has settled.

Legend of the shapes: 2 lips, K columns of vertices from corner to corner, R rows of a lip, P places between the
corners, M moved vertices.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from ausynth.generators.rendered.lips import SEALED_CM, Lips

__all__ = ["LipSetter"]

_PLACES: Final = 31
_TURNS: Final = 20
_NEAR_CM: Final = 2e-3
_FAR: Final = 1e9
_BEYOND_CM: Final = 1.2


class LipSetter:
    """Moves the lips of one head's faces."""

    def __init__(self, lips: Lips, device: torch.device) -> None:
        columns = max(len(lips.upper), len(lips.lower))
        # Both lips' lines as of one length: what is added at the end has no width, and no height is measured there.
        lines = [np.pad(part, ((0, columns - len(part)), (0, 0)), mode="edge").T for part in (lips.upper, lips.lower)]
        self._lines = torch.from_numpy(np.stack(lines).astype(np.int64)).to(device)
        self._sign = torch.from_numpy(np.array([1, -1], np.float32)[:, None, None]).to(device)
        self._moved = torch.from_numpy(lips.moved).long().to(device)
        self._shares = tuple(torch.from_numpy(part).to(device) for part in (lips.upper_share, lips.lower_share))
        self._places_P = torch.linspace(-0.94, 0.94, _PLACES, dtype=torch.float64).float().to(device)

    def settle(self, vertices_BV3: Tensor, least_B: Tensor, most_B: Tensor) -> Tensor:
        """Move the lips, in place, until the widest gap is within the limits, and return (B,) the gaps, centimetres."""
        gap_B = vertices_BV3.new_zeros(len(vertices_BV3))
        rows = torch.arange(len(vertices_BV3), device=vertices_BV3.device)
        for turn in range(_TURNS + 1):
            own_BV3 = vertices_BV3 if turn == 0 else vertices_BV3[rows]
            x_BP, gaps_BP = self._measure(own_BV3)
            widest_B = gaps_BP.amax(1)
            gap_B[rows] = widest_B
            if turn == _TURNS:
                break
            change_BP = self._change(gaps_BP, widest_B, least_B[rows], most_B[rows])
            going_B = change_BP.abs().amax(1) >= _NEAR_CM
            going = torch.nonzero(going_B)[:, 0]
            if not len(going):
                break
            rows = rows[going]
            moved_BM3 = own_BV3[going][:, self._moved]
            raised_BM = moved_BM3[..., 1] + self._step(moved_BM3[..., 0], x_BP[going], change_BP[going])
            vertices_BV3[rows[:, None], self._moved, 1] = raised_BM
        return gap_B

    def _change(self, gaps_BP: Tensor, widest_B: Tensor, least_B: Tensor, most_B: Tensor) -> Tensor:
        """Return by how much the gaps should change at each place."""
        goal_B1, widest_B1 = torch.minimum(torch.maximum(widest_B, least_B), most_B)[:, None], widest_B[:, None]
        # Narrower everywhere in proportion, and the overlap where nothing may stay open.
        room_B1 = torch.where(widest_B1 > goal_B1, widest_B1 - SEALED_CM, 1)
        narrow_BP = SEALED_CM + (gaps_BP - SEALED_CM) * (goal_B1 - SEALED_CM) / room_B1
        wide_BP = gaps_BP + (goal_B1 - widest_B1) * (1 - self._places_P * self._places_P)
        wanted_BP = torch.where(widest_B1 > goal_B1, torch.minimum(gaps_BP, narrow_BP), gaps_BP)
        wanted_BP = torch.where(widest_B1 < goal_B1, wide_BP, wanted_BP).clamp(min=SEALED_CM)
        return wanted_BP - gaps_BP

    def _step(self, x_BM: Tensor, x_BP: Tensor, change_BP: Tensor) -> Tensor:
        """Return how far the moved vertices rise."""
        first_B1, end_B1, last = x_BP[:, :1], x_BP[:, -1:], _PLACES - 1
        place_BM = ((x_BM - first_B1) / ((end_B1 - first_B1) / last)).clamp(0, last)
        low_BM = place_BM.long().clamp(max=last - 1)
        lower_BM, upper_BM = change_BP.gather(1, low_BM), change_BP.gather(1, low_BM + 1)
        change_BM = lower_BM + (place_BM - low_BM) * (upper_BM - lower_BM)
        beyond_BM = torch.maximum((first_B1 - x_BM).clamp(min=0), (x_BM - end_B1).clamp(min=0))
        change_BM = change_BM * (1 - beyond_BM / _BEYOND_CM).clamp(min=0)
        # Closing: the lower lip follows a raised upper lip. Overlapping: the lower lip pushes the upper one up.
        upper_BM = torch.where(change_BM < 0, 0.35, 0.6)
        return change_BM * (upper_BM * self._shares[0] - (1 - upper_BM) * self._shares[1])

    def _measure(self, vertices_BV3: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, P) places between the corners and (B, P) gaps there."""
        lines = vertices_BV3[:, self._lines]
        x_B2RK, y_B2RK = lines[..., 0], lines[..., 1]
        # Between the inner ends of both lips' lines, so that each line has a height at each place.
        right_B, left_B = x_B2RK[..., 0].amax((1, 2)), x_B2RK[..., -1].amin((1, 2))
        x_BP = right_B[:, None] + (left_B - right_B)[:, None] * (self._places_P + 1) / 2
        # The lowest heights of the upper lip's lines, and the highest of the lower lip's.
        y_B2RK = self._sign * y_B2RK
        run, rise = (part[..., 1:] - part[..., :-1] for part in (x_B2RK, y_B2RK))
        share = (x_BP[:, None, None, None] - x_B2RK[..., :-1, None]) / run[..., None]  # x/0 and 0/0 are in no range
        height = y_B2RK[..., :-1, None] + share * rise[..., None]
        height = torch.where((share >= 0) & (share <= 1), height, _FAR)
        edges_B2P = height.flatten(2, 3).amin(2)
        return x_BP, edges_B2P.sum(1)
