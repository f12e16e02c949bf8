"""What a configuration costs, counted without computing anything."""

from __future__ import annotations

import torch

from ausynth.generators.maugen.config import MAUGenConfig
from ausynth.generators.maugen.model import MAUGenModel

__all__ = ["flops_of_pass", "passes_of_picture"]


def flops_of_pass(config: MAUGenConfig) -> int:
    """Return the floating-point operations of one pass of the UNet and the label decoder for one picture.

    A multiplication and an addition count as two. Encoders and autoencoder, which run once a picture, are not counted.

    >>> round(flops_of_pass(MAUGenConfig()) / 1e9, 1)
    1.1
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = MAUGenModel(config.to_json()).requires_grad_(False)  # the counter does not expect gradients
        width, size = config.token_width, config.latent_size
        sample, time = torch.empty(1, config.in_channels, size, size), torch.empty(1)
        conditions = {
            "text": torch.empty(1, config.text_tokens or config.text_length, width),
            "intensity": torch.empty(1, len(config.aus)),
            "c_au": torch.empty(1, len(config.aus), width),
            "identity": torch.empty(1, config.identity_tokens, width) if config.identity else None,
        }
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(sample, time, **conditions)
    return int(counter.get_total_flops())


def passes_of_picture(steps: int, guidance: float, readings: int) -> int:
    """Return how many passes a picture and its label take.

    >>> passes_of_picture(8, 2.0, 2)
    18
    """
    return steps * (1 if guidance == 1 else 2) + readings
