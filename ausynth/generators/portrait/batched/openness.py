"""How much light reaches the eyeballs under the lids and the inside of the mouth, on B faces.

Legend of the shapes: N vertices of an eyeball, K of a lid's edge or of the lips' inner edges.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ausynth.generators.portrait.draw import OPEN_CM, Artist

__all__ = ["Openness"]


class Openness:
    """Measures it on one head's faces; see `draw.Artist`."""

    def __init__(self, artist: Artist, device: torch.device) -> None:
        topology = artist.topology
        self._balls = [torch.from_numpy(own).long().to(device) for own in topology.balls]
        self._loops = [torch.from_numpy(loop).long().to(device) for loop in topology.lid_loops]
        self._rim = torch.from_numpy(artist.rim).long().to(device)
        self._at_rest = torch.from_numpy(artist.at_rest_V).to(device)
        self._outside = topology.outside

    def of(self, vertices_BV3: Tensor, gap_B: Tensor) -> Tensor:
        """Return (B, V) 0-1 for unposed faces with lips `gap_B` centimetres apart."""
        open_BV = self._at_rest.repeat(len(vertices_BV3), 1)
        for own, loop in zip(self._balls, self._loops, strict=True):
            open_BV[:, own] = _under_lids(vertices_BV3[:, own], vertices_BV3[:, loop])
        inside_BN = _behind_lips(vertices_BV3[:, self._outside :], vertices_BV3[:, self._rim], gap_B)
        is_open_B1 = (gap_B > OPEN_CM)[:, None]
        open_BV[:, self._outside :] = torch.where(is_open_B1, inside_BN, open_BV[:, self._outside :])
        return open_BV


def _under_lids(ball_BN3: Tensor, loop_BK3: Tensor) -> Tensor:
    """Return (B, N): lids and lashes shade what is near them, the upper ones more."""
    x_BNK, y_BNK, z_BNK = (ball_BN3[:, :, None, axis] - loop_BK3[:, None, :, axis] for axis in range(3))
    distance_BNK = (x_BNK * x_BNK + y_BNK * y_BNK + z_BNK * z_BNK).sqrt()
    lower_BK = loop_BK3[..., 1] < loop_BK3[..., 1].mean(1, keepdim=True)
    least_BN = (distance_BNK * (1 + lower_BK[:, None].float())).amin(2).clamp(max=9)
    share_BN = ((least_BN - 0.02) / 0.5).clamp(0, 1)
    return 0.4 + 0.6 * share_BN * (2 - share_BN)


def _behind_lips(inside_BN3: Tensor, rim_BK3: Tensor, gap_B: Tensor) -> Tensor:
    """Return (B, N): less behind the lips, the less they are apart."""
    depth_BN = (rim_BK3[..., 2].amax(1, keepdim=True) - inside_BN3[..., 2] - 0.4).clamp(min=0)
    side_BN = (inside_BN3[..., 0].abs() / 2.6).clamp(max=1)
    return (-depth_BN / (0.9 + 1.1 * gap_B)[:, None]).exp() * (1 - 0.35 * side_BN)
