"""Files that hold the frames of one video each: a ZIP of JPEGs, read at random from any thread or process.

The file is an ordinary ZIP with stored (not deflated) entries "000000.jpg", "000001.jpg", ... and "video.json", so that
a person can open it and look. A read is one `pread` of the frame's bytes, checked against the ZIP's CRC.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.durable import sync_folder
from ausynth.errors import ConfigurationError, FrameError
from ausynth.sources.images import decode_image
from ausynth.stats import CHARGED, charge

__all__ = ["STORE_VERSION", "StoredVideo", "VideoFrames", "leftovers", "write_store"]

Pixels = NDArray[np.uint8]

STORE_VERSION: Final = 1
"""Enters the name of every store: files of another version are not read, and made anew."""

_ABOUT: Final = "video.json"
_PART: Final = ".part"
_NAME_LENGTH: Final = len("000000.jpg")
# A local header is 30 bytes, the name and an extra field, which our writer leaves empty for entries below 4 GiB.
_HEADER: Final = 30 + _NAME_LENGTH
_MAX_FRAMES: Final = 1_000_000


class StoredVideo:
    """The frames of one video in a store file.

    Args:
        path: the file.
        name: what the video is called in messages and fingerprints: its path under the root of the data set.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a whole store of this version.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        try:
            with zipfile.ZipFile(path) as archive:
                self.about: Mapping[str, Any] = json.loads(archive.read(_ABOUT))
                entries = [entry for entry in archive.infolist() if entry.filename != _ABOUT]
        except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no store of frames: {error}") from error
        whole = (
            self.about.get("version") == STORE_VERSION
            and self.about.get("frames") == len(entries)
            and all(entry.filename == _name(index) for index, entry in enumerate(entries))
            and all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        )
        if not whole:
            raise ValueError(f"{path} is no whole store of frames of version {STORE_VERSION}")
        self._starts_N = np.array([entry.header_offset for entry in entries], dtype=np.int64)
        self._sizes_N = np.array([entry.file_size for entry in entries], dtype=np.int64)
        self._checksums_N = np.array([entry.CRC for entry in entries], dtype=np.uint32)
        self._forget_descriptors()

    def __len__(self) -> int:
        return len(self._starts_N)

    def read(self, frame: int) -> bytes:
        """Return the JPEG data of frame `frame`, from 0; raise FrameError where they are damaged."""
        size = int(self._sizes_N[frame])
        try:
            data = os.pread(self._descriptor(), _HEADER + size, int(self._starts_N[frame]))
        except OSError as error:
            raise self._error(frame, error.strerror or str(error)) from error
        if data[:4] != b"PK\x03\x04" or data[30:_HEADER] != _name(frame).encode() or len(data) != _HEADER + size:
            raise self._error(frame, "the entry is not where the ZIP's directory says")
        jpeg = data[_HEADER:]
        if zlib.crc32(jpeg) != int(self._checksums_N[frame]):
            raise self._error(frame, "the checksum (CRC-32) does not match")
        return jpeg

    def _error(self, frame: int, reason: str) -> FrameError:
        return FrameError.of(
            f"{self.path} (frame {frame} of {self.name})",
            reason,
            do="delete that file of the frame store: the video is decoded anew when the data set is opened next",
        )

    def _descriptor(self) -> int:
        # Keyed by process, and without a lock: a lock that another thread holds at a fork stays locked in the child.
        process = os.getpid()
        descriptor = self._descriptors.get(process)
        if descriptor is None:
            opened = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            descriptor = self._descriptors.setdefault(process, opened)
            if descriptor != opened:
                os.close(opened)
        return descriptor

    def _forget_descriptors(self) -> None:
        self._descriptors: dict[int, int] = {}
        weakref.finalize(self, _close_all, self._descriptors)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_descriptors"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_descriptors()


class VideoFrames:
    """Frames of videos: picture i is frame `frames[i]` of `videos[i]`, a row of `stores`.

    Args:
        stores: the store of each video.
        videos: (N,) rows of `stores`.
        frames: (N,) frame numbers from 0, in presentation order.
    """

    def __init__(self, stores: Sequence[StoredVideo], videos: NDArray[np.integer], frames: NDArray[np.integer]) -> None:
        if len(videos) != len(frames):
            raise ConfigurationError(f"{len(videos)} videos for {len(frames)} frames", expected="equally many")
        self.stores = tuple(stores)
        self.videos_N = np.asarray(videos, dtype=np.int32)
        self.frames_N = np.asarray(frames, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.frames_N)

    def load(self, index: int) -> Pixels:
        """Return picture `index` as (H, W, 3) uint8 RGB; raise FrameError where the store is missing or damaged."""
        store, frame = self.stores[self.videos_N[index]], int(self.frames_N[index])
        name = f"{store.path} (frame {frame} of {store.name})"
        if index % CHARGED:
            return decode_image(store.read(frame), name)
        start = perf_counter()
        data = store.read(frame)
        middle = perf_counter()
        image = decode_image(data, name)
        charge(read=middle - start, decode=perf_counter() - middle)
        return image

    def describe(self, index: int) -> str:
        """Return the video's path under the root and the frame's number from 0, "LeftVideoSN001_comp.avi#12"."""
        return f"{self.stores[self.videos_N[index]].name}#{self.frames_N[index]}"


def write_store(path: Path, jpegs: Iterable[bytes], about: Mapping[str, object]) -> None:
    """Write the frames of one video to `path`: aside, synced, then renamed, so that a store is whole or not there.

    Args:
        path: the file to make.
        jpegs: the frames in order; nothing is left behind if this raises.
        about: what else "video.json" says.

    Raises:
        OSError: the file cannot be written.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PART}")
    try:
        with part.open("wb") as file:
            count = 0
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for jpeg in jpegs:
                    if count == _MAX_FRAMES:
                        raise ConfigurationError(
                            f"a video of more than {_MAX_FRAMES:,} frames", expected="fewer", do="cut it into pieces"
                        )
                    archive.writestr(zipfile.ZipInfo(_name(count)), jpeg)
                    count += 1
                text = json.dumps({"version": STORE_VERSION, "frames": count, **about}, indent=1)
                archive.writestr(zipfile.ZipInfo(_ABOUT), text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def leftovers(folder: Path) -> dict[Path, list[Path]]:
    """Return the unfinished files in `folder`, by the store that each was to become."""
    found: dict[Path, list[Path]] = {}
    for part in folder.glob(f"*{_PART}"):
        found.setdefault(part.with_name(part.name.rsplit(".", 2)[0]), []).append(part)
    return found


def _name(frame: int) -> str:
    return f"{frame:06d}.jpg"


def _close_all(descriptors: dict[int, int]) -> None:
    while descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptors.popitem()[1])
