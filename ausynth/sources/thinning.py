"""Fewer of the near-duplicate frames of a video: those where the labels change, and some of those between.

The frames of DISFA and BP4D are consecutive, and most look like the one before: 130,814 frames of DISFA are 2,451 runs
of equal labels. A thinned source shows each of what it keeps more often, and a network has seen everyone just as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.labels import Labels

if TYPE_CHECKING:
    from ausynth.sources.base import Frames, Source
    from ausynth.sources.crop import Crop

__all__ = ["Subset", "Thin", "kept_rows", "sequences_of", "thin"]

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]

Thin = Literal["runs"] | int
"""What `thin=` takes: "runs" keeps the first frame of each run of equal labels; a number k keeps every k-th too."""


def thin(source: Source, how: Thin) -> Subset:
    """Return a source that keeps a frame where its labels change and, with a number, every k-th frame as well.

    Labels are compared over the AUs that the source codes, with what is unknown; a new sequence (another person, take
    or folder: see `sequences_of`) always begins with a frame that is kept, and every k-th is counted from there.

    Args:
        source: what is thinned.
        how: "runs" or a whole number k, 2 or more.

    Raises:
        ConfigurationError: `how` is neither.
    """
    return Subset(source, kept_rows(source.labels, sequences_of(source), how))


def kept_rows(labels: Labels, sequences: Integers, how: Thin) -> Integers:
    """Return which of N pictures are kept, ascending.

    >>> labels = Labels.from_intensity((12,), [[0], [0], [0], [3], [3], [3]])
    >>> kept_rows(labels, np.zeros(6, np.int64), "runs").tolist()
    [0, 3]
    >>> kept_rows(labels, np.zeros(6, np.int64), 2).tolist()  # 0, 2 and 4 as every second, 3 as labels change
    [0, 2, 3, 4]
    >>> kept_rows(labels, np.array([0, 0, 1, 1, 1, 1]), "runs").tolist()
    [0, 2, 3]

    Args:
        labels: of the N pictures.
        sequences: (N,) which sequence each belongs to; those of one sequence stand in the order of time.
        how: see `thin`.

    Raises:
        ConfigurationError: `how` is neither "runs" nor a whole number, 2 or more.
    """
    _require_thin(how)
    order_N = np.argsort(sequences, kind="stable")
    first_N = np.ones(len(order_N), dtype=bool)
    first_N[1:] = np.diff(sequences[order_N]) != 0
    kept_N = first_N.copy()
    for cells_NA in (labels.intensity[order_N], labels.occurrence[order_N]):
        before, after = cells_NA[:-1], cells_NA[1:]
        same = (before == after) | (np.isnan(before) & np.isnan(after))
        kept_N[1:] |= ~same.all(axis=1)
    if not isinstance(how, str):
        starts = np.flatnonzero(first_N)
        position_N = np.arange(len(order_N)) - np.repeat(starts, np.diff(starts, append=len(order_N)))
        kept_N |= position_N % how == 0
    return np.sort(order_N[kept_N])


def sequences_of(source: Source) -> Integers:
    """Return (N,) int64: which sequence of consecutive frames each picture of a source belongs to.

    A source may say so in an attribute `sequences`. Those made of files do: the pictures of one person in one folder
    (BP4D: one task), in the source's order. Otherwise a sequence is all pictures of one person.
    """
    own = getattr(source, "sequences", None)
    return np.asarray(source.identities if own is None else own, dtype=np.int64)


class Subset:
    """Some pictures of a source, as a source.

    Args:
        source: what they are chosen from.
        rows: (N,) the pictures, any order; a picture may come twice.

    Raises:
        ConfigurationError: a row that the source does not have.
    """

    def __init__(self, source: Source, rows: Sequence[int] | Integers) -> None:
        self.source = source
        self.rows = np.asarray(rows, dtype=np.int64)
        wrong = (self.rows < 0) | (self.rows >= len(source))
        if wrong.any():
            raise ConfigurationError(
                f"picture {self.rows[wrong][0]} of {source.name}", expected=f"0 to {len(source) - 1}"
            )
        self.name, self.subjects, self.benchmark = source.name, source.subjects, source.benchmark
        self.labels = source.labels[self.rows]
        self.identities = source.identities[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<{len(self):,} pictures of {self.source!r}>"

    @property
    def fingerprint(self) -> str:
        """Return a hash of what the source offers and which of it is chosen."""
        rows = np.ascontiguousarray(self.rows).tobytes()
        return hashlib.sha256(self.source.fingerprint.encode() + rows).hexdigest()[:16]

    @property
    def sequences(self) -> Integers:
        """Return (N,) int64: which sequence each picture belongs to; see `sequences_of`."""
        return sequences_of(self.source)[self.rows]

    @property
    def native_size(self) -> int | None:
        """Return the size that the source holds its pictures at, or None where it holds none ready."""
        return getattr(self.source, "native_size", None)

    def read(self, indices: Sequence[int] | Integers, out: Pixels) -> None:
        """Decode the pictures `indices` (B,) into `out` (B, H, W, 3); see `Source.read`."""
        chosen = np.asarray(indices, dtype=np.int64)
        wrong = (chosen < 0) | (chosen >= len(self))
        if wrong.any():  # numpy would take -1 for the last
            raise ConfigurationError(f"picture {chosen[wrong][0]} of {self.name}", expected=f"0 to {len(self) - 1}")
        self.source.read(self.rows[chosen], out)


class ChosenFrames:
    """Some frames of others, for a `PictureSource`."""

    def __init__(self, frames: Frames, rows: Integers) -> None:
        self.frames, self.rows = frames, rows.tolist()

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, index: int) -> Pixels:
        """Return picture `index`; see `Frames.load`."""
        return self.frames.load(self.rows[index])

    def describe(self, index: int) -> str:
        """Return the path of picture `index`; see `Frames.describe`."""
        return self.frames.describe(self.rows[index])


class ChosenCrop:
    """The crop of `ChosenFrames`: landmarks are those of the frames as they were numbered before."""

    def __init__(self, crop: Crop, rows: Integers) -> None:
        self.crop, self.rows = crop, rows.tolist()
        self.fingerprint = crop.fingerprint

    def apply(self, image: Pixels, index: int, out: Pixels) -> None:
        """Write the crop into `out`; see `Crop.apply`."""
        self.crop.apply(image, self.rows[index], out)


def _require_thin(how: object) -> None:
    number = isinstance(how, int | np.integer) and not isinstance(how, bool) and how >= 2
    if not number and how != "runs":
        raise ConfigurationError(
            f"thin={how!r}",
            expected="'runs' (a frame where the labels change), or a whole number k, 2 or more (and every k-th frame)",
        )
