"""Training an AU detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ausynth.errors import ConfigurationError
from ausynth.networks.au import AUNet
from ausynth.networks.augment import Augment
from ausynth.networks.data import FaceSet, Split
from ausynth.networks.fitting import FitOptions, Fitted, fit
from ausynth.networks.scores import Scores, read, score

__all__ = ["train_detector"]

_HELD_OUT_MOST = 6_000


def train_detector(
    network: AUNet,
    faces: FaceSet,
    options: FitOptions,
    *,
    split: Split | None = None,
    augment: Augment | None = None,
    oversample: float = 0.5,
    show: Callable[[float, int, float], None] | None = None,
) -> tuple[AUNet, Fitted, Scores | None, dict[str, Any]]:
    """Train a detector on faces, and measure it on the people that are left out.

    The loss is the squared error, by AU divided by its variance: with an absolute error, or with each AU at its own
    scale, an AU that is rarely there is never predicted.

    Args:
        network: fresh, of the faces' label space and size.
        faces: what it learns from.
        options: of the training.
        split: which people are left out of the training; None: nobody, and nothing is measured.
        augment: what is done to pictures; None takes the default.
        oversample: see `FaceSet.weights`.
        show: see `fit`.

    Returns:
        The network, what the training came to, how well it reads the people left out, and a record of all as JSON.

    Raises:
        ConfigurationError: another label space or size, or nobody is left to learn from.
    """
    if network.aus != faces.labels.aus or network.image_size != faces.size:
        raise ConfigurationError(
            f"a network of the AUs {network.aus} at {network.image_size} pixels, "
            f"faces of {faces.labels.aus} at {faces.size}",
            expected="the same of both",
        )
    out_N = np.zeros(len(faces), bool) if split is None else split.left_out(faces.identity)
    if out_N.all() or (split is not None and not out_N.any()):
        raise ConfigurationError(
            f"split {split} of {len(np.unique(faces.identity))} people leaves {int(out_N.sum())} of {len(faces)} "
            "pictures out",
            expected="some, and not all",
        )
    chosen = np.flatnonzero(~out_N)
    known = faces.labels[chosen]
    scale_A = torch.from_numpy(_scales(known.intensity))
    cumulative = np.cumsum(faces.rows_weights(chosen, oversample))
    truth = torch.from_numpy(faces.labels.intensity)
    look = Augment() if augment is None else augment

    def draw(source: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        at = np.searchsorted(cumulative, torch.rand(count, generator=source, dtype=torch.float64).numpy(), side="right")
        rows = chosen[np.minimum(at, len(chosen) - 1)]
        return look(faces.images[rows], faces.margin, source), truth[torch.from_numpy(rows)]

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, wanted = batch
        error = (net(images).float() - wanted.nan_to_num(0)).square() * scale_A
        known_BA = ~wanted.isnan()
        return torch.where(known_BA, error, 0).sum() / known_BA.sum().clamp_min(1)

    trained, fitted = fit(network, draw, loss, options, show=show)
    scores = None
    if split is not None:
        rows = np.flatnonzero(out_N)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _HELD_OUT_MOST).astype(np.int64))]
        scores = score(network.aus, read(trained, faces.views(rows)), faces.labels.intensity[rows])
    record: dict[str, Any] = {
        "data": faces.record,
        "left_out": None if split is None else f"{split.part}/{split.parts}",
        "oversample": oversample,
        "augment": asdict(look),
        "options": asdict(options),
        "steps": fitted.steps,
        "images": fitted.images,
        "seconds": round(fitted.seconds, 1),
        "losses": list(fitted.losses),
        "held_out": None if scores is None else scores.to_json(),
    }
    return trained, fitted, scores, record


def _scales(intensity_NA: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (A,) one by the variance of each AU's known intensities, with the mean 1."""
    masked_NA = np.ma.masked_invalid(intensity_NA.astype(np.float64))
    variance_A = np.ma.filled(masked_NA.var(axis=0), 1.0).clip(0.05)
    scales: NDArray[np.float32] = (1 / variance_A / (1 / variance_A).mean()).astype(np.float32)
    return scales
