from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import portrait_fakes
import pytest
from fakes import FakeSource
from heads import camera, made_up_head, made_up_kit, photograph, skin
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ausynth import assets
from ausynth.cli import app
from ausynth.errors import AusynthError, ConfigurationError, FrameError
from ausynth.generators.portrait import ict_pack
from ausynth.generators.portrait.bake import SHADE, bake, from_linear, to_linear
from ausynth.generators.portrait.bank import BankError, FaceBank, StoredFace, harmonics
from ausynth.generators.portrait.bank_builder import REJECTED, build_bank
from ausynth.generators.portrait.building import Person, Photograph, build_face, cut_square
from ausynth.generators.portrait.fit import fit_head
from ausynth.generators.portrait.iris import iris_colour
from ausynth.generators.portrait.landmark_files import find_file, read_landmarks
from ausynth.generators.portrait.landmarks import Landmarks
from ausynth.generators.portrait.matte import person_matte
from ausynth.generators.portrait.person import PersonShape
from ausynth.generators.portrait.photographs import find_photographs, neutral_frames
from ausynth.generators.portrait.quality import Limits
from ausynth.labels import Labels

runner = CliRunner()
LIGHT = np.repeat(np.array([0.8, 0.15, 0.25, 0.1, 0, 0, 0.05, 0, 0], np.float32)[:, None], 3, axis=1)


def said(result: object) -> str:
    return re.sub(r"\s+", " ", result.output + getattr(result, "stderr", ""))  # type: ignore[attr-defined]


def someone(seed: int, strength: float = 0.4) -> PersonShape:
    weights = np.random.default_rng(seed).normal(0, strength, 12).astype(np.float32)
    return PersonShape(weights, np.zeros((0, 2), np.float32), np.zeros((3, 2), np.float32))


def person(name: str, **attributes: str) -> Person:
    return Person(name, f"photograph:{name}", "CC0", "the tests", attributes)


def sitting(seed: int, name: str, **pose: float) -> Photograph:
    """A photograph of a made-up person, with landmarks."""
    picture, marks, _ = photograph(made_up_head(), someone(seed), camera(256, **pose), light_93=LIGHT)
    return Photograph(person(name, age=str(20 + seed)), f"{name}.png", lambda: picture, lambda: Landmarks(marks))


def entry(seed: int = 0, name: str = "ann", size: int = 64) -> StoredFace:
    rng = np.random.default_rng(seed)
    return StoredFace(
        name=name,
        shape=PersonShape(
            rng.normal(0, 0.4, 100).astype(np.float32),
            rng.normal(0, 4, (84, 2)).astype(np.float32),
            rng.normal(0, 1e-3, (87, 2)).astype(np.float32),
        ),
        texture=cv2.GaussianBlur(rng.integers(0, 256, (size, size, 3), np.uint8), (0, 0), 9),
        photo=cv2.GaussianBlur(rng.integers(0, 256, (size, size, 3), np.uint8), (0, 0), 9),
        matte=cv2.GaussianBlur(rng.integers(0, 256, (size, size), np.uint8), (0, 0), 9),
        light=LIGHT,
        camera=camera(size, yaw=3, roll=-2),
        iris=np.array([90, 60, 40], np.uint8),
        attributes={"age": "31", "gender": "female"},
        licence="CC BY 4.0",
        source="A. Photographer",
        subject=f"disfa:{name}",
        quality={"error": 0.02},
        key="k1",
    )


# --- the bank on the disk ---


def test_a_person_comes_back_as_stored(tmp_path: Path) -> None:
    stored = entry()
    FaceBank.write(tmp_path / "bank", [stored])
    bank = FaceBank(tmp_path / "bank", made_up_head())
    face = bank["ann"]
    assert bank.names == ("ann",)
    assert len(bank) == 1
    assert "ann" in bank
    assert np.array_equal(face.neutral, stored.shape.vertices(made_up_head()))
    assert np.array_equal(face.light, stored.light)
    assert np.array_equal(face.iris, stored.iris)
    assert np.allclose(face.camera.rotation, stored.camera.rotation)
    assert face.camera.middle == pytest.approx(stored.camera.middle, abs=1e-4)
    assert (face.attributes, face.licence, face.source, face.subject) == (
        stored.attributes,
        stored.licence,
        stored.source,
        stored.subject,
    )
    assert np.abs(face.texture.astype(int) - stored.texture).mean() < 3
    assert np.abs(face.photo.astype(int) - stored.photo).mean() < 3
    assert np.abs(face.matte.astype(int) - stored.matte).max() <= 5
    assert bank.subjects == ("disfa:ann",)
    assert bank.attributes("ann")["age"] == "31"
    assert bank.key("ann") == "k1"
    assert bank.quality("ann") == {"error": 0.02}
    assert bank.credits() == ("A. Photographer (CC BY 4.0)",)
    assert not face.neutral.flags.writeable
    assert bank[0] is face


def test_people_are_added_and_replaced(tmp_path: Path) -> None:
    first = FaceBank.write(tmp_path, [entry(0, "ben"), entry(1, "ann")])
    assert first.names == ("ann", "ben")
    again = FaceBank.write(tmp_path, [entry(2, "ben")])
    assert again.names == ("ann", "ben")
    assert again.fingerprint != first.fingerprint
    assert len(list(tmp_path.glob("ben.*.npz"))) == 1
    assert np.array_equal(again.stored("ben").shape.weights, entry(2).shape.weights)
    assert FaceBank(tmp_path).fingerprint == again.fingerprint
    assert not list(tmp_path.glob("*.tmp"))


def test_several_builds_add_to_one_bank(tmp_path: Path) -> None:
    FaceBank.write(tmp_path, [])

    def add(first: int) -> None:
        FaceBank.write(tmp_path, [entry(n, f"person-{n:02d}", size=16) for n in range(first, first + 8)])

    with ThreadPoolExecutor(4, "builds") as pool:
        list(pool.map(add, range(0, 32, 8)))
    bank = FaceBank(tmp_path)
    assert bank.names == tuple(f"person-{n:02d}" for n in range(32))
    assert all(bank.stored(name).name == name for name in bank.names)


def test_an_entry_of_the_usual_size_is_small(tmp_path: Path) -> None:
    head = made_up_head()
    picture, marks, _ = photograph(head, someone(3), camera(256), light_93=LIGHT)
    made = build_face(picture, Landmarks(marks), person("x"), head)
    assert isinstance(made, StoredFace), made
    FaceBank.write(tmp_path, [made])
    assert next(tmp_path.glob("*.npz")).stat().st_size < 80_000


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "other"])
def test_a_damaged_person_is_refused(tmp_path: Path, damage: str) -> None:
    FaceBank.write(tmp_path, [entry(0, "ann"), entry(1, "ben")])
    path = next(tmp_path.glob("ann.*.npz"))
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    elif damage == "cut":
        path.write_bytes(bytes(data[:-100]))
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(next(tmp_path.glob("ben.*.npz")).read_bytes())
    bank = FaceBank(tmp_path, made_up_head())
    with pytest.raises(BankError, match="ann"):
        bank["ann"]
    assert bank["ben"].name == "ben"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "ausynth-face-bank 0", "people": []}', '{"format": "ausynth-face-bank 1"}']
)
def test_a_damaged_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bank.json").write_text(text)
    with pytest.raises(BankError, match="bank.json"):
        FaceBank(tmp_path)


def test_a_list_cannot_point_out_of_the_bank(tmp_path: Path) -> None:
    FaceBank.write(tmp_path / "bank", [entry()])
    listed = tmp_path / "bank" / "bank.json"
    found = json.loads(listed.read_text())
    found["people"][0]["file"] = "../secret.npz"
    listed.write_text(json.dumps(found))
    with pytest.raises(BankError, match="secret"):
        FaceBank(tmp_path / "bank")


def test_what_is_not_a_bank(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="ausynth faces build"):
        FaceBank(tmp_path / "none")
    bank = FaceBank.write(tmp_path, [entry()])
    with pytest.raises(ConfigurationError, match="nobody"):
        bank["zoe"]
    with pytest.raises(ConfigurationError, match="called"):
        FaceBank.write(tmp_path, [entry(name="../ann")])


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    import hashlib
    import pickle

    FaceBank.write(tmp_path, [entry()])
    path = next(tmp_path.glob("ann.*.npz"))
    path.write_bytes(pickle.dumps({"words": "boom"}))
    listed = json.loads((tmp_path / "bank.json").read_text())
    listed["people"][0]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "bank.json").write_text(json.dumps(listed))
    with pytest.raises(BankError):
        FaceBank(tmp_path, made_up_head())["ann"]


# --- the fit ---


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    yaw=st.floats(-6, 6),
    pitch=st.floats(-4, 4),
    roll=st.floats(-10, 10),
    size=st.sampled_from([128, 256, 500]),
)
def test_a_fit_recovers_who_was_projected(seed: int, yaw: float, pitch: float, roll: float, size: int) -> None:
    head = made_up_head()
    shape, seen_by = someone(seed), camera(size, yaw, pitch, roll)
    truth = seen_by.project(shape.vertices(head))
    fit = fit_head(head, Landmarks(truth[head.landmarks, :2]))
    found = fit.camera.project(fit.shape.vertices(head))
    span = np.linalg.norm(truth[head.landmarks[45], :2] - truth[head.landmarks[36], :2])
    inner = head.landmarks[17:]
    assert np.linalg.norm(found[inner, :2] - truth[inner, :2], axis=1).max() < 0.03 * span
    front = head.vertices_of("face")
    front = front[np.abs(head.vertices[front, :2] - [0, 0.5]).max(1) < 5.5]
    assert np.linalg.norm(found[front, :2] - truth[front, :2], axis=1).mean() < 0.05 * span
    assert abs(fit.roll - roll) < 2
    assert abs(fit.yaw - yaw) < 5
    assert abs(fit.pitch - pitch) < 6
    assert fit.strangeness < 1.5
    eyes = head.vertices_of("eye_L", "eye_R")
    assert np.linalg.norm(found[eyes, :2] - truth[eyes, :2], axis=1).mean() < 0.06 * span


def test_a_fit_moves_and_grows_with_the_picture() -> None:
    head = made_up_head()
    marks = Landmarks(camera(256, 2, 1, 3).project(someone(5).vertices(head))[head.landmarks, :2])
    one, other = fit_head(head, marks), fit_head(head, marks.moved(2.0, (31, -12)))
    assert np.abs(one.shape.vertices(head) - other.shape.vertices(head)).max() < 0.02
    moved = one.camera.resized(2.0, (31, -12))
    assert moved.scale == pytest.approx(other.camera.scale, rel=1e-3)
    assert moved.middle == pytest.approx(other.camera.middle, abs=0.5)


# --- texture and light ---


def test_baking_divides_the_light_out_and_fills_what_was_not_seen() -> None:
    head = made_up_head()
    shape, seen_by = PersonShape.mean(), camera(512, yaw=8)
    picture, _, there = photograph(head, shape, seen_by, size=512, light_93=LIGHT)
    baked = bake(head, shape.vertices(head), seen_by, picture, there.astype(np.uint8) * 255)
    front = head.vertices_of("face")
    front = front[(np.abs(head.vertices[front, 0]) < 6) & (np.abs(head.vertices[front, 1]) < 7)]
    corner = {}
    for triangle in head.triangles_of("face"):
        corner.update(zip(head.triangles[triangle].tolist(), head.uv[triangle], strict=True))
    texels = np.array([corner[v] for v in front.tolist()]) * [512, -512] + [0, 512]
    column, row = np.clip(texels.astype(int).T, 0, 511)
    found = to_linear(baked.texture)[row, column]
    ratio = (found / skin(head.vertices[front])).mean(1)
    # The same skin everywhere, up to the light's strength, which one picture does not tell.
    assert np.std(ratio) / np.mean(ratio) < 0.12
    # Lit as it was, the face is the photograph again.
    from ausynth.generators.rendered.mesh import normals

    facing = seen_by.turn(normals(head.vertices, head.triangles)[front])
    again = found * np.clip(harmonics(facing) @ baked.light, *SHADE)
    seen = seen_by.project(head.vertices[front])[:, :2]
    sampled = cv2.remap(to_linear(picture), *(seen.T.astype(np.float32)[:, None] - 0.5), cv2.INTER_LINEAR)[0]
    clear = baked.seen[row, column] > 0.95
    assert clear.mean() > 0.6
    assert np.abs(again - sampled)[clear].mean() < 0.02
    # Everything is filled, and with the colour of skin.
    assert baked.texture.min() > 20
    assert np.abs(harmonics(facing) @ baked.light).mean() == pytest.approx(1, abs=0.15)


def test_the_unseen_half_is_the_mirror_image() -> None:
    head = made_up_head()
    shape, seen_by = PersonShape.mean(), camera(512)
    picture, _, there = photograph(head, shape, seen_by, size=512)
    half = there.astype(np.uint8) * 255
    half[:, 256:] = 0
    baked = bake(head, shape.vertices(head), seen_by, picture, half)
    left, right = baked.texture[150:330, 100:240].astype(int), baked.texture[150:330, ::-1][:, 100:240].astype(int)
    assert np.abs(left - right).mean() < 3


@given(st.integers(0, 2**32 - 1))
def test_linear_light_and_back(seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    assert np.array_equal(from_linear(to_linear(image)), image)


# --- the matte ---


@pytest.mark.parametrize("wall", [(200, 202, 206), (60, 70, 90), (235, 235, 235)])
@pytest.mark.parametrize("dark", [False, True])
def test_a_person_is_cut_out_of_a_plain_wall(wall: tuple[int, int, int], dark: bool) -> None:
    size = 256
    down, across = np.mgrid[:size, :size]
    shade = 1 + 0.08 * (across - 128)[..., None] / 128 + 0.05 * (down - 128)[..., None] / 128
    picture = np.array(wall) * shade
    face = ((across - 128) / 62) ** 2 + ((down - 130) / 85) ** 2 < 1
    hair = (((across - 128) / 76) ** 2 + ((down - 112) / 96) ** 2 < 1) & (down < 150) & ~face
    neck = (np.abs(across - 128) < 38) & (down > 190)
    rng = np.random.default_rng(1)
    grain = rng.normal(0, 6, (size, size, 1))
    picture[hair] = (np.array([30, 24, 20]) + grain)[hair]
    picture[face | neck] = (np.array([70, 46, 36] if dark else [190, 140, 118]) + grain)[face | neck]
    person_HW = face | hair | neck
    picture = cv2.GaussianBlur(picture + rng.normal(0, 1.2, picture.shape), (0, 0), 0.7)
    core = (((across - 128) / 55) ** 2 + ((down - 135) / 74) ** 2 < 1).astype(np.uint8) * 255
    matte = person_matte(np.clip(picture, 0, 255).astype(np.uint8), core)
    cut = matte > 127
    assert (cut & person_HW).sum() / (cut | person_HW).sum() > 0.965
    away = cv2.distanceTransform((~person_HW).astype(np.uint8), cv2.DIST_L2, 5)
    assert matte[away > 6].mean() < 2
    assert matte[cv2.erode(person_HW.astype(np.uint8), np.ones((9, 9))) > 0].mean() > 250


# --- one photograph ---


def test_a_photograph_becomes_an_entry() -> None:
    head = made_up_head()
    picture, marks, there = photograph(head, someone(1), camera(256, 3, 0, 2), light_93=LIGHT)
    made = build_face(picture, Landmarks(marks), person("ann", age="30"), head)
    assert isinstance(made, StoredFace), made
    assert made.texture.shape == (512, 512, 3)
    assert made.photo.shape == (256, 256, 3)
    assert made.matte.shape == (256, 256)
    assert np.array_equal(made.photo, picture)
    seen = made.camera.project(made.shape.vertices(head))[head.landmarks[17:], :2]
    assert np.linalg.norm(seen - marks[17:], axis=1).mean() < 2
    assert ((made.matte > 127) == there).mean() > 0.95
    assert made.attributes == {"age": "30"}
    assert made.licence == "CC0"
    again = build_face(picture, Landmarks(marks), person("ann", age="30"), head)
    assert isinstance(again, StoredFace)
    assert np.array_equal(again.texture, made.texture)
    assert np.array_equal(again.matte, made.matte)


def changed(marks: np.ndarray, rows: slice | list[int], move: tuple[float, float]) -> Landmarks:
    other = marks.copy()
    other[rows] += move
    return Landmarks(other)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda marks: None, "no face"),
        (lambda marks: changed(marks, [65, 66, 67], (0, 9)), "mouth is open"),
        (lambda marks: changed(marks, [37, 38, 43, 44], (0, 8)), "eyes are closed"),
        (lambda marks: Landmarks(marks * 0.3), "too small"),
        (lambda marks: Landmarks(marks - [0, 60]), "cut off"),
        (lambda marks: Landmarks(marks, scores={"mouthSmileLeft": 0.8, "mouthSmileRight": 0.7}), "not neutral"),
        (lambda marks: Landmarks(marks, scores={"jawOpen": 0.5}), "mouth is open"),
        (lambda marks: changed(marks, [33], (25, 0)), "a landmark is missed"),
        (lambda marks: changed(marks, [*range(17, 27, 2), *range(27, 36, 2)], (12, 12)), "does not fit"),
    ],
)
def test_what_does_not_fit_is_rejected_with_a_reason(
    change: Callable[[np.ndarray], Landmarks | None], reason: str
) -> None:
    picture, marks, _ = photograph(made_up_head(), someone(1), camera(256))
    found = build_face(picture, change(marks), person("ann"), made_up_head())
    assert isinstance(found, list)
    assert any(reason in problem for problem in found), found


def test_a_turned_head_is_rejected() -> None:
    picture, marks, _ = photograph(made_up_head(), someone(1), camera(256, yaw=18))
    found = build_face(picture, Landmarks(marks), person("ann"), made_up_head())
    assert isinstance(found, list)
    assert any("not frontal: yaw" in problem for problem in found), found


def test_hair_over_the_brows_is_rejected() -> None:
    picture, marks, _ = photograph(made_up_head(), someone(1), camera(256))
    brow = int(marks[17:22, 1].min())
    covered = picture.copy()
    covered[: brow + 4, 60:130] = (24, 20, 18)
    found = build_face(covered, Landmarks(marks), person("ann"), made_up_head())
    assert isinstance(found, list)
    assert any("hair over the brows" in problem for problem in found), found


@pytest.mark.parametrize("shape", [(600, 900), (900, 600), (256, 256), (300, 280)])
def test_the_square_holds_the_face(shape: tuple[int, int]) -> None:
    height, width = shape
    picture = np.zeros((height, width, 3), np.uint8)
    marks = camera(200).project(made_up_head().vertices)[made_up_head().landmarks, :2] + [width / 3 - 60, 30]
    for column, row in marks:
        picture[int(row), int(column)] = 255
    work, moved = cut_square(picture, Landmarks(marks.astype(np.float32)))
    assert work.shape[0] == work.shape[1]
    assert 256 <= len(work) <= 512
    inside = moved.points[17:]
    assert inside.min() > 0
    assert inside.max() < len(work)
    spots = [work[int(r) - 3 : int(r) + 4, int(c) - 3 : int(c) + 4].max() for c, r in inside]
    assert min(spots) > 40


def test_the_colour_of_an_iris() -> None:
    marks = camera(512).project(made_up_head().vertices)[made_up_head().landmarks, :2]
    picture = np.full((512, 512, 3), (205, 160, 140), np.uint8)
    irises = []
    for eye in (slice(36, 42), slice(42, 48)):
        cv2.fillPoly(picture, [np.rint(marks[eye]).astype(np.int32)], (225, 222, 220))
        column, row = marks[eye].mean(0)
        cv2.circle(picture, (round(column), round(row)), 12, (70, 110, 150), -1)
        cv2.circle(picture, (round(column), round(row)), 5, (8, 8, 8), -1)
        cv2.circle(picture, (round(column) + 3, round(row) - 3), 2, (255, 255, 255), -1)
        irises.append((column, row, 12.0))
    found = iris_colour(picture, Landmarks(marks, np.array(irises, np.float32)))
    assert np.abs(found.astype(int) - [70, 110, 150]).max() < 12
    assert iris_colour(picture[:4, :4], Landmarks(marks)).tolist() == [78, 54, 40]


# --- building a bank ---


def test_the_best_photograph_of_each_person_is_kept(tmp_path: Path) -> None:
    good, bad = sitting(1, "ann"), sitting(1, "ann")
    marks = bad.landmarks().points.copy()  # type: ignore[misc]
    marks[27:36] += np.random.default_rng(0).normal(0, 1.5, (9, 2)).astype(np.float32)
    worse = dataclasses.replace(bad, landmarks=lambda: Landmarks(marks))
    report = build_bank([worse, good, sitting(2, "ben", yaw=20)], tmp_path, made_up_head())
    assert report.made == ["ann"]
    assert list(report.rejected) == ["ben"]
    assert "not frontal" in report.rejected["ben"][0]
    assert json.loads((tmp_path / REJECTED).read_text())["ben"]["reasons"] == report.rejected["ben"]
    alone = build_bank([good], tmp_path / "alone", made_up_head())
    assert alone.made == ["ann"]
    kept, single = FaceBank(tmp_path).stored("ann"), FaceBank(tmp_path / "alone").stored("ann")
    assert np.array_equal(kept.shape.weights, single.shape.weights)


def test_an_interrupted_build_goes_on(tmp_path: Path) -> None:
    photographs = [sitting(1, "ann"), sitting(2, "ben", yaw=20), sitting(3, "cleo")]

    def stop(done: int, total: int, who: str) -> None:
        if who == "cleo":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_bank(photographs, tmp_path, made_up_head(), progress=stop)
    assert FaceBank(tmp_path).names == ("ann",)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("ann.*")}
    report = build_bank(photographs, tmp_path, made_up_head())
    assert (report.found, report.made, list(report.rejected)) == (["ann"], ["cleo"], ["ben"])
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("ann.*")} == before
    whole = build_bank(photographs, tmp_path / "whole", made_up_head())
    assert whole.made == ["ann", "cleo"]
    assert FaceBank(tmp_path).fingerprint == FaceBank(tmp_path / "whole").fingerprint
    # Other limits, another verdict.
    loose = build_bank(photographs, tmp_path, made_up_head(), limits=Limits(yaw=30))
    assert "ben" in loose.made


def test_a_photograph_that_cannot_be_read_is_a_reason(tmp_path: Path) -> None:
    def broken() -> np.ndarray:
        raise FrameError.of("ann.png", "the file is empty")

    report = build_bank([dataclasses.replace(sitting(1, "ann"), load=broken)], tmp_path, made_up_head())
    assert "the file is empty" in report.rejected["ann"][0]


def test_landmarks_are_looked_for_once_and_the_finder_is_closed(tmp_path: Path) -> None:
    calls: list[str] = []
    known = [sitting(1, "ann"), sitting(3, "cleo")]

    class Finder:
        def __enter__(self) -> Finder:
            return self

        def __exit__(self, *_: object) -> None:
            calls.append("closed")

        def __call__(self, picture: np.ndarray) -> Landmarks | None:
            calls.append("found")
            return next(each.landmarks() for each in known if each.landmarks and np.array_equal(each.load(), picture))

    def make() -> Finder:
        calls.append("made")
        return Finder()

    bare = [dataclasses.replace(each, landmarks=None) for each in known]
    assert build_bank(bare, tmp_path, made_up_head(), finder=make).made == ["ann", "cleo"]
    assert calls == ["made", "found", "found", "closed"]
    with pytest.raises(ConfigurationError, match="without landmarks"):
        build_bank(bare, tmp_path / "other", made_up_head())


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ConfigurationError, match="no face bank"):
        build_bank([sitting(1, "ann")], tmp_path, made_up_head())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "all of it"
    with pytest.raises(ConfigurationError, match="is a file"):
        build_bank([sitting(1, "ann")], tmp_path / "thesis.txt", made_up_head())


class Recorded(FakeSource):
    """Two neutral frames and one smile of each person."""

    def __init__(self, people: list[str], training: list[str]) -> None:
        rows = [(who, smile) for who in training for smile in (0, 0, 3)]
        super().__init__(len(rows), name="disfa", people=len(people))
        self.subjects = tuple(people)
        self.identities = np.array([people.index(who) for who, _ in rows])
        self.labels = Labels.from_intensity((12, 25), [[smile, np.nan] for _, smile in rows])

    def read(self, indices: object, out: np.ndarray) -> None:
        for position, index in enumerate(indices):  # type: ignore[arg-type, var-annotated]
            out[position] = sitting(int(self.identities[index]) + 1, "x").load()


def test_only_neutral_frames_of_training_people(tmp_path: Path) -> None:
    people = ["SN001", "SN002", "SN003"]
    source = Recorded(people, ["SN001", "SN003"])
    chosen = neutral_frames(source, each=5, licence="DISFA", credit="them")
    assert [each.person.subject for each in chosen] == ["disfa:SN001"] * 2 + ["disfa:SN003"] * 2
    assert {each.path for each in chosen}.isdisjoint({"disfa:SN001 frame 2", "disfa:SN003 frame 5"})
    assert len(neutral_frames(source, each=1, licence="DISFA", credit="them")) == 2

    def find(picture: np.ndarray) -> Landmarks | None:
        for seed in (1, 2, 3):
            each = sitting(seed, "x")
            if np.array_equal(each.load(), picture):
                return each.landmarks() if each.landmarks else None
        return None

    allowed = ["disfa:SN001", "disfa:SN003"]
    report = build_bank(chosen, tmp_path, made_up_head(), finder=lambda: find, allowed=allowed)
    assert report.made == ["disfa-SN001", "disfa-SN003"]
    assert FaceBank(tmp_path).subjects == ("disfa:SN001", "disfa:SN003")
    # Another fold holds SN003 out: its bank cannot be the same folder.
    other = neutral_frames(Recorded(people, ["SN001", "SN002"]), licence="DISFA", credit="them")
    with pytest.raises(ConfigurationError, match=r"held out now: disfa:SN003"):
        build_bank(other, tmp_path, made_up_head(), finder=lambda: find, allowed=["disfa:SN001", "disfa:SN002"])
    assert FaceBank(tmp_path).subjects == ("disfa:SN001", "disfa:SN003")


def test_who_is_never_neutral_is_left_out_with_the_reason(tmp_path: Path) -> None:
    source = Recorded(["SN001", "SN002"], ["SN001", "SN002"])
    intensity = source.labels.intensity.copy()
    intensity[source.identities == 1, 0] = 2
    source.labels = Labels.from_intensity(source.labels.aus, intensity)
    chosen = neutral_frames(source, each=1, licence="DISFA", credit="them")
    report = build_bank(chosen, tmp_path, made_up_head(), finder=lambda: lambda picture: sitting(1, "x").landmarks())
    assert report.made == ["disfa-SN001"]
    assert "all coded AUs at 0" in report.rejected["disfa-SN002"][0]


def test_nobody_neutral_is_said(tmp_path: Path) -> None:
    source = Recorded(["SN001"], ["SN001"])
    source.labels = Labels.from_intensity((12,), [[2], [3], [1]])
    with pytest.raises(ConfigurationError, match="no frame"):
        neutral_frames(source, licence="x", credit="y")


# --- photographs and landmarks in files ---


def save_landmarks(path: Path, points: np.ndarray) -> None:
    import scipy.io

    if path.suffix == ".npy":
        np.save(path, points)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {"pts": points, "name": "x"})
    elif path.suffix == ".json":
        path.write_text(json.dumps({"landmarks": points.tolist()}))
    elif path.suffix == ".pts":
        rows = "\n".join(f"{x + 1:.6f} {y + 1:.6f}" for x, y in points)
        path.write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    else:
        path.write_text("x, y\n" + "\n".join(f"{x:.6f}, {y:.6f}" for x, y in points))


@pytest.mark.parametrize("ending", [".npy", ".txt", ".pts", ".mat", ".json"])
def test_landmark_files(tmp_path: Path, ending: str) -> None:
    points = np.random.default_rng(0).uniform(0, 200, (68, 2))
    path = tmp_path / f"ann{ending}"
    save_landmarks(path, points)
    assert find_file(tmp_path / "ann.jpg") == path
    assert np.allclose(read_landmarks(path).points, points + 0.5, atol=1e-3)
    save_landmarks(path, points[:66])
    with pytest.raises(AusynthError, match="68 points"):
        read_landmarks(path)
    path.write_bytes(b"\x00\x01nonsense")
    with pytest.raises(AusynthError, match=path.name):
        read_landmarks(path)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Three photographs with landmark files and a list."""
    folder = tmp_path / "photos"
    (folder / "set").mkdir(parents=True)
    rows = [("set/a.png", "ann", "bank", 1), ("set/b.png", "ben", "bank", 2), ("set/c.png", "cleo", "test", 3)]
    with (folder / "people.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "identity", "role", "age", "licence"])
        for name, who, role, seed in rows:
            picture, marks, _ = photograph(made_up_head(), someone(seed), camera(256), light_93=LIGHT)
            cv2.imwrite(str(folder / name), picture[..., ::-1])
            np.save((folder / name).with_suffix(".npy"), marks - 0.5)
            writer.writerow([name, who, role, 20 + seed, "CC0" if who != "ben" else ""])
    return folder


def test_photographs_of_a_list(photo_folder: Path) -> None:
    listed = {"people": photo_folder / "people.csv", "licence": "CC BY", "source": "us"}
    found = find_photographs(photo_folder, where={"role": "bank"}, landmark_files=True, **listed)
    assert [(each.person.name, each.person.licence, each.person.attributes["age"]) for each in found] == [
        ("ann", "CC0", "21"),
        ("ben", "CC BY", "22"),
    ]
    assert found[0].load().shape == (256, 256, 3)
    assert found[0].landmarks is not None
    assert found[0].landmarks().points.shape == (68, 2)
    everyone = find_photographs(photo_folder, licence="CC0", source="us")
    assert [each.person.name for each in everyone] == ["set-a", "set-b", "set-c"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"licence": "CC0"}, "no source"),
        ({"source": "us"}, "no licence"),
        ({"licence": "CC0", "source": "us", "where": {"role": "bank"}}, "--where together with --people"),
        ({"licence": "CC0", "source": "us", "people": "none.csv"}, "cannot read"),
        ({"licence": "CC0", "source": "us", "people": "people.csv", "where": {"colour": "x"}}, "colour"),
        ({"licence": "CC0", "source": "us", "people": "people.csv", "where": {"role": "x"}}, "no photographs"),
    ],
)
def test_lists_that_cannot_be_right(photo_folder: Path, options: dict[str, object], reason: str) -> None:
    if "people" in options:
        options = {**options, "people": photo_folder / str(options["people"])}
    with pytest.raises(ConfigurationError, match=reason):
        find_photographs(photo_folder, **options)  # type: ignore[arg-type]


def test_a_listed_file_that_is_gone(photo_folder: Path) -> None:
    (photo_folder / "set" / "a.png").unlink()
    with pytest.raises(FrameError, match=r"a\.png"):
        find_photographs(photo_folder, people=photo_folder / "people.csv", licence="CC0", source="us")
    (photo_folder / "set" / "b.npy").unlink()
    with pytest.raises(FrameError, match="no landmark file"):
        find_photographs(photo_folder, licence="CC0", source="us", landmark_files=True)


# --- the commands ---


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUSYNTH_ASSETS", str(tmp_path / "assets"))
    assets.put_asset(assets.ICT_FACEKIT, ict_pack.pack_kit(made_up_kit()))


@pytest.mark.usefixtures("imported")
def test_build_goes_on_where_it_was(photo_folder: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    command = ["faces", "build", str(photo_folder), "--out", str(bank), "--people", str(photo_folder / "people.csv")]
    command += ["--where", "role=bank", "--licence", "CC BY", "--source", "us", "--landmarks", "files"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, said(result)
    assert "2 people. 2 added, 0 left out" in said(result)
    assert FaceBank(bank).subjects == ("photograph:ann", "photograph:ben")
    assert "2 were there already" in said(runner.invoke(app, command))


def test_inspect_draws_everyone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUSYNTH_ASSETS", str(tmp_path / "assets"))
    assets.put_asset(assets.ICT_FACEKIT, portrait_fakes.head_data())
    bank, sheet = portrait_fakes.fake_bank(tmp_path / "bank", 3), tmp_path / "sheet.png"
    command = ["faces", "inspect", str(bank.folder), "--out", str(sheet), "--size", "96"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, said(result)
    assert all(credit in said(result) for credit in bank.credits())
    picture = cv2.imread(str(sheet))
    assert picture.shape == (3 * 96, 8 * 96, 3)
    cells = picture.reshape(3, 96, 8, 96, 3).swapaxes(1, 2).astype(float)
    assert cells.std((2, 3)).min() > 5  # none is empty
    # Each expression is another picture of the same person.
    moved = np.abs(cells[:, 5:] - cells[:, 4:5]).mean((2, 3, 4))
    assert (moved > 0.05).all()
    one = runner.invoke(app, [*command, "--only", bank.names[1]])
    assert one.exit_code == 0, said(one)
    assert np.array_equal(cv2.imread(str(sheet)), picture[96:192])
    some = runner.invoke(app, [*command, "--most", "2"])
    assert "2 of 3 people" in said(some)
    assert cv2.imread(str(sheet)).shape[0] == 2 * 96
    result = runner.invoke(app, [*command, "--only", "zoe"])
    assert result.exit_code == 2
    assert "nobody" in said(result)


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "neither PHOTOS nor --real"),
        (["{photos}", "--real", "disfa"], "both PHOTOS and --real"),
        (["{photos}", "--licence", "CC0"], "no source"),
        (["{photos}", "--hold-out", "P1"], "--hold-out without --real"),
        (["--real", "ck"], "disfa or bp4d"),
        (["--real", "disfa"], "without --hold-out"),
        (["{photos}", "--where", "role"], "COLUMN=VALUE"),
        (["{photos}/none", "--licence", "CC0", "--source", "us"], "no folder"),
    ],
)
def test_what_build_cannot_do(photo_folder: Path, tmp_path: Path, arguments: list[str], reason: str) -> None:
    words = [word.replace("{photos}", str(photo_folder)) for word in arguments]
    result = runner.invoke(app, ["faces", "build", *words, "--out", str(tmp_path / "bank")])
    assert result.exit_code == 2
    assert reason in said(result)
    assert not (tmp_path / "bank").exists()


def test_build_without_a_head_says_what_to_import(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUSYNTH_ASSETS", str(photo_folder / "none"))
    result = runner.invoke(app, ["faces", "build", str(photo_folder), "--out", str(photo_folder / "bank")])
    assert result.exit_code == 1
    assert "ausynth assets import ict-facekit PATH" in said(result)


@pytest.mark.usefixtures("imported")
def test_without_mediapipe_or_its_model_the_message_helps(photo_folder: Path, tmp_path: Path) -> None:
    command = ["faces", "build", str(photo_folder), "--licence", "CC0", "--source", "us"]
    result = runner.invoke(app, [*command, "--out", str(tmp_path / "bank")])
    assert result.exit_code == 1
    assert "ausynth assets import face-landmarker" in said(result)


# --- real photographs ---


def test_real_photographs_through_mediapipe(test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed")
    monkeypatch.setenv("AUSYNTH_ASSETS", str(tmp_path / "assets"))
    kit = ict_pack.read_kit(test_data / "ict_facekit.npz")
    assets.put_asset(assets.ICT_FACEKIT, ict_pack.pack_kit(kit))
    assets.put_asset(assets.LANDMARKER, assets.task_model(test_data / "face_landmarker.task"))
    with (test_data / "faces" / "faces.csv").open() as file:
        listed = [row for row in csv.DictReader(file) if row["role"] == "bank"]
    few = [row for row in listed if row["expression"] == "neutral"][:6]
    smile = next(row for row in listed if row["expression"] == "smiling" and float(row["AU25"] or 0) >= 3)
    with (tmp_path / "few.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, listed[0])
        writer.writeheader()
        writer.writerows([*few, {**smile, "identity": "smiling"}])
    command = ["faces", "build", str(test_data / "faces"), "--out", str(tmp_path / "bank")]
    command += ["--people", str(tmp_path / "few.csv"), "--licence", "CC BY 4.0", "--source", "London Set"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, said(result)
    assert "left out smiling: " in said(result)
    bank = FaceBank(tmp_path / "bank")
    assert len(bank) >= 5
    for face in bank:
        assert bank.quality(face.name)["error"] < 0.03
        middle = face.matte[96:160, 96:160]
        assert middle.mean() > 250
        assert face.matte[:6, :6].mean() < 40
    sizes = [path.stat().st_size for path in (tmp_path / "bank").glob("*.npz")]
    assert np.mean(sizes) < 70_000
    shutil.rmtree(tmp_path / "bank")
