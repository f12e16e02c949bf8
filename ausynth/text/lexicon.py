"""The words that the reader understands, read from `words.toml` and compiled when they are first needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ausynth import facs
from ausynth.text.phrases import alternatives, read_toml

__all__ = ["CODE", "Mention", "compound", "find", "rules", "still_aus", "vocabulary", "whole_aus"]

CODE: Final = re.compile(r"\baus?\s*(\d+[a-e]?)((?:\s*(?:\+\s*(?:au\s*)?|(?:,\s*and|,|and|&)\s*)\d+[a-e]?)*)\b")
"""AU12, AU 12C, AU6+12, AUs 1, 2 and 4."""

_KINDS: Final = ("name", "still", "degree", "region", "whole", "motion", "emotion", "negation", "neutral", "joint")
"""What a stretch of text can be; where two of the same length overlap, the first."""


@dataclass(frozen=True)
class Mention:
    """A stretch of a clause that means something.

    Attributes:
        kind: one of `_KINDS`.
        value: which: a level, the name of a part, of a motion, of an emotion, AUs.
        start, end: its place in the clause.
    """

    kind: str
    value: Any
    start: int
    end: int


def find(clause: str) -> list[Mention]:
    """Return what a lower-case clause mentions, in its order, no two overlapping: the longest first."""
    found = [
        Mention(kind, value, match.start(), match.end())
        for kind, value, pattern in _patterns()
        for match in pattern.finditer(clause)
    ]
    found.sort(key=lambda mention: (mention.start - mention.end, _KINDS.index(mention.kind)))
    taken: list[Mention] = []
    for mention in found:
        if all(mention.end <= other.start or other.end <= mention.start for other in taken):
            taken.append(mention)
    return sorted(taken, key=lambda mention: mention.start)


@cache
def rules() -> Mapping[str, Mapping[str, tuple[int, ...]]]:
    """Return the AUs of every part of the face and what it can do; -25 where it denies AU25."""
    return {
        part: {motion: tuple(aus) for motion, aus in motions.items()} for part, motions in _words()["rules"].items()
    }


@cache
def still_aus(part: str) -> tuple[int, ...]:
    """Return the AUs that are absent where a part of the face is still."""
    own: Sequence[int] | None = _words()["still"].get(part)
    return tuple(own if own is not None else sorted({abs(au) for aus in rules()[part].values() for au in aus}))


@cache
def compound(first: str, second: str) -> str | None:
    """Return the name of the compound expression of two emotions, in any order, if there is one."""
    for name, pair in _words()["compound"].items():
        if pair in ([first, second], [second, first]):
            return str(name)
    return None


def vocabulary() -> dict[str, tuple[str, ...]]:
    """Return what the reader knows, by kind, one word for each: parts of the face, motions, whole words, emotions."""
    return {
        kind: tuple(name.replace("_", " ") for name in _words()[kind])
        for kind in ("region", "motion", "whole", "emotion")
    }


def whole_aus(name: str) -> tuple[int, ...]:
    """Return the AUs of a word that says AUs by itself."""
    return tuple(_words()["whole"][name]["aus"])


@cache
def _words() -> dict[str, Any]:
    return read_toml("words.toml")


@cache
def _patterns() -> tuple[tuple[str, Any, re.Pattern[str]], ...]:
    return tuple((kind, value, re.compile(rf"(?<![\w-])(?:{text})(?![\w-])")) for kind, value, text in _expressions())


def _expressions() -> Iterator[tuple[str, Any, str]]:
    words = _words()
    for au in facs.ACTION_UNITS.values():
        yield "name", (au.number,), alternatives([au.name])
    for level, texts in words["degrees"].items():
        yield "degree", int(level), "|".join(texts)
    for kind in ("region", "motion", "emotion"):
        for name, texts in words[kind].items():
            yield kind, name, "|".join(texts)
    for name, entry in words["whole"].items():
        yield "whole", name, "|".join(entry["words"])
    yield "negation", None, "|".join(words["negation"]["before"])
    yield "still", None, "|".join(words["negation"]["still"])
    yield "neutral", None, "|".join(words["neutral"]["words"])
    yield "joint", "or", "or|nor"
    yield "joint", "and", "and|&"
