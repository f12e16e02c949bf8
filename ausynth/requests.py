"""What a person asks a face to do, in words or in numbers, as intensities by action unit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError

__all__ = ["intensities_of_text", "intensities_of_units", "request_vector"]


def intensities_of_text(text: str) -> dict[int, float]:
    """Return what a text says as {AU: intensity 1-5}, ascending; emotions stand for the AUs of their prototypes.

    >>> intensities_of_text("a hint of sadness with clearly lowered brows")
    {1: 1.0, 4: 3.0, 15: 1.0}

    Raises:
        ConfigurationError: nothing that a face does is understood; it says which words are.
    """
    from ausynth.text import parse
    from ausynth.text.lexicon import vocabulary

    try:
        return {au: float(level) for au, level in parse(text).items()}
    except ConfigurationError as error:
        if not error.what.startswith("no facial action"):
            raise
        words = vocabulary()
        raise ConfigurationError(
            error.what,
            expected=f"parts of the face ({', '.join(words['region'])}) and what they do "
            f"({', '.join(words['motion'])}); words such as {', '.join(words['whole'])}; "
            f"emotions ({', '.join(words['emotion'])}); AUs by number (AU6+12); neutral; and how strongly "
            "(a hint of, slightly, clearly, strongly, extremely)",
            do="say it with these, such as 'a slight smile' or 'brows clearly lowered', or give numbers: --au '12=3'",
        ) from error


def intensities_of_units(given: Sequence[str]) -> dict[int, float]:
    """Return what "12=3,6=2" says as {AU: intensity 0-5}, ascending; an AU without an intensity has 3.

    >>> intensities_of_units(["12=3,6=2.5", "AU25"])
    {6: 2.5, 12: 3.0, 25: 3.0}

    Raises:
        ConfigurationError: another spelling, an AU that is not of FACS or comes twice, an intensity outside 0-5.
    """
    from ausynth.text.reader import UNGRADED

    found: dict[int, float] = {}
    for word in (word.strip() for entry in given for word in entry.split(",")):
        match = re.fullmatch(r"(?:au)?\s*(\d{1,3})(?:\s*[=:]\s*(\d+(?:\.\d+)?))?", word.lower())
        if match is None:
            raise ConfigurationError(f"{word!r} for an action unit", expected="AU=INTENSITY, such as '12=3,6=2'")
        au, intensity = int(match[1]), float(match[2] or UNGRADED)
        if au not in facs.ACTION_UNITS:
            raise ConfigurationError(f"unknown AU {au}", expected=f"one of {sorted(facs.ACTION_UNITS)}")
        if au in found or not 0 <= intensity <= 5:
            raise ConfigurationError(
                f"AU {au} twice" if au in found else f"AU {au} of intensity {intensity:g}",
                expected="each AU once, from 0 (absent) to 5 (maximum)",
            )
        found[au] = intensity
    return dict(sorted(found.items()))


def request_vector(asked: Mapping[int, float], aus: Sequence[int], who: str) -> NDArray[np.float32]:
    """Return {AU: intensity} as a label vector (A,), 0 where nothing is asked.

    Args:
        asked: what is asked; an AU that is asked to be absent may be one that the generator does not know.
        aus: the generator's.
        who: the generator, for the message.

    Raises:
        ConfigurationError: the generator lacks an AU that is asked for.
    """
    lacking = [au for au, intensity in asked.items() if intensity > 0 and au not in aus]
    if lacking:
        raise ConfigurationError(
            f"{', '.join(str(facs.ACTION_UNITS[au]) for au in lacking)}, which {who} does not know",
            expected=f"AUs of {tuple(aus)}",
            do="leave it out, or choose another generator (--generator rendered)",
        )
    return np.array([asked.get(au, 0.0) for au in aus], np.float32)
