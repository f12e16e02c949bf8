"""Finds the prepared store of a data set that was opened from its files, and reads that instead."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import AusynthError, FrameError, StoreError
from ausynth.sources.base import PictureSource, Source, checked_indices
from ausynth.sources.crop import LandmarkCrop
from ausynth.sources.prepared import PreparedSource, is_prepared, open_prepared
from ausynth.sources.stored_pictures import StoredPictures, content_key
from ausynth.sources.thinning import Subset
from ausynth.sources.video import store_folder

__all__ = ["PackedSource", "differing", "hint", "prepared_folder", "prepared_for", "register"]

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]

_SPOT_CHECKS: Final = 8


class PackedSource:
    """A source whose pictures are read from a store: all else is the source's own.

    Args:
        source: opened from its files.
        pictures: its N pictures in the store.
    """

    def __init__(self, source: PictureSource, pictures: StoredPictures) -> None:
        self.source, self.pictures = source, pictures
        self.name, self.subjects, self.benchmark = source.name, source.subjects, source.benchmark
        self.labels, self.identities = source.labels, source.identities

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"{self.source!r} read from {self.pictures.store.folder}"

    @property
    def fingerprint(self) -> str:
        """Return the source's: the pictures are the same."""
        return self.source.fingerprint

    @property
    def sequences(self) -> Integers:
        """Return the source's; see `ausynth.sources.thinning.sequences_of`."""
        return self.source.sequences

    @property
    def native_size(self) -> int:
        """Return the height and width in pixels at which reading is exact, and fast."""
        return self.pictures.native_size

    def read(self, indices: Sequence[int] | Integers, out: Pixels) -> None:
        """Read the pictures `indices` (B,) into `out` (B, H, W, 3); see `Source.read`."""
        self.pictures.read(checked_indices(self, indices, out), out)


def prepared_for(source: Source, size: int) -> Source | None:
    """Return a source of the same samples that reads them from a prepared store, or None where there is none.

    The store has to hold every picture of the source (by name), at `size`, cut out in the same way, bit by bit; eight
    of them, evenly spread, are compared with their files. What keeps a store that is known from being used is warned
    of. Stores of JPEGs that were encoded anew are not the same samples: they are used where they are named as root.

    Args:
        source: an open source; one that is not made of files, or is prepared already, has no other.
        size: height and width in pixels that it will be read at.
    """
    if isinstance(source, Subset):
        whole = prepared_for(source.source, size)
        return None if whole is None else Subset(whole, source.rows)
    if not isinstance(source, PictureSource) or isinstance(source, PreparedSource) or source.root is None:
        return None
    reasons: list[str] = []
    for folder in _registered(source.name, source.root, source.crop.fingerprint, size):
        try:
            found = _matched(source, folder)
        except (AusynthError, OSError) as error:
            reasons.append(str(error))
        else:
            if found is not None:
                return found
    if reasons:
        warnings.warn(
            f"{source.name} is read from its files, for its prepared store cannot be used: {reasons[0]}", stacklevel=3
        )
    return None


def hint(source: Source, size: int) -> str | None:
    """Return how to make reading `source` at `size` faster, as a sentence; None where there is nothing to say."""
    if isinstance(source, Subset):
        return hint(source.source, size)
    if not isinstance(source, PictureSource) or isinstance(source, PreparedSource) or source.root is None:
        return None
    if source.name not in ("disfa", "bp4d"):
        return None
    words = ["ausynth", "prepare", source.name, "--root", str(source.root), "--size", str(size)]
    crop = source.crop.fingerprint
    if crop == LandmarkCrop.fingerprint:
        words += ["--align", "landmarks"]
    elif crop != "none":
        words += ["--align", "MODULE:FUNCTION"]
    return (
        f"{source.name} is decoded from its files, picture by picture; `{shlex.join(words)}` does it once, and then "
        "the same stream reads it several times as fast"
    )


def prepared_folder() -> Path:
    """Return the folder of prepared data sets and of what is known of them: `prepared` in the cache folder."""
    return store_folder().parent / "prepared"


def register(name: str, root: Path, crop: str, size: int, store: Path) -> Path:
    """Make a store known as that of data set `name` under `root`, and return the file that says so.

    Raises:
        OSError: the cache folder cannot be written to.
    """
    from ausynth.durable import write_aside

    about = {"dataset": name, "root": str(root.resolve()), "crop": crop, "size": size, "store": str(store.resolve())}
    own = hashlib.sha256(str(store.resolve()).encode()).hexdigest()[:8]
    path = prepared_folder() / f"{_prefix(name, root, crop, size)}-{own}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, json.dumps(about, indent=1).encode())
    return path


def differing(source: Source, pictures: StoredPictures) -> int | None:
    """Return a picture whose file does not give what is stored, of eight that are looked at; None if all do.

    Args:
        source: read from files.
        pictures: the same N pictures in a store.
    """
    side = pictures.native_size
    for index in sorted({int(place) for place in np.linspace(0, len(pictures) - 1, _SPOT_CHECKS)}):
        out = np.empty((1, side, side, 3), np.uint8)
        try:
            source.read([index], out)
            key = content_key(out[0])
        except FrameError:
            key = np.zeros_like(pictures.keys[index])
        if not np.array_equal(key, pictures.keys[index]):
            return index
    return None


def _registered(name: str, root: Path, crop: str, size: int) -> Iterator[Path]:
    """Yield the stores that are known and there, the latest first."""
    entries = prepared_folder().glob(f"{_prefix(name, root, crop, size)}-*.json")
    dated = []
    for entry in entries:
        with contextlib.suppress(OSError):
            dated.append((entry.stat().st_mtime_ns, entry))
    for _, entry in sorted(dated, reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            store = Path(json.loads(entry.read_text(encoding="utf-8"))["store"])
            if is_prepared(store):
                yield store


def _prefix(name: str, root: Path, crop: str, size: int) -> str:
    digest = hashlib.sha256(repr((name, str(root.resolve()), crop, size)).encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{digest}"


def _matched(source: PictureSource, folder: Path) -> PackedSource | None:
    """Return the source read from a store; None where the store is of other pixels on purpose.

    Raises:
        StoreError: pictures are missing in the store, or are no longer what is stored.
    """
    store = open_prepared(folder)
    if not store.recipe.about["exact"]:
        return None
    places = store.find("", store.numbers(""))
    samples = store.samples(places)
    row_of = {name: row for row, name in enumerate(samples.text)}
    names = [source.frames.describe(index) for index in range(len(source))]
    rows = np.array([row_of.get(name, -1) for name in names], dtype=np.int64)
    missing = int((rows < 0).sum())
    if missing:
        raise StoreError(
            f"{folder} lacks {missing:,} of {len(names):,} pictures, the first {names[int(np.argmin(rows))]}",
            expected="all of them",
            do="prepare the data set as it is opened here",
        )
    pictures = StoredPictures.of(store, places, samples).rows(rows)
    changed = differing(source, pictures)
    if changed is not None:
        raise StoreError(
            f"{names[changed]} under {source.root} is not what {folder} holds",
            expected="files that have not changed since they were prepared",
            do="prepare the data set anew, into another folder",
        )
    return PackedSource(source, pictures)
