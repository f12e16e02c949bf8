"""The labels of what B meshes show: `portrait.labels.Labeller` for all at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ausynth.generators.portrait.batched.mesh import Incidence
from ausynth.generators.portrait.batched.shape import Motion
from ausynth.generators.portrait.labels import CLOSED_EYES_HIDE, FACING, LEAST_DROP, LEAST_SEEN, STEP, Labeller
from ausynth.generators.portrait.shape import Shaper
from ausynth.generators.portrait.table import AUS, load_table
from ausynth.generators.rendered.actions import gain
from ausynth.generators.rendered.lips import OPEN_CM, SEEN_CM
from ausynth.labels import Floats

__all__ = ["BatchLabeller"]

_COLUMN: Final = {au: a for a, au in enumerate(AUS)}
_LETTERS: Final = np.arange(6, dtype=np.float32)


class BatchLabeller:
    """Says what faces show in their views."""

    def __init__(self, labeller: Labeller, shaper: Shaper, device: torch.device) -> None:
        topology = shaper.topology
        self._full_drop, self._owners = shaper.full_drop_cm, labeller.owners
        vertices, place_M = np.unique(labeller.members, return_inverse=True)
        outer = topology.triangles[: topology.outer]
        outer = np.ascontiguousarray(outer[np.isin(outer, vertices).any(1)])
        self._incidence = Incidence(outer, vertices.astype(np.int32), device)
        self._triangles, self._vertices, self._place, self._starts = (
            torch.from_numpy(np.asarray(part, np.int64)).to(device)
            for part in (outer, vertices, place_M, labeller.starts)
        )

    def shares(self, seen_BV3: Tensor, points: int) -> Tensor:
        """Return (B, R) the share of each disc's vertices inside the picture and on a surface turned to the viewer."""
        a, b, c = (seen_BV3[:, self._triangles[:, corner]] for corner in range(3))
        area_BT = (c[..., 0] - a[..., 0]) * (b[..., 1] - a[..., 1]) - (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
        front_BN, both_BN = self._incidence.sums(torch.stack([area_BT, area_BT.abs()], 2)).unbind(2)
        own_BN2 = seen_BV3[:, self._vertices, :2]
        inside_BN = ((own_BN2 >= 0) & (own_BN2 <= points)).all(2)
        counts_BN = (inside_BN & (front_BN > FACING * both_BN)).int()
        reached_BM = torch.nn.functional.pad(counts_BN[:, self._place].cumsum(1), (1, 0))
        members_R = self._starts[1:] - self._starts[:-1]
        seen_BR = reached_BM[:, self._starts[1:]] - reached_BM[:, self._starts[:-1]]
        return seen_BR.float() / members_R.clamp(min=1)

    def rows(self, motion: Motion, gap_B: Floats, drop_B: NDArray[np.float64], shares_BR: Floats) -> Floats:
        """Return (B, A) intensities 0-5 over `AUS`: AU25 and AU26 as measured, NaN where the view hides the AU."""
        rows_BA = motion.made.copy()
        gap_B = gap_B.astype(np.float64)
        parted_B = np.interp(gap_B, gain(_LETTERS) * np.float32(OPEN_CM), _LETTERS)
        rows_BA[:, _COLUMN[25]] = np.where(gap_B < SEEN_CM, 0, np.round(parted_B / STEP) * STEP)
        share_B = drop_B / self._full_drop if self._full_drop > 0 else np.zeros_like(drop_B)
        dropped_B = np.interp(share_B, load_table().gain, _LETTERS)
        rows_BA[:, _COLUMN[26]] = np.where(share_B < LEAST_DROP, 0, np.round(dropped_B / STEP) * STEP)
        for a in range(len(AUS)):
            best_B = shares_BR[:, self._owners == a].max(1, initial=0)
            rows_BA[best_B < LEAST_SEEN, a] = np.nan
        for au in CLOSED_EYES_HIDE:
            rows_BA[motion.blink > 0.5, _COLUMN[au]] = np.nan
        return rows_BA
