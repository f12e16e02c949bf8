"""The training loop of the small networks: AdamW, a warm-up and a cosine, and the average of the weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ausynth.errors import ConfigurationError, GenerationError

__all__ = ["FitOptions", "Fitted", "fit"]

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class FitOptions:
    """How a network is trained.

    Attributes:
        steps: the most steps.
        minutes: the most minutes; the learning rate follows whichever ends first, so that both ends are reached at 0.
            With it, the result depends on the machine's speed.
        batch_size: pictures of a step.
        lr: the highest learning rate.
        weight_decay: AdamW's.
        warmup: share of the training in which the rate rises.
        average: decay of the weights' average.
        seed: of everything that is drawn.
        bf16: whether to compute in bfloat16 where that is possible; twice as fast on CPUs that have it.
    """

    steps: int = 10_000
    minutes: float | None = None
    batch_size: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.05
    average: float = 0.995
    seed: int = 0
    bf16: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 2 or (self.minutes is not None and self.minutes <= 0):
            raise ConfigurationError(
                f"steps={self.steps}, batch_size={self.batch_size}, minutes={self.minutes}",
                expected="1 step or more, 2 pictures or more, more than 0 minutes",
            )


@dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Attributes:
        steps: that were done.
        images: pictures that were shown.
        seconds: it took.
        losses: means over twentieths of the training, in order.
    """

    steps: int
    images: int
    seconds: float
    losses: tuple[float, ...]


def fit(
    network: Net,
    draw: Callable[[torch.Generator, int], Any],
    loss: Callable[[nn.Module, Any], Tensor],
    options: FitOptions,
    *,
    show: Callable[[float, int, float], None] | None = None,
) -> tuple[Net, Fitted]:
    """Train a network, and return the average of its weights, in eval().

    Args:
        network: in float32; it is changed.
        draw: returns a batch of so many pictures, from the generator's random numbers alone.
        loss: returns the loss of a batch.
        options: how.
        show: is called after each step with the share done, the pictures shown and the recent loss.

    Raises:
        GenerationError: the loss is no number several times in a row.
    """
    torch.manual_seed(options.seed)  # dropout
    source = torch.Generator().manual_seed(options.seed)
    device = next(network.parameters()).device
    network = network.to(memory_format=torch.channels_last).train()
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(network, options.weight_decay), lr=options.lr, betas=(0.9, 0.99))
    began, done, step, bad = time.monotonic(), 0.0, 0, 0
    history: list[float] = []
    recent = math.nan
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = options.lr * _rate(done, options.warmup)
        batch = draw(source, options.batch_size)
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            value = loss(network, batch)
        number = float(value.detach())
        bad = 0 if math.isfinite(number) else bad + 1
        if bad > 10:
            raise GenerationError(
                "the loss is no number in ten steps in a row",
                expected="a finite loss",
                do="lower the learning rate (--lr), or look for NaN in the labels' intensities",
            )
        if not bad:
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            _average(averaged, network, min(options.average, (1 + step) / (10 + step)))
            recent = number if math.isnan(recent) else 0.98 * recent + 0.02 * number
            history.append(number)
        step += 1
        done = step / options.steps
        if options.minutes is not None:
            done = max(done, (time.monotonic() - began) / 60 / options.minutes)
        if show is not None:
            show(min(done, 1), step * options.batch_size, recent)
    fitted = Fitted(step, step * options.batch_size, time.monotonic() - began, _means(history))
    return averaged.eval(), fitted


def _rate(done: float, warmup: float) -> float:
    if done < warmup:
        return (done + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameters for AdamW: scales and offsets are not drawn to 0."""
    matrices = [each for each in network.parameters() if each.ndim > 1]
    others = [each for each in network.parameters() if each.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    theirs = network.state_dict()
    for name, ours in averaged.state_dict().items():
        if ours.is_floating_point():
            ours.lerp_(theirs[name], 1 - decay)
        else:
            ours.copy_(theirs[name])


def _means(history: list[float], parts: int = 20) -> tuple[float, ...]:
    size = max(1, len(history) // parts)
    chunks = [history[start : start + size] for start in range(0, len(history) - size + 1, size)]
    return tuple(round(sum(chunk) / len(chunk), 4) for chunk in chunks)
