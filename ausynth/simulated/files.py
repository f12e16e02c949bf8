"""Files of a simulated data set in the layout of the real one: what is written for a subject, and where it goes.

A subject's files are written into a folder aside and moved to their places when all are there, what proves that the
subject is whole last.

Legend of the shapes: T frames of a subject, A action units, H x W pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Floats, Labels

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

__all__ = ["BP4DTree", "Codec", "DISFATree", "Frame", "Layout", "Move", "Tree", "flush"]

Pixels = NDArray[np.uint8]
Codec = Literal["mjpeg", "mpeg4"]
Layout = Literal["frames", "video", "both"]

_JPEG_QUALITY: Final = 95
_UNKNOWN: Final = 9

BP4D_COLUMNS: Final = (1, 2, 4, 5, 6, 7, *range(9, 21), 22, 23, 24, *range(27, 40))
"""The AUs of AU_OCC's columns."""


@dataclass(frozen=True)
class Frame:
    """One frame: its picture (H, W, 3) uint8 RGB and the (A,) labels of what it shows, NaN where unknown."""

    image: Pixels
    intensity: Floats


@dataclass(frozen=True)
class Move:
    """A file or folder written aside, and its place under the tree's root."""

    made: Path
    place: str


class Tree(Protocol):
    """The layout of one data set."""

    def places(self, subject: str) -> list[str]:
        """Return what exists under the root when the subject is whole."""
        ...

    def write(self, subject: str, frames: Iterable[Frame], aus: Sequence[int], aside: Path) -> list[Move]:
        """Write the subject's files into the folder `aside`; return where they go, in the order of moving."""
        ...


@dataclass(frozen=True)
class DISFATree:
    """DISFA: ActionUnit_Labels/SN001/SN001_au1.txt, with Videos_LeftCamera, aligned_images, or both.

    Attributes:
        layout: single frames, videos, or both.
        codec: of the videos.
    """

    layout: Layout = "frames"
    codec: Codec = "mjpeg"

    def places(self, subject: str) -> list[str]:
        """Return the subject's frames, video, and label folder."""
        frames, video, labels = (
            f"aligned_images/{subject}",
            f"Videos_LeftCamera/LeftVideo{subject}_comp.avi",
            f"ActionUnit_Labels/{subject}",
        )
        return {"frames": [frames, labels], "video": [video, labels], "both": [frames, video, labels]}[self.layout]

    def write(self, subject: str, frames: Iterable[Frame], aus: Sequence[int], aside: Path) -> list[Move]:
        """Write frames named from 1, a 20 fps video, and for each of the 12 AUs lines "frame,intensity"."""
        missing = sorted(set(facs.DISFA_12) - set(aus))
        if missing:
            raise ConfigurationError(
                f"the generator has no AUs {missing}", expected="all that DISFA codes: it has no code for unknown"
            )
        pictures, video, labels = aside / "frames", aside / "video.avi", aside / "labels"
        labels.mkdir()
        rows: list[Floats] = []
        with_frames, with_video = self.layout != "video", self.layout != "frames"
        if with_frames:
            pictures.mkdir()
        with _Video(video if with_video else None, self.codec) as film:
            for number, frame in enumerate(frames, 1):
                if with_frames:
                    _write_jpeg(pictures / f"{number:05d}.jpg", frame.image)
                film.add(frame.image)
                rows.append(frame.intensity)
        levels_TA = _levels(Labels.from_intensity(aus, np.stack(rows)).project(facs.DISFA_12))
        if (levels_TA == _UNKNOWN).any():
            raise ConfigurationError("the generator leaves AUs unknown", expected="0-5: DISFA has no code for unknown")
        for au, levels_T in zip(facs.DISFA_12, levels_TA.T, strict=True):
            lines = "".join(f"{number},{level}\n" for number, level in enumerate(levels_T, 1))
            (labels / f"{subject}_au{au}.txt").write_text(lines)
        made = {"a": pictures, "V": video, "A": labels}
        return [Move(made[place[0]], place) for place in self.places(subject)]


@dataclass(frozen=True)
class BP4DTree:
    """BP4D: 2D/F001/T1/0001.jpg, AUCoding/AU_OCC/F001_T1.csv, AUCoding/AU_INT/AU06/F001_T1_AU06.csv.

    Attributes:
        tasks: over how many tasks (T1, T2, ...) a subject's frames are spread.
    """

    tasks: int = 2

    def places(self, subject: str) -> list[str]:
        """Return the subject's picture folder and label files."""
        names = [f"{subject}_T{task}" for task in range(1, self.tasks + 1)]
        graded = [f"AUCoding/AU_INT/AU{au:02d}/{name}_AU{au:02d}.csv" for au in facs.BP4D_INTENSITY for name in names]
        return [f"2D/{subject}", *graded, *(f"AUCoding/AU_OCC/{name}.csv" for name in names)]

    def write(self, subject: str, frames: Iterable[Frame], aus: Sequence[int], aside: Path) -> list[Move]:
        """Write frames named from 0001 in each task, occurrence 0/1 of the AUs known and 9 of the rest, and grades."""
        shown = list(frames)
        pictures = aside / subject
        moves = [Move(pictures, f"2D/{subject}")]
        occurrence: list[Move] = []
        for task, numbers in enumerate(np.array_split(np.arange(len(shown)), self.tasks), 1):
            folder = pictures / f"T{task}"
            folder.mkdir(parents=True)
            for number, i in enumerate(numbers, 1):
                _write_jpeg(folder / f"{number:04d}.jpg", shown[i].image)
            rows_TA = np.stack([shown[i].intensity for i in numbers])
            labels = Labels.from_intensity(aus, rows_TA)
            name = f"{subject}_T{task}"
            occurrence_TA = _levels(labels.project(BP4D_COLUMNS))
            known_TA = occurrence_TA != _UNKNOWN
            occurrence_TA[known_TA] = occurrence_TA[known_TA] > 0
            lines = [",".join(map(str, (0, *BP4D_COLUMNS, 99)))]
            lines += [",".join(map(str, (number, *row, 0))) for number, row in enumerate(occurrence_TA, 1)]
            (aside / f"{name}.csv").write_text("\n".join(lines) + "\n")
            occurrence.append(Move(aside / f"{name}.csv", f"AUCoding/AU_OCC/{name}.csv"))
            for au, levels_T in zip(facs.BP4D_INTENSITY, _levels(labels.project(facs.BP4D_INTENSITY)).T, strict=True):
                file = aside / f"{name}_AU{au:02d}.csv"
                file.write_text("".join(f"{number},{level}\n" for number, level in enumerate(levels_T, 1)))
                moves.append(Move(file, f"AUCoding/AU_INT/AU{au:02d}/{file.name}"))
        return moves + occurrence


def _levels(labels: Labels) -> NDArray[np.int64]:
    """Return (T, A) whole intensities, `_UNKNOWN` where there is none."""
    return np.where(np.isnan(labels.intensity), _UNKNOWN, np.rint(labels.intensity)).astype(np.int64)


def _write_jpeg(path: Path, image: Pixels) -> None:
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise OSError(f"OpenCV could not encode {path.name}")
    with path.open("wb") as file:
        file.write(data.tobytes())


class _Video:
    """An AVI file at 20 frames a second, as large as its first frame; without a path, it does nothing."""

    def __init__(self, path: Path | None, codec: Codec) -> None:
        self._path, self._codec = path, codec
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None

    def __enter__(self) -> _Video:
        return self

    def add(self, image: Pixels) -> None:
        """Append one frame."""
        import av

        if self._path is None:
            return
        if self._container is None or self._stream is None:
            self._container = av.open(str(self._path), "w", format="avi", options={"fflags": "+bitexact"})
            self._stream = self._container.add_stream(self._codec, rate=20)
            self._stream.height, self._stream.width = image.shape[:2]
            self._stream.pix_fmt = "yuvj420p" if self._codec == "mjpeg" else "yuv420p"
            # The quantiser's bounds, and a bit rate that never runs into them: about the quality of the JPEGs.
            self._stream.options = {"qmin": "2", "qmax": "4", "flags": "+bitexact"}
            self._stream.bit_rate = 20_000_000
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._container is None or self._stream is None:
            return
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()


def flush(path: Path) -> None:
    """Bring a file, or a folder and all in it, to the disk."""
    for each in (*path.rglob("*"), path) if path.is_dir() else (path,):
        if each.is_file():
            with each.open("rb+") as file:
                os.fsync(file.fileno())
        elif os.name == "posix":  # elsewhere a folder cannot be opened
            handle = os.open(each, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
