"""Who a generator can show: people as data, with where each comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ausynth.errors import ConfigurationError, require_whole

__all__ = ["ATTRIBUTES", "Person", "PersonLike", "age_group", "canonical_subject"]

ATTRIBUTES: Final = ("age", "gender", "ethnicity")

_AGES: Final = (18, 30, 45, 60)
_SAME_PEOPLE: Final = {"disfa+": "disfa", "disfaplus": "disfa", "edisfa": "disfa"}
"""Data sets whose subjects are those of another one, under the same names."""


class PersonLike(Protocol):
    """What a bank of faces says of a person: `name` and `source` (where from).

    Also looked at, where there: `age` in years, `gender`, `ethnicity`, `licence`, `subject` ("disfa:SN001", of a data
    set of subjects who may be held out), and `exemplar`, the path of a picture.
    """

    @property
    def name(self) -> str:
        """Return a name, of nobody else in the bank."""
        ...

    @property
    def source(self) -> str:
        """Return where the person comes from, in words."""
        ...


@dataclass(frozen=True)
class Person:
    """One person of an identity bank.

    >>> Person("london-001", 0, "photograph, Face Research Lab London Set", age=24, gender="female").group("age")
    '18-29'

    Attributes:
        name: of nobody else in the bank.
        number: the identity number by which the generator knows them, from 0.
        source: where they come from, in words.
        subject: "disfa:SN001", where they are of a data set whose subjects may be held out.
        age: in years; None where unknown, as the following.
        gender, ethnicity: in the words of whoever described them.
        licence: under which their pictures were had.
        exemplar: path of a picture of them.
    """

    name: str
    number: int
    source: str
    subject: str | None = None
    age: float | None = None
    gender: str | None = None
    ethnicity: str | None = None
    licence: str | None = None
    exemplar: str | None = None

    def __post_init__(self) -> None:
        require_whole(f"the number of {self.name!r}", self.number, 0)
        if not self.name or not self.source:
            raise ConfigurationError(
                f"a person with name {self.name!r} and source {self.source!r}", expected="both: who, and where from"
            )

    @classmethod
    def like(cls, other: PersonLike, number: int) -> Person:
        """Return what `other` says of itself, as the person of this number."""
        told = {name: getattr(other, name, None) or None for name in ("subject", "gender", "ethnicity", "licence")}
        exemplar = getattr(other, "exemplar", None)
        age = getattr(other, "age", None)
        return cls(
            other.name,
            number,
            other.source,
            age=None if age in (None, "") else float(age),
            exemplar=None if exemplar is None else str(exemplar),
            **told,
        )

    def group(self, attribute: str) -> str | None:
        """Return the group of "age", "gender" or "ethnicity" that they are in; None where unknown."""
        if attribute == "age":
            return None if self.age is None else age_group(self.age)
        value: str | None = getattr(self, attribute)
        return value or None

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes: without what is unknown."""
        return {name: value for name, value in self.__dict__.items() if value is not None}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Person:
        """Return the person that `to_json` described."""
        return cls(**facts)


def age_group(age: float) -> str:
    """Return the group of an age in years: "0-17", "18-29", "30-44", "45-59" or "60+".

    >>> age_group(29.5), age_group(71)
    ('18-29', '60+')
    """
    if age >= _AGES[-1]:
        return f"{_AGES[-1]}+"
    low, high = next((low, high) for low, high in zip((0, *_AGES), _AGES, strict=False) if age < high)
    return f"{low}-{high - 1}"


def canonical_subject(name: str) -> str:
    """Return a subject's name so that equal people are spelled alike: those of DISFA+ are those of DISFA.

    >>> canonical_subject("DISFA+:sn001"), canonical_subject("disfa-plus:SN001"), canonical_subject("bp4d:f001")
    ('disfa:SN001', 'disfa:SN001', 'bp4d:F001')
    """
    dataset, _, subject = str(name).rpartition(":")
    word = re.sub(r"[\s_-]", "", dataset.lower())
    return f"{_SAME_PEOPLE.get(word, word)}:{subject.strip().upper()}"
