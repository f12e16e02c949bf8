"""Small trunks of different families: pictures go in, the feature maps of three stages come out.

They are built to err differently: a consensus of detectors of one family would count one mistake several times. Each
ends in a map of 4 x 4 (or 8 x 8) places, not in an average over the picture: faces are aligned, and where something
moves says which action unit it is.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ARCHITECTURES", "Trunk", "trunk"]

_PATCH: Final = 8
_GRID: Final = 4


class Trunk(nn.Module):
    """Three stages, each of which makes the next one's input.

    Attributes:
        channels: of the last stage's map.
        stages: what they are, in order.
    """

    def __init__(self, channels: int, stages: list[nn.Module]) -> None:
        super().__init__()
        self.channels = channels
        self.stages = nn.ModuleList(stages)

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return the maps (B, C_l, H_l, W_l) of the stages."""
        maps, at = [], images_BCHW
        for stage in self.stages:
            at = stage(at)
            maps.append(at)
        return maps


def trunk(architecture: str, width: int, image_size: int) -> Trunk:
    """Return a fresh trunk of an architecture; `width` is the number of channels at its finest stage."""
    return _BUILDERS[architecture](width, image_size)


def _conv(inside: int, outside: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Two convolutions beside an identity (He et al., "Deep residual learning", 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, at: Tensor) -> Tensor:
        return F.relu(at + self.second(self.first(at)))


class _Separable(nn.Module):
    """Depthwise, then two 1 x 1 with more channels between (Liu et al., "A ConvNet for the 2020s", 2022)."""

    def __init__(self, channels: int, expansion: int = 3) -> None:
        super().__init__()
        inner = channels * expansion
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, at: Tensor) -> Tensor:
        found: Tensor = at + self.body(at)
        return found


def _halve(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 2, 2, bias=False), nn.BatchNorm2d(outside))


class _Mixer(nn.Module):
    """Mixes places, then channels (Tolstikhin et al., "MLP-Mixer", 2021)."""

    def __init__(self, places: int, channels: int) -> None:
        super().__init__()
        self.norm_places, self.norm_channels = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.places = nn.Sequential(nn.Linear(places, 2 * places), nn.GELU(), nn.Linear(2 * places, places))
        self.channels = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, tokens_BPC: Tensor) -> Tensor:
        tokens_BPC = tokens_BPC + self.places(self.norm_places(tokens_BPC).mT).mT
        mixed: Tensor = tokens_BPC + self.channels(self.norm_channels(tokens_BPC))
        return mixed


class _Mixed(nn.Module):
    """Mixers on a map whose places are the tokens."""

    def __init__(self, places: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_Mixer(places, channels) for _ in range(blocks)))

    def forward(self, at: Tensor) -> Tensor:
        tokens_BPC = self.blocks(at.flatten(2).mT)
        mixed: Tensor = tokens_BPC.mT.reshape(at.shape)
        return mixed


def _residual(width: int, image_size: int) -> Trunk:  # noqa: ARG001
    a, b, c, d = width, 2 * width, 4 * width, 8 * width
    return Trunk(
        d,
        [
            nn.Sequential(_conv(3, a, stride=2), _conv(a, b, stride=2), _Residual(b)),
            nn.Sequential(_conv(b, c, stride=2), _Residual(c)),
            nn.Sequential(_conv(c, d, stride=2), _Residual(d)),
        ],
    )


def _separable(width: int, image_size: int) -> Trunk:  # noqa: ARG001
    a, b, c = width, 2 * width, 4 * width
    # Strides lie in convolutions of their own: depthwise ones with a stride are slow to train on CPUs.
    stem = nn.Sequential(nn.Conv2d(3, a, 4, 4, bias=False), nn.BatchNorm2d(a))
    return Trunk(
        c,
        [
            nn.Sequential(stem, *(_Separable(a) for _ in range(2))),
            nn.Sequential(_halve(a, b), *(_Separable(b) for _ in range(3))),
            nn.Sequential(_halve(b, c), *(_Separable(c) for _ in range(2))),
        ],
    )


def _patches(width: int, image_size: int) -> Trunk:
    places = (image_size // _PATCH) ** 2
    # Patches overlap by two pixels, so that none cuts a lip or a brow in two unseen.
    embed = nn.Sequential(nn.Conv2d(3, width, _PATCH + 4, _PATCH, 2, bias=False), nn.BatchNorm2d(width))
    last = nn.Sequential(_Mixed(places, width, 1), nn.BatchNorm2d(width))
    return Trunk(width, [nn.Sequential(embed, _Mixed(places, width, 2)), _Mixed(places, width, 1), last])


def _plain(width: int, image_size: int) -> Trunk:  # noqa: ARG001
    a, b, c, d = width, 2 * width, 4 * width, 8 * width
    return Trunk(
        d,
        [
            nn.Sequential(_conv(3, a, kernel=5, stride=2), _conv(a, b, stride=2), _conv(b, b)),
            nn.Sequential(_conv(b, c, stride=2), _conv(c, c), _conv(c, c)),
            nn.Sequential(_conv(c, d, stride=2), _conv(d, d)),
        ],
    )


_BUILDERS: Final = MappingProxyType[str, Callable[[int, int], Trunk]](
    {"residual": _residual, "separable": _separable, "patches": _patches, "plain": _plain}
)
ARCHITECTURES: Final = MappingProxyType({"residual": 16, "separable": 36, "patches": 96, "plain": 16})
"""The architectures by name, and the width that each has by default."""


def places_of(architecture: str, image_size: int) -> int:
    """Return at how many places the last map of an architecture is looked at: (height, width) of the grid, each."""
    return image_size // _PATCH if architecture == "patches" else _GRID


def count_flops(network: nn.Module, image_size: int) -> int:
    """Return the floating-point operations of one picture; a multiplication and an addition count as two."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, image_size, image_size, device=next(network.parameters()).device))
    return int(counter.get_total_flops())
