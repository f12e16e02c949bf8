"""Random numbers of B pictures: the very numbers of `rendered.draws.stream`, for less than a fifth of the time.

A `numpy.random.Generator` takes longer to make than to draw from. Here one is made and set, for each key in turn, to
the state that a new one would begin with; all keys are hashed at once, as `numpy.random.SeedSequence` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.draws import PURPOSES

__all__ = ["streams"]

_POOL: Final = 4  # words of a SeedSequence
_FIRST_A, _TIMES_A, _FIRST_B, _TIMES_B = 0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED
_LEFT, _RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_WORD: Final = 0xFFFFFFFF

Words = NDArray[np.uint32]


def streams(purpose: str, keys_N: NDArray[np.int64]) -> Iterator[np.random.Generator]:
    """Yield for each key what `stream(purpose, key)` returns; each is good until the next one is taken.

    >>> [draw.random() for draw in streams("pose", np.array([7]))]
    [0.361892804292799]
    """
    philox = np.random.Philox(0)
    draw, state = np.random.Generator(philox), philox.state
    for key_2 in _philox_keys(PURPOSES[purpose], np.asarray(keys_N, np.uint64)):
        state["state"]["key"] = key_2
        philox.state = state
        yield draw


def _philox_keys(purpose: int, keys_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return (N, 2) the keys of Philox that SeedSequence makes of (purpose, key)."""
    zero_N = np.zeros(len(keys_N), np.uint32)
    low_N, high_N = (keys_N & np.uint64(_WORD)).astype(np.uint32), (keys_N >> np.uint64(32)).astype(np.uint32)
    # A number below 2^32 is one word; a second one that is 0 says the same, since what is missing counts as 0.
    pool = [np.full(len(keys_N), purpose, np.uint32), low_N, high_N, zero_N]
    factor = _FIRST_A
    for i in range(_POOL):
        pool[i], factor = _hashed(pool[i], factor)
    for source in range(_POOL):
        for goal in range(_POOL):
            if source != goal:
                own_N, factor = _hashed(pool[source], factor)
                mixed_N = pool[goal] * _LEFT - own_N * _RIGHT
                pool[goal] = mixed_N ^ (mixed_N >> np.uint32(16))
    words = []
    factor = _FIRST_B
    for i in range(_POOL):
        word_N = pool[i] ^ np.uint32(factor)
        factor = factor * _TIMES_B & _WORD
        word_N = word_N * np.uint32(factor)
        words.append((word_N ^ (word_N >> np.uint32(16))).astype(np.uint64))
    return np.stack([words[0] | words[1] << np.uint64(32), words[2] | words[3] << np.uint64(32)], 1)


def _hashed(word_N: Words, factor: int) -> tuple[Words, int]:
    word_N = word_N ^ np.uint32(factor)
    factor = factor * _TIMES_A & _WORD
    word_N = word_N * np.uint32(factor)
    return word_N ^ (word_N >> np.uint32(16)), factor
