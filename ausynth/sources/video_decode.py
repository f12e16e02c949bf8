"""One video file, decoded from its first frame to its last, and what is said of a damaged one."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.errors import LayoutError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["Probe", "Video", "decode", "encode_jpeg", "probe"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Video:
    """One video file.

    Attributes:
        path: the file.
        name: what it is called in messages and fingerprints: its path under the root of the data set.
        labelled: how many frames its labels speak of, where that is known. Headers may count wrongly (packed
            B-frames); a video that decodes without an error to this many frames is whole whatever its header says.
    """

    path: Path
    name: str
    labelled: int | None = None


class Probe(NamedTuple):
    """What the header and the first frame say: how many frames there should be (0: unknown), codec, size."""

    frames: int
    codec: str
    width: int
    height: int
    first: Pixels


def probe(video: Video) -> Probe:
    """Return what the header of a video says, and its first frame as (H, W, 3) blue-green-red.

    Raises:
        LayoutError: no video, or none of its frames can be decoded.
    """
    import av

    try:
        with av.open(str(video.path)) as container:
            stream = _stream(container, video)
            frames = stream.frames or video.labelled or 0
            first = next(iter(container.decode(stream)), None)
            if first is None:
                raise _damaged(video, "it has no frame", 0, frames)
            return Probe(frames, stream.codec_context.name, first.width, first.height, _pixels(first))
    except av.FFmpegError as error:
        raise _damaged(video, _reason(error), 0, video.labelled or 0) from error


def decode(video: Video, expected: int) -> Generator[Pixels, None, None]:
    """Yield every frame in presentation order as (H, W, 3) uint8 in OpenCV's order blue-green-red.

    Args:
        video: the file.
        expected: how many frames the header promises, 0 if it does not.

    Raises:
        LayoutError: a frame is damaged, or there are neither `expected` nor `video.labelled` frames.
    """
    import av

    count = 0
    try:
        with av.open(str(video.path)) as container:
            stream = _stream(container, video)
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                # Decoders conceal what they cannot read with pieces of neighbours, and say so only in this flag.
                if frame.is_corrupt:
                    raise _damaged(video, f"frame {count} is damaged", count, expected)
                yield _pixels(frame)
                count += 1
    except av.FFmpegError as error:
        raise _damaged(video, _reason(error), count, expected) from error
    if count not in (expected or count, video.labelled) or not count:
        raise _damaged(video, "it is cut short" if count < expected else "its header disagrees", count, expected)


def encode_jpeg(frame: Pixels, quality: int) -> bytes:
    """Return a frame (H, W, 3) blue-green-red as a JPEG of the given quality, 1-100."""
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _stream(container: InputContainer, video: Video) -> VideoStream:
    if not container.streams.video:
        raise _damaged(video, "the file has no video stream", 0, video.labelled or 0)
    return container.streams.video[0]


def _pixels(frame: VideoFrame) -> Pixels:
    return np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _damaged(video: Video, reason: str, decoded: int, expected: int) -> LayoutError:
    counts = f"{decoded:,} of {expected:,} frames could be decoded" if expected else f"{decoded:,} frames were decoded"
    labels = f", and there are labels for {video.labelled:,}" if video.labelled else ""
    return LayoutError(
        f"the video {video.path} is damaged or incomplete: {reason}; {counts}{labels}",
        expected="a whole video that FFmpeg decodes without an error",
        do="restore the file from your copy of the data, or lay extracted frames out instead",
    )
