"""Cuts the faces of a real data set out of its files, once, into a store that training reads several times as fast."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from ausynth.errors import AusynthError, ConfigurationError, FrameError, StoreError, require_whole
from ausynth.jobs.executors import open_executor
from ausynth.jobs.packing import Codec, Packer, Span, all_ready, home
from ausynth.sources import open_source
from ausynth.sources.base import PictureSource
from ausynth.sources.bp4d import BP4D
from ausynth.sources.crop import Align
from ausynth.sources.prepared import SELECTION, PreparedSource
from ausynth.sources.prepared_lookup import differing, prepared_folder, register
from ausynth.sources.stored_pictures import StoredPictures
from ausynth.sources.thinning import Subset, Thin

if TYPE_CHECKING:
    from ausynth.store import Store

__all__ = ["Codec", "Prepared", "Progress", "prepare"]

Progress = Callable[[int, int], None]
"""Is told how many pictures are done, and how many there are."""

SHARD: Final = 2048
"""Pictures of a shard: 77 MB of pixels at 112 x 112, which each process has in memory while it makes one."""

_SIDE_LIMIT: Final = 1024
_TERMS: Final = "for those who hold the data set's own agreement; not to be passed on"


@dataclass(frozen=True)
class Prepared:
    """What `prepare` has made.

    Attributes:
        folder: the store.
        pictures: how many the data set has.
        made: how many of them were cut out in this run; the others were there.
        unreadable: how many of those could not be read (`skip_damaged`).
        exact: whether the store gives the pixels of the files, bit by bit.
        bytes: what the store takes on the disk.
    """

    folder: Path
    pictures: int
    made: int
    unreadable: int
    exact: bool
    bytes: int


def prepare(
    dataset: str,
    root: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    size: int = 112,
    align: Align = "none",
    thin: Thin | None = None,
    codec: Codec = "raw",
    quality: int = 95,
    workers: int | None = None,
    skip_damaged: bool = False,
    progress: Progress | None = None,
    options: Mapping[str, Any] | None = None,
) -> Prepared:
    """Cut the faces of a data set out of its files into a store, and make the store known as that of these files.

    What lies in the store already, whole, is not made again: an interrupted run goes on where it was. A stream of the
    same files at this size reads the store from then on; `open_source(dataset, root=out)` reads it without the files.

    Args:
        dataset: "disfa", "bp4d" or "folder".
        root: its root, as for `open_source`.
        out: the folder of the store; default one of its own in the cache folder.
        size: height and width of a picture in pixels.
        align: how a face is cut out, see `ausynth.sources.crop.make_crop`.
        thin: leave out near-duplicate frames, see `ausynth.sources.thinning.thin`; they may be left out later, too.
        codec: "raw": the pixels as they are (37 kB a picture at 112 x 112). "jpeg": a file that is a JPEG of this size,
            whole, goes in as it is; anything else is encoded again, which is not the same picture any more.
        quality: of the JPEGs that are encoded, 1-100.
        workers: how many processes; default one for each core, 8 at most; 0: none, all is done in this one.
        skip_damaged: go on where a picture cannot be read: reading it from the store fails as reading its file does.
        progress: is told how far it is.
        options: of the data set's class; hold_out, keep and so on leave people out of the store.

    Raises:
        ConfigurationError: an argument that cannot be right.
        LayoutError, LabelFileError: the tree is not as it should be.
        FrameError: pictures cannot be read; all others are in the store.
        StoreError: the folder holds another store, or the disk is full.
        AusynthError: a process was killed again and again.
    """
    require_whole("size", size, 16)
    require_whole("quality", quality, 1)
    if size > _SIDE_LIMIT or quality > 100 or codec not in get_args(Codec):
        raise ConfigurationError(
            f"size={size}, codec={codec!r}, quality={quality}",
            expected=f"a size of 16 to {_SIDE_LIMIT}, codec 'raw' or 'jpeg', a quality of 1 to 100",
        )
    given = {option: _settled(value) for option, value in (options or {}).items()}
    if unwanted := sorted({"aus", "threshold"} & set(given)):
        raise ConfigurationError(
            f"{' and '.join(unwanted)} while a data set is prepared",
            expected="neither: all labels are kept",
            do="choose them where the prepared data set is opened",
        )
    source = open_source(dataset, root, align=align, thin=thin, **given)
    if not isinstance(source, PictureSource) or isinstance(source, PreparedSource):
        raise ConfigurationError(f"{root} is prepared already", expected="the files that it was prepared from")
    settings = {**given, "thin": thin, "codec": codec, "quality": quality if codec == "jpeg" else None}
    folder = Path(out).expanduser() if out is not None else _own_folder(source, size, settings)
    exact = codec == "raw" or all_ready(source, size)
    store = _create(
        folder,
        source,
        dataset=dataset.lower(),
        size=size,
        codec=codec,
        quality=quality,
        exact=exact,
        thin=thin,
        options=given,
    )
    missing = _missing(store, len(source))
    if store.numbers("").size:
        _require_same_files(store, source)
    if codec == "raw":
        _require_space(folder, sum(stop - start for start, stop in missing) * size * size * 3)
    packer = Packer(source, folder, size, codec, quality, exact, skip_damaged)
    unreadable = _make(packer, missing, len(source), workers, progress)
    store.refresh()
    if root_folder := source.root:
        register(source.name, root_folder, source.crop.fingerprint, size, folder)
    made = sum(stop - start for start, stop in missing)
    return Prepared(folder, len(source), made, unreadable, exact, store.bytes_on_disk)


def _create(
    folder: Path,
    source: PictureSource,
    *,
    dataset: str,
    size: int,
    codec: Codec,
    quality: int,
    exact: bool,
    thin: Thin | None,
    options: Mapping[str, Any],
) -> Store:
    from ausynth.store import Recipe, Store

    about = {
        "dataset": dataset,
        "name": source.name,
        "root": str(home(source)),
        "subjects": list(source.subjects),
        "benchmark": list(source.benchmark),
        "crop": source.crop.fingerprint,
        "pictures": len(source),
        "exact": exact,
        "thin": thin,
        "options": _as_json({option: value for option, value in options.items() if option not in SELECTION}),
        "selection": _as_json({option: value for option, value in options.items() if option in SELECTION}),
        "takes": _as_json(source.takes) if isinstance(source, BP4D) else {},
        "licence": f"{dataset.upper()}: {_TERMS}" if dataset != "folder" else "",
    }
    recipe = Recipe(
        kind="real",
        aus=source.labels.aus,
        image_size=size,
        codec=codec,
        quality=quality if codec == "jpeg" else None,
        fingerprint=source.fingerprint,
        about=about,
    )
    return Store.create(folder, recipe)


def _missing(store: Store, count: int) -> list[Span]:
    """Return the shards of which a picture is not in the store."""
    there_N = np.zeros(count, dtype=bool)
    there_N[store.numbers("")] = True
    spans = [(start, min(start + SHARD, count)) for start in range(0, count, SHARD)]
    return [(start, stop) for start, stop in spans if not there_N[start:stop].all()]


def _require_same_files(store: Store, source: PictureSource) -> None:
    """Refuse to go on with a store whose pictures are not those of the files any more."""
    numbers = store.numbers("")
    places = store.find("", numbers)
    pictures = StoredPictures.of(store, places, store.samples(places))
    changed = differing(Subset(source, numbers), pictures)
    if changed is not None:
        raise StoreError(
            f"{pictures.describe(changed)} under {source.root} is not what {store.folder} holds",
            expected="the files that the store was begun with",
            do="prepare the data set into another folder, or delete this one",
        )


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise AusynthError(
            f"the pictures need {needed / 1e9:.3g} GB in {folder}, and {free / 1e9:.3g} GB are free",
            expected="enough free space",
            do="name a folder on another disk with out=, a smaller size=, or codec='jpeg'",
        )


def _make(packer: Packer, missing: list[Span], count: int, workers: int | None, progress: Progress | None) -> int:
    """Make the missing shards; return how many of their pictures cannot be read."""
    if not missing:
        return 0
    done = dict.fromkeys(missing, 0)
    found = count - sum(stop - start for start, stop in missing)

    def show(span: Span, pictures: int) -> None:
        done[span] = pictures
        if progress is not None:
            progress(found + sum(done.values()), count)

    if workers is None:
        workers = min(8, len(missing), os.cpu_count() or 1)
    unreadable, failed = 0, []
    with open_executor("local", workers=workers) as executor:
        for outcome in executor.map(packer, missing, show):
            if outcome.failed or outcome.value is None:
                failed.append((AusynthError, outcome.error, 1))
            elif not outcome.value.written:
                failed.append((FrameError, outcome.value.reason, outcome.value.unreadable))
            else:
                unreadable += outcome.value.unreadable
                show(outcome.task, outcome.task[1] - outcome.task[0])
    if failed:
        raise _failure(failed)
    return unreadable


def _failure(failed: list[tuple[type[AusynthError], str, int]]) -> AusynthError:
    kind, reason, _ = min(failed, key=lambda each: each[0] is FrameError)
    if kind is not FrameError:
        return AusynthError(
            f"{len(failed)} shards were not made; {reason}",
            do="run the same again once the cause is gone: what is whole is kept",
        )
    pictures = sum(count for _, _, count in failed)
    return FrameError(
        f"{pictures:,} pictures cannot be read, and {len(failed)} shards lack them; {reason}",
        expected="whole pictures",
        do="restore them and run the same again (what is whole is kept), or go on without them: --skip-damaged, or "
        "skip_damaged=True",
    )


def _own_folder(source: PictureSource, size: int, settings: Mapping[str, Any]) -> Path:
    parts = (str((source.root or Path()).resolve()), source.crop.fingerprint, size, sorted(_as_json(settings).items()))
    return prepared_folder() / f"{source.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as JSON gives them back."""
    result: dict[str, Any] = json.loads(json.dumps(dict(values), default=_plain))
    return result


def _settled(value: Any) -> Any:
    """Return an option in a form that can be gone through twice, and comes in one order."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return list(value) if isinstance(value, Iterator) else value


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return list(value) if hasattr(value, "__iter__") else repr(value)
