"""The words of a prompt: how action units and their intensities are said.

Anything that turns intensities into a text will do: (intensity (A,), aus, seed) -> text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ausynth import facs
from ausynth.labels import Floats

__all__ = ["Describe", "au_descriptions", "default_describe", "plain_words"]

Describe = Callable[[Floats, Sequence[int], int], str]

_STRENGTH: Final = ("", "a trace of ", "slight ", "marked ", "severe ", "extreme ")


def au_descriptions(aus: Sequence[int]) -> list[str]:
    """Return one sentence for each AU: its name and what is seen.

    >>> au_descriptions([12])
    ['lip corner puller: corners back and up']
    """
    return [f"{facs.ACTION_UNITS[au].name}: {facs.ACTION_UNITS[au].appearance}" for au in aus]


def plain_words(intensity: Floats, aus: Sequence[int], seed: int = 0) -> str:  # noqa: ARG001 (one wording, any seed)
    """Say every active AU by its name and the word for its FACS level.

    >>> plain_words(np.array([3.0, 0, 1.2]), [12, 15, 25])
    'marked lip corner puller, a trace of lips part'
    """
    levels = np.clip(np.rint(np.nan_to_num(np.asarray(intensity))), 0, 5).astype(int)
    said = [
        _STRENGTH[level] + facs.ACTION_UNITS[au].name for au, level in zip(aus, levels.tolist(), strict=True) if level
    ]
    return ", ".join(said) if said else "neutral face"


def default_describe() -> Describe:
    """Return `ausynth.text.describe` where this version has it, else `plain_words`."""
    try:
        from ausynth.text import describe  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return plain_words
    chosen: Describe = describe
    return chosen
