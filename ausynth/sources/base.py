"""The source protocol, and the one class that turns decoded pictures and labels into a source.

Legend of the shapes: N pictures of a source, B of a batch, H x W pixels, C = 3 colours in the order red, green, blue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, FrameError
from ausynth.labels import Labels
from ausynth.sources.crop import Crop
from ausynth.sources.thinning import ChosenCrop, ChosenFrames, Thin, kept_rows

__all__ = ["Frames", "PictureSource", "Source"]

Pixels = NDArray[np.uint8]


@runtime_checkable
class Source(Protocol):
    """Labelled pictures of people: everything but the pixels is known without decoding a picture.

    `ausynth.testing.check_source` holds an implementation to this. Safe to read from several threads at once, and after
    fork and spawn (so it pickles).
    """

    @property
    def name(self) -> str:
        """Return a short name ("disfa")."""
        ...

    @property
    def benchmark(self) -> tuple[int, ...]:
        """Return the AUs that papers report on this data set, or all it codes."""
        ...

    @property
    def labels(self) -> Labels:
        """Return the labels of all N pictures, over the AUs this source codes."""
        ...

    @property
    def identities(self) -> NDArray[np.int64]:
        """Return (N,) int64: the row of `subjects` that each picture shows."""
        ...

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return every subject of the data set, held out or not, so that a number means the same person always."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of what the source offers: names of the pictures, labels, crop."""
        ...

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int] | NDArray[np.int64], out: Pixels) -> None:
        """Decode the pictures `indices` (B,) into `out` (B, H, W, 3) uint8, cropped and resized to H x W.

        Raises:
            FrameError: a picture cannot be decoded; it names the file, and `position` says which of `indices` it was.
        """
        ...


class Frames(Protocol):
    """Where pixels come from: image files, or frames of videos. Thread-safe; pickles."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> Pixels:
        """Return picture `index` as (H, W, 3) uint8 RGB at its stored size; raise FrameError if that fails."""
        ...

    def describe(self, index: int) -> str:
        """Return picture `index` as a path under the root: it goes into messages and fingerprints."""
        ...


class PictureSource:
    """A source made of frames, their labels and a crop: what DISFA, BP4D and Folder share.

    Args:
        name: a short name.
        frames: N pictures.
        labels: their labels.
        identities: (N,) row of `subjects` of each.
        subjects: every subject of the data set.
        benchmark: the AUs that papers report on it.
        crop: how a face is cut out of a picture.
        root: the folder of the data set, where it has one.
        thin: leave out near-duplicates: "runs" or a number, see `ausynth.sources.thinning.thin`.
    """

    def __init__(
        self,
        *,
        name: str,
        frames: Frames,
        labels: Labels,
        identities: NDArray[np.int64],
        subjects: Sequence[str],
        benchmark: Sequence[int],
        crop: Crop,
        root: Path | None = None,
        thin: Thin | None = None,
    ) -> None:
        if not len(frames) == len(labels) == len(identities):
            raise ConfigurationError(
                f"{name}: {len(frames)} frames, {len(labels)} label rows, {len(identities)} identities",
                expected="equally many",
            )
        self.name = name
        self.frames = frames
        self.labels = labels
        self.identities = np.asarray(identities, dtype=np.int64)
        self.subjects = tuple(subjects)
        self.benchmark = tuple(benchmark)
        self.crop = crop
        self.root = root
        self._thinned = False
        if thin is not None:
            self._keep(kept_rows(self.labels, self.sequences, thin))

    def _keep(self, rows: NDArray[np.int64]) -> None:
        self._thinned = True
        self.frames, self.crop = ChosenFrames(self.frames, rows), ChosenCrop(self.crop, rows)
        self.labels, self.identities = self.labels[rows], self.identities[rows]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        people = len(np.unique(self.identities))
        return f"<{self.name}: {len(self):,} pictures of {people} people, AUs {self.labels.aus}>"

    @property
    def fingerprint(self) -> str:
        """Return a hash of what the source offers; see `Source.fingerprint`."""
        digest = hashlib.sha256()
        digest.update(repr((self.name, self.subjects, self.labels.aus, self.crop.fingerprint)).encode())
        for values in (self.identities, self.labels.intensity, self.labels.occurrence, self.labels.confidence):
            digest.update(np.ascontiguousarray(values).tobytes())
        # The first and last name of each run of a person pin the naming without hashing every path of a large set.
        ends = np.flatnonzero(np.diff(self.identities, append=-1)) if len(self) else ()
        # Which frames of a run thinning has left, only their names say.
        for index in range(len(self)) if self._thinned else (0, *ends) if len(self) else ():
            digest.update(self.frames.describe(int(index)).encode())
        return digest.hexdigest()[:16]

    @property
    def sequences(self) -> NDArray[np.int64]:
        """Return (N,) int64: equal for the pictures of one person in one folder; see `thinning.sequences_of`."""
        numbers: dict[tuple[int, str], int] = {}
        folders = (self.frames.describe(index).rpartition("/")[0] for index in range(len(self)))
        keys = zip(self.identities.tolist(), folders, strict=True)
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)

    def read(self, indices: Sequence[int] | NDArray[np.int64], out: Pixels) -> None:
        """Decode the pictures `indices` (B,) into `out` (B, H, W, 3); see `Source.read`."""
        chosen = checked_indices(self, indices, out)
        load, crop = self.frames.load, self.crop.apply
        position = 0
        try:
            for position, index in enumerate(chosen.tolist()):
                crop(load(index), index, out[position])
        except FrameError as error:
            error.position = position
            raise


def checked_indices(source: Source, indices: Sequence[int] | NDArray[np.int64], out: Pixels) -> NDArray[np.int64]:
    """Return the `indices` (B,) of a `read` as an array; raise ConfigurationError if they or `out` cannot be right."""
    if len(out) != len(indices) or out.ndim != 4 or out.shape[3] != 3 or out.dtype != np.uint8:
        raise ConfigurationError(
            f"out has shape {out.shape} and type {out.dtype}", expected=f"uint8 ({len(indices)}, H, W, 3)"
        )
    chosen = np.asarray(indices, dtype=np.int64)
    wrong = (chosen < 0) | (chosen >= len(source))
    if wrong.any():
        raise ConfigurationError(f"picture {chosen[wrong][0]} of {source.name}", expected=f"0 to {len(source) - 1}")
    return chosen
