"""What a MAUGen model is made of: one frozen configuration, and its presets. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

from ausynth import facs
from ausynth.errors import ConfigurationError

__all__ = ["PARTS", "PRESETS", "MAUGenConfig", "Mask", "preset"]

Mask = Literal["logit", "weight"]
Codec = Literal["space-to-depth", "autoencoder"]
Text = Literal["small", "clip"]
Prediction = Literal["x0", "epsilon"]

PARTS: Final = (
    "identity",
    "modulation_mask",
    "residual_filter",
    "mutual_conditioning",
    "text_queries",
    "lgfe",
    "au_tokens",
    "pooled",
)
"""The parts that can be switched off, in the order of the paper's ablation (table 3), then two of our own."""


@dataclass(frozen=True)
class MAUGenConfig:
    """The architecture of a model; whatever is trained into its weights follows from this.

    >>> MAUGenConfig(lgfe=False).lgfe
    False
    >>> MAUGenConfig.from_json(preset("mini", aus="disfa-12").to_json()).aus == ausynth.facs.DISFA_12
    True

    Attributes:
        aus: the A action units it controls and reads.
        image_size: height and width of its pictures in pixels.
        codec: how pictures become latents: "space-to-depth" moves pixels into channels, "autoencoder" is a KL
            autoencoder of diffusers.
        factor: pixels of a picture to one of its latent, in each direction.
        latent_channels: of a latent; 3 factor^2 for space-to-depth.
        prediction: "x0" for flow matching with a loss on the velocity, "epsilon" for DDPM (eq. 10 as printed).
        widths: channels at each resolution of the UNet, finest first.
        layers: residual blocks at each resolution.
        heads: attention heads in the UNet.
        groups: of the UNet's group norms. With few channels a group, a norm takes out again what the time embedding has
            added to each channel: a UNet this narrow wants fewer groups than the usual 32.
        plain_levels: how many of the coarsest resolutions have no cross-attention.
        plain_fine: how many of the finest have none: there attention costs most, and conditions come in by the time
            embedding.
        scale_shift: whether the time embedding scales and shifts the channels (as in FiLM); else it is added to them.
        unet: a whole configuration of diffusers' UNet2DConditionModel instead of these; its input and
            output channels follow from this configuration all the same.
        token_width: of condition tokens and AU queries (`cross_attention_dim`).
        text: "small" is our own encoder, trained along; "clip" one of transformers, frozen.
        text_length: tokens of a prompt.
        text_tokens: to how many tokens the small encoder condenses a prompt; None leaves one for each word.
        text_layers, text_buckets: layers and embedding rows of the small encoder.
        identity_tokens: how many tokens a face becomes.
        identity_width: channels of the identity encoder's first layer.
        inpaint: whether the input also carries a mask and the masked picture (9 channels at SD size).
        cld_heads: attention heads in the label decoder.
        taps: up blocks of the UNet that the label decoder reads, one decoder layer each.
        tap_size: [C] features are averaged down to at most this height and width before the label decoder reads them.
        mask: [C] "logit" multiplies the attention logits by the modulation mask, as eq. 8 is printed; "weight" the
            weights after the softmax, renormalised.
        query_ema: [C] what remains of C_AU from one denoising step to the next.
        identity: condition on an exemplar of the person.
        modulation_mask: eq. 6.
        residual_filter: eq. 7.
        mutual_conditioning: the label decoder's queries condition the next step (eq. 3-4); else C_AU stays C_AU(0).
        text_queries: AU queries begin as text embeddings of the AUs' descriptions; else as noise.
        lgfe: AU queries read the prompt (Language-Guided Feature Enhancer).
        au_tokens: [C] the AU tokens carry the intensities asked for, beside C_AU; else only the prompt does.
        pooled: [C] identity and AU tokens also enter the time embedding, pooled.

    Raises:
        ConfigurationError: values that do not fit each other.
    """

    aus: tuple[int, ...] = facs.UNION_17
    image_size: int = 64
    codec: Codec = "space-to-depth"
    factor: int = 4
    latent_channels: int = 48
    prediction: Prediction = "x0"
    widths: tuple[int, ...] = (64, 96, 128)
    layers: int = 1
    heads: int = 4
    groups: int = 8
    plain_levels: int = 0
    plain_fine: int = 0
    scale_shift: bool = False
    unet: Mapping[str, Any] | None = None
    token_width: int = 128
    text: Text = "small"
    text_length: int = 96
    text_tokens: int | None = None
    text_layers: int = 2
    text_buckets: int = 1024
    identity_tokens: int = 4
    identity_width: int = 24
    inpaint: bool = False
    cld_heads: int = 4
    taps: tuple[int, ...] = (0, 1, 2)
    tap_size: int = 16
    mask: Mask = "logit"
    query_ema: float = 0.9
    identity: bool = True
    modulation_mask: bool = True
    residual_filter: bool = True
    mutual_conditioning: bool = True
    text_queries: bool = True
    lgfe: bool = True
    au_tokens: bool = True
    pooled: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "aus", facs.label_space(self.aus))
        for name in ("widths", "taps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, known in (("codec", Codec), ("text", Text), ("prediction", Prediction), ("mask", Mask)):
            value = getattr(self, name)
            if value not in get_args(known):
                raise ConfigurationError(f"{name}={value!r}", expected=f"one of {list(get_args(known))}")
        levels = len(self.unet["block_out_channels"]) if self.unet else len(self.widths)
        step = self.factor * 2 ** (levels - 1)
        if self.image_size < step or self.image_size % step:
            raise ConfigurationError(
                f"image_size={self.image_size} with {levels} resolutions and {self.factor} pixels to a latent pixel",
                expected=f"a multiple of {step}",
            )
        if self.codec == "space-to-depth" and self.latent_channels != 3 * self.factor**2:
            raise ConfigurationError(
                f"latent_channels={self.latent_channels} with space-to-depth {self.factor}",
                expected=f"{3 * self.factor**2}: three colours of each pixel",
            )
        if self.unet is None and not 0 < levels - self.plain_fine - self.plain_levels <= levels:
            raise ConfigurationError(
                f"plain_fine={self.plain_fine} and plain_levels={self.plain_levels} of {levels} resolutions",
                expected="at least one resolution between them, with cross-attention",
            )
        if not self.taps or not all(0 <= tap < levels for tap in self.taps):
            raise ConfigurationError(f"taps={self.taps}", expected=f"up blocks 0 to {levels - 1}, at least one")
        if self.token_width % self.cld_heads:
            raise ConfigurationError(
                f"token_width={self.token_width}", expected=f"a multiple of {self.cld_heads} heads"
            )
        if not 0 <= self.query_ema < 1:
            raise ConfigurationError(f"query_ema={self.query_ema}", expected="0 or more, below 1")
        if not self.identity and (self.modulation_mask or self.residual_filter):
            raise ConfigurationError(
                "identity=False with a modulation mask or residual filter",
                expected="neither: they remove an identity from the label's features that the model then does not have",
                do="give modulation_mask=False and residual_filter=False as well",
            )

    @property
    def latent_size(self) -> int:
        """Return the height and width of a latent."""
        return self.image_size // self.factor

    @property
    def in_channels(self) -> int:
        """Return the channels of the UNet's input: the latent, and where it inpaints a mask and the masked latent."""
        return 2 * self.latent_channels + 1 if self.inpaint else self.latent_channels

    def replace(self, **changes: Any) -> MAUGenConfig:
        """Return a copy with some fields changed.

        Raises:
            ConfigurationError: a field it does not have, or values that do not fit.
        """
        unknown = sorted(set(changes) - {field.name for field in fields(self)})
        if unknown:
            raise ConfigurationError(
                f"a MAUGen configuration has no {', '.join(unknown)}",
                expected=f"some of {[field.name for field in fields(self)]}",
            )
        return dataclasses.replace(self, **changes)

    def without(self, part: str) -> MAUGenConfig:
        """Return the configuration with one of `PARTS` switched off, and what cannot be without it."""
        if part not in PARTS:
            raise ConfigurationError(f"unknown part {part!r}", expected=f"one of {list(PARTS)}")
        needs = ("modulation_mask", "residual_filter") if part == "identity" else ()
        return self.replace(**dict.fromkeys((part, *needs), False))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        facts["unet"] = None if self.unet is None else dict(self.unet)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> MAUGenConfig:
        """Return the configuration that `to_json` described.

        Raises:
            ConfigurationError: fields that this version does not know.
        """
        return cls().replace(**facts)


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "mini": {
        "widths": (96, 128, 160),
        "plain_fine": 1,
        "scale_shift": True,
        "text_layers": 1,
        "text_tokens": 8,
        "tap_size": 8,
    },
    "mini-112": {
        "image_size": 112,
        "widths": (128, 192, 192),
        "scale_shift": True,
        "text_layers": 1,
        "text_tokens": 8,
    },
    "sd15": {
        "image_size": 512,
        "codec": "autoencoder",
        "factor": 8,
        "latent_channels": 4,
        "prediction": "epsilon",
        "widths": (320, 640, 1280, 1280),
        "layers": 2,
        "heads": 8,
        "groups": 32,
        "plain_levels": 1,
        "token_width": 768,
        "text": "clip",
        "text_length": 77,
        "identity_tokens": 4,
        "identity_width": 64,
        "inpaint": True,
        "cld_heads": 8,
        "taps": (1, 2, 3),
    },
}
"""`mini` trains and runs on a CPU, `mini-112` wants a GPU, `sd15` is Stable Diffusion 1.5 in its inpainting shape."""


def preset(name: str, *, aus: str | Iterable[int] | None = None, **changes: Any) -> MAUGenConfig:
    """Return a preset, with some fields changed.

    >>> preset("sd15").in_channels
    9

    Args:
        name: one of `PRESETS`.
        aus: the label space; default all 17 action units of DISFA and BP4D.
        changes: fields of `MAUGenConfig`.

    Raises:
        ConfigurationError: an unknown preset or field.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"unknown preset {name!r}", expected=f"one of {list(PRESETS)}")
    space = {} if aus is None else {"aus": facs.label_space(aus)}
    return MAUGenConfig().replace(**{**PRESETS[name], **space, **changes})
