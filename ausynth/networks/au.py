"""A network that reads the intensities of action units from a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.networks.backbones import ARCHITECTURES, places_of, trunk

__all__ = ["AUNet", "resized"]


class AUNet(nn.Module):
    """Reads action units: pictures in, intensities out, differentiable with respect to both weights and pictures.

    >>> import torch
    >>> network = AUNet("residual", (1, 12), image_size=64)
    >>> network(torch.zeros(3, 3, 64, 64)).shape
    torch.Size([3, 2])

    Args:
        architecture: "residual", "separable", "patches" or "plain".
        aus: the A action units of its columns.
        image_size: height and width that it works at, a multiple of 16 and 32 or more.
        width: channels of its finest stage; None takes the architecture's own.

    Attributes:
        architecture, aus, image_size, width: as given.

    Raises:
        ConfigurationError: an unknown architecture or AU, or a size that does not fit.
    """

    kind = "au"

    def __init__(
        self, architecture: str, aus: Sequence[int], image_size: int = 64, *, width: int | None = None
    ) -> None:
        super().__init__()
        self.trunk, self.width = build_trunk(architecture, image_size, width)
        self.architecture, self.image_size = architecture, image_size
        self.aus = facs.label_space(aus)
        grid = places_of(architecture, image_size)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(grid),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(self.trunk.channels * grid * grid, len(self.aus)),
        )

    @property
    def options(self) -> dict[str, Any]:
        """Return the arguments that make this network again, as JSON."""
        return {
            "architecture": self.architecture,
            "aus": list(self.aus),
            "image_size": self.image_size,
            "width": self.width,
        }

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return (B, A) intensities, meant for 0-5 and not clipped, of pictures (B, 3, H, W) in [-1, 1].

        Pictures of another size than `image_size` are resized first.
        """
        return self.look(images_BCHW)[0]

    def look(self, images_BCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what `forward` and `features` give, in one pass."""
        maps = self.features(images_BCHW)
        found_BA: Tensor = self.head(maps[-1])
        return found_BA.float(), maps

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return the maps (B, C_l, H_l, W_l) of the three stages, for losses that compare what pictures look like."""
        maps: list[Tensor] = self.trunk(resized(images_BCHW, self.image_size))
        return maps


def build_trunk(architecture: str, image_size: int, width: int | None) -> tuple[Any, int]:
    """Return a trunk and its width; raise ConfigurationError where there is no such one."""
    if architecture not in ARCHITECTURES:
        raise ConfigurationError(f"architecture {architecture!r}", expected=f"one of {sorted(ARCHITECTURES)}")
    if image_size % 16 or image_size < 32:
        raise ConfigurationError(f"image_size {image_size}", expected="a multiple of 16, 32 or more")
    width = ARCHITECTURES[architecture] if width is None else width
    if width < 1:
        raise ConfigurationError(f"width {width}", expected="1 or more")
    return trunk(architecture, width, image_size), width


def resized(images_BCHW: Tensor, size: int) -> Tensor:
    """Return pictures at another size: the mean of the pixels that one covers, or bilinear where it grows."""
    height, width = images_BCHW.shape[-2:]
    if (height, width) == (size, size):
        return images_BCHW
    if height % size == 0 and width % size == 0:
        return F.adaptive_avg_pool2d(images_BCHW, size)
    return F.interpolate(
        images_BCHW, size=(size, size), mode="bilinear", antialias=min(height, width) > size, align_corners=False
    )
