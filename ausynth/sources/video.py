"""Videos, decoded once and in order into a store of frames, because training reads frames at random.

Seeking in a video is slow and, with B-frames, off by a frame here and there. So every video is decoded one time, from
its first frame to its last, and frame k of the store is the k-th frame that comes out: the number is exact. The pixels
are those of a JPEG of the stated quality, and they are what every read returns. At quality 95 that is about 48 dB from
the decoded frame, and about 120 kB for a frame of 1024 x 768: some 16 GB for all of DISFA.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ausynth.errors import AusynthError, ConfigurationError, LayoutError
from ausynth.sources.frame_store import STORE_VERSION, StoredVideo, leftovers, write_store
from ausynth.sources.video_decode import Probe, Video, decode, encode_jpeg, probe

__all__ = ["DEFAULT_QUALITY", "Video", "store_folder", "store_videos"]

DEFAULT_QUALITY: Final = 95
"""JPEG quality of stored frames."""

_PIECES: Final = 8
_PIECE_BYTES: Final = 1 << 16
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ENTRY_BYTES: Final = 200  # what a ZIP adds to each frame, rounded up
_MARGIN: Final = 1.15  # a first frame may be plainer than those that follow

Advance = Callable[[int], None]


@dataclass(frozen=True)
class _Job:
    """A video that is to be decoded."""

    video: Video
    target: Path
    quality: int
    probe: Probe

    @property
    def needed_bytes(self) -> int:
        """Return about how large the store will be."""
        jpeg = len(encode_jpeg(self.probe.first, self.quality))
        return int(self.probe.frames * (jpeg * _MARGIN + _ENTRY_BYTES))


class _Stopped(Exception):  # noqa: N818 (no error: the run has ended elsewhere)
    """The run was interrupted while this video was being decoded."""


def store_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the frame store: `frames` under `cache`, else under AUSYNTH_CACHE, else the user's cache.

    >>> store_folder("/data/cache").as_posix()
    '/data/cache/frames'
    """
    import platformdirs

    given = cache if cache is not None else os.environ.get("AUSYNTH_CACHE")
    return (Path(given).expanduser() if given else platformdirs.user_cache_path("ausynth")) / "frames"


def store_videos(
    videos: Sequence[Video],
    *,
    cache: str | os.PathLike[str] | None = None,
    quality: int = DEFAULT_QUALITY,
    progress: bool = True,
    workers: int | None = None,
) -> list[StoredVideo]:
    """Return the frame stores of videos, after decoding those that have none yet.

    A store is found by the video's content (its file name, its size, and a hash of pieces of it), so a moved tree is
    not decoded again, and another video under the same name is. Several processes share the work: each takes videos
    that no other is at. An interrupted run loses the videos in flight only. The folder may be deleted at any time.

    Args:
        videos: the videos; their stores come back in this order.
        cache: the folder that holds the store's folder, see `store_folder`.
        quality: of the JPEGs, 1-100.
        progress: whether a terminal shows a progress bar.
        workers: how many videos are decoded at once; by default one a core, 8 at most.

    Raises:
        LayoutError: a video is damaged, cut short, empty, or none; the others are decoded all the same.
        ConfigurationError: `quality` is out of range, or the folder cannot be written to.
        AusynthError: the disk has not enough space.
    """
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise ConfigurationError(f"quality {quality!r}", expected="a JPEG quality, 1 to 100")
    folder = store_folder(cache)
    targets = [folder / f"{video.path.stem}-{_key(video.path, quality)}.zip" for video in videos]
    stores = [_open(target, video) for target, video in zip(targets, videos, strict=True)]
    missing = {target: video for target, video, store in zip(targets, videos, stores, strict=True) if store is None}
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            _decode_all(missing, folder, quality, progress, workers or min(8, os.cpu_count() or 1))
        except OSError as error:
            raise _unwritable(folder, error) from error
    # A store that was just written and cannot be opened is a fault of the disk: it may fail as it likes.
    return [store or StoredVideo(*pair) for store, pair in zip(stores, _named(targets, videos), strict=True)]


def _named(targets: Sequence[Path], videos: Sequence[Video]) -> Iterator[tuple[Path, str]]:
    return ((target, video.name) for target, video in zip(targets, videos, strict=True))


def _key(path: Path, quality: int) -> str:
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(repr((STORE_VERSION, quality, path.name, size)).encode())
        with path.open("rb") as file:
            for piece in range(_PIECES):
                file.seek(max(0, size - _PIECE_BYTES) * piece // (_PIECES - 1))
                digest.update(file.read(_PIECE_BYTES))
    except OSError as error:
        raise LayoutError(
            f"cannot read the video {path}: {error.strerror}", expected="a readable file", do="check its permissions"
        ) from error
    return digest.hexdigest()[:16]


def _open(target: Path, video: Video) -> StoredVideo | None:
    """Return the store at `target`, or None where there is none or it is damaged."""
    try:
        return StoredVideo(target, video.name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        warnings.warn(f"{error}; {video.name} is decoded anew", stacklevel=4)
        return None


@contextlib.contextmanager
def _lock(target: Path, timeout: float = 0) -> Iterator[bool]:
    """Hold the lock of one video among threads and processes; yields False if it was not free within `timeout` s."""
    from filelock import FileLock, Timeout

    folder = target.parent / "locks"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{target.name}.lock")
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    """Delete what writers that are no more left unfinished: a living one holds its video's lock."""
    for target, parts in leftovers(folder).items():
        with _lock(target) as free:
            for part in parts if free else ():
                part.unlink(missing_ok=True)


def _decode_all(missing: dict[Path, Video], folder: Path, quality: int, progress: bool, workers: int) -> None:
    damaged: list[LayoutError] = []
    jobs: list[_Job] = []
    for target, video in missing.items():
        try:
            jobs.append(_Job(video, target, quality, probe(video)))
        except LayoutError as error:
            damaged.append(error)
    needed = sum(job.needed_bytes for job in jobs)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise _too_small(folder, needed, free)
    stop = threading.Event()
    frames = sum(job.probe.frames for job in jobs)
    with (
        _bar(f"decoding {len(jobs)} videos", f"Their frames go into {folder}, once.", frames, progress) as advance,
        ThreadPoolExecutor(workers, "ausynth-decode") as pool,
    ):
        try:
            # What other processes are at is waited for last, when nothing else is left to do.
            for wait in (False, True):
                work = {pool.submit(_decode, job, advance, stop, wait=wait): job for job in jobs}
                jobs = []
                for future in as_completed(work):
                    try:
                        if not future.result():
                            jobs.append(work[future])
                    except LayoutError as error:
                        damaged.append(error)
        except BaseException as error:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                raise _too_small(folder, needed, shutil.disk_usage(folder).free) from error
            raise
    if damaged:
        raise _all_damaged(damaged)


def _decode(job: _Job, advance: Advance, stop: threading.Event, *, wait: bool) -> bool:
    """Decode one video into its store; return False if another process is at it and `wait` is not set."""
    while not stop.is_set():
        with _lock(job.target, timeout=0.5 if wait else 0) as free:
            if free:
                if _open(job.target, job.video):  # another process has finished it in the meantime
                    advance(job.probe.frames)
                else:
                    with contextlib.closing(_jpegs(job, advance, stop)) as jpegs:
                        write_store(job.target, jpegs, _about(job))
                return True
        if not wait:
            return False
    raise _Stopped


def _jpegs(job: _Job, advance: Advance, stop: threading.Event) -> Generator[bytes, None, None]:
    with contextlib.closing(decode(job.video, job.probe.frames)) as frames:
        for frame in frames:
            if stop.is_set():
                raise _Stopped
            yield encode_jpeg(frame, job.quality)
            advance(1)


def _about(job: _Job) -> dict[str, object]:
    import av

    return {
        "source": job.video.path.name,
        "source_bytes": job.video.path.stat().st_size,
        "codec": job.probe.codec,
        "width": job.probe.width,
        "height": job.probe.height,
        "quality": job.quality,
        "decoder": f"PyAV {av.__version__}",
    }


@contextlib.contextmanager
def _bar(title: str, remark: str, total: int, wanted: bool) -> Iterator[Advance]:
    """Show a remark and a progress bar on a terminal; yields what moves the bar on by some frames."""
    from rich.console import Console

    from ausynth.bars import counting_bar

    console = Console(stderr=True)
    shown = wanted and console.is_terminal
    if shown:
        console.print(remark, highlight=False, markup=False)
    with counting_bar("frames", console=console, disable=not shown) as bar:
        task = bar.add_task(title, total=total)
        yield lambda frames: bar.advance(task, frames)


def _too_small(folder: Path, needed: int, free: int) -> AusynthError:
    return AusynthError(
        f"the frames of the videos need about {needed / 1e9:.3g} GB in {folder}, and {free / 1e9:.3g} GB are free",
        expected=f"{needed / 1e9:.3g} GB of free space that one may write (disk, quota and limit on file sizes)",
        do="make space, or put the frame store on another disk with cache=FOLDER or the variable AUSYNTH_CACHE",
    )


def _unwritable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot write to the folder {folder} of the frame store: {error.strerror or error}",
        expected="a folder that can be written to",
        do="name another with cache=FOLDER or the environment variable AUSYNTH_CACHE",
    )


def _all_damaged(damaged: Sequence[LayoutError]) -> LayoutError:
    if len(damaged) == 1:
        return damaged[0]
    texts = "; ".join(error.what for error in damaged)
    return LayoutError(f"{len(damaged)} videos: {texts}", expected=damaged[0].expected, do=damaged[0].do)
