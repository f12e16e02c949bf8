"""Who is shown, and whether it is a photograph: networks of the same trunks with other heads."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ausynth.errors import require_whole
from ausynth.networks.au import build_trunk, resized
from ausynth.networks.backbones import places_of

__all__ = ["IdentityNet", "RealismNet"]


class IdentityNet(nn.Module):
    """Says who is shown: pictures in, unit vectors out whose cosine tells people apart; differentiable.

    >>> import torch
    >>> IdentityNet()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 128])

    Args:
        architecture, image_size, width: see `AUNet`.
        dimensions: D, of the vectors.
    """

    kind = "identity"

    def __init__(
        self,
        architecture: str = "residual",
        image_size: int = 64,
        *,
        width: int | None = None,
        dimensions: int = 128,
    ) -> None:
        super().__init__()
        require_whole("dimensions", dimensions, 2)
        self.trunk, self.width = build_trunk(architecture, image_size, width)
        self.architecture, self.image_size, self.dimensions = architecture, image_size, dimensions
        grid = places_of(architecture, image_size)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(grid),
            nn.Flatten(),
            nn.Linear(self.trunk.channels * grid * grid, dimensions, bias=False),
            nn.BatchNorm1d(dimensions),
        )

    @property
    def options(self) -> dict[str, Any]:
        """Return the arguments that make this network again, as JSON."""
        own = {"architecture": self.architecture, "image_size": self.image_size}
        return own | {"width": self.width, "dimensions": self.dimensions}

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return (B, D) unit vectors of pictures (B, 3, H, W) in [-1, 1]; other sizes are resized first."""
        found_BD: Tensor = self.head(self.features(images_BCHW)[-1])
        return F.normalize(found_BD.float(), dim=-1)

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return the maps (B, C_l, H_l, W_l) of the three stages."""
        maps: list[Tensor] = self.trunk(resized(images_BCHW, self.image_size))
        return maps


class RealismNet(nn.Module):
    """Says whether a picture is one of the real ones: pictures in, logits out; differentiable.

    >>> import torch
    >>> RealismNet()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2])

    Args:
        architecture, image_size, width: see `AUNet`.
    """

    kind = "realism"

    def __init__(self, architecture: str = "residual", image_size: int = 64, *, width: int | None = None) -> None:
        super().__init__()
        self.trunk, self.width = build_trunk(architecture, image_size, width)
        self.architecture, self.image_size = architecture, image_size
        # Averaged over the picture: what is wrong with one may be wrong anywhere.
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(self.trunk.channels, 1)
        )

    @property
    def options(self) -> dict[str, Any]:
        """Return the arguments that make this network again, as JSON."""
        return {"architecture": self.architecture, "image_size": self.image_size, "width": self.width}

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return (B,) logits that pictures (B, 3, H, W) in [-1, 1] are real; other sizes are resized first."""
        found_B1: Tensor = self.head(self.features(images_BCHW)[-1])
        return found_B1[:, 0].float()

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return the maps (B, C_l, H_l, W_l) of the three stages."""
        maps: list[Tensor] = self.trunk(resized(images_BCHW, self.image_size))
        return maps
