"""One training step's forward half: a batch of labelled faces in, the losses out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ausynth.generators.maugen import losses
from ausynth.generators.maugen.codec import ImageCodec, to_signed
from ausynth.generators.maugen.dropping import Dropping
from ausynth.generators.maugen.model import MAUGenModel
from ausynth.generators.maugen.process import Process
from ausynth.labels import DEFAULT_THRESHOLD

__all__ = ["Auxiliaries", "Critic", "Draws", "Objective"]

_UNIFORMS: Final = 8
_SHIFT: Final = 2
_GRAIN: Final = 0.1


class Critic(Protocol):
    """A differentiable AU detector."""

    def look(self, images: Tensor, /) -> tuple[Tensor, Sequence[Tensor]]:
        """Return intensities (B, A) of pictures (B, 3, H, W) in [-1, 1], and feature maps (B, C, h, w) of them."""
        ...


@dataclass(frozen=True)
class Auxiliaries:
    """Networks that judge generated pictures (B, 3, H, W) in [-1, 1]; a loss whose networks are missing is left out.

    Attributes:
        detectors: each gives (B, A) intensities 0-5, NaN for an AU that it does not know.
        realism: gives (B,) probabilities that a picture is real.
        identity: gives (B, D) face embeddings.
        image_embedding: gives (B, D) embeddings of a CLIP-like encoder.
        text_embedding: gives (B, D) embeddings of what `TextEncoder.tokenize` made, from the same encoder.
        critics: detectors that also give feature maps: of each step's estimates one of them, in turn by
            chance, reads the expression and compares features with those of the true pictures, at all times.
        below: [C] for the other losses pictures are judged at times below this only, where the estimate is a picture.
    """

    detectors: tuple[Callable[[Tensor], Tensor], ...] = ()
    critics: tuple[Critic, ...] = ()
    realism: Callable[[Tensor], Tensor] | None = None
    identity: Callable[[Tensor], Tensor] | None = None
    image_embedding: Callable[[Tensor], Tensor] | None = None
    text_embedding: Callable[[Tensor], Tensor] | None = None
    below: float = 0.3

    @property
    def losses(self) -> tuple[str, ...]:
        """Return the names of the losses on pictures that there are networks for."""
        said = self.image_embedding is not None and self.text_embedding is not None
        there = {
            "image_label": bool(self.detectors),
            "identity": self.identity is not None,
            "text_image": said,
            "expression": bool(self.critics),
            "features": bool(self.critics),
        }
        return tuple(name for name, is_there in there.items() if is_there)


@dataclass(frozen=True)
class Draws:
    """All that is random in one step, a function of a seed.

    Attributes:
        noise: (B, C, h, w).
        uniform: (B, 8).
        self_condition: whether a first pass gives the queries that condition the second.
    """

    noise: Tensor
    uniform: Tensor
    self_condition: bool

    @classmethod
    def of(cls, seed: int, shape: tuple[int, ...], device: torch.device, *, share: float = 0.5) -> Draws:
        """Return the draws of a seed for latents of this shape; `share` of seeds have a first pass."""
        source = torch.Generator().manual_seed(seed)
        noise = torch.randn(shape, generator=source)
        uniform = torch.rand(shape[0], _UNIFORMS, generator=source)
        first = bool(torch.rand((), generator=source) < share)
        return cls(noise.to(device), uniform.to(device), first)


@dataclass(frozen=True)
class Wired:
    """What a model runs with, and is not part of it.

    Attributes:
        codec: of its latents.
        text: its text encoder; the model's own, where it has one.
        process: how noise comes in.
    """

    codec: ImageCodec
    text: Any
    process: Process


@dataclass(frozen=True)
class _Options:
    dropping: Dropping = field(default_factory=Dropping)
    auxiliaries: Auxiliaries = field(default_factory=Auxiliaries)


class Objective(nn.Module):
    """The losses of a batch.

    [C] Mutual conditioning is trained as self-conditioning: where the draws say so, a first pass without gradients
    gives the queries that are mixed into C_AU for the second, in a random share, since in sampling that grows from step
    to step.

    Args:
        model: to be trained.
        wired: what it runs with.
        dropping: how often conditions are dropped.
        auxiliaries: networks for losses on pictures.
    """

    def __init__(
        self,
        model: MAUGenModel,
        wired: Wired,
        *,
        dropping: Dropping | None = None,
        auxiliaries: Auxiliaries | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        # Held where torch does not look: frozen networks are not part of what is trained and saved.
        self._wired = (wired, _Options(dropping or Dropping(), auxiliaries or Auxiliaries()))

    def forward(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Return each loss by name.

        Args:
            batch: `images` and `exemplars` (B, H, W, 3) uint8; `has_exemplar` (B,) bool; `intensity` and `occurrence`
                (B, A), NaN where not known; `tokens` of the prompts; `mask` (B, 1, H, W) in [0, 1] where the face is
                (all, where it is missing); `keep_background` (B,) bool, whether what lies outside the mask is shown to
                an inpainting model.
            draws: of this step.
        """
        wired, options = self._wired
        model, config = self.model, self.model.maugen
        clean = wired.codec.encode(to_signed(batch["images"]))
        count = len(clean)
        times = wired.process.draw_times(draws.uniform[:, 0])
        noisy = wired.process.add_noise(clean, draws.noise, times)
        drops = options.dropping.draw(draws.uniform[:, 1:6], times)
        mask = _latent_mask(batch.get("mask"), config.latent_size)

        empty = wired.text.tokenize([""]).to(clean.device)
        dropped = drops.text.view(-1, *[1] * (batch["tokens"].ndim - 1))
        text, _ = wired.text(torch.where(dropped, empty, batch["tokens"]))
        exemplars = to_signed(batch["exemplars"])
        conditions: dict[str, Any] = {
            "text": text,
            "intensity": batch["intensity"].masked_fill(drops.aus[:, None], float("nan")),
            "identity": model.identify(exemplars),
            "known": batch["has_exemplar"] & ~drops.identity,
        }
        sample = noisy
        if config.inpaint:
            sample = torch.cat([noisy, *self._background(batch, clean, mask)], dim=1)
        steps = wired.process.steps(times)
        c_au = model.first_c_au(wired.text, count)
        if draws.self_condition and config.mutual_conditioning:
            with torch.no_grad():
                queries = model(sample, steps, c_au=c_au, **conditions).labels.queries
            c_au = model.next_c_au(c_au, queries, draws.uniform[:, 6, None, None])
        out = model(sample, steps, c_au=c_au, **conditions)

        prediction = out.prediction.float()
        found = {
            "denoise": losses.masked_denoising_loss(
                wired.process.output(prediction, noisy, times),
                wired.process.target(clean, draws.noise, noisy, times),
                wired.process.importance(times)[:, None, None, None] * (1 if mask is None else mask),
            ),
            "intensity": losses.text_label_loss(out.labels.intensity, batch["intensity"]),
            "occurrence": losses.occurrence_loss(out.labels.logits, batch["occurrence"]),
        }
        # Each process names the same losses in every step, judged or not: they are averaged over processes by name.
        found |= {name: prediction.new_zeros(()) for name in options.auxiliaries.losses}
        if not options.auxiliaries.losses:
            return found
        painted = wired.codec.decode(wired.process.clean(prediction, noisy, times))
        if options.auxiliaries.critics:
            shown = batch["intensity"].masked_fill(drops.aus[:, None], float("nan"))
            found |= self._criticise(painted, to_signed(batch["images"]), shown, times, draws.uniform[0, 7])
        judged = times < options.auxiliaries.below
        if judged.any():
            found |= self._judge(painted[judged], exemplars[judged], out, batch, judged)
        return found

    def _criticise(
        self, painted: Tensor, true: Tensor, shown: Tensor, times: Tensor, uniform: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of one critic, which sees both pictures a little noisy and moved alike by a few pixels.

        [C] Noisy and moved, lest the network learns to please a detector by a pattern that nobody else sees. Weighted
        by (1 - t)^2: near t = 1 the best estimate is a mean of many faces, which has no expression to be read.
        """
        _, options = self._wired
        critics = options.auxiliaries.critics
        word = int(uniform.double() * 2**24)
        critic = critics[word % len(critics)]
        down, right = word // 16 % (2 * _SHIFT + 1), word // 256 % (2 * _SHIFT + 1)
        size, weight_B = painted.shape[-1], (1 - times).square()
        source = torch.Generator().manual_seed(word)
        grain = _GRAIN * torch.randn(painted.shape, generator=source).to(painted.device)

        def moved(images: Tensor) -> Tensor:
            wide = F.pad(images + grain, (_SHIFT,) * 4, mode="replicate")
            return wide[..., down : down + size, right : right + size]

        with torch.no_grad():
            _, target = critic.look(moved(true))
        seen, maps = critic.look(moved(painted))
        return {
            "expression": losses.expression_loss(seen, shown, weight_B),
            "features": losses.feature_loss(maps, target, weight_B),
        }

    def _judge(
        self, painted: Tensor, exemplars: Tensor, out: Any, batch: dict[str, Tensor], judged: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses on pictures (J, 3, H, W) of the samples that are `judged` (B,)."""
        wired, options = self._wired
        networks, found = options.auxiliaries, {}
        if networks.detectors:
            with torch.no_grad():
                seen = torch.stack([detector(painted) for detector in networks.detectors])
                real = networks.realism(painted) if networks.realism is not None else None
            found["image_label"] = losses.image_label_loss(
                out.labels.logits[judged],
                out.labels.intensity[judged],
                seen,
                real,
                least=min(2, len(networks.detectors)),
            )
        has = batch["has_exemplar"][judged]
        if networks.identity is not None and has.any():
            found["identity"] = losses.identity_loss(networks.identity(painted[has]), networks.identity(exemplars[has]))
        if networks.image_embedding is not None and networks.text_embedding is not None and has.any():
            found["text_image"] = losses.directional_loss(
                networks.image_embedding(painted[has]),
                networks.image_embedding(exemplars[has]),
                networks.text_embedding(batch["tokens"][judged][has]),
                networks.text_embedding(wired.text.tokenize(["neutral face"]).to(painted.device)),
            )
        return found

    def _background(self, batch: dict[str, Tensor], clean: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mask of what is to be painted, and the latent of what is kept (0 where nothing is)."""
        wired, _ = self._wired
        everything = torch.ones_like(clean[:, :1])
        if mask is None or "mask" not in batch:
            return everything, torch.zeros_like(clean)
        kept = batch["keep_background"][:, None, None, None]
        outside = to_signed(batch["images"]) * (batch["mask"] < 0.5)
        return torch.where(kept, mask, everything), torch.where(kept, wired.codec.encode(outside), 0)


def occurrence_of(intensity: Tensor) -> Tensor:
    """Return 1 where an intensity (B, A) reaches the threshold, 0 below, NaN where it is not known."""
    return (intensity >= DEFAULT_THRESHOLD).float().masked_fill(intensity.isnan(), float("nan"))


def _latent_mask(mask: Tensor | None, size: int) -> Tensor | None:
    """Return a mask of pixels as one of latent pixels: a latent pixel counts as much as its most important pixel."""
    return None if mask is None else F.adaptive_max_pool2d(mask.float(), size)
