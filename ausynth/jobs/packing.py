"""Cuts pictures out of their files and writes them into a store: what each process of `prepare` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import FrameError
from ausynth.jobs.executors import Note
from ausynth.sources.base import PictureSource
from ausynth.sources.crop import CentreSquare
from ausynth.sources.images import ImageFiles, decode_image, encode_jpeg
from ausynth.sources.stored_pictures import content_key
from ausynth.sources.thinning import ChosenCrop, ChosenFrames

__all__ = ["Codec", "Packed", "Packer", "Span", "all_ready", "home"]

Pixels = NDArray[np.uint8]

Span = tuple[int, int]
"""The first picture of a shard, and the one behind its last."""

Codec = Literal["raw", "jpeg"]

_NOTED: Final = 64


@dataclass(frozen=True)
class Packed:
    """What became of one shard: how many of its pictures cannot be read, and why the first of them; is it written?"""

    unreadable: int
    reason: str
    written: bool


@dataclass(frozen=True)
class Packer:
    """Makes shards of a source; pickles."""

    source: PictureSource
    folder: Path
    size: int
    codec: Codec
    quality: int
    exact: bool
    skip_damaged: bool

    def __call__(self, span: Span, note: Note) -> Packed:
        """Cut out the pictures `span` (first, behind the last) and write them."""
        from ausynth.store import Samples, Store

        numbers_N = np.arange(*span)
        side, raw = self.size, self.codec == "raw"
        pixels = np.empty((len(numbers_N) if raw else 1, side, side, 3), np.uint8)
        keys = np.zeros((len(numbers_N), 16), np.uint8)
        jpegs: list[bytes] = []
        failures: list[str] = []
        for row, number in enumerate(numbers_N.tolist()):
            picture = pixels[row if raw else 0]
            try:
                self.source.read([number], picture[None])
                keys[row] = content_key(picture)
            except FrameError as error:
                failures.append(error.what)
                picture[:] = 0
            if not raw:
                jpegs.append(self._encoded(number, picture, keys[row]))
            if row % _NOTED == _NOTED - 1:
                note(row + 1)
        reason = failures[0] if failures else ""
        if failures and not self.skip_damaged:
            return Packed(len(failures), reason, written=False)
        labels = self.source.labels[numbers_N]
        samples = Samples(
            number=numbers_N,
            key=keys,
            labels=labels,
            asked=np.full_like(labels.intensity, np.nan),
            identity=self.source.identities[numbers_N],
            noise=np.full(len(numbers_N), -1, np.int64),
            attempt=np.zeros(len(numbers_N), np.int64),
            text=tuple(map(self.source.frames.describe, numbers_N.tolist())),
        )
        Store(self.folder).write(samples, pixels if raw else jpegs)
        return Packed(len(failures), reason, written=True)

    def _encoded(self, number: int, picture: Pixels, key: NDArray[np.uint8]) -> bytes:
        """Return the picture as JPEG data: those of its file where they give just these pixels."""
        if not key.any():
            return encode_jpeg(picture, self.quality)
        data = _ready_jpeg(self.source, number, self.size, key)
        if data is None and self.exact:
            raise FrameError.of(self.source.frames.describe(number), "the file has changed since this run began")
        return encode_jpeg(picture, self.quality) if data is None else data


def _ready_jpeg(source: PictureSource, number: int, side: int, key: NDArray[np.uint8]) -> bytes | None:
    """Return the file of a picture where it is a JPEG of the very pixels that have this key."""
    path = _file_of(source, number)
    try:
        if path is not None and _is_jpeg_of(path, side):
            data = path.read_bytes()
            if np.array_equal(content_key(decode_image(data, path)), key):
                return data
    except (OSError, FrameError):
        pass
    return None


def home(source: PictureSource) -> Path:
    """Return the folder that the pictures' names are relative to."""
    frames = source.frames.frames if isinstance(source.frames, ChosenFrames) else source.frames
    return (frames.root if isinstance(frames, ImageFiles) else source.root or Path()).resolve()


def _file_of(source: PictureSource, number: int) -> Path | None:
    """Return the image file of a picture that is not cropped but to its middle."""
    frames, crop = source.frames, source.crop
    if isinstance(frames, ChosenFrames) and isinstance(crop, ChosenCrop):
        number, frames, crop = frames.rows[number], frames.frames, crop.crop
    if isinstance(frames, ImageFiles) and isinstance(crop, CentreSquare):
        return frames.root / frames.paths[number]
    return None


def all_ready(source: PictureSource, side: int) -> bool:
    """Return whether every file is a JPEG of `side` x `side` pixels by its header, and not cropped."""
    for number in range(len(source)):
        path = _file_of(source, number)
        try:
            if path is None or not _is_jpeg_of(path, side):
                return False
        except OSError:
            if _can_be_read(source, number):
                return False
    return True  # what cannot be read is not encoded either


def _can_be_read(source: PictureSource, number: int) -> bool:
    try:
        source.frames.load(number)
    except FrameError:
        return False
    return True


def _is_jpeg_of(path: Path, side: int) -> bool:
    from PIL import Image

    with Image.open(path) as image:
        return image.format == "JPEG" and image.size == (side, side)
