"""How noise and picture are mixed: flow matching, or DDPM. Times are shares: 0 is the picture, 1 is noise."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from ausynth.errors import ConfigurationError
from ausynth.generators.maugen.config import MAUGenConfig

__all__ = ["DDPM", "Flow", "Process", "process_of"]

_LEAST: Final = 0.05
_EVEN: Final = 0.25
_SMALL: Final = 0.25
"""[C] A time is never taken as less than this where something is divided by it."""


class Process(Protocol):
    """A way from pictures to noise."""

    def draw_times(self, uniform: Tensor) -> Tensor:
        """Return times (B,) in (0, 1) for uniform numbers (B,): the training's distribution."""
        ...

    def steps(self, times: Tensor) -> Tensor:
        """Return the time steps, 0-1000, that the network is told at these times."""
        ...

    def times(self, steps: Tensor) -> Tensor:
        """Return the times of time steps: the inverse of `steps`."""
        ...

    def add_noise(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return x_t."""
        ...

    def target(self, clean: Tensor, noise: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return what the loss compares with."""
        ...

    def output(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return a network's prediction as what the loss and the scheduler take."""
        ...

    def importance(self, times: Tensor) -> Tensor:
        """Return (B,) what a sample's error is multiplied by before it is squared."""
        ...

    def clean(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return the estimate of the clean latent that a prediction amounts to."""
        ...

    def schedule(self, scheduler: Any, steps: int, device: torch.device) -> list[Any]:
        """Set a scheduler of diffusers up for so many steps, and return its time steps, 0-1000."""
        ...


class Flow:
    """Flow matching on the straight path x_t = (1 - t) x_0 + t eps, with a network that predicts x_0.

    The loss is on the velocity v = eps - x_0 = (x_t - x_0) / t, with t clamped from below at 0.05 in the division: that
    is |x_0 - x_0_hat|^2 / max(t, 0.05)^2. Times are logit-normal (Esser et al., "Scaling rectified flow transformers",
    2024), [C] but for a quarter that are uniform: of logit-normal times 1 in 70 is above .9, where a solver of few
    steps takes its first, and decides what the picture shows.
    """

    def draw_times(self, uniform: Tensor) -> Tensor:
        """Return sigmoid(n) of standard normal n for three quarters of uniform numbers, uniform ones for the others."""
        exact = uniform.double()
        normal = torch.special.ndtri(((exact - _EVEN) / (1 - _EVEN)).clamp(1e-4, 1 - 1e-4))
        times = torch.where(exact < _EVEN, exact / _EVEN, torch.sigmoid(normal))
        return times.clamp(1e-4, 1 - 1e-4).to(uniform.dtype)

    def steps(self, times: Tensor) -> Tensor:
        """Return 1000 t."""
        return 1000 * times

    def times(self, steps: Tensor) -> Tensor:
        """Return a thousandth."""
        return steps / 1000

    def add_noise(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return (1 - t) x_0 + t eps."""
        t = _wide(times)
        return (1 - t) * clean + t * noise

    def target(self, clean: Tensor, noise: Tensor, noisy: Tensor, times: Tensor) -> Tensor:  # noqa: ARG002
        """Return the velocity."""
        return self.output(clean, noisy, times)

    def output(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return the velocity that belongs to a predicted x_0."""
        return (noisy - prediction) / _wide(times).clamp_min(_LEAST)

    def importance(self, times: Tensor) -> Tensor:
        """Return t / 0.25, at most 1.

        [C] Squared errors of velocities are those of pictures times 1 / t^2: without it, what is left of a few nearly
        clean samples outweighs what noisy ones, which decide what a picture shows, have to learn.
        """
        return (times / _SMALL).clamp_max(1)

    def clean(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:  # noqa: ARG002
        """Return the prediction: it is x_0."""
        return prediction

    def schedule(self, scheduler: Any, steps: int, device: torch.device) -> list[Any]:
        """Return evenly spaced time steps from 1000 down to 1000 / steps."""
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist(), device=device)
        return list(scheduler.timesteps)


class DDPM:
    """DDPM with a network that predicts the noise, on the betas of a scheduler of diffusers.

    Args:
        alphas_cumprod: (T,), the share of the picture's variance at each step.
    """

    def __init__(self, alphas_cumprod: Tensor) -> None:
        self._alphas = alphas_cumprod.float()

    def draw_times(self, uniform: Tensor) -> Tensor:
        """Return times at the middle of one of T steps, all equally likely."""
        return self.times(self.steps(uniform))

    def steps(self, times: Tensor) -> Tensor:
        """Return the number of the step that a time lies in, whole."""
        return (times * len(self._alphas)).floor().clamp(0, len(self._alphas) - 1)

    def times(self, steps: Tensor) -> Tensor:
        """Return the middle of each step."""
        return (steps.floor() + 0.5) / len(self._alphas)

    def _alpha(self, times: Tensor) -> Tensor:
        return _wide(self._alphas.to(times.device)[self.steps(times).long()])

    def add_noise(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return sqrt(abar) x_0 + sqrt(1 - abar) eps."""
        alpha = self._alpha(times)
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise

    def target(self, clean: Tensor, noise: Tensor, noisy: Tensor, times: Tensor) -> Tensor:  # noqa: ARG002
        """Return the noise."""
        return noise

    def output(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:  # noqa: ARG002
        """Return the prediction: it is the noise."""
        return prediction

    def importance(self, times: Tensor) -> Tensor:
        """Return 1: errors of noise count alike (eq. 10)."""
        return torch.ones_like(times)

    def clean(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return (x_t - sqrt(1 - abar) eps) / sqrt(abar)."""
        alpha = self._alpha(times)
        return (noisy - (1 - alpha).sqrt() * prediction) / alpha.sqrt()

    def schedule(self, scheduler: Any, steps: int, device: torch.device) -> list[Any]:
        """Return the scheduler's own time steps."""
        scheduler.set_timesteps(steps, device=device)
        return list(scheduler.timesteps)


def process_of(config: MAUGenConfig, scheduler: Any) -> Process:
    """Return the process that a configuration and its scheduler name.

    Raises:
        ConfigurationError: a scheduler that belongs to another kind of prediction.
    """
    if config.prediction == "x0":
        return Flow()
    kind = scheduler.config.get("prediction_type", "epsilon")
    if kind != "epsilon" or not hasattr(scheduler, "alphas_cumprod"):
        raise ConfigurationError(
            f"{type(scheduler).__name__} with prediction_type {kind!r}",
            expected="a scheduler of a model that predicts the noise (epsilon)",
            do="take a Stable Diffusion 1.5 checkpoint; 2.x and later predict something else",
        )
    return DDPM(scheduler.alphas_cumprod)


def _wide(times: Tensor) -> Tensor:
    return times[:, None, None, None]
