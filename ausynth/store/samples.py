"""Everything about stored samples but their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.labels import Labels

__all__ = ["KEY_BYTES", "Samples"]

KEY_BYTES = 16
_WHOLE = ("number", "identity", "noise", "attempt")


@dataclass(frozen=True, eq=False)
class Samples:
    """The columns of N samples, without pixels.

    Attributes:
        number: (N,) int64, from 0: the ordinal of its plan (generated), the row of the prepared set (real).
        key: (N, 16) uint8 content key: a hash of what makes the sample (generated) or of its pixels (real).
        labels: what the pictures show.
        asked: (N, A) float32, the intensity asked for, 0-5; NaN where nothing was.
        identity: (N,) int64: the generated person, or the row of the recipe's `about["subjects"]`.
        noise: (N,) int64 seed; -1 for real samples.
        attempt: (N,) int64: how many were rejected before it; 0 for real samples.
        text: N texts: the prompt of a generator that reads one, else ""; the picture's path under its root (real).

    Raises:
        ConfigurationError: a column is of another length or shape.
    """

    number: NDArray[np.int64]
    key: NDArray[np.uint8]
    labels: Labels
    asked: NDArray[np.float32]
    identity: NDArray[np.int64]
    noise: NDArray[np.int64]
    attempt: NDArray[np.int64]
    text: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.labels)
        expected = dict.fromkeys(_WHOLE, (count,)) | {"key": (count, KEY_BYTES), "asked": self.labels.intensity.shape}
        for name, shape in expected.items():
            dtype = np.uint8 if name == "key" else np.float32 if name == "asked" else np.int64
            values = np.asarray(getattr(self, name), dtype=dtype)
            if values.shape != shape:
                raise ConfigurationError(f"samples.{name} has shape {values.shape}", expected=f"{shape}")
            object.__setattr__(self, name, values)
        object.__setattr__(self, "text", tuple(self.text))
        if len(self.text) != count:
            raise ConfigurationError(f"{len(self.text)} texts for {count} samples", expected="equally many")

    def __len__(self) -> int:
        return len(self.number)

    def rows(self, rows: Any) -> Samples:
        """Return the chosen rows: a slice, a bool (N,) mask, or an array of row numbers."""
        chosen = np.arange(len(self))[rows]
        return Samples(
            *(self.number[rows], self.key[rows], self.labels[rows], self.asked[rows]),
            *(self.identity[rows], self.noise[rows], self.attempt[rows]),
            tuple(self.text[row] for row in chosen.tolist()),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Samples]) -> Samples:
        """Return the rows of all `parts`, which must share one label space."""
        labels = Labels.concatenate([part.labels for part in parts])
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in (*_WHOLE, "key", "asked")}
        return cls(labels=labels, text=tuple(text for part in parts for text in part.text), **columns)
