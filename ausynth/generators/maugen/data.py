"""Training data: stores of labelled faces, as batches that follow from (seed, step) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators.maugen.wording import Describe
from ausynth.labels import Labels
from ausynth.schedule import Permutation, random_bits, uniform
from ausynth.sources.folds import select
from ausynth.store import Samples, Store

__all__ = ["Faces", "TrainingSet"]

Integers = NDArray[np.int64]

_EXEMPLARS: Final = 4
_CAP: Final = 10.0


@dataclass(frozen=True)
class Faces:
    """B training samples.

    Attributes:
        images: (B, S, S, 3) uint8.
        exemplars: (B, S, S, 3) uint8, another and more neutral picture of the same person; 0 where there is none.
        has_exemplar: (B,) bool.
        labels: of `images`.
        prompts: B texts that say the labels.
    """

    images: NDArray[np.uint8]
    exemplars: NDArray[np.uint8]
    has_exemplar: NDArray[np.bool_]
    labels: Labels
    prompts: tuple[str, ...]


class TrainingSet:
    """Stores of generated or real faces, together.

    A person is who has the same identity in the same store. Exemplars are a person's most neutral pictures; whoever
    has one picture only is learned without.

    Args:
        folders: of stores that `ausynth warmup` or `ausynth prepare` has filled.
        size: height and width of the pictures that are wanted; others are resized.
        describe: makes a prompt of intensities.
        aus: the label space; default the union of the stores'.
        seed: of everything that is drawn.
        oversample: [C] pictures are drawn in proportion to (1 / rate)^oversample of their rarest AU, up to tenfold; 0
            shows each once an epoch.
        hold_out: parts or subjects of real sets that are left out, as of `MixedStream`.
        crop: [C] the share of each picture's height and width that is kept, from its middle, above 0 and up to 1:
            closer faces show more of their expression in as many pixels.

    Attributes:
        describe: as given.
        aus: the label space.
        labels: of all N pictures.
        people: (2, P): store and identity of each person.
        person: (N,) which of them each picture shows.

    Raises:
        ConfigurationError: no pictures, no label that is wanted, nobody with two pictures, an unknown subject.
        StoreError: a folder is no store, or is damaged.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        size: int,
        describe: Describe,
        *,
        aus: Sequence[int] | None = None,
        seed: int = 0,
        oversample: float = 0.5,
        hold_out: Sequence[str] = (),
        crop: float = 1.0,
    ) -> None:
        if not 0 < crop <= 1:
            raise ConfigurationError(f"crop={crop!r}", expected="above 0 and up to 1")
        if not folders:
            raise ConfigurationError("no data to train on", expected="at least one store", do="give --data FOLDER")
        self.size, self.seed, self.describe, self.crop = size, seed, describe, crop
        self.stores = [Store(Path(folder).expanduser()) for folder in folders]
        self.aus = facs.label_space(aus) if aus is not None else facs.union(*(s.recipe.aus for s in self.stores))
        self.hold_out = tuple(hold_out)
        if hold_out and not any(map(_subjects, self.stores)):
            raise ConfigurationError(
                f"hold_out={list(hold_out)} and no store of real frames", expected="subjects of a real set to leave out"
            )
        parts = [self._open(store) for store in self.stores]
        self._store = np.concatenate([np.full(len(places), n) for n, (places, _) in enumerate(parts)])
        self._place = np.concatenate([places for places, _ in parts])
        self.labels = Labels.concatenate([samples.labels.project(self.aus) for _, samples in parts])
        if not len(self):
            raise ConfigurationError("the stores hold no pictures to train on", expected="at least one")
        if not self.labels.mask.any():
            raise ConfigurationError(
                f"no picture is labelled with any of the AUs {self.aus}",
                expected=f"stores of these AUs; theirs are {[store.recipe.aus for store in self.stores]}",
            )
        keys = np.concatenate([np.stack([np.full(len(s), n), s.identity]) for n, (_, s) in enumerate(parts)], axis=1)
        self.people, self.person = np.unique(keys, axis=1, return_inverse=True)
        self.person = self.person.reshape(-1)
        self._exemplars = self._find_exemplars()
        self._cumulative = self._weights(oversample)

    def _open(self, store: Store) -> tuple[Integers, Samples]:
        places = store.places()
        samples = store.samples(places)
        names = _subjects(store)
        if names and self.hold_out:
            name = str(store.recipe.about.get("name", "real"))
            shown = set(select(name, names, hold_out=self.hold_out))
            kept = np.isin(samples.identity, [row for row, subject in enumerate(names) if subject in shown])
            places, samples = places[kept], samples.rows(kept)
        # Which picture is which must not follow from the order in which shards were written.
        order = np.lexsort(samples.key.T)
        return places[order], samples.rows(order)

    def __len__(self) -> int:
        return len(self._place)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Return the subjects of real sets that are among the pictures, as "set:subject"."""
        names = set()
        for number, store in enumerate(self.stores):
            subjects = _subjects(store)
            who = np.unique(self.people[1, self.people[0] == number])
            real = store.recipe.about.get("dataset", "real")
            names |= {f"{real}:{subjects[row]}" for row in who.tolist() if row < len(subjects)}
            names |= set(store.recipe.about.get("trained_on", ()))  # a generator's pictures are of whom it was shown
        return tuple(sorted(names))

    @property
    def record(self) -> list[dict[str, Any]]:
        """Return what is to be remembered of each store, as JSON."""
        return [
            {
                "kind": store.recipe.kind,
                "fingerprint": store.recipe.fingerprint,
                "generator": store.recipe.about.get("generator"),
                "licence": store.recipe.about.get("licence"),
                "aus": list(store.recipe.aus),
                "pictures": int((self._store == number).sum()),
                "people": int((self.people[0] == number).sum()),
            }
            for number, store in enumerate(self.stores)
        ]

    def batch(self, step: int, count: int, *, part: int = 0, parts: int = 1) -> Faces:
        """Return the B = `count` samples of a step; each of `parts` processes gets its own `part` of the step's."""
        first = (step * parts + part) * count
        number = np.arange(first, first + count)
        if self._cumulative is None:
            rows = Permutation(len(self), self.seed, "maugen pictures").endless(number)
        else:
            draw = uniform(self.seed, "maugen picture", number)
            rows = np.minimum(np.searchsorted(self._cumulative, draw, side="right"), len(self) - 1)
        flip = uniform(self.seed, "maugen flip", number) < 0.5
        words = random_bits(self.seed, "maugen words", number) >> np.uint64(33)
        return self.faces(rows, flip=flip, choice=uniform(self.seed, "maugen exemplar", number), words=words)

    def faces(
        self,
        rows: Integers,
        *,
        flip: NDArray[np.bool_] | None = None,
        choice: NDArray[np.float64] | None = None,
        words: NDArray[np.uint64] | None = None,
    ) -> Faces:
        """Return pictures by their numbers (B,), 0 to the length of the set.

        Args:
            rows: the numbers.
            flip: (B,), which are mirrored: AUs do not tell sides apart. The exemplar is mirrored along.
            choice: (B,) in [0, 1): which exemplar; default the most neutral one.
            words: (B,) seeds of the prompts' wording.
        """
        flip = np.zeros(len(rows), bool) if flip is None else flip
        choice = np.zeros(len(rows)) if choice is None else choice
        words = np.zeros(len(rows), np.uint64) if words is None else words
        other, has = self._exemplar_of(rows, choice)
        images, exemplars = self._read(rows), self._read(other)
        images[flip], exemplars[flip] = images[flip, :, ::-1].copy(), exemplars[flip, :, ::-1].copy()
        exemplars[~has] = 0
        labels = self.labels[rows]
        said = np.nan_to_num(labels.intensity)
        prompts = tuple(self.describe(said[b], self.aus, int(words[b])) for b in range(len(rows)))
        return Faces(images, exemplars, has, labels, prompts)

    def portraits(self, most: int) -> NDArray[np.uint8]:
        """Return the most neutral picture of up to `most` people, evenly chosen: (P, S, S, 3) uint8."""
        chosen = np.unique(np.linspace(0, len(self._exemplars) - 1, most).round().astype(np.int64))
        return self._read(self._exemplars[chosen, 0])

    def _find_exemplars(self) -> Integers:
        """Return the (P, 4) most neutral pictures of each person, the most neutral first; the last again if fewer."""
        total_N = np.nan_to_num(self.labels.intensity).sum(1)
        order = np.lexsort((np.arange(len(self)), total_N, self.person))
        starts = np.searchsorted(self.person[order], np.arange(self.people.shape[1]))
        counts = np.diff(np.append(starts, len(self)))
        if not (counts > 1).any():
            raise ConfigurationError(
                f"each of the {len(counts):,} people has one picture only",
                expected="several pictures a person: one is the exemplar that says who is to be painted",
                do="make the store with fewer people, such as `ausynth warmup --identities "
                f"{max(1, len(counts) // 16)}`",
            )
        chosen: Integers = order[starts[:, None] + np.minimum(np.arange(_EXEMPLARS), counts[:, None] - 1)]
        return chosen

    def _exemplar_of(self, rows: Integers, choice: NDArray[np.float64]) -> tuple[Integers, NDArray[np.bool_]]:
        """Return another picture of the same person for each row, and whether there is one."""
        candidates_BE = self._exemplars[self.person[rows]]
        picked = (choice * _EXEMPLARS).astype(np.int64)
        chosen = candidates_BE[np.arange(len(rows)), picked]
        # Never the picture itself: its expression would be there to copy.
        others_BE = candidates_BE != rows[:, None]
        first = candidates_BE[np.arange(len(rows)), others_BE.argmax(1)]
        return np.where(chosen == rows, first, chosen), others_BE.any(1)

    def _weights(self, oversample: float) -> NDArray[np.float64] | None:
        if not oversample:
            return None
        rates_A = np.nan_to_num(self.labels.rates(), nan=1).clip(1 / max(len(self), 2), 1).astype(np.float64)
        rarity_NA = np.where(np.nan_to_num(self.labels.occurrence) > 0, (1 / rates_A) ** oversample, 1)
        weight_N = rarity_NA.max(1).clip(1, _CAP)
        cumulative: NDArray[np.float64] = np.cumsum(weight_N) / weight_N.sum()
        return cumulative

    def _read(self, rows: Integers) -> NDArray[np.uint8]:
        import cv2

        out = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for number in np.unique(self._store[rows]).tolist():
            which = np.flatnonzero(self._store[rows] == number)
            store = self.stores[number]
            size = store.recipe.image_size
            pixels = np.empty((len(which), size, size, 3), np.uint8)
            store.read(self._place[rows[which]], pixels)
            kept = round(self.crop * size)
            edge = (size - kept) // 2
            pixels = pixels[:, edge : edge + kept, edge : edge + kept]
            if kept == self.size:
                out[which] = pixels
                continue
            way = cv2.INTER_AREA if kept > self.size else cv2.INTER_CUBIC
            for place, picture in zip(which.tolist(), pixels, strict=True):
                out[place] = cv2.resize(picture, (self.size, self.size), interpolation=way)
        return out


def _subjects(store: Store) -> list[str]:
    return [str(name) for name in store.recipe.about.get("subjects", ())]
