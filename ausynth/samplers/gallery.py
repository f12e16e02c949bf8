"""Faces of known people, some of each: who must not be seen, or whom a threshold is found on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, FrameError, require_whole
from ausynth.samplers.identity import Embeddings, IdentityEncoder, Pixels, checked, embed, require_faces
from ausynth.samplers.people import canonical_subject

if TYPE_CHECKING:
    from ausynth.sources.base import Source

__all__ = ["Gallery"]

PER_PERSON: Final = 12
"""Pictures of a person, evenly spaced over the recording, so that expressions and poses differ."""

_SIZE: Final = 384
"""Pixels at which real frames are read: a face that fills a third of one is still found."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Some faces of each of P people.

    Attributes:
        embeddings: (T, D) unit vectors.
        people: (T,) int64, who each shows: a row of `names`.
        names: of the P people, such as "disfa:SN001".
        encoder: fingerprint of what made the embeddings.
        pictures: (T,) int64, which picture of the source each is of; None where they are of no single source.
        content: (T, 16) uint8, a hash of each picture's pixels; None where nobody knows.

    Raises:
        ConfigurationError: no faces, NaN, no unit vectors, or somebody without a face.
    """

    embeddings: Embeddings
    people: NDArray[np.int64]
    names: tuple[str, ...]
    encoder: str
    pictures: NDArray[np.int64] | None = None
    content: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        array = np.asarray(self.embeddings)
        if not len(array):
            raise ConfigurationError("an empty gallery", expected="at least one picture of one person")
        vectors = checked(array, array.shape[1] if array.ndim == 2 else 0, what="a gallery")
        require_faces(vectors, "a gallery")
        people = np.asarray(self.people, dtype=np.int64)
        if people.shape != (len(vectors),) or people.min() < 0 or people.max() >= len(self.names):
            raise ConfigurationError(
                f"people {people.shape} of a gallery with {len(vectors)} faces and {len(self.names)} names",
                expected="for each face a row of names",
            )
        without = sorted(set(range(len(self.names))) - set(people.tolist()))
        if without:
            raise _faceless([self.names[row] for row in without])
        object.__setattr__(self, "embeddings", vectors)
        object.__setattr__(self, "people", people)

    def __len__(self) -> int:
        """Return how many faces there are, T."""
        return len(self.embeddings)

    @property
    def fingerprint(self) -> str:
        """Return a hash of the encoder and of the pictures, in any order, whoever they show.

        Of their pixels where those are known: another machine may round an embedding in another way.
        """
        seen = self.embeddings if self.content is None else self.content
        parts = sorted(row.tobytes() for row in np.ascontiguousarray(seen))
        return hashlib.sha256(self.encoder.encode() + b"".join(parts)).hexdigest()[:16]

    def joined(self, other: Gallery) -> Gallery:
        """Return the people of both, this one's first; who is in both (DISFA+ shows DISFA's people) is one person."""
        rows = {canonical_subject(name): row for row, name in enumerate(self.names)}
        names = list(self.names)
        for name in other.names:
            if rows.setdefault(canonical_subject(name), len(names)) == len(names):
                names.append(name)
        known = self.content is not None and other.content is not None
        both = np.concatenate([self.content, other.content]) if known else None
        to = np.array([rows[canonical_subject(name)] for name in other.names], np.int64)
        return Gallery(
            np.concatenate([self.embeddings, other.embeddings]),
            np.concatenate([self.people, to[other.people]]),
            tuple(names),
            self.encoder,
            content=both,
        )

    @classmethod
    def of_pictures(cls, images: Pixels | Iterable[Pixels], people: Sequence[str], encoder: IdentityEncoder) -> Gallery:
        """Return the gallery of T pictures, (H, W, 3) uint8 RGB each, of the people named beside them.

        Pictures in which no face is found are left out.

        Raises:
            ConfigurationError: no face in any picture of somebody.
        """
        names = tuple(dict.fromkeys(people))
        rows = np.array([names.index(name) for name in people], np.int64)
        found, keys = [np.zeros((0, encoder.dimension), np.float32)], [np.empty((0, 16), np.uint8)]
        for image in images:
            found.append(embed(encoder, image[None]))
            keys.append(_content(image))
        vectors = np.concatenate(found)
        if len(vectors) != len(rows):
            raise ConfigurationError(f"{len(vectors)} pictures of {len(rows)} people", expected="a name for each")
        return cls._of_found(vectors, rows, names, encoder.fingerprint, content=np.concatenate(keys))

    @classmethod
    def of_source(
        cls,
        source: Source,
        encoder: IdentityEncoder,
        *,
        per_person: int | None = None,
        cache: Path | None = None,
        progress: bool = True,
    ) -> Gallery:
        """Return the gallery of everybody whom a source shows.

        Embeddings are remembered by the pictures' content, so that another fold of the same data is quick.

        Args:
            source: real frames.
            encoder: what embeds them.
            per_person: frames of each person, evenly spaced over all of theirs; default 12. Unreadable ones are passed
                over.
            cache: the folder in which embeddings are remembered; default that of everything else.
            progress: whether a terminal shows how far it is.

        Raises:
            ConfigurationError: no face in any of somebody's frames.
        """
        from ausynth.sources.video import store_folder
        from ausynth.store.embeddings import Remembered

        per_person = PER_PERSON if per_person is None else per_person
        require_whole("per_person", per_person, 1)
        shown = np.unique(source.identities)
        chosen = [_spread(np.flatnonzero(source.identities == row), per_person) for row in shown]
        frames, rows = np.concatenate(chosen), np.repeat(np.arange(len(shown)), [len(each) for each in chosen])
        remembered = Remembered(cache or store_folder().parent, encoder.fingerprint, encoder.dimension)
        vectors = np.zeros((len(frames), encoder.dimension), np.float32)
        content = np.zeros((len(frames), 16), np.uint8)
        size = getattr(source, "native_size", None) or _SIZE
        image = np.empty((1, size, size, 3), np.uint8)
        words = f"embedding {len(shown)} people of {source.name}"
        for place, index in enumerate(_watched(frames, words, progress)):
            try:
                source.read([int(index)], image)
            except FrameError:
                continue  # others of this person will do
            key = content[place : place + 1] = _content(image[0])
            vector, known = remembered.find(key)
            if not known.all():
                vector = embed(encoder, image)
                remembered.add(key, vector)
            vectors[place] = vector[0]
        remembered.flush()
        names = tuple(f"{source.name}:{source.subjects[row]}" for row in shown)
        return cls._of_found(vectors, rows, names, encoder.fingerprint, content=content, pictures=frames)

    @classmethod
    def _of_found(
        cls,
        vectors: Embeddings,
        rows: NDArray[np.int64],
        names: tuple[str, ...],
        encoder: str,
        *,
        content: NDArray[np.uint8],
        pictures: NDArray[np.int64] | None = None,
    ) -> Gallery:
        found = vectors.any(axis=1)
        without = [names[row] for row in sorted(set(range(len(names))) - set(rows[found].tolist()))]
        if without:
            raise _faceless(without)
        kept = None if pictures is None else pictures[found]
        return cls(vectors[found], rows[found], names, encoder, kept, content[found])


def _faceless(names: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"no face was found in any picture of {', '.join(names[:6])}" + (", ..." if len(names) > 6 else ""),
        expected="at least one face of everybody: who cannot be recognised cannot be kept out",
        do="cut faces out of the frames (align='landmarks', or a crop of your own), or use another encoder",
    )


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return `count` of the rows, evenly spaced, from the middle of as many stretches; all where there are fewer."""
    if len(rows) <= count:
        return rows
    return rows[((np.arange(count) + 0.5) * len(rows) / count).astype(np.int64)]


def _watched(frames: NDArray[np.int64], words: str, progress: bool) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    shown = progress and console.is_terminal  # a training log is no place for a bar
    return track(frames.tolist(), words, console=console, transient=True, disable=not shown)


def _content(image: Pixels) -> NDArray[np.uint8]:
    """Return (1, 16) a hash of a picture's pixels."""
    return np.frombuffer(xxhash.xxh3_128_digest(np.ascontiguousarray(image).tobytes()), np.uint8)[None]
