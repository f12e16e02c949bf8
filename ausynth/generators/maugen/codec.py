"""Pictures to latents and back, behind one interface."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ausynth.generators.maugen.config import MAUGenConfig

__all__ = ["AutoencoderCodec", "ImageCodec", "SpaceToDepth", "codec_of", "to_bytes", "to_signed"]


class ImageCodec(Protocol):
    """What a model denoises instead of pixels."""

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents (B, C, h, w) of pictures (B, 3, H, W) in [-1, 1]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return the pictures (B, 3, H, W) of latents, not clipped; gradients flow."""
        ...


class SpaceToDepth:
    """Moves each block of factor x factor pixels into the channels: nothing is lost, and nothing is learned.

    >>> codec = SpaceToDepth(4)
    >>> codec.encode(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 48, 16, 16])
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def encode(self, images: Tensor) -> Tensor:
        """Return (B, 3 factor^2, H / factor, W / factor)."""
        return F.pixel_unshuffle(images, self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        """Return (B, 3, H, W)."""
        return F.pixel_shuffle(latents, self.factor)


class AutoencoderCodec:
    """A frozen AutoencoderKL of diffusers, as Stable Diffusion uses it.

    Args:
        vae: the autoencoder.
    """

    def __init__(self, vae: Any) -> None:
        self.vae = vae.requires_grad_(False).eval()
        self.scale = float(vae.config.scaling_factor)

    def encode(self, images: Tensor) -> Tensor:
        """Return the mode of the latents' distribution, scaled: no draw, so that a picture has one latent."""
        with torch.no_grad():
            latents: Tensor = self.vae.encode(images.to(self.vae.dtype)).latent_dist.mode() * self.scale
        return latents.to(images.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Return (B, 3, H, W)."""
        images: Tensor = self.vae.decode((latents / self.scale).to(self.vae.dtype)).sample
        return images.to(latents.dtype)


def codec_of(config: MAUGenConfig, vae: Any | None = None) -> ImageCodec:
    """Return the codec that a configuration names; `vae` is the autoencoder where it names that."""
    if config.codec == "space-to-depth":
        return SpaceToDepth(config.factor)
    assert vae is not None  # whoever loads a pipeline with this codec loads its autoencoder
    return AutoencoderCodec(vae)


def to_signed(images_BHWC: Tensor) -> Tensor:
    """Return (B, H, W, 3) uint8 as (B, 3, H, W) float32 in [-1, 1]."""
    return images_BHWC.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(images_BCHW: Tensor) -> Tensor:
    """Return (B, 3, H, W) in [-1, 1] as (B, H, W, 3) uint8; what leaves the range is clipped."""
    return ((images_BCHW.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
