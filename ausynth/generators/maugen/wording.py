"""The words of a prompt: how action units and their intensities are said.

Anything that turns intensities into a text will do: (intensity (A,), aus, seed) -> text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ausynth import facs, text
from ausynth.errors import ConfigurationError
from ausynth.labels import Floats
from ausynth.naming import fingerprint_of

__all__ = [
    "Describe",
    "au_descriptions",
    "default_describe",
    "name_of",
    "named",
    "plain_words",
    "wording_fingerprint",
]

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
    """Return `ausynth.text.describe`."""
    return text.describe


def name_of(describe: Describe) -> str:
    """Return what a checkpoint remembers of the words that it was trained with: "text", "plain", or a function's name.

    >>> name_of(plain_words)
    'plain'
    """
    if describe is plain_words:
        return "plain"
    return "text" if _is_text(describe) else fingerprint_of(describe, "describe")


def named(name: str) -> Describe:
    """Return the function that `name_of` named.

    Raises:
        ConfigurationError: a function that is none of the library's.
    """
    if name == "plain":
        return plain_words
    if name != "text":
        raise ConfigurationError(
            f"a checkpoint that was trained with prompts by {name!r}",
            expected="'plain' or 'text'",
            do="give the function itself: describe=",
        )
    return text.describe


def wording_fingerprint(describe: Describe) -> str:
    """Return a hash or name of the words: other words are other pictures."""
    if not _is_text(describe):
        return name_of(describe)
    return f"text {text.fingerprint()}"


def _is_text(describe: Describe) -> bool:
    return getattr(describe, "__module__", "").startswith("ausynth.text")
