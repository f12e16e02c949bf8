"""Exports generated samples as a Hugging Face data set: parquet files and a card, whole or not there at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ausynth.durable import write_aside
from ausynth.errors import AusynthError, ConfigurationError, require_whole
from ausynth.jobs.card import SHEET, Contents, Tally, card, licence_notes
from ausynth.jobs.out_folder import MADE_BY, RECORD, OutFolder
from ausynth.jobs.parquet import ParquetFile, ParquetFiles, schema, table
from ausynth.jobs.selection import Images, PlannedBatch, at_once, choose, digest, read, require_enough
from ausynth.sources.folds import PARTS

if TYPE_CHECKING:
    from ausynth.store import Recipe, Samples, Store

__all__ = ["Exported", "ImageFormat", "export_samples", "export_store"]

ImageFormat = Literal["png", "jpeg"]
Progress = Callable[[int, int, str], None]

_GROUP: Final = 100
# A reader that streams keeps a file's row groups until its end: 220 MB of memory with 64 MB, 450 MB with 200 MB.
_FILE_BYTES: Final = 64 << 20
_QUALITY: Final = 95
_JPEG: Final = b"\xff\xd8"
_SHOWN: Final = 16
_SHEET_QUALITY: Final = 90


@dataclass(frozen=True)
class Exported:
    """An export: its folder, its samples, its parquet files, and whether it was there already."""

    folder: Path
    samples: int
    files: tuple[ParquetFile, ...]
    found: bool = False

    @property
    def bytes(self) -> int:
        """Return the size of all parquet files."""
        return sum(file.bytes for file in self.files)


def export_samples(
    batches: Iterable[tuple[Samples, Images]],
    recipe: Recipe,
    out: str | os.PathLike[str],
    *,
    plan: str = "",
    count: int | None = None,
    image_format: ImageFormat | None = None,
    selection: str = "",
    progress: Progress | None = None,
) -> Exported:
    """Write samples as a Hugging Face data set into the folder `out`.

    >>> export_samples(batches, recipe, "faces")  # doctest: +SKIP
    >>> datasets.load_dataset("faces", split="train")[0]["AU12_intensity"]  # doctest: +SKIP
    3.0

    `ausynth.jobs.parquet.COLUMNS` says what the columns are. Everything is written aside, in `out`, and moved to its
    place when it is whole, the pictures last: what an interrupted export leaves behind cannot be loaded, and the next
    run clears it away. Memory stays flat however many samples there are.

    Args:
        batches: samples over `recipe.aus` with their pictures: (B, S, S, 3) uint8, or B byte strings of JPEG data.
        recipe: of the store, or what would be its recipe.
        out: the folder, new or empty.
        plan: hash of the plan that the samples belong to.
        count: how many samples to export; all by default.
        image_format: "png" loses nothing, "jpeg" is written with quality 95. By default JPEG data are passed on byte by
            byte (as they are with "jpeg"), and pixels become PNG.
        selection: which samples these are, in a word: where `out` holds a whole export of the same samples, it is kept
            and `batches` is not asked.
        progress: called with samples done, in all (0 where that is not known) and the file's number, after every batch.

    Raises:
        ConfigurationError: the samples are real recordings; `out` holds other files; there are no samples, or fewer
            than `count`; a batch does not fit the recipe.
        AusynthError: the disk is full.
    """
    planned = ((samples, images, plan) for samples, images in batches)
    return _Job(recipe, out, (plan,), count, image_format, selection, progress).run(planned)


def export_store(
    store: Store,
    out: str | os.PathLike[str],
    *,
    plan: str | None = None,
    count: int | None = None,
    image_format: ImageFormat | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the samples of a store of generated ones as a Hugging Face data set; see `export_samples`.

    Args:
        store: the store; each sample is taken once, however many plans ask for it.
        out: the folder, new or empty.
        plan: hash of the only plan to export, or how it begins; all by default, one after the other.
        count: how many samples to export, those with the lowest ordinals; all by default.
        image_format: "png" or "jpeg"; by default as the store has them: PNG for pixels, its own JPEG data untouched.
        progress: called with samples done, in all, and the file's number.

    Raises:
        ConfigurationError: the store is of real recordings, holds no such plan, or fewer than `count` samples.
        DamagedError: a stored sample is damaged.
        AusynthError: the disk is full.
    """
    _refuse_real(store.recipe)
    if count is not None:
        require_whole("count", count, 1)
    chosen = choose(store, plan, count)
    total = sum(places.size for _, places in chosen)
    plans = tuple(name for name, _ in chosen)
    job = _Job(store.recipe, out, plans, total, image_format, digest(store, chosen), progress)
    return job.run(read(store, chosen, verbatim=store.recipe.codec == "jpeg" and image_format != "png"))


@dataclass(frozen=True)
class _Job:
    """What is exported, and how."""

    recipe: Recipe
    out: str | os.PathLike[str]
    plans: tuple[str, ...]
    count: int | None
    image_format: ImageFormat | None
    selection: str
    progress: Progress | None

    def run(self, batches: Iterable[PlannedBatch]) -> Exported:
        _refuse_real(self.recipe)
        if self.image_format not in {None, "png", "jpeg"}:
            raise ConfigurationError(f"image_format {self.image_format!r}", expected="'png' or 'jpeg'")
        if self.count is not None:
            require_whole("count", self.count, 1)
        request = {
            "made_by": MADE_BY,
            "fingerprint": self.recipe.fingerprint,
            "image_format": self.image_format or "as stored",
            "count": self.count,
            "selection": self.selection,
        }
        folder = OutFolder(self.out)
        with folder.held():
            if (there := folder.claim(request)) is not None:
                files = tuple(ParquetFile(**file) for file in there["files"])
                return Exported(folder.root, there["samples"], files, found=True)
            with folder.making() as aside:
                tally, files, first = self._write(batches, aside)
                contents = Contents(folder.root.name, self.recipe, tally, files, self.plans, first.words)
                write_aside(aside / SHEET, first.sheet(self.recipe, tally.samples))
                write_aside(aside / "README.md", card(contents).encode())
                record = {**request, "samples": tally.samples, "files": [asdict(file) for file in files]}
                write_aside(aside / RECORD, json.dumps(record, indent=1).encode())
        return Exported(folder.root, tally.samples, files)

    def _write(self, batches: Iterable[PlannedBatch], aside: Path) -> tuple[Tally, tuple[ParquetFile, ...], _First]:
        about = self.recipe.about
        facts = {"generator": str(about.get("generator", "")), "fingerprint": self.recipe.fingerprint}
        facts["licence"] = licence_notes(self.recipe)
        arrow = schema(self.recipe.aus, facts)
        tally, first = Tally(self.recipe.aus), _First()
        group = min(_GROUP, at_once(self.recipe.image_size))
        files = ParquetFiles(aside / "data", arrow, group=group, size=_FILE_BYTES)
        workers = ThreadPoolExecutor(min(os.cpu_count() or 1, 16), thread_name_prefix="ausynth-export")
        encode = partial(_encode, image_format=self.image_format)
        try:
            with closing(_pieces(batches, self.recipe, self.count)) as pieces:
                for samples, images, plan in pieces:
                    # Encoded before the next piece is asked for: whoever makes pictures may use their memory again.
                    encoded = list(workers.map(encode, images))
                    first.see(samples, encoded)
                    files.write(table(arrow, samples, encoded, plan, facts))
                    tally.add(samples)
                    if self.progress:
                        self.progress(tally.samples, self.count or 0, f"file {files.begun}")
            require_enough(tally.samples, self.count)
            return tally, files.finish(), first
        finally:
            workers.shutdown(cancel_futures=True)
            files.abandon()


class _First:
    """Keeps the first samples, to draw them."""

    def __init__(self) -> None:
        self._samples: list[Samples] = []
        self._encoded: list[bytes] = []

    def see(self, samples: Samples, encoded: Sequence[bytes]) -> None:
        wanted = min(_SHOWN - len(self._encoded), len(encoded))
        if wanted > 0:
            self._samples.append(samples.rows(np.arange(wanted)))
            self._encoded += encoded[:wanted]

    @property
    def words(self) -> str:
        return "JPEG" if self._encoded[0].startswith(_JPEG) else "PNG"

    def sheet(self, recipe: Recipe, samples: int) -> bytes:
        from ausynth.labels import Labels
        from ausynth.sheets import batch_sheet
        from ausynth.sources.images import decode_image, encode_jpeg

        pictures = np.stack([decode_image(data, "an exported picture") for data in self._encoded])
        people = [f"person {who}" for part in self._samples for who in part.identity.tolist()]
        sheet = batch_sheet(
            pictures,
            Labels.concatenate([part.labels for part in self._samples]),
            np.ones(len(pictures), bool),
            people,
            title=f"The first of {samples:,} synthetic faces",
            subtitle=f"Generator {recipe.about.get('generator', 'unknown')}, {recipe.image_size} px",
        )
        return encode_jpeg(sheet, _SHEET_QUALITY)


def _pieces(batches: Iterable[PlannedBatch], recipe: Recipe, count: int | None) -> Generator[PlannedBatch, None, None]:
    """Return the batches, checked, in pieces of limited size, `count` samples in all."""
    left, some = count, at_once(recipe.image_size)
    for samples, images, plan in batches:
        _check(samples, images, recipe)
        size = len(samples) if left is None else min(left, len(samples))
        for start in range(0, size, some):
            end = min(start + some, size)
            yield samples.rows(np.arange(start, end)), images[start:end], plan
        if left is not None:
            left -= size
            if not left:
                return


def _check(samples: Samples, images: Images, recipe: Recipe) -> None:
    size, edge = len(samples), recipe.image_size
    if samples.labels.aus != recipe.aus:
        raise ConfigurationError(f"samples over the AUs {samples.labels.aus}", expected=f"{recipe.aus} of the recipe")
    if (samples.noise < 0).any():  # a recording has no seed
        _refuse_real(replace(recipe, kind="real"))
    if not isinstance(images, np.ndarray):
        if len(images) != size:
            raise ConfigurationError(f"{len(images)} pictures for {size} samples", expected="as many")
    elif images.shape != (size, edge, edge, 3) or images.dtype != np.uint8:
        raise ConfigurationError(
            f"pictures of shape {images.shape} and type {images.dtype}", expected=f"({size}, {edge}, {edge}, 3) uint8"
        )


def _encode(image: NDArray[np.uint8] | bytes, *, image_format: ImageFormat | None) -> bytes:
    """Return the picture's file: JPEG data as they are, unless PNG is asked for."""
    from ausynth.sources.images import decode_image, encode_jpeg

    if isinstance(image, np.ndarray):
        return encode_jpeg(image, _QUALITY) if image_format == "jpeg" else _png(image)
    if not image.startswith(_JPEG):
        raise ConfigurationError(f"picture data that begin with {bytes(image[:4])!r}", expected="JPEG data, or pixels")
    return _png(decode_image(bytes(image), "stored JPEG data")) if image_format == "png" else bytes(image)


def _png(image: NDArray[np.uint8]) -> bytes:
    import cv2

    # On pictures of faces, entropy coding alone of averaged neighbours is both faster and smaller than a search for
    # repetitions: 3,200 pictures/s a core of 20 KB at 112 px, against 1,100 and 22 KB at OpenCV's default level 3.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):
        options += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise AusynthError(f"no PNG of a picture of shape {image.shape}", expected="(H, W, 3) uint8")
    return bytes(data)


def _refuse_real(recipe: Recipe) -> None:
    if recipe.kind == "real":
        name = recipe.about.get("name") or recipe.about.get("dataset") or "a real data set"
        raise ConfigurationError(
            f"these are recordings of real people ({name}), under a licence that does not let them be passed on",
            expected="a store of generated samples, such as `ausynth warmup` fills",
            do="share how they were prepared instead: whoever has the licence prepares the same with `ausynth prepare`",
        )
    licensed = [name for name in recipe.about.get("shows", ()) if name in PARTS]
    if licensed:
        raise ConfigurationError(
            f"these faces are drawn from frames of {' and '.join(name.upper() for name in licensed)}, whose licence "
            "does not let pictures of its people be passed on",
            expected="synthetic faces, or people of photographs that may be passed on",
            do="make them with a face bank of other people",
        )
