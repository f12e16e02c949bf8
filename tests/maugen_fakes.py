"""A MAUGen of a few thousand parameters, and a store of faces that are stripes, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ausynth.generators.maugen.config import MAUGenConfig
from ausynth.generators.maugen.data import TrainingSet
from ausynth.generators.maugen.model import MAUGenModel
from ausynth.generators.maugen.objective import Draws, Wired
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.generators.maugen.wording import plain_words
from ausynth.labels import Labels
from ausynth.store import Recipe, Samples, Store

AUS = (1, 12, 25)
TINY = MAUGenConfig(
    aus=AUS,
    image_size=16,
    factor=2,
    latent_channels=12,
    widths=(32, 32),
    heads=2,
    token_width=16,
    text_length=8,
    text_layers=1,
    text_buckets=64,
    identity_tokens=2,
    identity_width=8,
    cld_heads=2,
    taps=(0, 1),
)


def pipeline_of(config: MAUGenConfig = TINY, seed: int = 0) -> MAUGenPipeline:
    torch.manual_seed(seed)
    pipeline = MAUGenPipeline.create(config)
    with torch.no_grad():  # what begins at 0 would hide what it does
        for parameter in pipeline.model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.model.eval()
    return pipeline


def model_of(config: MAUGenConfig = TINY, seed: int = 0) -> tuple[MAUGenModel, Wired]:
    pipeline = pipeline_of(config, seed)
    return pipeline.model, pipeline.wired()


def batch_of(model: MAUGenModel, wired: Wired, count: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    config = model.maugen
    draw = torch.Generator().manual_seed(seed)
    shape = (count, config.image_size, config.image_size, 3)
    intensity = torch.rand(count, len(config.aus), generator=draw) * 5
    return {
        "images": torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8),
        "exemplars": torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8),
        "has_exemplar": torch.ones(count, dtype=torch.bool),
        "intensity": intensity,
        "occurrence": (intensity >= 2).float(),
        "tokens": wired.text.tokenize([f"marked chin raiser {row}" for row in range(count)]),
    }


def draws_of(model: MAUGenModel, count: int = 3, *, first: bool = False, seed: int = 0) -> Draws:
    config = model.maugen
    shape = (count, config.latent_channels, config.latent_size, config.latent_size)
    return Draws.of(seed, shape, torch.device("cpu"), share=float(first))


def inputs_of(model: MAUGenModel, wired: Wired, count: int = 2, seed: int = 0) -> dict[str, Any]:
    """Return arguments of `model(...)`."""
    config = model.maugen
    draw = torch.Generator().manual_seed(seed)
    text, _ = wired.text(wired.text.tokenize(["lip corners", "brows"] * count)[:count])
    return {
        "sample": torch.randn(count, config.in_channels, config.latent_size, config.latent_size, generator=draw),
        "time": torch.linspace(100, 900, count),
        "text": text,
        "intensity": torch.rand(count, len(config.aus), generator=draw) * 5,
        "c_au": model.first_c_au(wired.text, count),
        "identity": model.identify(torch.rand(count, 3, config.image_size, config.image_size, generator=draw) * 2 - 1),
    }


def write_faces(
    folder: Path, *, people: int = 4, each: int = 4, recipe: Recipe | None = None, aus: Sequence[int] = AUS
) -> Path:
    """Fill a store: a person is a colour, and each AU brightens a stripe as strongly as it is there."""
    recipe = recipe or Recipe("synthetic", tuple(aus), 16, fingerprint="stripes", about={"licence": "none"})
    count, size = people * each, recipe.image_size
    number = np.arange(count)
    intensity = np.stack([(number * (2 * column + 1) // (column + 1)) % 6 for column in range(len(recipe.aus))], 1)
    intensity[::each] = 0  # one neutral picture a person
    images = np.zeros((count, size, size, 3), np.uint8)
    for row in range(count):
        images[row] = np.random.default_rng(row // each).integers(20, 90, 3)
        for column, strength in enumerate(intensity[row]):
            images[row, 3 * column + 1 : 3 * column + 3, : size // 2] += np.uint8(30 * strength)
    key = np.zeros((count, 16), np.uint8)
    key[:, :8] = number[:, None].view(np.uint8)
    samples = Samples(
        number=number,
        key=key,
        labels=Labels.from_intensity(recipe.aus, intensity),
        asked=intensity,
        identity=number // each,
        noise=number,
        attempt=np.zeros(count, np.int64),
        text=("",) * count,
    )
    Store.create(folder, recipe).write(samples, images, plan="plan")
    return folder


def faces_of(folder: Path, **options: Any) -> TrainingSet:
    return TrainingSet([write_faces(folder)], 16, plain_words, **options)
