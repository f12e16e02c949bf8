"""C_cond = [C_T, C_ID, C_AU]: the joint condition tokens, and what stands for a condition that is dropped."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ausynth.generators.maugen.config import MAUGenConfig

__all__ = ["Conditioner", "Joint"]


@dataclass(frozen=True)
class Joint:
    """Conditions of B pictures.

    Attributes:
        tokens: (B, L + T + A, D): text, identity, AUs, in this order.
        pooled: (B, E), added to the time embedding; None where the model does without.
        text: (B, L, D), for the label decoder's LGFE.
        identity: C_ID (B, T, D), for its IDMs; None where the model knows no identity.
    """

    tokens: Tensor
    pooled: Tensor | None
    text: Tensor
    identity: Tensor | None


class Conditioner(nn.Module):
    """Puts the condition tokens together.

    [C] The token of an AU is direction x intensity / 5 + position + C_AU: one token an AU, so that attention can tell
    them apart. An intensity that is not known, or dropped, is NaN, and has a learned token of its own.

    Args:
        config: of the model.
        time_width: E, of the time embedding.
    """

    def __init__(self, config: MAUGenConfig, time_width: int) -> None:
        super().__init__()
        width, count = config.token_width, len(config.aus)
        self.positions = nn.Parameter(torch.randn(count, width) * 0.5)
        self.from_queries = nn.Linear(width, width)
        self.directions = nn.Parameter(torch.randn(count, width)) if config.au_tokens else None
        self.unknown = nn.Parameter(torch.randn(count, width) * 0.1) if config.au_tokens else None
        self.no_identity = nn.Parameter(torch.randn(config.identity_tokens, width) * 0.1) if config.identity else None
        self.to_time = nn.Linear(2 * width, time_width) if config.pooled else None
        if self.to_time is not None:
            nn.init.zeros_(self.to_time.weight)
            nn.init.zeros_(self.to_time.bias)

    def forward(
        self,
        text_BLD: Tensor,
        identity_BTD: Tensor | None,
        known_B: Tensor | None,
        intensity_BA: Tensor,
        c_au_BAD: Tensor,
    ) -> Joint:
        """Return the joint condition.

        Args:
            text_BLD: C_T.
            identity_BTD: C_ID; None drops all.
            known_B: bool, False where C_ID is dropped; None drops none.
            intensity_BA: 0-5, NaN where an AU is dropped or not known.
            c_au_BAD: C_AU of the step before. It is detached here: no gradient runs back through the steps.
        """
        strength_BAD = torch.zeros_like(c_au_BAD)
        if self.directions is not None and self.unknown is not None:
            known_BA1 = ~intensity_BA.isnan()[..., None]
            scaled_BA1 = (intensity_BA.nan_to_num(0) / 5)[..., None]
            strength_BAD = torch.where(known_BA1, scaled_BA1 * self.directions, self.unknown)
        au_BAD = strength_BAD + self.positions + self.from_queries(c_au_BAD.detach())
        parts = [text_BLD, au_BAD]
        if self.no_identity is None:
            identity_BTD = None
        elif identity_BTD is None:
            identity_BTD = self.no_identity.expand(len(text_BLD), -1, -1)
        elif known_B is not None:
            identity_BTD = torch.where(known_B[:, None, None], identity_BTD, self.no_identity)
        if identity_BTD is not None:
            parts.insert(1, identity_BTD)
        pooled_BE = None
        if self.to_time is not None:
            person_BD = torch.zeros_like(au_BAD[:, 0]) if identity_BTD is None else identity_BTD.mean(1)
            pooled_BE = self.to_time(torch.cat([person_BD, strength_BAD.mean(1)], dim=-1))
        return Joint(torch.cat(parts, dim=1), pooled_BE, text_BLD, identity_BTD)
