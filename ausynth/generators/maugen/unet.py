"""The denoising UNet, run in two halves: the down path is MRL, the up path DIG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ausynth.generators.maugen.conditioner import Joint
from ausynth.generators.maugen.config import MAUGenConfig

__all__ = ["Latent", "build_unet", "decode", "encode", "last_convolution", "tap_channels"]


@dataclass(frozen=True)
class Latent:
    """f_joint, the joint latent representation (eq. 1), and what the up path needs beside it.

    Attributes:
        joint: (B, C, h, w) after the bottleneck.
        skips: of the down path, finest first.
        time: (B, E) embedding of the time step and the pooled conditions.
    """

    joint: Tensor
    skips: tuple[Tensor, ...]
    time: Tensor


def build_unet(config: MAUGenConfig) -> Any:
    """Return diffusers' UNet2DConditionModel with fresh weights."""
    from diffusers import UNet2DConditionModel

    channels = {"in_channels": config.in_channels, "out_channels": config.latent_channels}
    if config.unet is not None:
        facts = {name: value for name, value in config.unet.items() if not name.startswith("_")}
        return UNet2DConditionModel.from_config({**facts, **channels, "cross_attention_dim": config.token_width})
    fine, coarse = config.plain_fine, config.plain_levels
    attentive = len(config.widths) - fine - coarse
    down = ["DownBlock2D"] * fine + ["CrossAttnDownBlock2D"] * attentive + ["DownBlock2D"] * coarse
    up = ["UpBlock2D"] * coarse + ["CrossAttnUpBlock2D"] * attentive + ["UpBlock2D"] * fine
    return UNet2DConditionModel(
        sample_size=config.latent_size,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        attention_head_dim=config.heads,  # diffusers' name for the number of heads
        cross_attention_dim=config.token_width,
        norm_num_groups=config.groups,
        resnet_time_scale_shift="scale_shift" if config.scale_shift else "default",
        **channels,
    )


def tap_channels(unet: Any, config: MAUGenConfig) -> list[int]:
    """Return the channels that each of the configuration's taps gives."""
    widths = list(reversed(unet.config.block_out_channels))
    return [widths[tap] for tap in config.taps]


def last_convolution(unet: Any) -> nn.Parameter:
    """Return the weight of MRL's last convolution, at which gradient norms are compared (eq. 11).

    [C] MRL is the down path and the bottleneck, whose result is the joint representation.
    """
    weight: nn.Parameter = unet.mid_block.resnets[-1].conv2.weight
    return weight


def encode(unet: Any, sample_BCHW: Tensor, time_B: Tensor, joint: Joint) -> Latent:
    """MRL (eq. 1): the down path, cross-attending to the joint condition.

    Args:
        unet: a UNet2DConditionModel.
        sample_BCHW: the noisy latent, and where the model inpaints the mask and the masked latent behind it.
        time_B: time steps, 0-1000.
        joint: the conditions.
    """
    embedded_BE = unet.time_embedding(unet.get_time_embed(sample=sample_BCHW, timestep=time_B))
    if joint.pooled is not None:
        embedded_BE = embedded_BE + joint.pooled
    hidden = unet.conv_in(sample_BCHW)
    skips: tuple[Tensor, ...] = (hidden,)
    for block in unet.down_blocks:
        if getattr(block, "has_cross_attention", False):
            hidden, more = block(hidden_states=hidden, temb=embedded_BE, encoder_hidden_states=joint.tokens)
        else:
            hidden, more = block(hidden_states=hidden, temb=embedded_BE)
        skips += more
    hidden = unet.mid_block(hidden, embedded_BE, encoder_hidden_states=joint.tokens)
    return Latent(hidden, skips, embedded_BE)


def decode(unet: Any, latent: Latent, joint: Joint, taps: tuple[int, ...]) -> tuple[Tensor, list[Tensor]]:
    """DIG's image branch (eq. 2, 5): the up path.

    Returns:
        The prediction (B, C, H, W), and the features z^(l) of the up blocks `taps`.
    """
    hidden, skips, features = latent.joint, latent.skips, []
    for block in unet.up_blocks:
        count = len(block.resnets)
        skips, own = skips[:-count], skips[-count:]
        options: dict[str, Any] = {"temb": latent.time, "res_hidden_states_tuple": own}
        if getattr(block, "has_cross_attention", False):
            options["encoder_hidden_states"] = joint.tokens
        hidden = block(hidden_states=hidden, **options)
        features.append(hidden)
    hidden = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
    return hidden, [features[tap] for tap in taps]


def widen_input(weight_OIHW: Tensor, channels: int) -> Tensor:
    """Return a first convolution's weight for more input channels: the new ones are 0, so its answers stay."""
    out, into, *kernel = weight_OIHW.shape
    wide = torch.zeros(out, channels, *kernel, dtype=weight_OIHW.dtype)
    wide[:, :into] = weight_OIHW
    return wide
