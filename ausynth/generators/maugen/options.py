"""How to train: one frozen set of options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from ausynth.errors import ConfigurationError
from ausynth.generators.maugen.weighting import Adaptive

__all__ = ["DEFAULT_WEIGHTS", "TrainOptions"]

DEFAULT_WEIGHTS: Final[Mapping[str, float]] = {
    "intensity": 0.002,
    "occurrence": 0.01,
    "image_label": 0.005,
    "expression": 0.002,
    "features": 0.03,
}
"""[C] What losses are multiplied by, beside the denoising loss at 1.

Gradients of the others are up to fifty times its own: weighed alike, and clipped together, they leave it next to
nothing, and after 75,000 pictures there is no face yet, while a judge already reads the expressions that were asked
for. `expression` and `features` five times as large bring expressions out within some hundred steps, in strokes that no
face has; these weights then take the strokes away (examples/mini/train.sh).
"""


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        steps: in all, those of an interrupted training included.
        batch_size: of each process.
        lr: peak learning rate of AdamW, reached after `warmup` steps, then a cosine down to a tenth.
        warmup: steps.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        ema_decay: of the averaged weights; the n-th step's is at most (1 + n) / (10 + n).
        seed: of everything that is drawn.
        precision: "bf16" for automatic mixed precision, "no" for float32, "auto" for bf16 on CUDA.
        adaptive: how losses are weighed by their gradients (eq. 11); "none" leaves them at `weights`.
        adaptive_every: [C] steps between two weighings: each costs one more backward for each loss.
        weights: what each loss is multiplied by, 1 where it is not named.
        first_passes: [C] share of the steps with a first pass, whose label queries condition the second.
        save_every, sample_every, log_every: steps; 0 never (the end is always saved).
        keep: checkpoints that stay.
        bank: people whose identity tokens a checkpoint carries.
        nan_budget: how many of the last 100 steps may be skipped for a loss or gradient that is no number.
        minutes: stop after so long, saved; None: when all steps are done.
        stop: stop after so many steps, saved, with the learning rate on its way to `steps`; None: at `steps`.
    """

    steps: int = 20_000
    batch_size: int = 32
    lr: float = 8e-4
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema_decay: float = 0.9995
    seed: int = 0
    precision: Literal["auto", "bf16", "no"] = "auto"
    adaptive: Adaptive = "none"
    adaptive_every: int = 10
    weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    first_passes: float = 0.5
    save_every: int = 500
    sample_every: int = 1000
    log_every: int = 10
    keep: int = 2
    bank: int = 256
    nan_budget: int = 20
    minutes: float | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "adaptive_every", "log_every", "keep"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}", expected="a whole number, 1 or more")
        if not self.lr > 0 or not self.clip > 0 or not 0 <= self.ema_decay < 1:
            raise ConfigurationError(
                f"lr={self.lr}, clip={self.clip}, ema_decay={self.ema_decay}",
                expected="lr and clip above 0, ema_decay from 0 and below 1",
            )
        if self.adaptive not in ("paper", "inverse", "none") or self.precision not in ("auto", "bf16", "no"):
            raise ConfigurationError(
                f"adaptive={self.adaptive!r}, precision={self.precision!r}",
                expected="adaptive 'paper', 'inverse' or 'none'; precision 'auto', 'bf16' or 'no'",
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * min(done, 1.0))))
