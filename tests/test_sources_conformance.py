"""Every source keeps the contract of `Source`, and the suite that says so catches those that do not."""

import os
import pickle
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from ausynth.errors import FrameError
from ausynth.labels import Labels
from ausynth.sources.bp4d import BP4D
from ausynth.sources.crop import from_box
from ausynth.sources.folder import Folder
from ausynth.sources.images import ImageFiles
from ausynth.testing import sources as suite
from ausynth.testing.sources import check_corrupt, check_source

NAN = float("nan")


def write_picture(path, seed, height=40, width=52):
    """Write a picture whose mean colour tells it from others."""
    rng = np.random.default_rng(seed)
    image = rng.integers(30, 226, 3) + 25 * cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), 1.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))


def middle_box(image):
    height, width = image.shape[:2]
    return from_box((0.2 * width, 0.1 * height, 0.8 * width, 0.9 * height))


def folder_tree(root):
    rows = ["image,identity,AU1,AU12"]
    for number, (person, au1, au12) in enumerate(
        [("b", 0, 3), ("a", 2, ""), ("b", 1, 0), ("c", 5, 1.5), ("a", "", ""), ("c", 0, 0), ("b", 3, 2)]
    ):
        suffix = ".png" if number % 2 else ".jpg"
        write_picture(root / person / f"{number}{suffix}", number)
        rows.append(f"{person}/{number}{suffix},{person},{au1},{au12}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    intensity = [[0, 3], [2, NAN], [1, 0], [5, 1.5], [NAN, NAN], [0, 0], [3, 2]]
    return Folder(root / "labels.csv"), Labels.from_intensity((1, 12), intensity), root / "a" / "1.png", 1


def bp4d_tree(root, name):
    codes = {"F001_T1": ["1,0,9,0", "0,1,1,0", "9,9,0,1"], "M002_T4": ["1,1,1,0", "0,0,0,0"]}
    for number, (take, rows) in enumerate(codes.items()):
        frames = [9 + 991 * row + number for row in range(len(rows))]
        for frame in frames:
            write_picture(root / "2D" / take.replace("_", "/") / name(frame), 100 * number + frame)
        path = root / "AUCoding" / "AU_OCC" / f"{take}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{frame},{row}" for frame, row in zip(frames, rows, strict=True)]
        path.write_text("\n".join(["0,6,12,17,0", *lines]))
    graded = root / "AUCoding" / "AU_INT" / "AU12" / "F001_T1_AU12.csv"
    graded.parent.mkdir(parents=True)
    graded.write_text("9,0\n1000,4\n1991,9\n")
    intensity = np.full((5, 3), NAN)
    intensity[:2, 1] = 0, 4
    occurrence = np.array([[1, 0, NAN], [0, 1, 1], [NAN, NAN, 0], [1, 1, 1], [0, 0, 0]])
    expected = Labels((6, 12, 17), intensity, occurrence, ~np.isnan(occurrence))
    return BP4D(root), expected, root / "2D" / "F001" / "T1" / name(1000), 1


def bp4d_padded(root):
    return bp4d_tree(root, lambda frame: f"{frame:04d}.jpg")


def bp4d_plain(root):
    return bp4d_tree(root, lambda frame: f"{frame}.png")


def disfa_frames(root):
    disfa = pytest.importorskip("ausynth.sources.disfa", reason="DISFA is not there yet")
    aus = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
    rng = np.random.default_rng(0)
    intensity = {subject: rng.integers(0, 6, (4, 12)) for subject in ("SN001", "SN002")}
    for subject, rows in intensity.items():
        for column, au in enumerate(aus):
            path = root / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line},{value}\n" for line, value in enumerate(rows[:, column], start=1)))
        for frame in range(1, 5):
            write_picture(root / "images" / subject / f"{frame:05d}.jpg", int(subject[2:]) * 10 + frame)
    expected = Labels.from_intensity(aus, np.concatenate(list(intensity.values())))
    return disfa.DISFA(root), expected, root / "images" / "SN001" / "00002.jpg", 1


TREES = [folder_tree, bp4d_padded, bp4d_plain, disfa_frames]


@pytest.mark.parametrize("make", TREES)
def test_sources_keep_their_contract(make, tmp_path):
    source, expected, _, _ = make(tmp_path)
    check_source(source, expected=expected)


@pytest.mark.parametrize("make", TREES)
@pytest.mark.parametrize("damage", ["truncate", "delete", "text"])
def test_sources_name_a_damaged_picture_and_read_the_others(make, damage, tmp_path):
    source, _, path, index = make(tmp_path)
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "text":
        path.write_text("this is no picture")
    else:
        path.unlink()
    check_corrupt(source, index)


def test_a_source_with_a_users_crop_keeps_its_contract(tmp_path):
    folder_tree(tmp_path)
    plain, cropped = Folder(tmp_path / "labels.csv"), Folder(tmp_path / "labels.csv", align=middle_box)
    assert plain.fingerprint != cropped.fingerprint
    alone = suite._check_pixels(cropped, list(range(len(cropped))))
    suite._check_threads(cropped, list(range(len(cropped))), alone)
    suite._check_pickle(cropped)


class Wrong:
    """A source that passes everything on, for others to break."""

    def __init__(self, source):
        self.source = source
        self.name, self.benchmark, self.labels = source.name, source.benchmark, source.labels
        self.identities, self.subjects, self.fingerprint = source.identities, source.subjects, source.fingerprint

    def __len__(self):
        return len(self.source)

    def read(self, indices, out):
        self.source.read(indices, out)


class FewerLabels(Wrong):
    def __init__(self, source):
        super().__init__(source)
        self.labels = source.labels[1:]


class OtherLabels(Wrong):
    def __init__(self, source):
        super().__init__(source)
        intensity = source.labels.intensity.copy()
        intensity[3, 0] = 1
        self.labels = Labels.from_intensity(source.labels.aus, intensity)


class SureOfNothing(Wrong):
    def __init__(self, source):
        super().__init__(source)
        labels = source.labels
        self.labels = Labels(labels.aus, labels.intensity, labels.occurrence, np.ones_like(labels.confidence))


class ShortIdentities(Wrong):
    def __init__(self, source):
        super().__init__(source)
        self.identities = source.identities.astype(np.int32)


class Strangers(Wrong):
    def __init__(self, source):
        super().__init__(source)
        self.identities = source.identities + 1


class Twins(Wrong):
    def __init__(self, source):
        super().__init__(source)
        self.subjects = ("a", "b", "a")


class UnknownBenchmark(Wrong):
    def __init__(self, source):
        super().__init__(source)
        self.benchmark = (1, 3)


class NewFingerprint(Wrong):
    @property
    def fingerprint(self):
        return str(id(self.labels))

    @fingerprint.setter
    def fingerprint(self, value):
        pass


class NoPickle(Wrong):
    def __init__(self, source):
        super().__init__(source)
        self.function = lambda: None


class Forgetful(Wrong):
    """Its pickled copy sees everything darker."""

    def __init__(self, source):
        super().__init__(source)
        self.fresh = True

    def __getstate__(self):
        return {**self.__dict__, "fresh": False}

    def read(self, indices, out):
        self.source.read(indices, out)
        if not self.fresh:
            out //= 2


class Counting(Wrong):
    reads = 0

    def read(self, indices, out):
        self.source.read(indices, out)
        self.reads += 1
        out[..., 0] = self.reads


class Sorted(Wrong):
    def read(self, indices, out):
        self.source.read(sorted(indices), out)


class Deduplicated(Wrong):
    """Decodes each picture once, and forgets the repeats."""

    def read(self, indices, out):
        self.source.read(indices, out)
        for position, index in enumerate(indices):
            if index in list(indices)[:position]:
                out[position] = 0


class UnwrittenEdge(Wrong):
    def read(self, indices, out):
        whole = np.empty(out.shape, out.dtype)
        self.source.read(indices, whole)
        out[:, 1:] = whole[:, 1:]


class OtherPictures(Wrong):
    """At another size the next picture."""

    def read(self, indices, out):
        if out.ndim == 4 and len(indices) and out.shape[1] != 48 and 0 <= min(indices) <= max(indices) < len(self):
            indices = [(index + 1) % len(self) for index in indices]
        self.source.read(indices, out)


class Spilling(Wrong):
    def read(self, indices, out):
        if isinstance(out.base, np.ndarray) and out.base.ndim == 4 and out.base.shape[0] > len(out):
            out.base[-1] = 0
        self.source.read(indices, out)


class Contiguous(Wrong):
    """Writes into a copy where the memory is not in one piece."""

    def read(self, indices, out):
        self.source.read(indices, np.ascontiguousarray(out))


class FromTheEnd(Wrong):
    def read(self, indices, out):
        self.source.read([index % len(self) if index < 0 else index for index in indices], out)


class Skippable(Wrong):
    def read(self, indices, out):
        if any(index >= len(self) for index in indices):
            raise FrameError.of("x", "no such picture")
        self.source.read(indices, out)


class AnyOut(Wrong):
    def read(self, indices, out):
        if out.dtype == np.uint8 or not len(indices):
            self.source.read(indices, out)


class SharedBuffer(Wrong):
    """Two threads use one scratch buffer."""

    def __init__(self, source):
        super().__init__(source)
        self.scratch = np.zeros((100, 200, 200, 3), np.uint8)

    def read(self, indices, out):
        if out.ndim != 4 or len(out) != len(indices) or out.shape[3] != 3 or out.dtype != np.uint8:
            self.source.read(indices, out)
        scratch = self.scratch[: len(indices), : out.shape[1], : out.shape[2]]
        self.source.read(indices, scratch)
        time.sleep(0.002)
        out[:] = scratch


BROKEN = {
    FewerLabels: "6 rows of labels for 7 pictures",
    OtherLabels: "AU1 in row 3 is 1.0, expected 5.0",
    SureOfNothing: "confidence is not 0 where the occurrence is unknown: rows .1, 4.",
    ShortIdentities: "int64",
    Strangers: "identities range from 1 to 3, but there are 3 subjects",
    Twins: "someone twice",
    UnknownBenchmark: "no label space",
    NewFingerprint: "another fingerprint",
    NoPickle: "does not pickle",
    Forgetful: "pickled copy reads other pixels",
    Counting: "differs from one at a time",
    Sorted: "another order",
    Deduplicated: "repeats",
    UnwrittenEdge: "differs from one at a time",
    OtherPictures: "mean colour",
    Spilling: "outside the view",
    Contiguous: "strides",
    FromTheEnd: "index -1 .* without an error",
    Skippable: "FrameError",
    AnyOut: "float32 .* without an error",
    SharedBuffer: "two threads",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_the_suite_catches(broken, tmp_path):
    source, expected, _, _ = folder_tree(tmp_path)
    with pytest.raises(AssertionError, match=BROKEN[broken]):
        check_source(broken(source), expected=expected)


def patch_load(monkeypatch, change):
    """Change what pictures look like, by process state that a source should not depend on."""
    load = ImageFiles.load
    monkeypatch.setattr(ImageFiles, "load", lambda self, index: change(load(self, index)))


def test_the_suite_catches_a_source_that_a_fork_changes(tmp_path, monkeypatch):
    source, _, _, _ = folder_tree(tmp_path)
    parent = os.getpid()
    patch_load(monkeypatch, lambda image: image if os.getpid() == parent else 255 - image)
    with pytest.raises(AssertionError, match="after fork, the source reads other pixels"):
        check_source(source)


def test_the_suite_catches_a_source_that_is_not_itself_in_a_fresh_process(tmp_path, monkeypatch):
    source, _, _, _ = folder_tree(tmp_path)
    patch_load(monkeypatch, lambda image: 255 - image)
    with pytest.raises(AssertionError, match="after spawn, the source reads other pixels"):
        check_source(source)


def test_the_suite_ends_when_a_source_hangs_dies_or_fails_after_a_fork(tmp_path, monkeypatch):
    source, _, _, _ = folder_tree(tmp_path)
    parent = os.getpid()
    load = ImageFiles.load
    for change, seconds, words in (
        (lambda: time.sleep(3600), 1, "does not end within 1 s"),
        (lambda: os._exit(3), 600, "died .exit code 3"),
        (lambda: 1 / 0, 600, "ZeroDivisionError"),
    ):
        monkeypatch.setattr(suite, "_SECONDS", seconds)
        monkeypatch.setattr(
            ImageFiles,
            "load",
            lambda self, index, change=change: load(self, index) if os.getpid() == parent else change(),
        )
        with pytest.raises(AssertionError, match=words):
            check_source(source)


class GreyForDamaged(Wrong):
    def read(self, indices, out):
        try:
            self.source.read(indices, out)
        except FrameError:
            out[:] = 128


class NoPosition(Wrong):
    def read(self, indices, out):
        try:
            self.source.read(indices, out)
        except FrameError as error:
            error.position = 0
            raise


class NoPath(Wrong):
    def read(self, indices, out):
        try:
            self.source.read(indices, out)
        except FrameError as error:
            error.path = ""
            raise


class Shaken(Wrong):
    """Reads everything darker after an error."""

    shaken = False

    def read(self, indices, out):
        try:
            self.source.read(indices, out)
        except FrameError:
            self.shaken = True
            raise
        if self.shaken:
            out //= 2


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (GreyForDamaged, "instead of a FrameError"),
        (NoPosition, "position is 0, but picture 1 is number 1"),
        (NoPath, "path is empty"),
        (Shaken, "others read differently"),
    ],
)
def test_the_suite_catches_what_hides_a_damaged_picture(broken, words, tmp_path):
    source, _, path, index = folder_tree(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AssertionError, match=words):
        check_corrupt(broken(source), index)


def test_a_frame_error_crosses_a_process_border(tmp_path):
    source, _, path, index = folder_tree(tmp_path)
    path.unlink()
    with pytest.raises(FrameError) as caught:
        source.read([0, index], np.empty((2, 8, 8, 3), np.uint8))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.path, copy.position, str(copy)) == (str(path), 1, str(caught.value))
    assert Path(copy.path) == path
