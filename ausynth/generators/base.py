"""The generator protocol: label vectors and seeds go in, pictures and the labels of what they show come out.

Legend of the shapes: B pictures, A action units, H x W pixels, C = 3 colours in the order red, green, blue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.labels import Floats, Labels

__all__ = ["Conditions", "Generated", "Generator"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """What is asked of a generator for B pictures.

    >>> import numpy as np
    >>> Conditions(np.zeros((2, 17), np.float32), identity=np.array([7, 7]), noise=np.array([1, 2])).identity.shape
    (2,)

    Attributes:
        intensity: (B, A) float32, 0-5, over the generator's `aus`; no NaN.
        identity: (B,) int64, 0 or more: equal numbers are the same person.
        noise: (B,) int64, 0 or more: the seed of everything else (pose, light, background, latent noise).
        prompt: B texts for generators that read text, else None.
    """

    intensity: Floats
    identity: NDArray[np.int64]
    noise: NDArray[np.int64]
    prompt: Sequence[str] | None = None

    def __post_init__(self) -> None:
        intensity_BA = np.asarray(self.intensity, dtype=np.float32)
        if intensity_BA.ndim != 2:
            raise ConfigurationError(f"conditions.intensity has shape {intensity_BA.shape}", expected="(B, A)")
        if not ((intensity_BA >= 0) & (intensity_BA <= 5)).all():
            raise ConfigurationError("conditions.intensity leaves 0-5 or holds NaN", expected="0-5 for every AU")
        object.__setattr__(self, "intensity", intensity_BA)
        for name in ("identity", "noise"):
            seeds_B = np.asarray(getattr(self, name), dtype=np.int64)
            if seeds_B.shape != (len(intensity_BA),) or (seeds_B < 0).any():
                raise ConfigurationError(
                    f"conditions.{name} has shape {seeds_B.shape}",
                    expected=f"({len(intensity_BA)},) of whole numbers, 0 or more",
                )
            object.__setattr__(self, name, seeds_B)
        if self.prompt is not None and len(self.prompt) != len(intensity_BA):
            raise ConfigurationError(
                f"{len(self.prompt)} prompts for {len(intensity_BA)} pictures", expected="as many, or None"
            )

    def __len__(self) -> int:
        return len(self.intensity)

    def rows(self, rows: NDArray[np.int64]) -> Conditions:
        """Return the chosen ones."""
        prompt = None if self.prompt is None else [self.prompt[row] for row in rows]
        return Conditions._of_checked(self.intensity[rows], self.identity[rows], self.noise[rows], prompt)

    @classmethod
    def join(cls, parts: Sequence[Conditions]) -> Conditions:
        """Return all of all parts; either each has prompts or none has."""
        if len(parts) == 1:
            return parts[0]
        prompts = [part.prompt for part in parts if part.prompt is not None]
        return cls._of_checked(
            np.concatenate([part.intensity for part in parts]),
            np.concatenate([part.identity for part in parts]),
            np.concatenate([part.noise for part in parts]),
            [text for prompt in prompts for text in prompt] if prompts else None,
        )

    @classmethod
    def _of_checked(cls, *values: object) -> Conditions:
        conditions = object.__new__(cls)
        for name, value in zip(("intensity", "identity", "noise", "prompt"), values, strict=True):
            object.__setattr__(conditions, name, value)
        return conditions


@dataclass(frozen=True, eq=False)
class Generated:
    """What a generator made.

    Attributes:
        images: (B, H, W, 3) uint8, red-green-blue.
        labels: of what the pictures show, over the generator's `aus`; they need not be the labels asked for.
        accepted: (B,) bool, False where the generator itself does not stand for a picture: a stream draws it again.
            None: it stands for all.
    """

    images: NDArray[np.uint8]
    labels: Labels
    accepted: NDArray[np.bool_] | None = None


@runtime_checkable
class Generator(Protocol):
    """Turns label vectors into labelled faces; `ausynth.testing.check_generator` holds an implementation to this.

    The same conditions give the same bits on the same device and software. Where a picture's bits depend on its
    companions in the batch (as a network's do), `block_size` says how many conditions make one aligned block, and
    callers always ask for whole blocks, from one thread at a time; 1 means that pictures do not depend on their
    companions, and that `generate` may be called from several threads at once.

    Seven members are optional:

    - `device`: "cuda:0", where it runs on CUDA. It is then called on a CUDA stream of its own, and refused in workers.
    - `licence`: under which terms its pictures may be passed on; it goes into caches and exports.
    - `trained_on`: the subjects of data sets whom it has learned from, or shows, `("disfa:SN001", ...)`. A stream that
      holds one of them out refuses it, and caches record it.
    - `people`: who its identity numbers stand for, where it does not make a person of every number: number n is the
      n-th of them, each with at least `name` and `source` (see `samplers.people.PersonLike`).
    - `reads_prompts = True`: what is asked comes with a text for each picture, written by `ausynth.text.describe`.
    - `label(conditions) -> Labels`: what `generate` would say, where that is quicker than making the pictures.
    - `counts() -> dict[str, int]`: what there is to be reported of its work in this process.
    """

    @property
    def name(self) -> str:
        """Return the short name under which `load_generator` knows it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of the weights and the configuration: whatever changes a bit of the output changes it."""
        ...

    @property
    def image_size(self) -> int:
        """Return the height and width of its pictures in pixels."""
        ...

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the action units it controls, in the order of `Conditions.intensity`."""
        ...

    @property
    def block_size(self) -> int:
        """Return how many pictures are always made together."""
        ...

    def generate(self, conditions: Conditions) -> Generated:
        """Return B pictures for B conditions; none for none."""
        ...
