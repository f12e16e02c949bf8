"""Conditional Label Decoder: AU queries read the features of the up path, and become labels and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ausynth.generators.maugen.blocks import Attention, mlp
from ausynth.generators.maugen.config import MAUGenConfig
from ausynth.generators.maugen.idm import IdentityDecoupling

__all__ = ["ConditionalLabelDecoder", "Decoded", "LanguageGuidedEnhancer"]


@dataclass(frozen=True)
class Decoded:
    """What the label decoder says of B pictures.

    Attributes:
        logits: (B, A) of the occurrence.
        intensity: (B, A), meant for 0-5, not clipped.
        queries: (B, A, D) of the last layer: what becomes C_AU.
    """

    logits: Tensor
    intensity: Tensor
    queries: Tensor


class LanguageGuidedEnhancer(nn.Module):
    """LGFE: self-attention over the prompt's tokens, then cross-attention by which AU queries read them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.text_norm, self.query_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width)
        self.read_text, self.read_queries = Attention(width, heads), Attention(width, heads)

    def forward(self, queries_BAD: Tensor, text_BLD: Tensor) -> Tensor:
        """Return the queries (B, A, D) after they have read the L tokens of the prompt."""
        text_BLD = text_BLD + self.read_text(self.text_norm(text_BLD))
        enhanced: Tensor = queries_BAD + self.read_queries(self.query_norm(queries_BAD), self.context_norm(text_BLD))
        return enhanced


class _Layer(nn.Module):
    """One layer: IDM on a tap's features, LGFE on the queries, then the queries' update."""

    def __init__(self, config: MAUGenConfig, channels: int) -> None:
        super().__init__()
        width, heads = config.token_width, config.cld_heads
        self.size = config.tap_size
        self.to_tokens = nn.Linear(channels, width)
        largest = min(config.tap_size, config.latent_size)
        self.place = nn.Parameter(torch.randn(1, width, largest, largest) * 0.02)
        self.idm = IdentityDecoupling(
            width, masked=config.modulation_mask, filtered=config.residual_filter, kind=config.mask
        )
        self.lgfe = LanguageGuidedEnhancer(width, heads) if config.lgfe else None
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.among, self.across = Attention(width, heads), Attention(width, heads)
        self.forward_net = mlp(width, 2 * width, width)

    def forward(
        self, queries_BAD: Tensor, features_BCHW: Tensor, identity_BTD: Tensor | None, text_BLD: Tensor
    ) -> Tensor:
        height = min(self.size, features_BCHW.shape[-1])
        if features_BCHW.shape[-1] > height:
            features_BCHW = F.adaptive_avg_pool2d(features_BCHW, height)
        place: Tensor = self.place
        if place.shape[-1] != height:
            place = F.interpolate(place, size=(height, height), mode="bilinear")
        features_BND = self.to_tokens(features_BCHW.flatten(2).mT) + place.flatten(2).mT
        purified_BND = self.idm(features_BND, identity_BTD)
        if self.lgfe is not None:
            queries_BAD = self.lgfe(queries_BAD, text_BLD)
        queries_BAD = queries_BAD + self.among(self.norms[0](queries_BAD))
        queries_BAD = queries_BAD + self.across(self.norms[1](queries_BAD), purified_BND)
        updated: Tensor = queries_BAD + self.forward_net(self.norms[2](queries_BAD))
        return updated


class ConditionalLabelDecoder(nn.Module):
    """A Transformer decoder with one query per AU and two heads per AU: is it there, and how strongly.

    Args:
        config: of the model.
        channels: of each of its taps.
    """

    def __init__(self, config: MAUGenConfig, channels: Sequence[int]) -> None:
        super().__init__()
        width, count = config.token_width, len(config.aus)
        self.queries = nn.Parameter(torch.randn(count, width) * 0.5)
        self.layers = nn.ModuleList([_Layer(config, each) for each in channels])
        self.norm = nn.LayerNorm(width)
        self.occurrence, self.intensity = mlp(width, width, 1), mlp(width, width, 1)

    def start_from(self, text_AD: Tensor) -> None:
        """Begin the learnable queries at the text embeddings of the AUs' descriptions (A, D)."""
        with torch.no_grad():
            self.queries.copy_(text_AD.to(self.queries))

    def forward(self, taps: Sequence[Tensor], identity_BTD: Tensor | None, text_BLD: Tensor) -> Decoded:
        """Read the labels.

        Args:
            taps: (B, C, H, W) features of the up path, one for each layer.
            identity_BTD: C_ID, or None where the model knows no identity.
            text_BLD: the prompt's tokens.
        """
        queries_BAD = self.queries.expand(len(text_BLD), -1, -1)
        for layer, features_BCHW in zip(self.layers, taps, strict=True):
            queries_BAD = layer(queries_BAD, features_BCHW, identity_BTD, text_BLD)
        queries_BAD = self.norm(queries_BAD)
        return Decoded(self.occurrence(queries_BAD)[..., 0], self.intensity(queries_BAD)[..., 0], queries_BAD)
