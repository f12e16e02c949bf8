import csv
import subprocess
import sys

import cv2
import numpy as np
import pytest

from ausynth.errors import ConfigurationError, LabelFileError, LayoutError
from ausynth.facs import ACTION_UNITS, BP4D_12
from ausynth.labels import Labels
from ausynth.sources import BP4D, open_source
from ausynth.testing.sources import check_source

NAN = float("nan")
HEADER = "0,1,6,12,0"


class Tree:
    """A BP4D copy in a temporary folder, whose files tests write and damage."""

    def __init__(self, root):
        self.root = root

    def codes(self, take, rows, header=HEADER, folder="AUCoding/AU_OCC"):
        path = self.root / folder / f"{take}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    def graded(self, take, au, rows):
        path = self.root / "AUCoding" / "AU_INT" / f"AU{au:02d}" / f"{take}_AU{au:02d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n")
        return path

    def pictures(self, take, names, folder="2D"):
        for name in names:
            path = self.root / folder / take.replace("_", "/") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), np.full((6, 8, 3), int(path.stem) % 256, np.uint8))


@pytest.fixture
def tree(tmp_path):
    """A copy with F001 T1 (frames 7, 8, 1000) and M018 T2 (frame 5)."""
    tree = Tree(tmp_path / "bp4d")
    tree.codes("F001_T1", ["7,0,1,9,0", "8,1,0,1,1", "1000,9,9,0,0"])
    tree.codes("M018_T2", ["5,1,1,1,0"])
    tree.pictures("F001_T1", ["0007.jpg", "0008.jpg", "1000.jpg", "2000.jpg"])
    tree.pictures("M018_T2", ["005.jpg"])
    return tree


def same(found, wanted):
    return np.array_equal(found, np.asarray(wanted, dtype=float), equal_nan=True)


def test_codes_become_labels_with_9_unknown(tree):
    source = BP4D(tree.root)
    assert source.labels.aus == (1, 6, 12)
    assert same(source.labels.occurrence, [[0, 1, NAN], [1, 0, 1], [NAN, NAN, 0], [1, 1, 1]])
    assert same(source.labels.confidence, [[1, 1, 0], [1, 1, 1], [0, 0, 1], [1, 1, 1]])
    assert np.isnan(source.labels.intensity).all()
    assert source.benchmark == BP4D_12
    assert (len(source.subjects), source.subjects[0], source.subjects[40]) == (41, "F001", "M018")
    assert source.identities.tolist() == [0, 0, 0, 40]


def test_each_label_goes_with_the_picture_of_its_frame_number(tree):
    source = BP4D(tree.root)
    out = np.empty((4, 6, 6, 3), np.uint8)
    source.read(range(4), out)
    assert out[:, 0, 0, 0].tolist() == [7, 8, 1000 % 256, 5]
    assert source.frames.describe(2) == "F001/T1/1000.jpg"


@pytest.mark.parametrize("name", ["{:04d}.jpg", "{:03d}.jpg", "{}.png", "{:06d}.JPG", "{:04d}.jpeg"])
def test_pictures_may_be_padded_or_not(tmp_path, name):
    tree = Tree(tmp_path)
    tree.codes("F002_T3", ["9,0,0,0,0", "42,1,0,0,0", "1234,0,1,0,0"])
    tree.pictures("F002_T3", [name.format(frame) for frame in (9, 42, 1234)], folder="any/where")
    source = BP4D(tmp_path)
    assert [source.frames.load(index)[0, 0, 0] for index in range(3)] == pytest.approx([9, 42, 1234 % 256], abs=2)


def test_columns_are_found_by_the_header(tmp_path):
    tree = Tree(tmp_path)
    tree.codes("F001_T1", ["1,1,0,9,7,1", "2,0,1,1,7,0"], header="0,12,1,6,99,0")  # column 99 is no AU: anything goes
    tree.pictures("F001_T1", ["1.jpg", "2.jpg"])
    assert same(BP4D(tmp_path).labels.occurrence, [[0, NAN, 1], [1, 1, 0]])


def test_an_au_that_nobody_coded_is_not_among_those_coded(tmp_path):
    tree = Tree(tmp_path)
    tree.codes("F001_T1", ["1,1,9,0", "2,0,9,0"], header="0,12,14,0")
    tree.pictures("F001_T1", ["1.jpg", "2.jpg"])
    assert BP4D(tmp_path).labels.aus == (12,)
    assert BP4D(tmp_path, aus=[12, 14]).labels.mask.tolist() == [[True, False]] * 2


@pytest.mark.parametrize(
    ("header", "aus"),
    [
        ("0,1,2,0", (1, 2)),
        ("0,1,2", (1, 2)),
        ("0,1,2,2", (1, 2)),
        ("0,1,2,occlusion", (1, 2)),
        ("0,1,2,39", (1, 2, 39)),
    ],
)
def test_the_last_column_is_a_flag_unless_it_is_headed_by_an_au(tmp_path, header, aus):
    tree = Tree(tmp_path)
    tree.codes("F001_T1", ["1,0,1,1"], header=header)
    tree.pictures("F001_T1", ["1.jpg"])
    source = BP4D(tmp_path)
    assert source.labels.aus == aus
    assert source.labels.occurrence[0, :2].tolist() == [0, 1]


def test_takes_with_other_columns_are_unknown_there(tree):
    tree.codes("M018_T2", ["5,1,0,0"], header="0,12,24,0")
    assert same(BP4D(tree.root).labels.occurrence[-1:], [[NAN, NAN, 1, 0]])
    assert BP4D(tree.root).labels.aus == (1, 6, 12, 24)


def test_intensity_is_known_where_it_is_graded(tree):
    tree.graded("F001_T1", 6, ["7,3", "8,0", "1000,9", "1500,4"])
    tree.graded("F001_T1", 12, ["1000,1", "7,5"])
    labels = BP4D(tree.root).labels
    assert same(labels.intensity, [[NAN, 3, 5], [NAN, 0, NAN], [NAN, NAN, 1], [NAN, NAN, NAN]])
    # Occurrence stays as coded: 12 is coded 9 in frame 7, and 0 in frame 1000, whatever its intensity.
    assert same(labels.occurrence, [[0, 1, NAN], [1, 0, 1], [NAN, NAN, 0], [1, 1, 1]])


def test_a_threshold_decides_where_the_intensity_is_known(tree):
    tree.graded("F001_T1", 6, ["7,1", "8,0", "1000,3"])
    tree.graded("F001_T1", 12, ["1000,1", "7,5"])
    labels = BP4D(tree.root, threshold=2).labels
    assert same(labels.occurrence, [[0, 0, 1], [1, 0, 1], [NAN, 1, 0], [1, 1, 1]])
    assert same(BP4D(tree.root, threshold=1).labels.occurrence[:, 1], [1, 0, 1, 1])
    assert labels.confidence[0].tolist() == [1, 1, 1]


def test_a_graded_au_without_occurrence_codes_has_an_intensity(tree):
    tree.graded("F001_T1", 17, ["7,2", "8,0", "1000,9"])
    labels = BP4D(tree.root).labels
    assert labels.aus == (1, 6, 12, 17)
    assert same(labels.intensity[:, 3], [2, 0, NAN, NAN])
    assert same(labels.occurrence[:, 3], [NAN] * 4)
    assert same(BP4D(tree.root, threshold=2).labels.occurrence[:, 3], [1, 0, NAN, NAN])


def test_aus_chooses_and_orders_the_columns(tree):
    assert same(BP4D(tree.root, aus=(12, 9, 1)).labels.occurrence[1:2], [[1, NAN, 1]])
    assert BP4D(tree.root, aus="bp4d-12").labels.aus == BP4D_12
    with pytest.raises(ConfigurationError, match=r"none of the AUs 9, 25 is coded.*1, 6, 12"):
        BP4D(tree.root, aus=(9, 25))


def test_subjects_are_selected_by_part_fold_or_name(tree):
    assert BP4D(tree.root, hold_out="P1").identities.tolist() == [40]
    assert BP4D(tree.root, keep="P1").identities.tolist() == [0, 0, 0]
    assert BP4D(tree.root, hold_out=["f001"]).identities.tolist() == [40]
    assert BP4D(tree.root, fold="megraph:3", split="test").identities.tolist() == [0, 0, 0]
    assert BP4D(tree.root, fold="megraph:3").identities.tolist() == [40]
    with pytest.raises(ConfigurationError, match="nobody is left"):
        BP4D(tree.root, keep="P3")


def test_tasks_are_selected(tree):
    assert BP4D(tree.root, tasks="t2").identities.tolist() == [40]
    assert len(BP4D(tree.root, tasks=["T1", "T2"])) == 4
    for tasks in ("T9", [], ["T1", "X"]):
        with pytest.raises(ConfigurationError, match="T1, T2"):
            BP4D(tree.root, tasks=tasks)


def test_files_of_those_held_out_are_not_read(tree):
    tree.codes("F001_T1", ["nonsense"])
    assert len(BP4D(tree.root, hold_out="F001")) == 1
    with pytest.raises(LabelFileError, match="F001_T1"):
        BP4D(tree.root)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["7,0,1,9,0", "8,1,2,1,0"], r"F001_T1\.csv, line 3: AU6 is 2.*0, 1, 9"),
        (["7,0,1,9,0", "", "8,1,0,-1,0"], "line 4: AU12 is -1"),
        (["7,0,1,9,0", "8,1,x,1,0"], "line 3: '8,1,x,1,0'"),
        (["7,0,1,9,0", "8,1,,1,0"], "line 3: '8,1,,1,0'"),
        (["7,0,1,9,0", "8,1,1"], "line 3: '8,1,1'.*5 whole numbers"),
        (["7,0,1,0.5,0"], "line 2: '7,0,1,0.5,0'"),
        (["7,0"], "line 2: 2 cells.*5, as many as in the header"),
        (["7,0,1,9,0", "8,0,1,9,0", "7,0,1,9,0"], "line 4: frame 7 is coded twice"),
        ([], "no rows"),
    ],
)
def test_what_is_wrong_with_a_code_file_is_said(tree, rows, words):
    tree.codes("F001_T1", rows)
    with pytest.raises(LabelFileError, match=words):
        BP4D(tree.root)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("7,0,1,9,0", "starts with '7,0,1,9,0'.*header row"),
        ("0,1,1,12,0", "two columns are headed 1"),
        ("frame,AU1", "starts with 'frame,AU1'"),
    ],
)
def test_a_code_file_without_a_header_is_refused(tree, header, words):
    tree.codes("F001_T1", ["7,0,1,9,0", "8,1,0,1,0"], header=header)
    with pytest.raises(LabelFileError, match=words):
        BP4D(tree.root)


@pytest.mark.parametrize(
    ("rows", "words"),
    [(["7,6"], "line 1: the intensity is 6"), (["7,3", "7,3"], "line 2: frame 7 is coded twice"), (["7,3,1"], "two")],
)
def test_what_is_wrong_with_a_graded_file_is_said(tree, rows, words):
    tree.graded("F001_T1", 6, rows)
    with pytest.raises(LabelFileError, match=rf"F001_T1_AU06\.csv.*{words}"):
        BP4D(tree.root)


def test_coded_frames_without_a_picture_are_counted_and_named(tree):
    (tree.root / "2D/F001/T1/0008.jpg").unlink()
    (tree.root / "2D/M018/T2/005.jpg").rename(tree.root / "2D/M018/T2/006.jpg")
    with pytest.raises(LayoutError, match=r"2 of 4 coded frames .* in 2 takes; the first is frame 8 of F001/T1"):
        BP4D(tree.root)
    source = BP4D(tree.root, allow_missing=True)
    assert same(source.labels.occurrence, [[0, 1, NAN], [NAN, NAN, 0]])
    assert [source.frames.describe(index) for index in range(2)] == ["F001/T1/0007.jpg", "F001/T1/1000.jpg"]
    assert source.identities.tolist() == [0, 0]
    with pytest.raises(LayoutError, match="1 of 1 coded frames"):
        BP4D(tree.root, keep="M018", allow_missing=True)


def test_a_take_without_pictures_or_without_codes_is_an_error(tree):
    tree.codes("F002_T1", ["1,0,0,0,0"])
    with pytest.raises(LayoutError, match="frame 1 of F002/T1"):
        BP4D(tree.root)
    assert len(BP4D(tree.root, allow_missing=True)) == 4
    tree.pictures("F002_T1", ["1.jpg"])
    tree.pictures("F003_T1", ["1.jpg"])
    with pytest.raises(LabelFileError, match=r"1 of 4 takes have pictures and no codes.*F003/T1.*F003_T1\.csv"):
        BP4D(tree.root)
    assert len(BP4D(tree.root, allow_missing=True)) == len(BP4D(tree.root, hold_out="F003")) == 5


def test_a_frame_with_two_pictures_is_refused(tree):
    tree.pictures("F001_T1", ["008.jpg"])
    with pytest.raises(LayoutError, match=r"frame 8 has two pictures .*0008\.jpg and 008\.jpg"):
        BP4D(tree.root)
    (tree.root / "2D/F001/T1/008.jpg").unlink()
    tree.pictures("F001_T1", ["02000.jpg", "2000.jpg"])  # not coded: nobody's business
    assert len(BP4D(tree.root)) == 4


def test_several_picture_folders_are_named_and_chosen_between(tree):
    tree.pictures("F001_T1", ["7.png", "8.png", "1000.png"], folder="more/3D")
    tree.pictures("M018_T2", ["5.png"], folder="more/3D")
    with pytest.raises(LayoutError, match="2 folders .*: 2D, more/3D.*images="):
        BP4D(tree.root)
    assert BP4D(tree.root, images="more/3D").frames.describe(0) == "F001/T1/7.png"
    assert BP4D(tree.root, images=tree.root / "2D").frames.describe(0) == "F001/T1/0007.jpg"
    with pytest.raises(LayoutError, match="no pictures like"):
        BP4D(tree.root, images="AUCoding")


def test_several_code_folders_are_named_and_chosen_between(tree):
    tree.codes("F001_T1", ["7,1,1,1,0"], folder="old/AU_OCC")
    tree.codes("M018_T2", ["5,0,0,0,0"], folder="old/AU_OCC")
    with pytest.raises(LayoutError, match="2 folders .*: AUCoding/AU_OCC, old/AU_OCC.*coding="):
        BP4D(tree.root)
    assert len(BP4D(tree.root, coding="AUCoding")) == 4
    assert len(BP4D(tree.root, coding="AUCoding/AU_OCC")) == 4
    assert same(BP4D(tree.root, coding=tree.root / "old").labels.occurrence, [[1, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize("folder", ["AU_OCC", "labels/AUCoding/au_occ", "Labels/OCC", "AUCoding"])
def test_codes_may_lie_at_any_depth(tmp_path, folder):
    tree = Tree(tmp_path)
    tree.codes("F001_T1", ["1,0,0,1,0"], folder=folder)
    tree.pictures("F001_T1", ["1.jpg"], folder=".")
    assert same(BP4D(tmp_path).labels.occurrence, [[0, 0, 1]])


def test_a_folder_of_codes_that_is_named_may_be_called_anything(tree):
    (tree.root / "AUCoding/AU_OCC").rename(tree.root / "mine")
    assert len(BP4D(tree.root, coding="mine")) == 4
    with pytest.raises(LayoutError, match="nowhere is not a folder"):
        BP4D(tree.root, coding="nowhere")


def test_a_folder_that_is_no_copy(tmp_path, tree, monkeypatch):
    with pytest.raises(LayoutError, match="no pictures like F001/T1"):
        BP4D(tmp_path / "bp4d" / "AUCoding")
    with pytest.raises(LayoutError, match="no code files like AU_OCC"):
        BP4D(tree.root / "2D")
    with pytest.raises(ConfigurationError, match="AUSYNTH_BP4D_ROOT"):
        BP4D()
    monkeypatch.setenv("AUSYNTH_BP4D_ROOT", str(tree.root))
    assert len(open_source("BP4D")) == 4


def test_bp4d_plus_is_not_taken_for_bp4d(tree):
    tree.codes("F024_T1", ["1,0,0,0,0"])
    with pytest.raises(LayoutError, match=r"1 subjects .* the first F024.*BP4D\+"):
        BP4D(tree.root)


def test_landmarks_are_not_there(tree):
    with pytest.raises(ConfigurationError, match="without landmarks"):
        BP4D(tree.root, align="landmarks")


def test_fingerprint_follows_labels_names_and_crop(tree):
    first = BP4D(tree.root).fingerprint
    assert BP4D(tree.root).fingerprint == first
    assert BP4D(tree.root, aus=(1, 6)).fingerprint != first
    (tree.root / "2D/F001/T1/0007.jpg").rename(tree.root / "2D/F001/T1/007.jpg")
    assert BP4D(tree.root).fingerprint != first


@pytest.mark.parametrize("digits", ["3", "4"])
def test_real_photographs(test_data, tmp_path, digits):
    """Labels match the files line by line, against a parser that shares no code with the source."""
    tool = test_data.parent / "tools" / "photo_bp4d.py"
    if not tool.is_file():
        pytest.skip("no tools/photo_bp4d.py beside AUSYNTH_TEST_DATA")
    size = ["--subjects", "4", "--frames", "12", "--digits", digits]
    subprocess.run([sys.executable, str(tool), str(tmp_path / "tree"), *size], check=True)
    source = BP4D(tmp_path / "tree")
    aus, pictures, occurrence, intensity = read_by_hand(tmp_path / "tree")
    assert len(source) == 4 * 2 * 12
    assert [source.frames.describe(index) for index in range(len(source))] == [
        f"{subject}/{task}/{frame:0{digits}d}.jpg" for subject, task, frame in pictures
    ]
    assert [source.subjects[number] for number in source.identities] == [subject for subject, _, _ in pictures]
    check_source(source, expected=Labels(aus, intensity, occurrence, ~np.isnan(occurrence)))
    picture = cv2.imread(str(tmp_path / "tree" / "2D" / source.frames.describe(50)))
    out = np.empty((1, *picture.shape), np.uint8)
    source.read([50], out)
    assert np.array_equal(out[0], picture[:, :, ::-1])


def read_by_hand(root):
    pictures, occurrence, intensity = [], [], []
    for path in sorted((root / "AUCoding" / "AU_OCC").iterdir()):
        subject, task = path.stem.split("_")
        graded = {}
        for file in (root / "AUCoding" / "AU_INT").glob(f"*/{path.stem}_AU*.csv"):
            with file.open() as lines:
                graded.update({(int(file.stem[-2:]), int(row[0])): float(row[1]) for row in csv.reader(lines)})
        with path.open() as lines:
            for row in csv.DictReader(lines, fieldnames=[*next(csv.reader(lines))[:-1], "occluded"]):
                aus = [au for au in map(int, list(row)[1:-1]) if au in ACTION_UNITS]
                pictures.append((subject, task, int(row["0"])))
                occurrence.append([float(row[str(au)]) for au in aus])
                intensity.append([graded.get((au, int(row["0"])), NAN) for au in aus])
    known = [np.where(np.array(values) == 9, NAN, values) for values in (occurrence, intensity)]
    coded = [column for column in range(len(aus)) if not np.isnan(known[0][:, column]).all()]
    return tuple(aus[column] for column in coded), pictures, *(values[:, coded] for values in known)
