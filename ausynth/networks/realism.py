"""Training a network that tells a generator's pictures from those that it learned from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ausynth.errors import ConfigurationError
from ausynth.networks.augment import Augment
from ausynth.networks.data import FaceSet
from ausynth.networks.fitting import FitOptions, fit
from ausynth.networks.heads import RealismNet
from ausynth.networks.scores import read

__all__ = ["train_realism"]

GENTLE: Final = Augment(turn=2.0, scale=0.02, soften=0.0, flatten=0.0, ghost=0.0, noise=0.0, contrast=0.05)
"""What is done to pictures: nothing that real and generated ones are told apart by."""

_LEFT_OUT: Final = 5  # every fifth picture


def train_realism(
    network: RealismNet,
    real: FaceSet,
    fake: FaceSet,
    options: FitOptions,
    *,
    show: Callable[[float, int, float], None] | None = None,
) -> tuple[RealismNet, dict[str, float], dict[str, Any]]:
    """Train a realism network, half of each batch real; measure it on every fifth picture of either, left out.

    Returns:
        The network, the shares of left-out real and fake pictures that it judges right, and a record as JSON.

    Raises:
        ConfigurationError: pictures of another size, or too few.
    """
    for faces in (real, fake):
        if faces.size != network.image_size or len(faces) < 2 * _LEFT_OUT:
            raise ConfigurationError(
                f"{len(faces)} pictures of {faces.size} pixels",
                expected=f"{2 * _LEFT_OUT} or more of {network.image_size}",
            )

    def draw(source: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        half = count // 2
        parts = []
        for faces, number in ((real, half), (fake, count - half)):
            at = torch.randint(0, len(faces), (number,), generator=source).numpy()
            at = np.where(at % _LEFT_OUT == 0, (at + 1) % len(faces), at)
            parts.append(GENTLE(faces.images[np.where(at % _LEFT_OUT == 0, 1, at)], faces.margin, source))
        return torch.cat(parts), (torch.arange(count) < half).float()

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.binary_cross_entropy_with_logits(net(batch[0]).float(), batch[1])

    trained, fitted = fit(network, draw, loss, options, show=show)
    logits = [read(trained, faces.views(slice(None, None, _LEFT_OUT))) for faces in (real, fake)]
    result = {
        "real_accepted": round(float((logits[0] >= 0).mean()), 4),
        "fake_refused": round(float((logits[1] < 0).mean()), 4),
    }
    record: dict[str, Any] = {
        "real": real.record,
        "fake": fake.record,
        "options": asdict(options),
        "steps": fitted.steps,
        "images": fitted.images,
        "seconds": round(fitted.seconds, 1),
        "losses": list(fitted.losses),
        "left_out": result,
    }
    return trained, result, record
