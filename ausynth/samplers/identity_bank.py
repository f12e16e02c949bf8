"""Which people a generator may show, each once for all, and how they are dealt to samples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.durable import write_aside
from ausynth.errors import ConfigurationError, StoreError, require_whole
from ausynth.samplers.identity import IdentityEncoder, Pixels, embed
from ausynth.samplers.identity_index import IdentityIndex
from ausynth.samplers.people import ATTRIBUTES, Person, PersonLike, canonical_subject
from ausynth.schedule import Integers, Permutation, random_bits
from ausynth.store.files import seal, unseal

if TYPE_CHECKING:
    from ausynth.generators.base import Generator
    from ausynth.sources.base import Source

__all__ = ["IdentityBank", "Pictures", "leaders_of", "rendered_pictures"]

Pictures = Callable[[Person], Pixels]
"""A person -> (n, H, W, 3) uint8 RGB pictures of them, one or more."""

_COPIES: Final = 8
"""Turns of an average person in a round, where turns differ: shares are right to about a tenth of an average share."""

_ROUNDS: Final = 200
_AT_ONCE: Final = 4096


@dataclass(frozen=True, eq=False)
class IdentityBank:
    """People, and how often each is dealt.

    >>> bank = IdentityBank.of_seeds(100)
    >>> bank.deal(range(3), seed=1).shape, len(bank)
    ((3,), 100)

    Ordinals are dealt in *rounds*: in each, person i has `turns[i]` turns, in an order that a keyed permutation says.
    So the cap on one person's share needs no counter, and ordinal 10^9 is dealt as quickly as the first.

    Attributes:
        people: each with the number by which the generator knows them.
        turns: (P,) int64 of each person in a round, 1 or more.
        removed: name -> why somebody who was in the bank no longer is.
        about: how it was made: of the encoder, the radius, the cap.

    Raises:
        ConfigurationError: nobody, a name or number that comes twice, turns that do not fit.
    """

    people: tuple[Person, ...]
    turns: Integers = None  # type: ignore[assignment]  # one each, where nobody says
    removed: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.people:
            raise ConfigurationError("an identity bank without people", expected="one person or more")
        for what in ("name", "number"):
            values = [getattr(person, what) for person in self.people]
            if len(set(values)) < len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise ConfigurationError(f"two people with the {what} {twice!r}", expected="each its own")
        turns = np.ones(len(self.people), np.int64) if self.turns is None else np.asarray(self.turns, np.int64)
        if turns.shape != (len(self.people),) or turns.min() < 1:
            raise ConfigurationError(
                f"turns of shape {turns.shape} for {len(self.people)} people", expected="1 or more for each"
            )
        object.__setattr__(self, "turns", turns)

    def __len__(self) -> int:
        return len(self.people)

    # -- where people come from

    @classmethod
    def of_seeds(cls, count: int, start: int = 0) -> IdentityBank:
        """Return `count` people of a generator that makes one of every number: start, start + 1, ..."""
        require_whole("count", count, 1)
        require_whole("start", start, 0)
        return cls(tuple(Person(f"seed-{n}", n, "drawn by the generator") for n in range(start, start + count)))

    @classmethod
    def of_people(cls, people: Iterable[PersonLike]) -> IdentityBank:
        """Return the people of a bank of faces, in its order: the n-th has the number n."""
        return cls(tuple(Person.like(person, number) for number, person in enumerate(people)))

    @classmethod
    def of_subjects(cls, source: Source) -> IdentityBank:
        """Return the people whom a real source shows, the training subjects of a set whose others are held out.

        Their number is the row in `source.subjects`, so that it means the same person whoever is held out.
        """
        shown = np.unique(source.identities).tolist()
        names = [f"{source.name}:{source.subjects[row]}" for row in shown]
        rows = zip(names, shown, strict=True)
        return cls(tuple(Person(name, row, f"frames of {source.name}", subject=name) for name, row in rows))

    @classmethod
    def of_pictures(
        cls,
        paths: Sequence[str | os.PathLike[str]],
        *,
        source: str,
        licence: str | None = None,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> IdentityBank:
        """Return a person for each picture, named after its file.

        Args:
            paths: of the pictures.
            source: where they come from, in words.
            licence: of the pictures.
            attributes: name of the file without its ending -> age, gender, ethnicity, where known.
        """
        known = attributes or {}
        people = [
            Person(Path(p).stem, n, source, licence=licence, exemplar=str(p), **known.get(Path(p).stem, {}))
            for n, p in enumerate(paths)
        ]
        return cls(tuple(people))

    # -- who stays, and how often

    def without(self, subjects: Iterable[str]) -> IdentityBank:
        """Return the bank without the people who are subjects ("disfa:SN001") of this list; DISFA+'s are DISFA's."""
        gone = {canonical_subject(subject) for subject in subjects}
        return self._kept(
            [person.subject is None or canonical_subject(person.subject) not in gone for person in self.people],
            {person.name: "held out" for person in self.people},
        )

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return the subjects of data sets who are in the bank, spelled alike."""
        return tuple(canonical_subject(person.subject) for person in self.people if person.subject is not None)

    def deduplicated(
        self,
        encoder: IdentityEncoder,
        cosine: float,
        pictures: Pictures | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> IdentityBank:
        """Return the bank with those left out who look like somebody before them, and those in whom no face is found.

        Leader clustering: whoever has no leader within `cosine` is one. All pairs are found by FAISS, once.

        Args:
            encoder: what embeds them.
            cosine: from which two are one person: `LeakageGuard.threshold` of photographs, or of an encoder's makers.
                For a renderer's heads it must be found on them: an encoder of photographs sees them closer together.
            pictures: of a person; default their exemplar.
            progress: called after each person with how many are done.

        Raises:
            ConfigurationError: a cosine outside (-1, 1], or people without pictures.
        """
        if not -1 < cosine <= 1:
            raise ConfigurationError(f"cosine={cosine}", expected="above -1 and up to 1")
        vectors = np.zeros((len(self), encoder.dimension), np.float32)
        for row, person in enumerate(self.people):
            found = embed(encoder, (pictures or _exemplar)(person)).astype(np.float64).sum(axis=0)
            length = np.linalg.norm(found)
            vectors[row] = found / length if length else 0
            if progress is not None:
                progress(row + 1)
        faces = np.flatnonzero(vectors.any(axis=1))
        why = {self.people[row].name: "no face was found" for row in np.flatnonzero(~vectors.any(axis=1)).tolist()}
        keep = np.zeros(len(self), bool)
        if faces.size:
            index = IdentityIndex(encoder.dimension, encoder=encoder.fingerprint)
            index.add(vectors[faces])
            leaders = leaders_of(index, vectors[faces], cosine)
            keep[faces] = leaders == np.arange(len(faces))
            for row, leader in zip(faces.tolist(), faces[leaders].tolist(), strict=True):
                if row != leader:
                    like = float(vectors[row] @ vectors[leader])
                    why[self.people[row].name] = f"as {self.people[leader].name}, cosine {like:.3f}"
        made = self._kept(keep.tolist(), why)
        return replace(made, about={**self.about, "encoder": encoder.fingerprint, "cosine": cosine})

    def balanced(self, over: Sequence[str] = ATTRIBUTES, *, cap: float = 4.0) -> IdentityBank:
        """Return the bank with turns that make the groups of each attribute as equal as the cap allows.

        Iterative proportional fitting (Deming and Stephan 1940) over "age" (in groups), "gender", "ethnicity". Whose
        attribute is unknown keeps their share as far as that attribute goes.

        Args:
            over: the attributes.
            cap: nobody has more than so many times the average's turns.

        Raises:
            ConfigurationError: an unknown attribute, or a cap below 1.
        """
        unknown = [name for name in over if name not in ATTRIBUTES]
        if unknown or not cap >= 1:
            raise ConfigurationError(
                f"over={list(over)}, cap={cap}", expected=f"some of {', '.join(ATTRIBUTES)}, and a cap of 1 or more"
            )
        weights = np.ones(len(self))
        groups = [_members(self.people, name) for name in over]
        for _ in range(_ROUNDS):
            for members in groups:
                known = np.logical_or.reduce(members) if members else np.zeros(len(self), bool)
                total = weights[known].sum()
                for member in members:
                    weights[member] *= total / len(members) / weights[member].sum()
            weights = _capped(weights, cap)
        equal = np.ptp(weights) < 1e-6
        turns = np.ones(len(self), np.int64) if equal else _whole(weights * _COPIES, most=int(cap * _COPIES))
        return replace(self, turns=turns, about={**self.about, "balanced": list(over), "cap": cap})

    # -- whom a sample shows

    @cached_property
    def _slots(self) -> Integers:
        return np.repeat(np.array([person.number for person in self.people], np.int64), self.turns)

    @property
    def round(self) -> int:
        """Return how many ordinals a round has, in which person i has `turns[i]`."""
        return len(self._slots)

    def deal(self, ordinals: Any, seed: int) -> Integers:
        """Return (B,) int64: the number of the person whom each ordinal (B,) shows."""
        dealt: Integers = self._slots[Permutation(self.round, seed, "people of the bank").endless(ordinals)]
        return dealt

    def redeal(self, ordinals: Any, attempt: int, seed: int) -> Integers:
        """Return (B,) int64: whom each ordinal (B,) shows at a later attempt, drawn with the same shares."""
        bits = random_bits(seed, "people of an attempt", np.asarray(ordinals), attempt)
        dealt: Integers = self._slots[(bits % np.uint64(self.round)).astype(np.int64)]
        return dealt

    def person(self, number: int) -> Person:
        """Return whom the generator knows by this number; raise ConfigurationError where there is nobody."""
        found = next((person for person in self.people if person.number == number), None)
        if found is None:
            raise ConfigurationError(f"identity {number}", expected="the number of a person in this bank")
        return found

    @property
    def fingerprint(self) -> str:
        """Return a hash of who is dealt, and how often: all that decides what `deal` returns."""
        told = [(person.name, person.number, person.exemplar) for person in self.people]
        return f"bank-{hashlib.sha256(repr((told, self.turns.tolist())).encode()).hexdigest()[:16]}"

    @property
    def effective(self) -> float:
        """Return the effective number of people: one over the sum of squared shares."""
        shares = self.turns / self.turns.sum()
        return float(1 / (shares**2).sum())

    def shares(self, attribute: str) -> dict[str, tuple[float, float]]:
        """Return for each group of an attribute its share of people and of turns, among those of whom it is known."""
        names = sorted({group for person in self.people if (group := person.group(attribute)) is not None})
        members = _members(self.people, attribute)
        known = np.logical_or.reduce(members) if members else np.zeros(len(self), bool)
        return {
            name: (float(member.sum() / known.sum()), float(self.turns[member].sum() / self.turns[known].sum()))
            for name, member in zip(names, members, strict=True)
        }

    def manifest(self) -> dict[str, Any]:
        """Return as JSON: who is in the bank, where each comes from, who was removed and why, how it was made."""
        people = [
            {**person.to_json(), "turns": turns} for person, turns in zip(self.people, self.turns.tolist(), strict=True)
        ]
        return {"people": people, "removed": dict(self.removed), "about": dict(self.about)}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the manifest, with a checksum, so that the file is whole or as it was before; raise OSError."""
        write_aside(Path(path), seal(self.manifest()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> IdentityBank:
        """Return the bank that `save` wrote; raise StoreError where the file is missing or damaged."""
        try:
            facts = unseal(Path(path).read_bytes())
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror})", expected="a manifest of a bank") from error
        if facts is None:
            raise StoreError(f"{path} is damaged: its checksum does not match", expected="what was written")
        rows = [dict(row) for row in facts["people"]]
        turns = np.array([row.pop("turns") for row in rows], np.int64)
        return cls(tuple(map(Person.from_json, rows)), turns, facts["removed"], facts["about"])

    def _kept(self, keep: Sequence[bool], why: Mapping[str, str]) -> IdentityBank:
        if not any(keep):
            reasons = ", ".join(sorted(set(why.values())))
            raise ConfigurationError(
                f"nobody is left of {len(self)} people ({reasons})", expected="somebody whom the generator may show"
            )
        gone = {p.name: why[p.name] for p, stays in zip(self.people, keep, strict=True) if not stays}
        people = tuple(p for p, stays in zip(self.people, keep, strict=True) if stays)
        return replace(self, people=people, turns=self.turns[np.asarray(keep)], removed={**self.removed, **gone})


def rendered_pictures(generator: Generator, count: int = 2) -> Pictures:
    """Return a function that has a generator make `count` neutral pictures of a person, for `deduplicated`."""
    from ausynth.generators.base import Conditions

    total = -(-count // generator.block_size) * generator.block_size

    def pictures(person: Person) -> Pixels:
        asked = np.zeros((total, len(generator.aus)), np.float32)
        numbers = np.full(total, person.number, np.int64)
        return generator.generate(Conditions(asked, numbers, np.arange(total))).images[:count]

    return pictures


def _exemplar(person: Person) -> Pixels:
    from ausynth.sources.images import decode_image

    if person.exemplar is None:
        raise ConfigurationError(
            f"{person.name} has no exemplar picture",
            expected="a picture of everybody",
            do="give pictures=rendered_pictures(generator), or a function of your own",
        )
    return decode_image(Path(person.exemplar).read_bytes(), person.exemplar)[None]


def leaders_of(index: IdentityIndex, vectors: NDArray[np.float32], cosine: float) -> Integers:
    """Return (N,) the leader of each vector, the first of those within the radius that is a leader itself.

    Args:
        index: of the same vectors, whose ids are their rows.
        vectors: (N, D).
        cosine: the radius.
    """
    leaders = np.full(len(vectors), -1, np.int64)
    for first in range(0, len(vectors), _AT_ONCE):
        rows = np.arange(first, min(first + _AT_ONCE, len(vectors)))
        pairs = index.within(vectors[rows], cosine)
        starts = np.searchsorted(pairs.rows, np.arange(len(rows) + 1))
        for at, row in enumerate(rows.tolist()):
            if leaders[row] < 0:
                near = pairs.ids[starts[at] : starts[at + 1]]
                leaders[near[leaders[near] < 0]] = row
                leaders[row] = row
    return leaders


def _members(people: Sequence[Person], attribute: str) -> list[NDArray[np.bool_]]:
    """Return for each group of the attribute, by name, (P,) who is in it."""
    groups = np.array([person.group(attribute) or "" for person in people])
    return [groups == name for name in sorted(set(groups.tolist()) - {""})]


def _capped(weights: NDArray[np.float64], cap: float) -> NDArray[np.float64]:
    """Return the weights with mean 1 and nothing above `cap`: what is cut goes to the others, in proportion."""
    weights = weights / weights.mean()
    for _ in range(len(weights)):
        high = weights > cap
        if not high.any() or high.all():
            break
        rest = ~high & (weights < cap)
        spare = (weights[high] - cap).sum()
        weights[high] = cap
        if not rest.any():
            break
        weights[rest] *= 1 + spare / weights[rest].sum()
    return np.minimum(weights, cap)


def _whole(wanted: NDArray[np.float64], most: int) -> Integers:
    """Return whole numbers from 1 to `most` near the wanted ones, by largest remainders."""
    turns = np.clip(np.floor(wanted), 1, most).astype(np.int64)
    missing = round(float(wanted.sum())) - int(turns.sum())
    for row in np.argsort(-(wanted - np.floor(wanted)), kind="stable")[: max(0, missing)]:
        turns[row] = min(most, turns[row] + 1)
    return turns
