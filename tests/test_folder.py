import csv

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ausynth.errors import ConfigurationError, LabelFileError, LayoutError
from ausynth.labels import Labels
from ausynth.sources import Folder, open_source
from ausynth.testing.sources import check_source

NAN = float("nan")


@pytest.fixture
def tree(tmp_path):
    """Return a function that writes a csv file and the three pictures that its rows may name."""
    for name in ("a.png", "b.png", "sub/c.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), len(name) * 20, np.uint8))

    def write(text, encoding="utf-8"):
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


TEXT = "image,identity,age,AU1,AU12\na.png,ann,3,0,2.5\nb.png,bob,4,,5\nsub/c.png,ann,5,1,9\n"


def test_rows_become_labels_identities_and_pictures(tree):
    source = Folder(tree(TEXT), unknown=(9,))
    assert source.labels.aus == source.benchmark == (1, 12)
    assert np.array_equal(source.labels.intensity, [[0, 2.5], [NAN, 5], [1, NAN]], equal_nan=True)
    assert np.array_equal(source.labels.occurrence, [[0, 1], [NAN, 1], [0, NAN]], equal_nan=True)
    assert source.subjects == ("ann", "bob")
    assert source.identities.tolist() == [0, 1, 0]
    out = np.empty((3, 4, 4, 3), np.uint8)
    source.read([2, 0, 1], out)
    assert out[:, 0, 0, 0].tolist() == [180, 100, 100]


@pytest.mark.parametrize("spelling", ["AU{}", "au{}", "{}", "AU0{}", "Au_{}", "au-0{}", " AU{} "])
def test_au_columns_may_be_spelled_in_several_ways(tree, spelling):
    source = Folder(tree(f"image,identity,{spelling.format(6)},{spelling.format(9)}\na.png,ann,2,3\n"))
    assert source.labels.aus == (6, 9)
    assert source.labels.intensity.tolist() == [[2, 3]]


def test_columns_are_in_the_order_of_their_aus_and_of_aus(tree):
    path = tree("image,identity,AU12,AU4,AU99\na.png,ann,3,1,7\n")
    assert Folder(path).labels.aus == (4, 12)
    assert Folder(path).labels.intensity.tolist() == [[1, 3]]
    assert Folder(path, aus=(12, 4)).labels.intensity.tolist() == [[3, 1]]
    with pytest.raises(LabelFileError, match=r"no column for AU 9, 15.*of the AUs that it has: 4, 12"):
        Folder(path, aus=(4, 9, 15))


def test_threshold_decides_occurrence(tree):
    assert Folder(tree(TEXT), unknown=(9,), threshold=3).labels.occurrence[0].tolist() == [0, 0]


def test_occurrence_has_no_intensity(tree):
    source = Folder(tree("image,identity,AU1,AU2\na.png,ann,0,1\nb.png,bob,,1.0\n"), values="occurrence")
    assert np.array_equal(source.labels.occurrence, [[0, 1], [NAN, 1]], equal_nan=True)
    assert np.isnan(source.labels.intensity).all()
    assert source.labels.confidence.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("code", [9, 999, -1])
def test_codes_for_unknown(tree, code):
    text = f"image,identity,AU1\na.png,ann,{code}\nb.png,bob,1\n"
    assert np.array_equal(Folder(tree(text), unknown=(9, 999, -1)).labels.intensity, [[NAN], [1]], equal_nan=True)
    with pytest.raises(LabelFileError, match=rf"line 2: AU1 is '{code}'.*unknown="):
        Folder(tree(text))


def test_other_columns_and_another_root(tree, tmp_path):
    path = tree("id,file,AU1\nann,c.png,2\n")
    source = Folder(path, tmp_path / "sub", image="file", identity="id", name="mine")
    assert (source.name, source.frames.describe(0)) == ("mine", "c.png")


def test_people_are_held_out_by_identity_and_keep_their_number(tree):
    source = Folder(tree(TEXT), unknown=(9,), hold_out=["ann"])
    assert source.subjects == ("ann", "bob")
    assert source.identities.tolist() == [1]
    assert source.labels.intensity[0, 1] == 5
    assert Folder(tree(TEXT), unknown=(9,), keep="ann").identities.tolist() == [0, 0]
    with pytest.raises(ConfigurationError, match="P1"):
        Folder(tree(TEXT), unknown=(9,), hold_out="P1")


def test_a_byte_order_mark_blank_lines_quotes_and_windows_line_ends(tree):
    text = 'image,identity,AU1\r\n\r\n"a.png","ann, the first",2\r\n\r\nb.png,bob,1\r\n'
    source = Folder(tree(text, encoding="utf-8-sig"))
    assert source.subjects == ("ann, the first", "bob")
    assert source.labels.intensity.tolist() == [[2], [1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows"),
        ("image,identity,AU1\n", "no rows"),
        ("picture,identity,AU1\na.png,ann,1\n", "no columns 'image'.*image=.*picture, identity, AU1"),
        ("image,who,AU1\na.png,ann,1\n", "no columns 'identity'.*identity="),
        ("image,image,identity,AU1\na.png,a.png,ann,1\n", "2 columns 'image'"),
        ("image,identity,age\na.png,ann,1\n", "no AU column among image, identity, age"),
        ("image,identity,AU1,au01\na.png,ann,1,1\n", "two columns for AU 1: 'AU1' and 'au01'"),
        ("image,identity,AU1\na.png,ann,1\n\nb.png,bob,weak\n", "line 4: AU1 is 'weak'"),
        ("image,identity,AU1\na.png,ann,5.1\n", "line 2: AU1 is '5.1'.*0 to 5"),
        ("image,identity,AU1\na.png,ann,inf\n", "line 2: AU1 is 'inf'"),
        ("image,identity,AU1\na.png,ann,1\nb.png,bob\n", "line 3: 2 cells"),
        ("image,identity,AU1\na.png,,1\n", "line 2: identity is empty"),
        ("image,identity,AU1\na.png,ann,1\n,ann,1\n", "line 3: image is empty"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said(tree, text, words):
    with pytest.raises(LabelFileError, match=words):
        Folder(tree(text))


def test_occurrence_takes_no_intensities(tree):
    for value in ("2", "0.5"):
        with pytest.raises(LabelFileError, match=f"line 2: AU1 is '{value}'.*0, 1"):
            Folder(tree(f"image,identity,AU1\na.png,ann,{value}\n"), values="occurrence")


def test_files_that_are_no_csv(tree, tmp_path):
    with pytest.raises(LabelFileError, match="none.csv"):
        Folder(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(LabelFileError, match="not a csv file"):
        Folder(tmp_path / "binary.csv")


def test_missing_pictures_are_counted_and_named(tree, tmp_path):
    path = tree("image,identity,AU1\na.png,ann,1\nd.png,bob,1\ne.png,bob,1\n")
    with pytest.raises(LayoutError, match=r"2 of 3 pictures .* the first .*d\.png \(line 3\).*root="):
        Folder(path)
    assert len(Folder(path, check="none")) == 3
    assert len(Folder(path, hold_out="bob")) == 1
    with pytest.raises(LayoutError, match="not a folder"):
        Folder(path, tmp_path / "nowhere")


@pytest.mark.parametrize("options", [{"values": "both"}, {"check": "some"}, {"align": "landmarks"}, {"threshold": 0}])
def test_options_that_cannot_be_right(tree, options):
    with pytest.raises(ConfigurationError, match=str(next(iter(options.values())))):
        Folder(tree("image,identity,AU1\na.png,ann,1\n"), **options)


def test_fingerprint_follows_what_is_offered(tree):
    prints = [Folder(tree(text), unknown=(9,)).fingerprint for text in (TEXT, TEXT, TEXT.replace("2.5", "2"))]
    assert prints[0] == prints[1] != prints[2]
    assert Folder(tree(TEXT), unknown=(9,), hold_out="bob").fingerprint != prints[0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 1, 2.5, 5, None])), min_size=1, max_size=9))
def test_every_row_keeps_its_person_and_label(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("csv")
    path = folder / "labels.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "identity", "AU9"], *(["x.png", *row] for row in rows)])
    source = Folder(path, check="none")
    assert [source.subjects[number] for number in source.identities] == [person for person, _ in rows]
    wanted = [[NAN if value is None else value] for _, value in rows]
    assert np.array_equal(source.labels.intensity, wanted, equal_nan=True)


def test_open_source_opens_a_csv_file(tree, tmp_path):
    path = tree("file,identity,AU1\na.png,ann,1\n")
    assert len(open_source("Folder", path, image="file")) == 1
    assert len(open_source("folder", tmp_path, csv=path, image="file")) == 1
    source = open_source("folder", csv=path, image="file")
    assert open_source(source) is source


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("disfa+", {}, "unknown source 'disfa.'.*disfa, bp4d, folder"),
        ("folder", {}, "no csv file"),
        ("folder", {"csv": "x.csv", "fold": "1"}, "no option fold.*hold_out"),
        ("bp4d", {"camera": "left"}, "no option camera.*allow_missing"),
        (3, {}, "a int as source"),
    ],
)
def test_what_open_source_refuses(name, options, words):
    with pytest.raises(ConfigurationError, match=words):
        open_source(name, **options)


def test_open_source_refuses_a_folder_without_csv_and_options_for_an_open_source(tree, tmp_path):
    source = Folder(tree("image,identity,AU1\na.png,ann,1\n"))
    with pytest.raises(ConfigurationError, match="is a folder.*csv="):
        open_source("folder", tmp_path)
    with pytest.raises(ConfigurationError, match="root, hold_out for a source that is open"):
        open_source(source, tmp_path, hold_out="ann")


def test_real_photographs(test_data):
    path = test_data / "faces" / "faces.csv"
    source = Folder(path, image="file")
    aus = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    intensity = [[float(row[f"AU{au}"] or "nan") for au in aus] for row in rows]
    check_source(source, expected=Labels.from_intensity(aus, intensity))
    assert [source.subjects[number] for number in source.identities] == [row["identity"] for row in rows]
    picture = cv2.imread(str(test_data / "faces" / rows[40]["file"]))
    out = np.empty((1, *picture.shape), np.uint8)
    source.read([40], out)
    assert np.array_equal(out[0], picture[:, :, ::-1])
