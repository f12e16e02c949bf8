"""Reverse diffusion with mutual conditioning, and the reading of labels off what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ausynth.generators.maugen.model import MAUGenModel
from ausynth.generators.maugen.objective import Wired

__all__ = ["Asked", "Read", "Sampled", "noise_of", "read_labels", "sample"]

Show = Callable[[int, int], None]


@dataclass(frozen=True)
class Asked:
    """Conditions of B samples.

    Attributes:
        tokens: of the prompts.
        intensity: (B, A), 0-5, NaN for what is left open.
        identity: C_ID (B, T, D), or None for nobody in particular.
        known: (B,) bool, which of them have an identity; None: all.
        background: (mask (B, 1, h, w), latent (B, C, h, w)) for a model that inpaints.
    """

    tokens: Tensor
    intensity: Tensor
    identity: Tensor | None = None
    known: Tensor | None = None
    background: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Read:
    """Labels: probability of occurrence and intensity (not clipped), (B, A) each."""

    probability: Tensor
    intensity: Tensor


@dataclass(frozen=True)
class Sampled:
    """B denoised latents, and what the label decoder said on the way, knowing what was asked."""

    latents: Tensor
    decoded: Read


def noise_of(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Return (B, *shape) standard normal numbers, each row a function of its own seed, whatever the device."""
    rows = [torch.randn(shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, *shape)


@torch.no_grad()
def sample(
    model: MAUGenModel,
    wired: Wired,
    scheduler: Any,
    noise: Tensor,
    asked: Asked,
    *,
    steps: int,
    guidance: float,
    show: Show | None = None,
) -> Sampled:
    """Denoise `noise` (B, C, h, w), eq. 3-5: each step's label queries condition the next.

    [C] Guidance compares with neither prompt nor AUs, and the same person: it strengthens the expression alone. The
    decoder's labels are averaged over steps with weights 1 / (t + 1), t counting the steps that are left, of the
    conditional half.

    Args:
        model: the network.
        wired: what it runs with.
        scheduler: of diffusers; its state is set up anew.
        noise: where to begin.
        asked: the conditions.
        steps: of the solver.
        guidance: scale of classifier-free guidance; 1 is none, and costs half.
        show: called with (step, steps).
    """
    count, device, guided = len(noise), noise.device, guidance != 1
    text = _texts(wired, asked, guided)
    conditions = {
        "text": text,
        "intensity": _twice(asked.intensity, torch.full_like(asked.intensity, float("nan")), guided),
        "identity": None if asked.identity is None else _twice(asked.identity, asked.identity, guided),
        "known": None if asked.known is None else _twice(asked.known, asked.known, guided),
    }
    c_au = model.first_c_au(wired.text, len(text))
    latents = noise * float(getattr(scheduler, "init_noise_sigma", 1.0))
    probability, intensity, weights = torch.zeros_like(asked.intensity), torch.zeros_like(asked.intensity), 0.0
    moments = wired.process.schedule(scheduler, steps, device)
    for step, moment in enumerate(moments):
        seen = scheduler.scale_model_input(latents, moment) if hasattr(scheduler, "scale_model_input") else latents
        told = torch.full((len(text),), float(moment), device=device)
        inputs = _with_background(model, _twice(seen, seen, guided), asked, guided)
        out = model(inputs, told, c_au=c_au, **conditions)
        c_au = model.next_c_au(c_au, out.labels.queries)
        velocity = wired.process.output(out.prediction.float(), _twice(seen, seen, guided), wired.process.times(told))
        if guided:
            conditional, free = velocity.chunk(2)
            velocity = free + guidance * (conditional - free)
        weight = 1 / (len(moments) - step)
        probability = probability + weight * out.labels.logits[:count].float().sigmoid()
        intensity = intensity + weight * out.labels.intensity[:count].float()
        weights += weight
        latents = scheduler.step(velocity, moment, latents, return_dict=False)[0]
        if show is not None:
            show(step + 1, len(moments))
    return Sampled(latents, Read(probability / weights, intensity / weights))


@torch.no_grad()
def read_labels(
    model: MAUGenModel, wired: Wired, latents: Tensor, noises: Sequence[Tensor], asked: Asked, *, time: float = 0.1
) -> Read:
    """Read labels off clean latents: noised again to `time`, and decoded without being told what was asked for.

    The prompt is empty and all AU tokens are unknown, so that nothing can be echoed; the person stays known. Averaged
    over the noises (each (B, C, h, w)). [C] time .1.
    """
    count, device = len(latents), latents.device
    times = torch.full((count,), time, device=device)
    text, _ = wired.text(wired.text.tokenize([""] * count).to(device))
    total = [torch.zeros_like(asked.intensity), torch.zeros_like(asked.intensity)]
    for noise in noises:
        noisy = wired.process.add_noise(latents, noise, times)
        out = model(
            _with_background(model, noisy, asked, guided=False),
            wired.process.steps(times),
            text=text,
            intensity=torch.full_like(asked.intensity, float("nan")),
            c_au=model.first_c_au(wired.text, count),
            identity=asked.identity,
            known=asked.known,
        )
        total = [total[0] + out.labels.logits.float().sigmoid(), total[1] + out.labels.intensity.float()]
    return Read(total[0] / len(noises), total[1] / len(noises))


def _texts(wired: Wired, asked: Asked, guided: bool) -> Tensor:
    text: Tensor = wired.text(asked.tokens)[0]
    if not guided:
        return text
    empty, _ = wired.text(wired.text.tokenize([""]).to(text.device))
    return torch.cat([text, empty.expand(len(text), -1, -1)])


def _twice(first: Tensor, second: Tensor, guided: bool) -> Tensor:
    return torch.cat([first, second]) if guided else first


def _with_background(model: MAUGenModel, latents: Tensor, asked: Asked, guided: bool) -> Tensor:
    if not model.maugen.inpaint:
        return latents
    if asked.background is None:  # all is painted
        return torch.cat([latents, torch.ones_like(latents[:, :1]), torch.zeros_like(latents)], dim=1)
    return torch.cat([latents, *(_twice(each, each, guided) for each in asked.background)], dim=1)
