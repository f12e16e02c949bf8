"""What common training scripts expect of a loader, as keyword arguments of `MixedStream`.

Established from the public code of each project (its image transforms and default sizes), given by repository in
`PRESETS`. Crops of the face itself are not part of a preset: see `align=`. FMAE's training transform is timm's
RandAugment with random erasing, which albumentations does not reproduce, so there is no preset for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ausynth.errors import ConfigurationError

__all__ = ["PRESETS", "Preset", "preset"]

_IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF: Final = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Preset:
    """How one training script prepares its pictures.

    Attributes:
        repository: whose code this was read from.
        image_size: of the picture before the crop, in pixels.
        crop: side of the random crop in training and the centre crop in testing; None: no crop, and no flip either.
        jitter: brightness, contrast and saturation are multiplied by up to 1 +- this in training.
        normalisation: mean and standard deviation of red, green and blue, on a scale of 0 to 1.
        as_tuple: the script takes `(image, occurrence)`; else it needs more of a batch than that.
    """

    repository: str
    image_size: int
    crop: int | None
    jitter: float
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]]
    as_tuple: bool


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "megraph": Preset("CVI-SZU/ME-GraphAU", 256, 224, 0.4, _IMAGENET, as_tuple=True),
        # Its batches also hold 49 landmarks and the distance of the eyes, which this library does not have.
        "jaanet": Preset("ZhiwenShao/PyTorch-JAANet", 200, 176, 0.0, _HALF, as_tuple=True),
        # Regresses intensity: read batch["intensity"].
        "libreface": Preset("ihp-lab/LibreFace", 256, 224, 0.0, _IMAGENET, as_tuple=False),
        "fgnet": Preset("ihp-lab/FG-Net", 256, None, 0.0, _HALF, as_tuple=True),
    }
)
"""By name: ME-GraphAU, JAA-Net, LibreFace (AU intensity), FG-Net."""


def preset(name: str, *, train: bool = True) -> dict[str, Any]:
    """Return the arguments of `MixedStream` that make its pictures what a common training script expects.

        stream = MixedStream(real="disfa", batch_size=64, **preset("megraph"))
        image, occurrence = next(iter(stream))  # (64, 3, 224, 224) float32, (64, 8) float32

    The transform is an `albumentations.Compose` that turns a uint8 (H, W, 3) picture into a float32 (3, h, w) tensor;
    the stream seeds it by the sample's index, so its own seed does not matter. It serves a test set of one's own as
    well: `preset(name, train=False)["transform"](image=picture)["image"]`.

    Args:
        name: one of `PRESETS` (letter case does not matter).
        train: with the random crop, flip and jitter of training; else the centre crop of testing.

    Returns:
        `image_size`, `transform` and `as_tuple`.

    Raises:
        ConfigurationError: an unknown name.
    """
    known = PRESETS.get(name.lower())
    if known is None:
        raise ConfigurationError(
            f"unknown preset {name!r}",
            expected=f"one of {', '.join(PRESETS)}",
            do="pass transform= and image_size= of your own",
        )
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing it would ask the network for a newer version
    import albumentations

    steps: list[Any] = []
    if known.crop is not None:
        steps.append((albumentations.RandomCrop if train else albumentations.CenterCrop)(known.crop, known.crop))
        if train:
            steps.append(albumentations.HorizontalFlip(p=0.5))
    if train and known.jitter:
        factors = (1 - known.jitter, 1 + known.jitter)
        steps.append(
            albumentations.ColorJitter(brightness=factors, contrast=factors, saturation=factors, hue=(0, 0), p=1)
        )
    mean, std = known.normalisation
    steps += [albumentations.Normalize(mean=mean, std=std, max_pixel_value=255), albumentations.ToTensorV2()]
    return {"image_size": known.image_size, "transform": albumentations.Compose(steps), "as_tuple": known.as_tuple}
