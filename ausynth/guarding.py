"""Whom a stream holds out, and what follows: the gallery of its guard, and generators that it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from ausynth.errors import AusynthError, ConfigurationError
from ausynth.samplers.gallery import Gallery
from ausynth.samplers.identity import IdentityEncoder, open_encoder
from ausynth.samplers.identity_bank import IdentityBank
from ausynth.samplers.leakage import LeakageGuard
from ausynth.samplers.people import canonical_subject
from ausynth.sources import open_source
from ausynth.sources.base import Source
from ausynth.sources.crop import Align
from ausynth.sources.folds import PARTS, select, subject_order
from ausynth.sources.opening import People, Root, as_listed, selections
from ausynth.sources.opening_synthetic import OpenFaces

__all__ = ["Guard", "HeldOut", "held_out_sources", "open_guard", "open_people", "refuse_trained_on"]

Guard = bool | str | IdentityEncoder | LeakageGuard
"""What `MixedStream(guard=)` takes."""

_OPPOSITE = {"hold_out": "keep", "keep": "hold_out", "fold": "fold"}


@dataclass(frozen=True)
class HeldOut:
    """Whom a stream never shows.

    Attributes:
        subjects: their names, spelled alike: "disfa:SN001".
        options: for each named source with somebody held out, its name and how to open just those people.
    """

    subjects: frozenset[str]
    options: tuple[tuple[str, Mapping[str, Any]], ...]

    @classmethod
    def of(
        cls,
        real: str | Source | Sequence[str | Source] | None,
        opened: Sequence[Source],
        *,
        hold_out: People | None,
        keep: People | None,
        fold: str | Mapping[str, str] | None,
    ) -> HeldOut:
        """Return whom these arguments of `MixedStream`, and sources that were opened without somebody, hold out.

        Of sources that are open already, those of their subjects count whom no source shows.

        Raises:
            ConfigurationError: one source shows somebody whom another holds out, under whatever name.
        """
        wanted = as_listed(real)
        subjects: set[str] = set()
        unseen: set[str] = set()
        options = []
        shown: dict[str, str] = {}
        chosen = selections(real, hold_out=hold_out, keep=keep, fold=fold)
        for entry, source, choice in zip(wanted, opened, chosen, strict=True):
            rows = np.flatnonzero(np.bincount(source.identities))  # np.unique would sort all of them
            there = [source.subjects[row] for row in rows.tolist()]
            out: Sequence[str] = ()
            if not isinstance(entry, str):
                # Whoever opened it knows why somebody is missing: held out, or shown by the source beside it.
                unseen.update(canonical_subject(f"{source.name}:{who}") for who in source.subjects)
            elif choice:
                everyone = subject_order(entry) if entry.lower() in PARTS else source.subjects
                kept = select(entry.lower(), everyone, **choice)
                out = [who for who in everyone if who not in kept]
                inverse = {_OPPOSITE[option]: value for option, value in choice.items()}
                options.append((entry, inverse | ({"split": "test"} if "fold" in choice else {})))
            subjects.update(canonical_subject(f"{source.name}:{who}") for who in out)
            shown.update((canonical_subject(f"{source.name}:{who}"), f"{source.name}:{who}") for who in there)
        both = sorted(shown[who] for who in subjects & set(shown))
        if both:
            raise ConfigurationError(
                f"{_few(both)} held out in one source and shown by another",
                expected="a person who is held out in none of them (subjects of DISFA+ are those of DISFA)",
                do="hold them out in every source",
            )
        return cls(frozenset(subjects | (unseen - set(shown))), tuple(options))


def refuse_trained_on(faces: OpenFaces, held_out: HeldOut) -> None:
    """Raise ConfigurationError where what makes the faces was trained on somebody who is held out, naming them."""
    trained = faces.trained_on
    seen = sorted({who for who in map(canonical_subject, trained) if who in held_out.subjects})
    if seen:
        made_by = getattr(faces.generator, "name", None) or "what made the pool"
        raise ConfigurationError(
            f"generator {made_by!r} shows, or was trained on {_few(seen)}, whom this stream holds out",
            expected="a generator that has seen none of the held-out people (subjects of DISFA+ are those of DISFA)",
            do="make one, or its face bank, of the other parts, or hold out people whom it has not seen",
        )


def open_people(identities: int | IdentityBank | None, faces: OpenFaces, held_out: HeldOut) -> int | IdentityBank:
    """Return the people whom the generator shows.

    Args:
        identities: as of `MixedStream`: how many, a bank, or None: those whom the generator has, 10,000 where it makes
            one of every number.
        faces: where faces come from.
        held_out: of a generator's own people, those who are held out are left out.

    Raises:
        ConfigurationError: a bank with somebody who is held out.
    """
    if identities is None:
        own = getattr(faces.generator, "people", None)
        return 10_000 if not own else IdentityBank.of_people(own).without(held_out.subjects)
    if isinstance(identities, IdentityBank):
        seen = sorted(set(identities.subjects) & held_out.subjects)
        if seen:
            raise ConfigurationError(
                f"the identity bank has {_few(seen)}, whom this stream holds out",
                expected="a bank without the held-out people",
                do="identities=bank.without([...])",
            )
    return identities


def open_guard(
    guard: Guard,
    held_out: HeldOut,
    opened: Sequence[Source],
    *,
    root: Root | Mapping[str, Root] | None,
    align: Align,
) -> LeakageGuard | None:
    """Return the guard that the argument of `MixedStream` asks for; None for False.

    Args:
        guard: True, the name of an encoder, or an encoder: the guard is made here, of the frames of those who are held
            out, its threshold calibrated with those of the others.
        held_out: who that is.
        opened: the real sources of the stream.
        root, align: as of `MixedStream`.

    Raises:
        ConfigurationError: nobody is held out, their frames are not there, no face is found in somebody's, or there are
            too few people to find a threshold on.
    """
    if guard is False or isinstance(guard, LeakageGuard):
        return guard or None
    if not (guard is True or isinstance(guard, str | IdentityEncoder)):
        raise ConfigurationError(
            f"guard={guard!r}", expected="True, 'dlib', the path of an .onnx file, an IdentityEncoder or a LeakageGuard"
        )
    encoder = guard if isinstance(guard, IdentityEncoder) else open_encoder("dlib" if guard is True else guard)
    theirs = held_out_sources(held_out, root=root, align=align)
    galleries = [Gallery.of_source(source, encoder) for source in theirs]
    others = [Gallery.of_source(source, encoder) for source in opened]
    return LeakageGuard(reduce(Gallery.joined, galleries), encoder, calibrate=reduce(Gallery.joined, others))


def held_out_sources(
    held_out: HeldOut, *, root: Root | Mapping[str, Root] | None, align: Align = "none"
) -> tuple[Source, ...]:
    """Return the frames of those who are held out, a source for each that holds somebody out.

    Raises:
        ConfigurationError: nobody is held out, or their frames are not there.
    """
    if not held_out.options:
        raise ConfigurationError(
            "guard=True with nobody held out of a source that was given by name",
            expected="hold_out='P1', keep= or fold=, which say whom to keep out",
            do="name them, or give guard=LeakageGuard(gallery, encoder, ...) with a gallery of your own",
        )
    sources = []
    for name, options in held_out.options:
        folder = root.get(name) if isinstance(root, Mapping) else root
        try:
            sources.append(open_source(name, folder, align=align, **options))
        except AusynthError as error:
            raise ConfigurationError(
                f"guard needs pictures of those whom {name} holds out: {error.what}",
                expected=error.expected or "their frames beside those of the others",
                do=error.do or "leave guard out, or give guard=LeakageGuard(...) with a gallery of your own",
            ) from error
    return tuple(sources)


def _few(names: Sequence[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
