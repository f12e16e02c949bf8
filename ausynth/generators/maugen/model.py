"""The trained network: conditioner, UNet in two halves, label decoder, and the small encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ausynth.generators.maugen.cld import ConditionalLabelDecoder, Decoded
from ausynth.generators.maugen.conditioner import Conditioner
from ausynth.generators.maugen.config import MAUGenConfig
from ausynth.generators.maugen.identity import IdentityEncoder
from ausynth.generators.maugen.text_encoder import SmallText
from ausynth.generators.maugen.unet import build_unet, decode, encode, last_convolution, tap_channels
from ausynth.generators.maugen.wording import au_descriptions

__all__ = ["Denoised", "MAUGenModel"]


@dataclass(frozen=True)
class Denoised:
    """What one pass gives for B noisy latents.

    Attributes:
        prediction: (B, C, h, w): the clean latent or the noise, as `config.prediction` says.
        labels: what the label decoder reads.
    """

    prediction: Tensor
    labels: Decoded


class MAUGenModel(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """MRL, DIG with its label decoder, and the encoders that are trained along (eq. 1-8).

    >>> model = MAUGenModel(preset("mini", aus="disfa-8").to_json())  # doctest: +SKIP
    >>> model.num_parameters()  # doctest: +SKIP

    Args:
        architecture: what `MAUGenConfig.to_json` gives.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        config = MAUGenConfig.from_json(architecture)
        self.maugen = config
        self.unet = build_unet(config)
        channels = tap_channels(self.unet, config)
        self.conditioner = Conditioner(config, self.unet.time_embedding.linear_2.out_features)
        self.cld = ConditionalLabelDecoder(config, channels)
        self.identity_encoder = (
            IdentityEncoder(config.identity_width, config.identity_tokens, config.token_width)
            if config.identity
            else None
        )
        self.text_encoder = None
        if config.text == "small":
            self.text_encoder = SmallText(
                config.token_width,
                config.text_length,
                config.text_layers,
                config.text_buckets,
                condensed=config.text_tokens,
            )

    def start_queries(self, text_encoder: Any) -> None:
        """Begin the AU queries at the encoder's embeddings of the AUs' descriptions, if the configuration says so."""
        if not self.maugen.text_queries:
            return
        with torch.no_grad():
            self.cld.start_from(text_encoder(text_encoder.tokenize(au_descriptions(self.maugen.aus)))[1])

    @property
    def last_mrl_weight(self) -> nn.Parameter:
        """Return the weight at which gradient norms of losses are compared (eq. 11)."""
        return last_convolution(self.unet)

    def identify(self, exemplars_BCHW: Tensor) -> Tensor | None:
        """Return C_ID (B, T, D) of pictures (B, 3, H, W) in [-1, 1]; None where the model knows no identity."""
        if self.identity_encoder is None:
            return None
        tokens: Tensor = self.identity_encoder(exemplars_BCHW)
        return tokens

    def forward(
        self,
        sample: Tensor,
        time: Tensor,
        *,
        text: Tensor,
        intensity: Tensor,
        c_au: Tensor,
        identity: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Denoised:
        """Denoise once, and read the labels.

        Args:
            sample: (B, C, h, w) noisy latents; with `inpaint`, then the mask (1 where to paint) and the masked latents.
            time: (B,), 0-1000.
            text: C_T (B, L, D).
            intensity: (B, A), 0-5, NaN where dropped or not known.
            c_au: C_AU (B, A, D) of the step before; no gradient flows into it.
            identity: C_ID (B, T, D), or None for nobody in particular.
            known: (B,) bool, False where `identity` is dropped.
        """
        joint = self.conditioner(text, identity, known, intensity, c_au)
        latent = encode(self.unet, sample, time, joint)
        prediction, taps = decode(self.unet, latent, joint, self.maugen.taps)
        return Denoised(prediction, self.cld(taps, joint.identity, joint.text))

    def next_c_au(self, c_au: Tensor, queries: Tensor, keep: float | Tensor | None = None) -> Tensor:
        """Return C_AU for the next step: an EMA of the label decoder's queries over steps, detached (eq. 4).

        Args:
            c_au: (B, A, D) of the step before.
            queries: (B, A, D) of this step.
            keep: what remains of `c_au`; default `config.query_ema`.
        """
        if not self.maugen.mutual_conditioning:
            return c_au.detach()
        kept = self.maugen.query_ema if keep is None else keep
        return (kept * c_au + (1 - kept) * queries).detach()

    @torch.no_grad()
    def first_c_au(self, text_encoder: Any, count: int) -> Tensor:
        """Return C_AU(0) (B, A, D), detached: text embeddings of the AUs' descriptions, the same for all `count`."""
        tokens = text_encoder.tokenize(au_descriptions(self.maugen.aus)).to(self.device)
        embedded: Tensor = text_encoder(tokens)[1]
        return embedded.to(self.device).expand(count, -1, -1)

    def describe_parts(self) -> Sequence[tuple[str, int]]:
        """Return the name of each part and its number of parameters."""
        return [(name, sum(p.numel() for p in part.parameters())) for name, part in self.named_children()]
