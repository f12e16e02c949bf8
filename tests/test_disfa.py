"""DISFA trees in every usual naming; each picture tells whose it is and which frame, so a shift by one shows."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from ausynth.errors import AusynthError, ConfigurationError, FrameError, LabelFileError, LayoutError
from ausynth.facs import DISFA_8, DISFA_12
from ausynth.labels import Labels
from ausynth.sources.crop import CentreSquare, from_box
from ausynth.sources.disfa import DISFA, EXCLUSIONS
from ausynth.sources.disfa_files import LandmarkFiles, camera_of
from ausynth.sources.folds import PARTS, subject_order
from ausynth.sources.numbering import match_numbers

SIDE, COUNT = 64, 12
PEOPLE = ("SN001", "SN003", "SN010")
ORDER = subject_order("disfa")


def intensity(subject: str, au: int, line: int) -> int:
    """Return what the label file of `subject` says of `au` in its line `line`, from 1."""
    return (line * (1 + au % 4) + au // 3 + int(subject[2:])) % 6


def write_labels(root: Path, people: Sequence[str] = PEOPLE, count: int = COUNT, folder="ActionUnit_Labels/{}") -> None:
    for subject in people:
        home = root / folder.format(subject)
        home.mkdir(parents=True, exist_ok=True)
        for au in DISFA_12:
            lines = [f"{line},{intensity(subject, au, line)}\n" for line in range(1, count + 1)]
            (home / f"{subject}_au{au}.txt").write_text("".join(lines))


def picture(subject: str, line: int) -> np.ndarray:
    """Return a picture that tells its subject and label line, from 1, in a 4 x 4 grid of black and white."""
    code = ORDER.index(subject) << 6 | line
    image_HWC = np.full((SIDE, SIDE, 3), 20, np.uint8)
    for bit in range(12):
        if code >> bit & 1:
            image_HWC[bit // 4 * 16 : bit // 4 * 16 + 16, bit % 4 * 16 : bit % 4 * 16 + 16] = 235
    return image_HWC


def told_by(image_HWC: np.ndarray) -> tuple[str, int]:
    bits = [image_HWC[bit // 4 * 16 + 4 :, bit % 4 * 16 + 4 :][:8, :8].mean() > 128 for bit in range(12)]
    code = sum(int(bit) << place for place, bit in enumerate(bits))
    return ORDER[code >> 6], code & 63


def write_images(root: Path, naming: str, base: int, people: Sequence[str] = PEOPLE, lines=range(1, COUNT + 1)) -> None:
    for subject in people:
        for line in lines:
            path = root / naming.format(s=subject, k=line - 1 + base)
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), picture(subject, line))


def write_videos(root: Path, naming: str, people: Sequence[str] = PEOPLE, count: int = COUNT, codec="mjpeg") -> None:
    for subject in people:
        path = root / naming.format(s=subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=20)
            stream.width = stream.height = SIDE
            stream.bit_rate = 4_000_000
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if codec != "mjpeg":
                stream.codec_context.max_b_frames = 2
            for line in range(1, count + 1):
                frame = av.VideoFrame.from_ndarray(picture(subject, line), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def write_landmarks(root: Path, naming: str, base: int, people=PEOPLE, lines=range(1, COUNT + 1)) -> None:
    for subject in people:
        for line in lines:
            path = root / "Landmark_Points" / subject / "tmp_frame_lm" / naming.format(s=subject, k=line - 1 + base)
            path.parent.mkdir(parents=True, exist_ok=True)
            scipy.io.savemat(path, {"pts": points(subject, line)})


def points(subject: str, line: int) -> np.ndarray:
    """Return 66 points of an upright face; the chin tells the line."""
    points_K2 = np.full((66, 2), 32.0)
    points_K2[36:42], points_K2[42:48], points_K2[48], points_K2[54] = (24, 26), (40, 26), (26, 44), (38, 44)
    points_K2[8] = ORDER.index(subject), line
    return points_K2


def check(source: DISFA, people: Sequence[str] = PEOPLE, lines: Sequence[int] = range(1, COUNT + 1)) -> None:
    """Check that each picture shows who and when its row says, and that the row holds that line's labels."""
    wanted = [(subject, line) for subject in people for line in lines]
    assert len(source) == len(wanted)
    out_BHWC = np.empty((len(wanted), SIDE, SIDE, 3), np.uint8)
    source.read(np.arange(len(wanted)), out_BHWC)
    assert [told_by(image_HWC) for image_HWC in out_BHWC] == wanted
    assert [source.subjects[row] for row in source.identities] == [subject for subject, _ in wanted]
    assert source.labels.aus == DISFA_12
    expected_NA = [[intensity(subject, au, line) for au in DISFA_12] for subject, line in wanted]
    assert source.labels.intensity.tolist() == expected_NA
    assert source.labels.occurrence.tolist() == [[float(value >= 2) for value in row] for row in expected_NA]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "DISFA"
    write_labels(folder)
    return folder


@pytest.mark.parametrize(
    ("naming", "base"),
    [
        ("{s}/{k}.png", 0),
        ("{s}/{k}.jpg", 0),
        ("{s}/{k:05d}.jpg", 0),
        ("{s}/{k}.png", 1),
        ("aligned_images/{s}/{k:05d}.jpg", 1),
        ("{s}/frame_{k}.jpg", 1),
        ("frames/{s}/LeftVideo{s}_comp_{k:05d}.jpg", 1),
        ("frames/LeftVideo{s}_comp/{k}.PNG", 0),
        ("flat/LeftVideo{s}_comp_{k:05d}.jpg", 1),
        ("LeftVideo{s}_comp_{k:05d}.jpg", 0),
        ("Videos_LeftCamera/{s}/frame_det_00_{k:06d}.bmp", 1),
        ("a/b/c/{s}/{k}.jpeg", 0),
    ],
)
def test_extracted_frames_in_every_naming(root, naming, base):
    write_images(root, naming, base)
    check(DISFA(root))
    check(DISFA(root.parent))
    check(DISFA(root, frames="images", frame_base=base))


@pytest.mark.parametrize(
    ("naming", "camera", "codec"),
    [
        ("Videos_LeftCamera/LeftVideo{s}_comp.avi", "left", "mjpeg"),
        ("Video_LeftCamera/LeftVideo{s}_Comp.avi", "left", "mpeg4"),
        ("videos_leftcamera/leftvideo{s}_comp.AVI", "left", "libx264"),
        ("Videos_RightCamera/RightVideo{s}_comp.avi", "right", "mpeg4"),
        ("Video_RightCamera/RightVideo{s}_Comp.avi", "right", "mjpeg"),
        ("LeftVideo{s}_comp.mp4", "left", "mpeg4"),
    ],
)
def test_videos_in_every_naming(root, naming, camera, codec):
    write_videos(root, naming, codec=codec)
    source = DISFA(root, camera=camera)
    check(source)
    assert source.frames.describe(COUNT + 2) == naming.format(s="SN003") + "#2"
    other = {"left": "right", "right": "left"}[camera]
    with pytest.raises(LayoutError, match=f"{other} camera.*no video of SN001, SN003, SN010"):
        DISFA(root, camera=other)


def test_labels_in_any_letter_case_and_place(tmp_path):
    write_labels(tmp_path, folder="some/where/actionunit_labels/{}")
    for path in list(tmp_path.rglob("SN003_au*.txt")):
        path.rename(path.with_name(path.name.replace("SN", "sn").replace("au", "AU")))
    write_images(tmp_path, "pictures/{s}/{k}.png", 0)
    shutil.move(tmp_path / "pictures" / "SN003", tmp_path / "pictures" / "sn003")
    check(DISFA(tmp_path))


def test_images_win_over_videos_unless_told_otherwise(root):
    write_videos(root, "Videos_LeftCamera/LeftVideo{s}_comp.avi")
    write_images(root, "images/{s}/{k}.png", 0, people=PEOPLE[:2])
    assert "#" in DISFA(root).frames.describe(0), "SN010 has no images"
    assert DISFA(root, keep=PEOPLE[:2]).frames.describe(0) == "images/SN001/0.png"
    assert "#" in DISFA(root, keep="SN001", frames="video").frames.describe(0)
    assert DISFA(root, keep="SN001", frames="images").frames.describe(0) == "images/SN001/0.png"
    with pytest.raises(LayoutError, match=r"no extracted frames of SN010\..*SN001, SN003"):
        DISFA(root, frames="images")


def test_the_camera_is_respected_where_names_tell_it(root):
    write_images(root, "Videos_LeftCamera/{s}/{k}.png", 0)
    with pytest.raises(LayoutError, match="right camera"):
        DISFA(root, camera="right")
    write_images(root, "Videos_RightCamera/{s}/{k}.png", 1)
    assert DISFA(root).frames.describe(0) == "Videos_LeftCamera/SN001/0.png"
    assert DISFA(root, camera="right").frames.describe(0) == "Videos_RightCamera/SN001/1.png"
    check(DISFA(root, camera="right"))


def test_what_counts_as_a_camera():
    assert camera_of("Videos_LeftCamera/*/#.png") == "left"
    assert camera_of("x/RightVideo*_comp_#.jpg") == "right"
    assert camera_of("left/*/#.png") == "left"
    assert camera_of("upright/*/bright_#.png") is None


def test_several_sets_of_frames_are_not_chosen_from(root):
    write_images(root, "images/{s}/{k}.png", 0)
    write_images(root, "aligned_images/{s}/{k:05d}.jpg", 1)
    with pytest.raises(LayoutError, match=r"SN001: 2 sets.*aligned_images/\*/#\.jpg, images/\*/#\.png.*frames=FOLDER"):
        DISFA(root)
    check(DISFA(root, frames="aligned_images"))
    assert DISFA(root, frames=root / "images").frames.describe(0) == "images/SN001/0.png"
    (root / "linked").symlink_to(shutil.move(root / "images", root.with_name("another_disk")))
    check(DISFA(root, frames="linked"))
    for wrong in ("picture", "../elsewhere", 3, ""):
        with pytest.raises(ConfigurationError, match=r"frames=.*auto, images, video"):
            DISFA(root, frames=wrong)


def test_copies_are_refused(root):
    write_videos(root, "Videos_LeftCamera/LeftVideo{s}_comp.avi")
    write_videos(root, "Video_LeftCamera/LeftVideo{s}_comp.avi", people=["SN003"])
    with pytest.raises(LayoutError, match="SN003: 2 videos of the left camera"):
        DISFA(root)
    check(DISFA(root, frames="Videos_LeftCamera"))
    write_labels(root, people=["SN001"], folder="copy/{}")
    with pytest.raises(LabelFileError, match="SN001: there are 2 label files of AU1"):
        DISFA(root, frames="Videos_LeftCamera")


def test_two_files_of_one_number_are_refused(root):
    write_images(root, "{s}/{k}.png", 0)
    write_images(root, "{s}/{k:03d}.png", 0, people=["SN003"])
    with pytest.raises(LayoutError, match="SN003/0.png and SN003/000.png are both number 0"):
        DISFA(root)


def test_a_frame_in_someone_elses_folder_is_refused(root):
    write_images(root, "frames/{s}/LeftVideo{s}_comp_{k}.png", 0)
    write_images(root, "frames/SN001/LeftVideo{s}_comp_{k}.png", 0, people=["SN003"])
    with pytest.raises(LayoutError, match="lies in a folder of SN001"):
        DISFA(root)


def test_pictures_that_are_no_frames_are_left_alone(root):
    write_images(root, "{s}/{k}.png", 0)
    for name in ("SN001.png", "mean.png", "notes.txt"):
        (root / "SN001" / name).touch()
    (root / "SN001" / ".thumbnails").mkdir()
    (root / "SN001" / ".thumbnails" / "0.png").touch()
    check(DISFA(root))


# Numbering


@given(
    lines=st.integers(1, 40),
    base=st.integers(0, 1),
    data=st.data(),
)
def test_numbers_are_matched_rightly_or_not_at_all(lines, base, data):
    there = sorted(data.draw(st.sets(st.integers(0, lines - 1), min_size=1)))
    numbers = [row + base for row in there]
    if numbers[0] == 0 or numbers[-1] == lines:
        assert match_numbers(numbers, lines, what="SN001", allow_missing=True).tolist() == there
    else:
        with pytest.raises(LayoutError, match="cannot be told"):
            match_numbers(numbers, lines, what="SN001", allow_missing=True)
    stated = match_numbers(numbers, lines, what="SN001", allow_missing=True, base=base)
    assert stated.tolist() == there


@pytest.mark.parametrize("base", [0, 1])
def test_one_frame_too_few_cannot_be_told(root, base):
    lines = range(2, COUNT + 1) if base == 0 else range(1, COUNT)
    write_images(root, "{s}/{k}.png", base, lines=lines)
    with pytest.raises(LayoutError, match=r"SN001 .*: 11 numbered 1 to 11 for 12 label lines.*frame_base=0 or"):
        DISFA(root)
    with pytest.raises(LayoutError, match="1 lines have no file"):
        DISFA(root, frame_base=base)
    check(DISFA(root, frame_base=base, allow_missing=True), lines=lines)


def test_one_frame_too_many_names_both_counts(root):
    write_images(root, "{s}/{k}.png", 0, lines=range(1, COUNT + 2))
    with pytest.raises(LayoutError, match=r"SN001 .*: 13 numbered 0 to 12 for 12 label lines.*cannot be told"):
        DISFA(root)
    with pytest.raises(LayoutError, match=r"numbered from 0, and frame_base=1"):
        DISFA(root, frame_base=1, allow_missing=True)
    check(DISFA(root, frame_base=0, allow_missing=True))


def test_more_frames_than_labels_from_one(root):
    write_images(root, "{s}/{k}.png", 1, lines=range(1, COUNT + 2))
    with pytest.raises(LayoutError, match=r"13 numbered 1 to 13 for 12 label lines"):
        DISFA(root)
    with pytest.raises(LayoutError, match=r"0 lines have no file; 1 files have no line"):
        DISFA(root, frame_base=1)
    with pytest.raises(LayoutError, match="cannot be told"):
        DISFA(root, allow_missing=True)
    check(DISFA(root, frame_base=1, allow_missing=True))


@pytest.mark.parametrize("base", [0, 1])
def test_a_stated_base_may_not_contradict_the_files(root, base):
    write_images(root, "{s}/{k}.png", base)
    with pytest.raises(LayoutError, match=f"numbered from {base}, and frame_base={1 - base}"):
        DISFA(root, frame_base=1 - base, allow_missing=True)


@pytest.mark.parametrize("base", [0, 1])
def test_gaps_are_refused_or_left_out(root, base):
    lines = [line for line in range(1, COUNT + 1) if line not in (4, 5)]
    write_images(root, "{s}/{k}.png", base, lines=lines)
    with pytest.raises(LayoutError, match=r"10 numbered .* for 12 .*2 lines have no file, line 4 the first.*allow_mi"):
        DISFA(root)
    check(DISFA(root, allow_missing=True), lines=lines)


def test_each_subject_is_resolved_by_itself(root):
    write_images(root, "{s}/{k}.png", 0, people=PEOPLE[:1])
    write_images(root, "{s}/{k:05d}.jpg", 1, people=PEOPLE[1:])
    check(DISFA(root))


def test_a_video_has_as_many_frames_as_labels(root):
    write_videos(root, "LeftVideo{s}_comp.avi")
    write_labels(root, people=["SN010"], count=COUNT - 1)
    with pytest.raises(LayoutError, match=r"SN010 \(LeftVideoSN010_comp.avi\): 12 frames for 11 label lines"):
        DISFA(root)
    assert len(DISFA(root, allow_missing=True)) == 3 * COUNT - 1
    check(DISFA(root, allow_missing=True, keep="SN010"), people=["SN010"], lines=range(1, COUNT))
    write_labels(root, people=["SN010"], count=COUNT + 1)
    check(DISFA(root, allow_missing=True))


# Subjects


def test_who_is_kept(root):
    write_images(root, "{s}/{k}.png", 0)
    check(DISFA(root, hold_out="P1"), people=["SN003"])
    check(DISFA(root, keep="P1"), people=["SN001", "SN010"])
    check(DISFA(root, fold="megraph:3", split="test"), people=["SN001", "SN010"])
    check(DISFA(root, fold="jaanet:combine_2_3"), people=["SN003"])
    assert DISFA(root, hold_out="P1").subjects == ORDER
    assert set(DISFA(root, keep="P3").identities.tolist()) == {ORDER.index("SN003")}
    with pytest.raises(ConfigurationError, match="P5"):
        DISFA(root, hold_out="P5")


def test_only_what_is_kept_has_to_be_whole(root):
    write_images(root, "{s}/{k}.png", 0, people=PEOPLE[:2])
    (root / "ActionUnit_Labels" / "SN003" / "SN003_au4.txt").unlink()
    check(DISFA(root, keep="SN001"), people=["SN001"])
    with pytest.raises(LayoutError, match=r"no extracted frames of SN010, and no video of SN001, SN010"):
        DISFA(root, hold_out="SN003")


def test_people_whom_disfa_does_not_have_are_left_out_with_a_warning(root):
    write_labels(root, people=["SN014"])
    write_images(root, "{s}/{k}.png", 0)
    with pytest.warns(UserWarning, match="SN014, which DISFA does not have") as caught:
        check(DISFA(root))
    assert caught[0].filename == __file__


def test_frames_without_labels_name_the_file(root):
    write_images(root, "{s}/{k}.png", 0, people=[*PEOPLE, "SN002"])
    with pytest.raises(LabelFileError, match=r"SN002: no label file .*ActionUnit_Labels/SN002/SN002_au1\.txt"):
        DISFA(root)


def test_what_is_no_disfa_tree(tmp_path, monkeypatch):
    with pytest.raises(LayoutError, match=r"no subject of DISFA among the 0 files.*ActionUnit_Labels/SN001"):
        DISFA(tmp_path)
    write_images(tmp_path, "{s}/{k}.png", 0)
    with pytest.raises(LayoutError, match="no label file of DISFA among the 36 files"):
        DISFA(tmp_path)
    with pytest.raises(ConfigurationError, match="AUSYNTH_DISFA_ROOT"):
        DISFA()
    write_labels(tmp_path)
    monkeypatch.setenv("AUSYNTH_DISFA_ROOT", str(tmp_path))
    check(DISFA())


# Labels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("1,0\n2,6\n", "line 2 has the intensity 6"),
        ("1,0\n2,-1\n", "line 2 is '2,-1'"),
        ("1,0\n2,1.5\n", "line 2 is '2,1.5'"),
        ("1 0\n2 0\n", "line 1 is '1 0'"),
        ("1,0,0\n2,0,0\n", "line 1 is '1,0,0'"),
        ("1,0\n2\n", "line 2 is '2'"),
        ("frame,au1\n1,0\n", "line 1 is 'frame,au1'"),
        ("1,0\n#2,0\n", "line 2 is '#2,0'"),
        ("0,0\n1,0\n", "line 1 is of frame 0, not 1"),
        ("1,0\n2,0\n4,0\n", "line 3 is of frame 4, not 3"),
        ("1,0\n2,0\n", "2 lines in .*SN003_au9.txt, 12 in that of AU1"),
        (None, "no label file .*SN003_au9.txt"),
    ],
)
def test_damaged_label_files_are_named(root, text, words):
    write_images(root, "{s}/{k}.png", 0)
    path = root / "ActionUnit_Labels" / "SN003" / "SN003_au9.txt"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(LabelFileError, match=words) as caught:
        DISFA(root)
    assert str(path) in str(caught.value)


def test_line_ends_and_blanks_do_not_matter(root):
    write_images(root, "{s}/{k}.png", 0)
    for path in root.rglob("SN003_au*.txt"):
        path.write_bytes(path.read_bytes().replace(b",", b", ").replace(b"\n", b"\r\n") + b"\r\n\r\n")
    check(DISFA(root))


def test_label_spaces_and_thresholds(root):
    write_images(root, "{s}/{k}.png", 0)
    benchmark = DISFA(root, aus="disfa-8")
    whole = DISFA(root)
    assert benchmark.labels.aus == DISFA_8 == whole.benchmark
    assert np.array_equal(benchmark.labels.occurrence, whole.labels.project(DISFA_8).occurrence)
    mixed = DISFA(root, aus=[12, 7])
    assert mixed.labels.mask.tolist() == [[True, False]] * len(mixed)
    assert np.array_equal(DISFA(root, threshold=1).labels.occurrence, whole.labels.intensity >= 1)
    with pytest.raises(ConfigurationError, match="threshold"):
        DISFA(root, threshold=0)
    with pytest.raises(ConfigurationError, match="label space"):
        DISFA(root, aus="disfa-9")


# Exclusions


def test_jaanet_leaves_out_what_its_authors_list():
    listed = EXCLUSIONS["jaanet"]
    assert sum(last - first + 1 for runs in listed.values() for first, last in runs) == 4670
    assert all(0 <= first <= last <= 4844 for runs in listed.values() for first, last in runs)
    assert set(listed) <= set(ORDER)


@pytest.mark.parametrize("base", [0, 1])
def test_excluded_frames_are_gone_and_need_not_be_there(root, base):
    subject, count = "SN002", 830
    write_labels(root, people=[subject], count=count)
    folder = root / "frames" / subject
    folder.mkdir(parents=True)
    for row in range(count):
        (folder / f"{row + base}.png").touch()
    kept = [row for row in range(count) if not 799 <= row <= 825]
    for _ in range(2):
        source = DISFA(root, keep=subject, exclude="jaanet")
        assert [int(Path(source.frames.describe(i)).stem) - base for i in range(len(source))] == kept
        expected_NA = [[intensity(subject, au, row + 1) for au in DISFA_12] for row in kept]
        assert source.labels.intensity.tolist() == expected_NA
        for row in range(799, 826):
            (folder / f"{row + base}.png").unlink(missing_ok=True)
    with pytest.raises(LayoutError, match="27 lines have no file, line 800 the first"):
        DISFA(root, keep=subject)
    with pytest.raises(ConfigurationError, match="exclude='emotionet'.*jaanet"):
        DISFA(root, exclude="emotionet")


# Crops and landmarks


@pytest.mark.parametrize(
    ("naming", "base"), [("{s}_{k:04d}_lm.mat", 0), ("l{k:04d}_lm.mat", 1), ("l{k:04d}_lm.mat", 0)]
)
def test_landmarks_are_those_of_the_frame(root, naming, base):
    write_images(root, "{s}/{k}.png", 0)
    write_landmarks(root, naming, base)
    source = DISFA(root, align="landmarks")
    landmarks = source.crop.landmarks
    assert isinstance(landmarks, LandmarkFiles)
    for index in range(len(source)):
        subject, line = PEOPLE[index // COUNT], index % COUNT + 1
        assert np.array_equal(landmarks(index), points(subject, line))
    out_BHWC = np.zeros((2, 32, 32, 3), np.uint8)
    source.read([0, 1], out_BHWC)
    assert out_BHWC.any()
    assert source.fingerprint != DISFA(root).fingerprint


def test_landmarks_follow_the_excluded_and_the_kept(root):
    write_videos(root, "LeftVideo{s}_comp.avi")
    write_landmarks(root, "{s}_{k:04d}_lm.mat", 0)
    source = DISFA(root, align="landmarks", keep="P3")
    assert source.crop.landmarks(4)[8].tolist() == [ORDER.index("SN003"), 5]


def test_missing_landmarks_are_named(root):
    write_images(root, "{s}/{k}.png", 0)
    with pytest.raises(LayoutError, match="SN001: 0 folders of landmarks"):
        DISFA(root, align="landmarks")
    lines = [line for line in range(1, COUNT + 1) if line != 6]
    write_landmarks(root, "{s}_{k:04d}_lm.mat", 0, lines=lines)
    with pytest.raises(LayoutError, match=r"landmarks in .*1 lines have no file, line 6 the first"):
        DISFA(root, align="landmarks")
    source = DISFA(root, align="landmarks", allow_missing=True)
    assert len(source) == 3 * (COUNT - 1)
    assert [told_by(source.frames.load(i))[1] for i in range(COUNT - 1)] == lines
    assert [source.crop.landmarks(i)[8, 1] for i in range(COUNT - 1)] == lines


def test_landmarks_whose_numbering_cannot_be_told(root):
    write_images(root, "{s}/{k}.png", 0)
    write_landmarks(root, "l{k:04d}_lm.mat", 1, lines=range(1, COUNT))
    with pytest.raises(LayoutError, match=r"cannot be told") as caught:
        DISFA(root, align="landmarks", allow_missing=True, frame_base=0)
    assert "frame_base" not in str(caught.value), "which speaks of frames only"


def test_damaged_landmarks_are_named(root):
    write_images(root, "{s}/{k}.png", 0)
    write_landmarks(root, "{s}_{k:04d}_lm.mat", 0)
    source = DISFA(root, align="landmarks")
    path = root / "Landmark_Points" / "SN001" / "tmp_frame_lm" / "SN001_0001_lm.mat"
    out = np.zeros((1, 32, 32, 3), np.uint8)
    for write, words in (
        (lambda: path.write_text("no matlab"), "SN001_0001_lm.mat"),
        (lambda: scipy.io.savemat(path, {"points": np.zeros((66, 2))}), "no variable 'pts'"),
        (lambda: scipy.io.savemat(path, {"pts": np.zeros((5, 2))}), "66 finite points"),
        (path.unlink, "SN001_0001_lm.mat"),
    ):
        write()
        with pytest.raises(FrameError, match=words) as caught:
            source.read([1], out)
        assert caught.value.path == str(path)


def lower_half(image_HWC: np.ndarray) -> np.ndarray:
    return from_box((0, SIDE // 2, SIDE, SIDE))


def test_other_crops(root):
    write_images(root, "{s}/{k}.png", 0)
    plain = DISFA(root)
    assert DISFA(root, align=CentreSquare()).fingerprint == plain.fingerprint
    assert DISFA(root, align=lower_half).fingerprint != plain.fingerprint
    with pytest.raises(ConfigurationError, match="align"):
        DISFA(root, align="eyes")


# The contract


@pytest.mark.parametrize("kind", ["images", "video"])
def test_it_keeps_the_contract_of_sources(root, kind):
    sources = importlib.import_module("ausynth.testing.sources")
    if kind == "video":
        write_videos(root, "Videos_LeftCamera/LeftVideo{s}_comp.avi", codec="mpeg4")
    else:
        write_images(root, "aligned_images/{s}/{k:05d}.jpg", 1)
    rows = [[intensity(subject, au, line) for au in DISFA_12] for subject in PEOPLE for line in range(1, COUNT + 1)]
    source = DISFA(root)
    sources.check_source(source, expected=Labels.from_intensity(DISFA_12, rows))
    moved = root.with_name("moved")
    shutil.move(root, moved)
    assert DISFA(moved).fingerprint == source.fingerprint
    if kind == "images":
        source = DISFA(moved)
        (moved / source.frames.describe(7)).write_bytes(b"")
        sources.check_corrupt(source, 7)


def test_bad_options_are_refused_before_anything_is_read(root):
    for options in ({"camera": "top"}, {"frame_base": 2}, {"frame_base": True}, {"exclude": ""}, {"camera": None}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            DISFA(root, **options)


def test_errors_are_of_one_family(root):
    with pytest.raises(AusynthError):
        DISFA(root)


# Real photographs


@pytest.mark.parametrize("layout", ["video", "frames"])
def test_real_photographs(tmp_path, test_data, layout):
    tool = test_data.parent / "tools" / "photo_disfa.py"
    if not tool.is_file():
        pytest.skip("there is no tools/photo_disfa.py beside AUSYNTH_TEST_DATA")
    command = [sys.executable, str(tool), str(tmp_path), "--layout", layout, "--frames", "24"]
    subprocess.run([*command, *(["--codec", "XVID"] if layout == "video" else [])], check=True)
    everyone = DISFA(tmp_path)
    assert len(everyone) == 27 * 24
    assert np.array_equal(everyone.identities, np.repeat(np.arange(27), 24))
    for au in DISFA_12:
        written = [
            int(line.split(",")[1])
            for subject in ORDER
            for line in (tmp_path / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt").read_text().splitlines()
        ]
        assert everyone.labels.intensity[:, DISFA_12.index(au)].tolist() == written
    train, test = DISFA(tmp_path, hold_out="P2"), DISFA(tmp_path, keep="P2")
    assert len(train) + len(test) == len(everyone)
    assert {ORDER[row] for row in test.identities} == set(PARTS["disfa"]["P2"])
    # A person's neutral and smiling photographs alternate in runs, so a smile's pixels have to change with its label.
    out_BHWC = np.empty((24, 64, 64, 3), np.uint8)
    for person in (0, 11, 26):
        everyone.read(np.arange(24) + 24 * person, out_BHWC)
        smiles_N = everyone.labels.intensity[24 * person : 24 * person + 24, DISFA_12.index(12)] > 0
        if smiles_N.any() and not smiles_N.all():
            steps_N = np.abs(np.diff(out_BHWC[:, 32:].astype(float), axis=0)).mean(axis=(1, 2, 3))
            changes_N = smiles_N[1:] != smiles_N[:-1]
            assert steps_N[changes_N].min() > steps_N[~changes_N].max()
