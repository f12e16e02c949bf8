"""The phrases of the AU text processor, read from `phrases.toml` when they are first needed."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

__all__ = ["SLOT", "Book", "Entry", "alternatives", "book", "fingerprint", "read_toml", "skeleton"]

SLOT: Final = "{}"
"""Stands for a word of degree in the skeleton of a text."""


@dataclass(frozen=True)
class Entry:
    """One AU, or AUs that act on one another, and the ways to say so.

    Attributes:
        aus: ascending.
        phrases: templates; "{12}" is the place of AU12's word of degree.
    """

    aus: tuple[int, ...]
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Book:
    """All that the processor can say.

    Attributes:
        entries: combinations, the largest first and equally large ones in the order of the file, then single AUs.
        degrees: the words of each level 1-5.
        neutral: ways to say that no AU acts.
        level_of: the level of each word of `degrees`.
        readings: the AUs of each skeleton, in the order of its slots; none for a neutral one.
    """

    entries: tuple[Entry, ...]
    degrees: Mapping[int, tuple[str, ...]]
    neutral: tuple[str, ...]
    level_of: Mapping[str, int]
    readings: Mapping[str, tuple[int, ...]]

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the AUs that have phrases, ascending."""
        return tuple(sorted(entry.aus[0] for entry in self.entries if len(entry.aus) == 1))


@cache
def book() -> Book:
    """Return what `phrases.toml` holds."""
    content = read_toml("phrases.toml")
    combined = [
        Entry(tuple(map(int, names.split("+"))), tuple(phrases)) for names, phrases in content["combination"].items()
    ]
    combined.sort(key=lambda entry: -len(entry.aus))  # a stable sort: ties stay in the order of the file
    single = [Entry((int(name),), tuple(phrases)) for name, phrases in content["single"].items()]
    degrees = {int(level): tuple(words) for level, words in content["degrees"].items()}
    entries, neutral = (*combined, *single), tuple(content["neutral"]["phrases"])
    readings = {_bare(phrase): _slots(phrase) for entry in entries for phrase in entry.phrases}
    readings |= {phrase.lower(): () for phrase in neutral}
    return Book(
        entries,
        MappingProxyType(degrees),
        neutral,
        MappingProxyType({word: level for level, words in degrees.items() for word in words}),
        MappingProxyType(readings),
    )


@cache
def fingerprint() -> str:
    """Return a hash of the phrases: texts of another one may differ for the same AUs and seed."""
    return hashlib.sha256((files(__package__) / "phrases.toml").read_bytes()).hexdigest()[:16]


def skeleton(text: str) -> tuple[str, list[int]]:
    """Return a lower-case text with its words of degree replaced by "{}", and their levels in order.

    >>> skeleton("the jaw is slightly dropped")
    ('the jaw is {} dropped', [2])
    """
    levels: list[int] = []

    def take(match: re.Match[str]) -> str:
        levels.append(book().level_of[match[0]])
        return SLOT

    return _degree_words().sub(take, text), levels


def read_toml(name: str) -> dict[str, Any]:
    """Return the content of a TOML file of this package."""
    return tomllib.loads((files(__package__) / name).read_text("utf-8"))


def alternatives(texts: Iterable[str]) -> str:
    """Return a regular expression for any of the texts, the longest first."""
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))


@cache
def _degree_words() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{alternatives(book().level_of)})\b")


def _slots(phrase: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\{(\d+)\}", phrase))


def _bare(phrase: str) -> str:
    return re.sub(r"\{\d+\}", SLOT, phrase).lower()
