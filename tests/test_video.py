"""The frame store of videos: exact frame numbers, one decode ever, and what happens when it is cut short."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from ausynth.errors import AusynthError, ConfigurationError, FrameError, LayoutError
from ausynth.sources import frame_store, video
from ausynth.sources.frame_store import StoredVideo, VideoFrames
from ausynth.sources.video import Video, store_folder, store_videos
from ausynth.sources.video_decode import decode

WIDTH, HEIGHT, COUNT = 160, 96, 30
CODECS = {"mjpeg": ("mjpeg", 0), "mpeg4": ("mpeg4", 0), "mpeg4-b": ("mpeg4", 2), "h264-b": ("libx264", 2)}


def picture(number: int) -> np.ndarray:
    """Return a picture that tells its number in black and white blocks, over a smooth reddish ground."""
    shade = np.linspace(40, 200, WIDTH)[None, :] * np.linspace(0.6, 1, HEIGHT)[:, None]
    image_HWC = np.stack([shade, shade * 0.5, shade * 0.25], axis=-1).astype(np.uint8)
    for bit in range(10):
        image_HWC[:32, 16 * bit : 16 * bit + 16] = 235 if number >> bit & 1 else 20
    return image_HWC


def number_in(image_HWC: np.ndarray) -> int:
    return sum(int(image_HWC[6:26, 16 * bit + 4 : 16 * bit + 12].mean() > 128) << bit for bit in range(10))


def write_video(path: Path, numbers=range(COUNT), codec: str = "mjpeg") -> Path:
    name, b_frames = CODECS[codec]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(name, rate=20)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if name == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        if name == "mjpeg":
            stream.codec_context.qmin = stream.codec_context.qmax = 2
        else:
            stream.codec_context.gop_size = 10
            stream.codec_context.max_b_frames = b_frames
        for number in numbers:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def frames_of(store: StoredVideo) -> VideoFrames:
    return VideoFrames([store], np.zeros(len(store), int), np.arange(len(store)))


def as_video(path: Path, labelled: int | None = None) -> Video:
    return Video(path, path.name, labelled)


@pytest.fixture
def avi(tmp_path: Path) -> Path:
    return write_video(tmp_path / "LeftVideoSN001_comp.avi")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the videos that are decoded while the test runs."""
    names: list[str] = []

    def counting(which: Video, expected: int):
        names.append(which.path.name)
        return decode(which, expected)

    monkeypatch.setattr(video, "decode", counting)
    return names


@pytest.mark.parametrize("codec", CODECS)
def test_frame_k_is_the_kth_in_presentation_order(tmp_path, codec):
    path = write_video(tmp_path / "v.avi", codec=codec)
    if codec.endswith("-b"):
        with av.open(str(path)) as container:
            kinds = {frame.pict_type for frame in container.decode(video=0)}
        assert av.video.frame.PictureType.B in kinds, "the test needs B-frames"
    frames = frames_of(*store_videos([as_video(path)]))
    assert [number_in(frames.load(index)) for index in range(len(frames))] == list(range(COUNT))
    capture = cv2.VideoCapture(str(path))
    for index in range(COUNT):
        there, image_HWC = capture.read()
        assert there
        assert psnr(frames.load(index), image_HWC[..., ::-1]) > 35
    assert not capture.read()[0]
    capture.release()


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def test_pixels_are_within_the_error_of_the_jpeg(tmp_path):
    path = write_video(tmp_path / "v.avi")
    with av.open(str(path)) as container:
        exact = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    worst, sizes = {}, {}
    for quality in (95, 60):
        (store,) = store_videos([as_video(path)], quality=quality)
        frames = frames_of(store)
        worst[quality] = min(psnr(frames.load(index), exact[index]) for index in range(COUNT))
        sizes[quality] = store.path.stat().st_size
        red, _, blue = frames.load(3)[60:, 80:].reshape(-1, 3).mean(axis=0)
        assert red > blue + 50, "red and blue are exchanged"
    assert worst[95] > 40
    assert worst[60] < worst[95]
    assert sizes[60] < sizes[95]


def test_the_store_is_a_zip_that_a_person_can_open(avi):
    (store,) = store_videos([as_video(avi)])
    with zipfile.ZipFile(store.path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{index:06d}.jpg" for index in range(COUNT)] + ["video.json"]
        about = json.loads(archive.read("video.json"))
    assert about["source"] == avi.name
    assert (about["frames"], about["codec"], about["quality"]) == (COUNT, "mjpeg", 95)
    assert (about["width"], about["height"]) == (WIDTH, HEIGHT)
    assert store.path.parent == store_folder()
    assert frames_of(store).describe(7) == f"{avi.name}#7"


def test_where_the_store_lies(tmp_path, monkeypatch):
    assert store_folder(tmp_path) == tmp_path / "frames"
    monkeypatch.setenv("AUSYNTH_CACHE", str(tmp_path / "env"))
    assert store_folder() == tmp_path / "env" / "frames"
    assert store_folder(tmp_path) == tmp_path / "frames"
    monkeypatch.delenv("AUSYNTH_CACHE")
    assert store_folder().parts[-2:] == ("ausynth", "frames")


def test_a_video_is_known_by_its_content(tmp_path, avi, decoded):
    (first,) = store_videos([as_video(avi)])
    os.utime(avi, (1, 1))
    moved = tmp_path / "elsewhere" / avi.name
    moved.parent.mkdir()
    shutil.move(avi, moved)
    (second,) = store_videos([as_video(moved)])
    assert second.path == first.path
    assert decoded == [avi.name]
    other = write_video(avi, range(100, 100 + COUNT))
    (third,) = store_videos([as_video(other)])
    assert third.path != first.path
    assert number_in(frames_of(third).load(0)) == 100
    assert number_in(frames_of(second).load(0)) == 0
    assert len(decoded) == 2


def test_threads_forks_and_spawns_read_the_same(avi):
    (store,) = store_videos([as_video(avi)])
    frames = frames_of(store)
    alone = [frames.load(index) for index in range(COUNT)]
    order = np.random.default_rng(0).integers(0, COUNT, 200).tolist()
    with ThreadPoolExecutor(8) as pool:
        for index, image_HWC in zip(order, pool.map(frames.load, order), strict=True):
            assert np.array_equal(image_HWC, alone[index])
    copy = pickle.loads(pickle.dumps(frames))
    assert all(np.array_equal(copy.load(index), alone[index]) for index in range(COUNT))

    def child() -> None:
        os._exit(0 if all(np.array_equal(frames.load(index), alone[index]) for index in reversed(range(COUNT))) else 9)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    script = (
        "import pickle, sys\n"
        "frames = pickle.load(sys.stdin.buffer)\n"
        "sys.stdout.buffer.write(b''.join(frames.load(i).tobytes() for i in range(len(frames))))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(frames), stdout=subprocess.PIPE, check=True
    )
    assert found.stdout == b"".join(image_HWC.tobytes() for image_HWC in alone)


def test_descriptors_are_closed(avi):
    (store,) = store_videos([as_video(avi)])
    opened = Path("/proc/self/fd")
    if not opened.is_dir():
        pytest.skip("counts open files in /proc")
    before = len(list(opened.iterdir()))
    frames = frames_of(store)
    frames.load(0)
    frames.load(1)
    assert len(list(opened.iterdir())) == before + 1
    del store, frames
    assert len(list(opened.iterdir())) == before


@pytest.mark.parametrize("codec", CODECS)
def test_a_truncated_video_is_named_with_both_counts(tmp_path, codec, own_cache):
    path = write_video(tmp_path / "v.avi", codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(LayoutError, match=rf"v\.avi.* \d+ of {COUNT} frames") as caught:
        store_videos([as_video(path, labelled=COUNT)])
    assert "restore" in str(caught.value)
    assert f"labels for {COUNT}" in str(caught.value)
    assert not list((own_cache / "frames").glob("*.zip*"))


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "mpeg4-b"])
def test_a_hole_in_a_video_is_found(tmp_path, codec):
    path = write_video(tmp_path / "v.avi", codec=codec)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = bytes(6000)
    path.write_bytes(data)
    with pytest.raises(LayoutError, match=r"v\.avi is damaged or incomplete"):
        store_videos([as_video(path)])


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg4-b", "h264-b"])
def test_a_frame_that_the_decoder_patches_up_is_found(tmp_path, codec):
    path = write_video(tmp_path / "v.avi", codec=codec)
    data = bytearray(path.read_bytes())
    middle = data.index(b"00dc", len(data) // 2) + 200  # inside a frame's data
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(LayoutError, match=r"frame \d+ is damaged"):
        store_videos([as_video(path)])


def test_what_is_no_video(tmp_path):
    def message(path: Path) -> str:
        with pytest.raises(LayoutError) as caught:
            store_videos([as_video(path)])
        assert str(path) in str(caught.value)
        return str(caught.value)

    text = tmp_path / "text.avi"
    text.write_text("no video")
    assert "0 frames were decoded" in message(text)
    empty = tmp_path / "empty.avi"
    empty.touch()
    assert "0 frames were decoded" in message(empty)
    assert "No such file" in message(tmp_path / "missing.avi")
    sound = tmp_path / "sound.avi"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "no video stream" in message(sound)
    still = write_video(tmp_path / "still.avi")
    data = still.read_bytes()
    still.write_bytes(data[: data.index(b"movi") + 4])
    assert "it has no frame" in message(still)


def test_damaged_videos_are_named_together_and_the_others_are_stored(tmp_path, decoded):
    paths = [write_video(tmp_path / f"{name}.avi") for name in "abc"]
    whole = paths[0].read_bytes()
    for path in (paths[0], paths[2]):
        path.write_bytes(whole[:5000])
    with pytest.raises(LayoutError, match=r"(?s)2 videos.*a\.avi.*c\.avi"):
        store_videos([as_video(path) for path in paths])
    decoded.clear()
    paths[0].write_bytes(whole)
    assert len(store_videos([as_video(path) for path in paths[:2]])) == 2
    assert decoded == ["a.avi"]


def test_labels_outvote_a_header_that_counts_wrongly(avi):
    data = avi.read_bytes()
    header = data[:600].replace(struct.pack("<I", COUNT), struct.pack("<I", COUNT + 1))
    assert header != data[:600]
    avi.write_bytes(header + data[600:])
    with pytest.raises(LayoutError, match=f"{COUNT} of {COUNT + 1} frames"):
        store_videos([as_video(avi)])
    (store,) = store_videos([as_video(avi, labelled=COUNT)])
    assert len(store) == COUNT


def test_a_damaged_frame_of_the_store_is_named(avi):
    (store,) = store_videos([as_video(avi)])
    data = bytearray(store.path.read_bytes())
    with zipfile.ZipFile(store.path) as archive:
        data[archive.infolist()[5].header_offset + 300] ^= 1
    store.path.write_bytes(data)
    frames = frames_of(StoredVideo(store.path, "v.avi"))
    with pytest.raises(FrameError, match=r"frame 5 of v\.avi.*checksum.*delete that file") as caught:
        frames.load(5)
    assert str(store.path) in caught.value.path
    assert number_in(frames.load(4)) == 4
    assert number_in(frames.load(6)) == 6


def test_a_store_that_vanished_is_named(avi):
    (store,) = store_videos([as_video(avi)])
    store.path.unlink()
    with pytest.raises(FrameError, match="No such file"):
        frames_of(store).load(0)


@pytest.mark.parametrize("damage", ["cut", "text", "version"])
def test_a_damaged_store_is_made_anew(avi, decoded, damage):
    (store,) = store_videos([as_video(avi)])
    if damage == "cut":
        store.path.write_bytes(store.path.read_bytes()[:-500])
    elif damage == "text":
        store.path.write_text("text")
    else:
        store.path.write_bytes(store.path.read_bytes().replace(b'"version": 1', b'"version": 0'))
    with pytest.warns(UserWarning, match="decoded anew"):
        (again,) = store_videos([as_video(avi)])
    assert decoded == [avi.name] * 2
    assert number_in(frames_of(again).load(9)) == 9


_KILLED = """
import sys, threading
from pathlib import Path
from ausynth.sources import video
inner = video.decode
def hanging(which, expected):
    for index, frame in enumerate(inner(which, expected)):
        if which.path.name == "b.avi" and index == 5:
            print("hangs", flush=True)
            threading.Event().wait()
        yield frame
video.decode = hanging
paths = [Path(path) for path in sys.argv[1:]]
video.store_videos([video.Video(path, path.name) for path in paths], workers=1)
"""


def test_after_a_kill_only_what_is_missing_is_decoded(tmp_path, own_cache, decoded):
    paths = [write_video(tmp_path / f"{name}.avi") for name in "abc"]
    command = [sys.executable, "-c", _KILLED, *map(str, paths)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGKILL)
    folder = own_cache / "frames"
    assert len(list(folder.glob("*.zip"))) == 1
    assert len(list(folder.glob("*.part"))) == 1, "the kill came in the middle of a file"
    stores = store_videos([as_video(path) for path in paths])
    assert sorted(decoded) == ["b.avi", "c.avi"]
    assert not list(folder.glob("*.part"))
    assert [number_in(frames_of(store).load(29)) for store in stores] == [29] * 3


def test_unfinished_files_of_the_living_stay_and_those_of_the_dead_go(tmp_path, avi):
    other = write_video(tmp_path / "other.avi")
    (store,) = store_videos([as_video(avi)])
    living = store.path.with_name(f"{store.path.name}.0123abcd.part")
    living.touch()
    with video._lock(store.path) as free:
        assert free
        store_videos([as_video(other)])
        assert living.exists()
    store_videos([as_video(write_video(tmp_path / "third.avi"))])
    assert not living.exists()


_SHARED = """
import os, sys, time
from pathlib import Path
from ausynth.sources import video
inner, log = video.decode, Path(sys.argv[1])
def logging(which, expected):
    with log.open("a") as file:
        file.write(f"{which.path.name} {os.getpid()}\\n")
    return inner(which, expected)
video.decode = logging
(log.parent / f"ready-{os.getpid()}").touch()
while len(list(log.parent.glob("ready-*"))) < 2:
    time.sleep(0.01)
paths = [Path(path) for path in sys.argv[2:]]
stores = video.store_videos([video.Video(path, path.name) for path in paths], workers=1)
print([len(store) for store in stores])
"""


def test_two_processes_share_the_work(tmp_path):
    paths = [write_video(tmp_path / f"{name}.avi") for name in "abcdef"]
    log = tmp_path / "log"
    command = [sys.executable, "-c", _SHARED, str(log), *map(str, paths)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.communicate()[0].strip() == str([COUNT] * 6)
        assert process.returncode == 0
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(name for name, _ in lines) == [path.name for path in paths], "each video is decoded once"


def test_ctrl_c_loses_only_the_videos_in_flight(tmp_path, own_cache, monkeypatch):
    paths = [write_video(tmp_path / f"{name}.avi") for name in "ab"]
    main = threading.main_thread().ident
    assert main is not None

    def interrupted(which: Video, expected: int):
        for index, frame in enumerate(decode(which, expected)):
            if which.path.name == "b.avi" and index == 3:
                signal.pthread_kill(main, signal.SIGINT)
            if which.path.name == "b.avi" and index > 3:
                stopped.wait(0.05)
            yield frame

    stopped = threading.Event()
    monkeypatch.setattr(video, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store_videos([as_video(path) for path in paths], workers=1)
    assert [path.name[0] for path in (own_cache / "frames").glob("*.zip*")] == ["a"]


def test_a_disk_that_is_too_small_is_refused_before_decoding(avi, decoded, monkeypatch, own_cache):
    usage = shutil.disk_usage(own_cache)._replace(free=1000)
    monkeypatch.setattr(video.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(AusynthError, match=r"need about .* GB in .*frames, and 1e-06 GB are free.*cache=FOLDER"):
        store_videos([as_video(avi)])
    assert not decoded


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_says_what_was_needed(avi, monkeypatch, own_cache, number):
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(frame_store.os, "fsync", full)
    with pytest.raises(AusynthError, match=r"need about .* GB in .*frames.*AUSYNTH_CACHE"):
        store_videos([as_video(avi)])
    assert not list((own_cache / "frames").glob("*.zip*"))


_LIMITED = """
import resource, sys
from pathlib import Path
from ausynth.errors import AusynthError
from ausynth.sources import video
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    video.store_videos([video.Video(Path(sys.argv[1]), "v.avi")])
except AusynthError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_limit_on_file_sizes_says_what_was_needed(avi, own_cache):
    found = subprocess.run([sys.executable, "-c", _LIMITED, str(avi)], capture_output=True, text=True, check=True)
    assert "GB of free space that one may write" in found.stdout
    assert "ignored" not in found.stderr, "nothing is left half-closed"
    assert not list((own_cache / "frames").glob("*.zip*"))


def test_bad_options_are_refused(tmp_path, avi):
    for quality in (0, 101, 95.0, True):
        with pytest.raises(ConfigurationError, match="quality"):
            store_videos([as_video(avi)], quality=quality)  # type: ignore[arg-type]
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(ConfigurationError, match=r"cannot write to the folder .*file.*AUSYNTH_CACHE"):
        store_videos([as_video(avi)], cache=blocked)


def test_progress_shows_on_a_terminal_only(avi, tmp_path, capsys, monkeypatch):
    store_videos([as_video(avi)], cache=tmp_path / "1")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "160")
    store_videos([as_video(avi)], cache=tmp_path / "2", progress=False)
    assert capsys.readouterr() == ("", "")
    store_videos([as_video(avi)], cache=tmp_path / "3")
    out, err = capsys.readouterr()
    assert out == ""
    assert "frames/s" in err
    assert f"{COUNT}/{COUNT}" in err
