"""Puts a request to a generator: label vectors and seeds and, where it reads text, the words for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.base import Conditions, Generator
from ausynth.labels import Floats

__all__ = ["ask", "counts_of", "reads_prompts"]


def reads_prompts(generator: Generator) -> bool:
    """Return whether a generator reads text."""
    return bool(getattr(generator, "reads_prompts", False))


def counts_of(generator: object) -> dict[str, int]:
    """Return what a generator has counted in this process, such as pictures that its gates rejected; {} if nothing."""
    counts: dict[str, int] = getattr(generator, "counts", dict)()
    return counts


def ask(generator: Generator, intensity: Floats, identity: NDArray[np.int64], noise: NDArray[np.int64]) -> Conditions:
    """Return what is asked of a generator, with AU descriptions as prompts where it reads them.

    A prompt is a function of its label vector and its noise alone (`ausynth.text.describe`): the same request, whoever
    makes it, is made in the same words.

    Args:
        generator: whose AUs the columns are.
        intensity: (B, A), 0-5.
        identity, noise: (B,); see `Conditions`.

    Raises:
        ConfigurationError: a generator that reads prompts controls an AU for which there are no words.
    """
    if not reads_prompts(generator):
        return Conditions(intensity, identity, noise)
    from ausynth.text import describe_batch

    return Conditions(intensity, identity, noise, describe_batch(intensity, generator.aus, noise))
