"""Identity encoder: the picture of a person becomes condition tokens."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["IdentityEncoder"]

_GRID = 4
_LARGEST = 128


class IdentityEncoder(nn.Module):
    """Convolutions on an exemplar, averaged to a fixed 4 x 4 grid, projected to T tokens.

    Args:
        width: channels of the first layer; the two that follow double them.
        tokens: T.
        token_width: D.
    """

    def __init__(self, width: int, tokens: int, token_width: int) -> None:
        super().__init__()
        self.tokens = tokens
        channels = (3, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for into, out in itertools.pairwise(channels):
            layers += [nn.Conv2d(into, out, 3, stride=2, padding=1), nn.GroupNorm(8, out), nn.SiLU()]
        layers += [nn.Conv2d(4 * width, 4 * width, 3, padding=1), nn.GroupNorm(8, 4 * width), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.to_tokens = nn.Linear(4 * width * _GRID**2, tokens * token_width)
        self.norm = nn.LayerNorm(token_width)

    def forward(self, exemplars_BCHW: Tensor) -> Tensor:
        """Return C_ID (B, T, D) of exemplars (B, 3, H, W) in [-1, 1]; large ones are reduced to 128 pixels first."""
        if exemplars_BCHW.shape[-1] > _LARGEST:
            exemplars_BCHW = F.interpolate(exemplars_BCHW, size=(_LARGEST, _LARGEST), mode="area")
        grid_BCGG = F.adaptive_avg_pool2d(self.layers(exemplars_BCHW), _GRID)
        tokens: Tensor = self.norm(self.to_tokens(grid_BCGG.flatten(1)).unflatten(1, (self.tokens, -1)))
        return tokens
