"""Pictures in image files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, FrameError
from ausynth.stats import CHARGED, charge

__all__ = ["IMAGE_SUFFIXES", "ImageFiles", "decode_image", "decode_whole", "encode_jpeg"]

Pixels = NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
"""File endings taken for pictures, compared in lower case."""

# Without IGNORE_ORIENTATION a picture with an EXIF rotation would no longer match landmarks of its stored pixels.
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"


class ImageFiles:
    """Frames that lie in image files: paths relative to a root, so that the tree may move.

    Args:
        root: the folder.
        paths: N paths under it.
    """

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self.root = root
        self.paths = tuple(paths)
        self._prefix = os.path.join(root, "")  # noqa: PTH118 (paths are joined 25,000 times a second)

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> Pixels:
        """Return picture `index` as (H, W, 3) uint8 RGB; raise FrameError where it is missing or damaged."""
        path = f"{self._prefix}{self.paths[index]}"
        if index % CHARGED:
            return decode_image(_contents(path), path)
        start = perf_counter()
        data = _contents(path)
        middle = perf_counter()
        image = decode_image(data, path)
        charge(read=middle - start, decode=perf_counter() - middle)
        return image

    def describe(self, index: int) -> str:
        """Return the path under the root."""
        return self.paths[index]


def decode_image(data: bytes, path: object) -> Pixels:
    """Return the picture in `data` as (H, W, 3) uint8 RGB; `path` names it in the FrameError for a damaged one."""
    if not data:
        raise FrameError.of(path, "the file is empty")
    # libjpeg fills the rest of a truncated JPEG with grey and only warns: a face would lose its mouth in silence.
    if data.startswith(_JPEG_START) and not _is_whole_jpeg(data):
        raise FrameError.of(path, "the JPEG data end before the picture does")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error as error:  # a header that promises more pixels than OpenCV takes
        raise FrameError.of(path, str(error).strip()) from error
    if image is None:
        raise FrameError.of(path, "damaged, or not a picture")
    return np.asarray(image, dtype=np.uint8)


def decode_whole(data: bytes | Pixels) -> Pixels | None:
    """Return the picture in `data`, which is known to be whole, as (H, W, 3) uint8 RGB; None where it is none."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)


def encode_jpeg(image: Pixels, quality: int) -> bytes:
    """Return the picture (H, W, 3) uint8 RGB as JPEG data of `quality` 1-100."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ConfigurationError(f"no JPEG of a picture of shape {image.shape}", expected="(H, W, 3) uint8")
    return bytes(data)


def _contents(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)  # half the time of a file object, at 25,000 files a second
        try:
            return os.read(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FrameError.of(path, error.strerror or str(error)) from error


def _is_whole_jpeg(data: bytes) -> bool:
    """Return whether the end marker follows the first scan.

    The segments before the scan are stepped over, since the thumbnail in one of them has an end marker of its own;
    coded data never hold one, and what cameras append after the end does not matter.
    """
    if data.endswith(_JPEG_END):
        return True  # the quick way; where this is only the thumbnail's end, there is no scan and decoding fails
    place = len(_JPEG_START)
    while place + 4 <= len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        if kind == _JPEG_SCAN:
            return data.rfind(_JPEG_END, place) >= 0
        # A marker may be preceded by any number of 0xFF; 0x01 is the one before a scan that stands without a length.
        place += 1 if kind == 0xFF else 2 if kind == 0x01 else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False
