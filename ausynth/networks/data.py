"""Labelled faces of stores, held in memory: small networks see each thousands of times a second."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Labels
from ausynth.store import Store

__all__ = ["FaceSet", "Split", "read_faces"]

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]

_AT_ONCE: Final = 512
_CAP: Final = 10.0


@dataclass(frozen=True)
class Split:
    """Which people are left out: those whose number falls into part `part` of `parts`, by a hash of it.

    >>> Split.parse("1/3")
    Split(part=1, parts=3)

    The hash is of the number alone: stores of one generator show the same person under the same number, and whoever is
    left out of one must be left out of all.
    """

    part: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> Split:
        """Return the split that "K/N" names; raise ConfigurationError where it names none."""
        part, _, parts = text.partition("/")
        if not (part.isdecimal() and parts.isdecimal() and 0 <= int(part) < int(parts) and int(parts) > 1):
            raise ConfigurationError(f"split {text!r}", expected="K/N with 0 <= K < N and N of 2 or more, such as 0/3")
        return cls(int(part), int(parts))

    def left_out(self, identity_N: Integers) -> NDArray[np.bool_]:
        """Return (N,) which people are left out."""
        numbers, inverse = np.unique(identity_N, return_inverse=True)
        hashed = [int.from_bytes(hashlib.sha256(str(n).encode()).digest()[:8], "big") for n in numbers.tolist()]
        return np.array([number % self.parts == self.part for number in hashed], bool)[inverse.reshape(-1)]


@dataclass(frozen=True, eq=False)
class FaceSet:
    """N labelled faces, each with `margin` pixels around the view that networks are shown.

    Attributes:
        images: (N, S + 2 margin, S + 2 margin, 3) uint8.
        labels: of all N.
        identity: (N,) the identity number of whom each shows.
        person: (N,) who that is, from 0: the same number in stores of one generator is one person, in stores of two
            generators it is two.
        margin: pixels around the view.
        record: what is to be remembered of the stores, as JSON.
    """

    images: Pixels
    labels: Labels
    identity: Integers
    person: Integers
    margin: int
    record: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Return the height and width of the view."""
        return int(self.images.shape[1]) - 2 * self.margin

    def rows(self, rows: NDArray[Any]) -> FaceSet:
        """Return the chosen ones: row numbers or a bool (N,)."""
        return FaceSet(
            self.images[rows], self.labels[rows], self.identity[rows], self.person[rows], self.margin, self.record
        )

    def views(self, rows: NDArray[Any] | slice = slice(None)) -> Pixels:
        """Return the views (B, S, S, 3) uint8 themselves, in the middle of the pictures."""
        inner = slice(self.margin, self.margin + self.size)
        return self.images[rows][:, inner, inner]

    def rows_weights(self, rows: Integers, power: float = 0.5) -> NDArray[np.float64]:
        """Return (B,) how often each of these rows is drawn: (1 / rate)^power of its rarest AU, to tenfold; sum 1."""
        labels = self.labels[rows]
        rates_A = np.nan_to_num(labels.rates(), nan=1).clip(1 / max(len(rows), 2), 1).astype(np.float64)
        rarity_BA = np.where(np.nan_to_num(labels.occurrence) > 0, (1 / rates_A) ** power, 1)
        weight_B = rarity_BA.max(1).clip(1, _CAP)
        shares: NDArray[np.float64] = weight_B / weight_B.sum()
        return shares


def read_faces(
    folders: Sequence[Path | str],
    *,
    size: int = 64,
    crop: float = 1.0,
    margin: int = 0,
    aus: Sequence[int] | None = None,
    labelled: bool = True,
    most: int | None = None,
    show: Callable[[int, int], None] | None = None,
) -> FaceSet:
    """Return the pictures of stores with their labels.

    Args:
        folders: of stores that `ausynth warmup` or `ausynth prepare` has filled.
        size: S, height and width of the view in pixels.
        crop: the middle share of each picture that is the view, above 0 and up to 1.
        margin: pixels kept around the view, at its scale; fewer where the picture ends before.
        aus: the label space; default the union of the stores'.
        labelled: whether at least one picture must have a label that is wanted.
        most: at most so many pictures, evenly from all.
        show: is called with how many are read, of how many.

    Raises:
        ConfigurationError: no folder, no picture, no label that is wanted, or a number out of its range.
        StoreError: a folder is no store, or is damaged.
    """
    if not folders:
        raise ConfigurationError("no data to train on", expected="at least one store", do="give --data FOLDER")
    if not 0 < crop <= 1:
        raise ConfigurationError(f"crop={crop!r}", expected="a share above 0, up to 1")
    stores = [Store(Path(folder).expanduser(), verify="open") for folder in folders]
    space = facs.label_space(aus) if aus is not None else facs.union(*(store.recipe.aus for store in stores))
    places = [_ordered(store) for store in stores]
    if not sum(map(len, places)):
        raise ConfigurationError("the stores hold no pictures", expected="at least one")
    if most is not None and sum(map(len, places)) > most:
        share = most / sum(map(len, places))
        places = [each[np.linspace(0, len(each) - 1, int(len(each) * share)).astype(np.int64)] for each in places]
    whole = round(size / crop)
    margin = min(margin, (whole - size) // 2)
    total = sum(map(len, places))
    images = np.empty((total, size + 2 * margin, size + 2 * margin, 3), np.uint8)
    labels, identity, record, at = [], [], [], 0
    for store, wanted in zip(stores, places, strict=True):
        samples = store.samples(wanted)
        labels.append(samples.labels.project(space))
        identity.append(samples.identity)
        record.append(_record(store, len(wanted)))
        for start in range(0, len(wanted), _AT_ONCE):
            part = _read(store, wanted[start : start + _AT_ONCE], whole, size + 2 * margin)
            images[at : at + len(part)] = part
            at += len(part)
            if show is not None:
                show(at, total)
    known = Labels.concatenate(labels)
    if labelled and not known.mask.any():
        raise ConfigurationError(
            f"no picture is labelled with any of the AUs {space}",
            expected=f"stores of these AUs; theirs are {[store.recipe.aus for store in stores]}",
        )
    numbers = np.concatenate(identity)
    made_by = np.unique([store.recipe.fingerprint for store in stores], return_inverse=True)[1].reshape(-1)
    pairs = np.stack([np.repeat(made_by, [len(each) for each in places]), numbers])
    person = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)
    return FaceSet(images, known, numbers, person.astype(np.int64), margin, record)


def _ordered(store: Store) -> Integers:
    places = store.places()
    # Which picture is which must not follow from the order in which shards were written.
    order: Integers = places[np.lexsort(store.samples(places).key.T)] if len(places) else places
    return order


def _read(store: Store, places: Integers, whole: int, kept: int) -> Pixels:
    import cv2

    size = store.recipe.image_size
    pixels = np.empty((len(places), size, size, 3), np.uint8)
    store.read(places, pixels)
    if size != whole:
        way = cv2.INTER_AREA if size > whole else cv2.INTER_CUBIC
        pixels = np.stack([cv2.resize(each, (whole, whole), interpolation=way) for each in pixels])
    first = (whole - kept) // 2
    return pixels[:, first : first + kept, first : first + kept]


def _record(store: Store, pictures: int) -> dict[str, Any]:
    about = store.recipe.about
    return {
        "kind": store.recipe.kind,
        "fingerprint": store.recipe.fingerprint,
        "generator": about.get("generator"),
        "licence": about.get("licence"),
        "trained_on": list(about.get("trained_on", ())) + [str(name) for name in about.get("subjects", ())],
        "pictures": pictures,
    }
