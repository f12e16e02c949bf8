"""The AU text processor: a label vector becomes a text that says what such a face looks like.

"AU Codes, Language, and Synthesis: Translating Anatomy to Text for Facial Behavior Synthesis" (`BP4D-AUText`),
appendix G: combinations of AUs that act on one another have words of their own. Sorted by size, the largest first, each
is taken when all its AUs are active and none has been said; what is left is said AU by AU. The paper's phrases are not
public; these are the project's own, as are the words of degree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.schedule import random_bits
from ausynth.text.phrases import Book, book

__all__ = ["describe", "describe_batch", "levels_of", "partition"]


def describe(intensities: ArrayLike, aus: str | Sequence[int], seed: int = 0) -> str:
    """Return a text in which every active AU is said exactly once, with how strongly it acts.

    >>> describe([1, 4], (6, 12), seed=3)
    'The lip corners are greatly pulled up and the cheeks faintly bunched below the eyes.'
    >>> describe([0, 0], (6, 12))
    'This is a neutral face without any facial action.'

    `parse` is the exact inverse: it returns the AUs and their levels.

    Args:
        intensities: (A,), 0-5. The level of an AU is its intensity rounded, halves upwards; an AU of level 0 (below .5)
            and one that is not coded (NaN) are not said.
        aus: the label space of the A columns, named or listed, of the AUs in `facs.UNION_17`; its order does not
            matter.
        seed: chooses among the paraphrases, 0 or more.

    Raises:
        ConfigurationError: an AU without phrases, another number of columns, an intensity outside 0-5.
    """
    return describe_batch(np.asarray(intensities, dtype=np.float64)[None], aus, np.array([seed]))[0]


def describe_batch(intensities: ArrayLike, aus: str | Sequence[int], seeds: ArrayLike) -> list[str]:
    """Return a text for each label vector; see `describe`.

    Args:
        intensities: (B, A), 0-5.
        aus: the label space of the A columns.
        seeds: (B,) whole numbers, 0 or more. A text is a function of its own label vector and seed alone.
    """
    words, space = book(), facs.label_space(aus)
    levels_BA = levels_of(intensities, space)
    seeds_B = np.asarray(seeds, dtype=np.int64)
    if seeds_B.shape != (len(levels_BA),) or (seeds_B < 0).any():
        raise ConfigurationError(
            f"seeds of shape {seeds_B.shape} for {len(levels_BA)} label vectors",
            expected=f"({len(levels_BA)},) of whole numbers, 0 or more",
        )
    phrase_BE = random_bits(0, "paraphrase", seeds_B[:, None], np.arange(len(words.entries) + 1)).tolist()
    degree_BA = random_bits(0, "word of degree", seeds_B[:, None], np.array(space)).tolist()
    texts = []
    for levels_A, phrase_E, degree_A in zip(levels_BA.tolist(), phrase_BE, degree_BA, strict=True):
        degree_of = {
            au: words.degrees[level][draw % len(words.degrees[level])]
            for au, level, draw in zip(space, levels_A, degree_A, strict=True)
            if level
        }
        clauses = [
            _fill(words.entries[e].phrases[phrase_E[e] % len(words.entries[e].phrases)], degree_of)
            for e in _cover(frozenset(degree_of), words)
        ]
        texts.append(" ".join(map(_sentence, clauses or [words.neutral[phrase_E[-1] % len(words.neutral)]])))
    return texts


def levels_of(intensities: ArrayLike, aus: Sequence[int]) -> NDArray[np.int64]:
    """Return the levels (B, A) 0-5 of intensities (B, A): rounded, halves upwards; 0 where one is NaN.

    Raises:
        ConfigurationError: see `describe`.
    """
    without = sorted(set(aus) - set(book().aus))
    if without:
        raise ConfigurationError(
            f"no words for {', '.join(str(facs.ACTION_UNITS[au]) for au in without)}",
            expected=f"AUs of {book().aus}",
            do="leave the other columns out",
        )
    intensity_BA = np.asarray(intensities, dtype=np.float64)
    if intensity_BA.ndim != 2 or intensity_BA.shape[1] != len(aus):
        raise ConfigurationError(
            f"intensities of shape {intensity_BA.shape[1:] if intensity_BA.ndim > 1 else intensity_BA.shape}",
            expected=f"({len(aus)},) a text: one for each of {tuple(aus)}",
        )
    known_BA = np.nan_to_num(intensity_BA, nan=0.0, posinf=np.inf, neginf=-np.inf)
    if not ((known_BA >= 0) & (known_BA <= 5)).all():
        raise ConfigurationError("an intensity outside 0-5", expected="0-5, or NaN where an AU is not coded")
    return np.floor(known_BA + 0.5).astype(np.int64)


def partition(active: Sequence[int]) -> list[tuple[int, ...]]:
    """Return active AUs as the combinations and single AUs that are said together, in the order of saying.

    >>> partition([1, 2, 4, 6, 12, 25])
    [(1, 2, 4), (6, 12), (25,)]
    """
    return [book().entries[e].aus for e in _cover(frozenset(active), book())]


def _cover(active: frozenset[int], words: Book) -> list[int]:
    """Return the numbers of the entries that say the active AUs, each once: the paper's appendix G."""
    left, taken = set(active), []
    for number, entry in enumerate(words.entries):
        if left.issuperset(entry.aus):
            taken.append(number)
            left.difference_update(entry.aus)
    return taken


def _fill(phrase: str, degree_of: dict[int, str]) -> str:
    return re.sub(r"\{(\d+)\}", lambda slot: degree_of[int(slot[1])], phrase)


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."
