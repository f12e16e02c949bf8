"""Identity Decoupling Module: takes what belongs to the person out of the features that labels are read from."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ausynth.generators.maugen.blocks import mlp
from ausynth.generators.maugen.config import Mask

__all__ = ["IdentityDecoupling", "decoupled", "modulation_mask", "residual_filter"]


def modulation_mask(identity_BD: Tensor, keys_BND: Tensor) -> Tensor:
    """Return M = 1 - sigmoid(MLP(C_ID) K^T), eq. 6.

    Args:
        identity_BD: the projected identity, MLP_MM(C_ID).
        keys_BND: K of N feature tokens.

    Returns:
        (B, N), each in (0, 1): small where a key resembles the identity.
    """
    return 1 - torch.sigmoid(torch.einsum("bd,bnd->bn", identity_BD, keys_BND))


def residual_filter(features_BND: Tensor, identity_BD: Tensor) -> Tensor:
    """Return z - <z, C> C with C = Norm(MLP_RF(C_ID)), eq. 7: what is left of z beside the identity's direction.

    Args:
        features_BND: z.
        identity_BD: MLP_RF(C_ID), of any length.
    """
    unit_B1D = F.normalize(identity_BD, dim=-1)[:, None]
    return features_BND - (features_BND * unit_B1D).sum(-1, keepdim=True) * unit_B1D


def decoupled(query_BND: Tensor, key_BND: Tensor, value_BND: Tensor, mask_BN: Tensor | None, kind: Mask) -> Tensor:
    """Return the attention of eq. 8, before the residual and the layer norm.

    "logit" is softmax(Q K^T / sqrt(d) * M) V as printed: since M has one value a key, that is attention over K * M.
    "weight" multiplies the weights after the softmax and renormalises them: attention with log M added to the logits.

    Args:
        query_BND, key_BND, value_BND: projections of z.
        mask_BN: M, or None for plain attention.
        kind: which of the two.
    """
    bias = None
    if mask_BN is not None and kind == "logit":
        key_BND = key_BND * mask_BN[..., None]
    elif mask_BN is not None:
        bias = mask_BN.clamp_min(torch.finfo(torch.float32).tiny).log()[:, None].to(query_BND.dtype)
    return F.scaled_dot_product_attention(
        query_BND, key_BND, value_BND, attn_mask=bias, scale=1 / math.sqrt(query_BND.shape[-1])
    )


class IdentityDecoupling(nn.Module):
    """Eq. 6-8 on the tokens of one tap: z' = LN(softmax(Q K^T / sqrt(d) * M) V + z_res).

    [C] Q, K and V are projections of z, and C_ID is the mean of the identity's tokens. Without its two mechanisms it is
    one layer of plain self-attention.

    Args:
        width: D, of features and of identity tokens.
        masked: whether to use the modulation mask (eq. 6).
        filtered: whether to use the residual filter (eq. 7).
        kind: how the mask is applied.
    """

    def __init__(self, width: int, *, masked: bool, filtered: bool, kind: Mask) -> None:
        super().__init__()
        self.kind = kind
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.mlp_mm = mlp(width, width, width) if masked else None
        self.mlp_rf = mlp(width, width, width) if filtered else None

    def forward(self, features_BND: Tensor, identity_BTD: Tensor | None) -> Tensor:
        """Return the features without the identity, (B, N, D).

        Args:
            features_BND: z, N tokens of one tap.
            identity_BTD: C_ID, T tokens; None only where neither mechanism is used.
        """
        query_BND, key_BND, value_BND = self.to_qkv(features_BND).chunk(3, dim=-1)
        mask_BN, rest_BND = None, features_BND
        if identity_BTD is not None:
            identity_BD = identity_BTD.mean(1)
            if self.mlp_mm is not None:
                mask_BN = modulation_mask(self.mlp_mm(identity_BD), key_BND)
            if self.mlp_rf is not None:
                rest_BND = residual_filter(features_BND, self.mlp_rf(identity_BD))
        purified: Tensor = self.norm(decoupled(query_BND, key_BND, value_BND, mask_BN, self.kind) + rest_BND)
        return purified
