"""A data set that `ausynth prepare` has cut, once, out of its files into a store: read without the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError, LayoutError, StoreError
from ausynth.labels import DEFAULT_THRESHOLD
from ausynth.sources.base import PictureSource, checked_indices
from ausynth.sources.bp4d import wanted_aus, wanted_tasks
from ausynth.sources.crop import Align, LandmarkCrop, make_crop
from ausynth.sources.folds import select
from ausynth.sources.stored_pictures import ReadyCrop, StoredPictures
from ausynth.sources.thinning import Thin

if TYPE_CHECKING:
    from ausynth.store import Samples, Store
    from ausynth.store.reading import Verify

__all__ = ["SELECTION", "PreparedSource", "crop_fingerprint", "is_prepared", "lossy_fingerprint", "open_prepared"]

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]
Options = Mapping[str, Any]

SELECTION: Final = frozenset({"align", "aus", "threshold", "hold_out", "keep", "fold", "split", "tasks", "thin"})
"""Options of data sets that a prepared one takes as well; the others are settled when it is prepared."""

_OF_NO_MATTER: Final = frozenset({"cache", "progress", "check"})
"""Options that do not change what a data set offers."""


def is_prepared(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a store."""
    return any((Path(folder).expanduser() / name).is_file() for name in ("store.json", "manifest.jsonl"))


class PreparedSource(PictureSource):
    """A prepared data set: the samples that the data set's own class gives with the same options, in the same order.

        PreparedSource("/fast/disfa-112", hold_out="P1")

    Pixels are those of the tree at the size that it was prepared at (`native_size`), and whole batches of them are read
    straight into place; at any other size they are resized from there, which is not what the tree gives. The
    fingerprint is that of the data set's own class, unless the store is of JPEGs that were encoded for it.

    Args:
        root: the store.
        dataset: "disfa", "bp4d" or "folder", where it has to be that.
        align: how faces were cut out; None for however they were.
        aus, threshold, hold_out, keep, fold, split, thin: as of `DISFA`, `BP4D` or `Folder`.
        tasks: as of `BP4D`.
        verify: when checksums of what is read are compared: "read", "open" or "never"; see `ausynth.Store`.

    Raises:
        ConfigurationError: an option that cannot be right, or that was settled otherwise when it was prepared.
        LayoutError: nobody who is kept has a picture.
        StoreError: there is no prepared data set, or it is prepared in part.
    """

    frames: StoredPictures

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        dataset: str | None = None,
        align: Align | None = None,
        aus: str | Iterable[int] | None = None,
        threshold: float | None = None,
        hold_out: str | Iterable[str] | None = None,
        keep: str | Iterable[str] | None = None,
        fold: str | None = None,
        split: str = "train",
        tasks: str | Iterable[str] | None = None,
        thin: Thin | None = None,
        verify: Verify = "read",
    ) -> None:
        store = open_prepared(root, dataset, verify=verify)
        about = store.recipe.about
        _require_align(store, align)
        thin = _remaining_thin(store, thin, chosen=aus is not None or threshold is not None)
        places = store.find("", store.numbers(""))
        samples = store.samples(places)
        takes = _Takes(about, samples, tasks)
        present = takes.subjects
        kept = frozenset(select(about["name"], present, hold_out=hold_out, keep=keep, fold=fold, split=split))
        rows = takes.rows(kept)
        if not rows.size:
            raise LayoutError(
                f"no picture in {store.folder} is of {', '.join(sorted(kept))}",
                expected="subjects that were prepared",
                do="choose others, or prepare the whole data set",
            )
        labels = samples.labels[rows]
        if threshold is not None or about["dataset"] != "bp4d":
            labels = labels.at_threshold(DEFAULT_THRESHOLD if threshold is None else threshold)
        labels = labels.project(_label_space(store, aus, takes.coded(kept)))
        super().__init__(
            name=about["name"],
            frames=StoredPictures.of(store, places, samples).rows(rows),
            labels=labels,
            identities=samples.identity[rows],
            subjects=about["subjects"],
            benchmark=labels.aus if about["dataset"] == "folder" else about["benchmark"],
            crop=ReadyCrop(about["crop"]),
            root=store.folder,
            thin=thin,
        )
        self._thinned |= about["thin"] is not None

    def _keep(self, rows: Integers) -> None:
        self.frames = self.frames.rows(rows)
        self.labels, self.identities = self.labels[rows], self.identities[rows]
        self._thinned = True

    @property
    def store(self) -> Store:
        """Return the store."""
        return self.frames.store

    @property
    def native_size(self) -> int:
        """Return the height and width in pixels at which reading is exact, and fast."""
        return self.frames.native_size

    @property
    def exact(self) -> bool:
        """Return whether the pixels are those of the tree, bit by bit, at `native_size`."""
        return bool(self.store.recipe.about["exact"])

    @cached_property
    def fingerprint(self) -> str:
        """Return that of the tree's source with the same options where the pixels are the same."""
        tree = super().fingerprint
        return tree if self.exact else lossy_fingerprint(tree, self.store.recipe.quality)

    def read(self, indices: Sequence[int] | Integers, out: Pixels) -> None:
        """Read the pictures `indices` (B,) into `out` (B, H, W, 3); see `Source.read`."""
        self.frames.read(checked_indices(self, indices, out), out)


class _Takes:
    """Which rows of a store belong to which subject and, for BP4D, task."""

    def __init__(self, about: Mapping[str, Any], samples: Samples, tasks: str | Iterable[str] | None) -> None:
        self._samples, self._about = samples, about
        self._takes: Mapping[str, Any] = about["takes"]
        if tasks is not None and not self._takes:
            raise ConfigurationError(f"{about['dataset']} has no option tasks", expected="tasks= for bp4d only")
        self._tasks = wanted_tasks(tasks, {take.split("/")[1] for take in self._takes}) if self._takes else set()

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return who is there, in the data set's order."""
        if self._about["dataset"] == "folder":
            return tuple(self._about["subjects"])
        if self._takes:
            return tuple(sorted({take.split("/")[0] for take in self._takes}))
        return tuple(self._about["subjects"][row] for row in np.unique(self._samples.identity).tolist())

    def rows(self, kept: frozenset[str]) -> Integers:
        """Return the rows of those who are kept, in the tasks that are wanted."""
        subjects = self._about["subjects"]
        wanted = [number for number, subject in enumerate(subjects) if subject in kept]
        chosen_N = np.isin(self._samples.identity, wanted)
        if self._takes:
            folders = {folder for take, (folder, _) in self._takes.items() if take.split("/")[1] in self._tasks}
            names = self._samples.text
            chosen_N &= np.fromiter((name.rpartition("/")[0] in folders for name in names), bool, len(names))
        return np.flatnonzero(chosen_N)

    def coded(self, kept: frozenset[str]) -> list[Sequence[int]]:
        """Return the AUs that are coded in each take of those who are kept."""
        places = ((take.split("/"), aus) for take, (_, aus) in self._takes.items())
        return [aus for (subject, task), aus in places if subject in kept and task in self._tasks]


def open_prepared(root: str | os.PathLike[str], dataset: str | None = None, *, verify: Verify = "read") -> Store:
    """Return the store of a prepared data set, whole.

    Raises:
        ConfigurationError: it holds another data set.
        StoreError: there is no store, it holds synthetic faces, or it is prepared in part.
    """
    from ausynth.store import Store

    store = Store(Path(root).expanduser(), verify=verify)
    about = store.recipe.about
    if store.recipe.kind != "real" or "dataset" not in about:
        raise StoreError(
            f"{store.folder} holds {store.recipe.kind} samples",
            expected="a data set that `ausynth prepare` has made",
            do="pass a store of generated faces as synthetic= or cache=" if store.recipe.kind == "synthetic" else None,
        )
    if dataset is not None and about["dataset"] != dataset:
        raise ConfigurationError(
            f"{store.folder} holds {about['dataset']}, and {dataset} is asked for", expected=f"a prepared {dataset}"
        )
    numbers = store.numbers("")
    if not np.array_equal(numbers, np.arange(about["pictures"])):
        raise StoreError(
            f"{store.folder} holds {len(numbers):,} of {about['pictures']:,} pictures",
            expected="all of them",
            do="run the same `ausynth prepare` again: it makes what is missing",
        )
    return store


def prepared_options(root: str | os.PathLike[str], dataset: str, options: Options, defaults: Options) -> dict[str, Any]:
    """Return those of a data set's options that are left to choose; the others have to be as when it was prepared.

    Args:
        root: the store.
        dataset: "disfa", "bp4d" or "folder".
        options: as for the data set's own class.
        defaults: of that class.

    Raises:
        ConfigurationError: one is not.
    """
    settled = open_prepared(root, dataset).recipe.about["options"]
    for option, value in options.items():
        was = settled.get(option, defaults.get(option))
        if option not in SELECTION | _OF_NO_MATTER and _plain(value) != _plain(was):
            raise ConfigurationError(
                f"{option}={value!r} of {root}, which was prepared with {option}={was!r}",
                expected=f"some of {', '.join(sorted(SELECTION))}",
                do=f"leave {option} away, or run `ausynth prepare` with it into another folder",
            )
    return {option: value for option, value in options.items() if option in SELECTION}


def crop_fingerprint(align: Align) -> str:
    """Return the fingerprint of the crop that `align` asks for."""
    return LandmarkCrop.fingerprint if align == "landmarks" else make_crop(align).fingerprint


def lossy_fingerprint(fingerprint: str, quality: int | None) -> str:
    """Return the fingerprint of a source whose pictures were encoded as JPEGs."""
    return hashlib.sha256(f"{fingerprint} JPEG {quality}".encode()).hexdigest()[:16]


def _require_align(store: Store, align: Align | None) -> None:
    was = store.recipe.about["crop"]
    if align is not None and crop_fingerprint(align) != was:
        spoken = "align='landmarks'" if was == LandmarkCrop.fingerprint else f"the crop {was!r}"
        asked = align if isinstance(align, str) else crop_fingerprint(align)
        raise ConfigurationError(
            f"align={asked!r} of {store.folder}, whose faces were cut out with {spoken}",
            expected=f"{spoken}, or no align= where it may be left out",
            do="run `ausynth prepare` with this align= into another folder",
        )


def _remaining_thin(store: Store, thin: Thin | None, *, chosen: bool) -> Thin | None:
    was = store.recipe.about["thin"]
    if was is None or thin is None:
        return thin
    if thin != was or chosen:
        raise ConfigurationError(
            f"thin={thin!r}{' with aus= or threshold=' if chosen else ''} of {store.folder}, which was prepared with "
            f"thin={was!r} over all of its AUs",
            expected="no thin=",
            do="leave thin away, or prepare the whole data set",
        )
    return None


def _label_space(store: Store, aus: str | Iterable[int] | None, coded: Sequence[Sequence[int]]) -> tuple[int, ...]:
    dataset, there = store.recipe.about["dataset"], store.recipe.aus
    if dataset == "bp4d":
        return wanted_aus(aus, coded, store.folder)
    wanted = there if aus is None else facs.label_space(aus)
    lacking = [au for au in wanted if au not in there]
    if dataset == "folder" and lacking:
        raise ConfigurationError(
            f"{store.folder} has no labels of AU {', '.join(map(str, lacking))}",
            expected=f"of the AUs that it has: {', '.join(map(str, there))}",
        )
    return wanted


def _plain(value: Any) -> Any:
    """Return an option as JSON gives it back."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value
