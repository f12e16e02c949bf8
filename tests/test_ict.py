from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from heads import SHAPES, camera, made_up_head, made_up_kit

from ausynth import assets
from ausynth.errors import AusynthError, ConfigurationError
from ausynth.generators.portrait import ict, ict_pack
from ausynth.generators.portrait.head_model import HeadModel
from ausynth.generators.portrait.ict import LANDMARKS_68, load_ict, read_ict
from ausynth.generators.portrait.person import PersonShape, PhotoCamera, thin_plate
from ausynth.generators.rendered.head import load_head
from ausynth.generators.rendered.mesh import add_shapes


@pytest.fixture(scope="session")
def real_head(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ict.IctHead:
    """The real ICT-FaceKit head, from the outside data."""
    source = test_data / "ict_facekit.npz"
    if not source.is_file():
        pytest.skip("AUSYNTH_TEST_DATA has no ict_facekit.npz")
    path = tmp_path_factory.mktemp("ict") / "head.npz"
    path.write_bytes(ict_pack.pack_kit(ict_pack.read_kit(source)))
    return read_ict(path)


def check_head(head: ict.IctHead) -> None:
    """Whatever a user of the head relies on."""
    count = len(head.vertices)
    assert head.vertices.dtype == head.deltas.dtype == head.modes.dtype == head.uv.dtype == np.float32
    assert head.triangles.min() == 0
    assert head.triangles.max() == count - 1
    assert len(np.unique(head.triangles)) == count  # nothing is kept that no triangle uses
    assert set(np.unique(head.materials)) == set(range(len(ict.MATERIALS)))
    assert head.uv.min() >= 0
    assert head.uv.max() <= 1
    assert np.array_equal(head.mirror[head.mirror], np.arange(count))
    assert list(head.source_vertices[head.landmarks]) == list(LANDMARKS_68)
    assert head.modes.shape == (100, count, 3)
    assert head.starts[0] == 0
    assert head.starts[-1] == len(head.rows) == len(head.deltas)
    assert not head.vertices.flags.writeable
    for eye in range(2):
        ball = head.vertices[head.vertices_of(ict.EYES[eye])]
        away = np.linalg.norm(ball - head.eyes[eye, :3], axis=1)
        assert np.abs(away - head.eyes[eye, 3]).max() < 0.35  # the cornea stands out a little
        assert (ball[:, 2] > head.eyes[eye, 2] - 0.8).all()  # the back half is gone
    assert head.eyes[0, 0] > 0 > head.eyes[1, 0]  # the person's left is at positive x


def test_what_is_packed_is_what_can_be_seen() -> None:
    head = made_up_head()
    check_head(head)
    kit = made_up_kit()
    assert np.allclose(head.vertices, kit.vertices[head.source_vertices])
    hidden = np.unique(kit.faces[kit.face_materials == "M_IrisLeft"])
    assert not np.isin(hidden, head.source_vertices).any()
    assert not np.isin(range(13294, 14062), head.source_vertices).any()
    assert np.isin(range(11248, 11252), head.source_vertices[head.vertices_of("mouth")]).all()


def test_quads_are_split_and_keep_their_winding_and_texture() -> None:
    head, kit = made_up_head(), made_up_kit()
    teeth = head.triangles_of("teeth")
    assert len(teeth) == 2
    a, b, c = (head.vertices[head.triangles[teeth, i]] for i in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()
    places = kit.uv[kit.uv_faces[kit.face_materials == "M_Teeth"][0]] - [3, 0]
    assert np.allclose(np.unique(head.uv[teeth].reshape(-1, 2), axis=0), np.unique(places, axis=0), atol=1e-4)


def test_expressions_are_the_kits_to_half_precision() -> None:
    head, kit = made_up_head(), made_up_kit()
    assert tuple(head.shapes) == tuple(sorted(SHAPES))
    for name in SHAPES:
        moved = head.expressed(head.vertices, {name: 1.0}) - head.vertices
        assert np.abs(moved - kit.shapes[name][head.source_vertices]).max() < 1e-3
        compiled = head.vertices.copy()
        add_shapes(compiled, head.weights({name: 1.0}), head.starts, head.rows, head.deltas)
        assert np.allclose(compiled, head.vertices + moved, atol=1e-5)
    both = head.weights({"browDown*": 0.5})
    assert both[head.shapes["browDown_L"]] == both[head.shapes["browDown_R"]] == 0.5
    with pytest.raises(ConfigurationError, match="no shape 'browUp'"):
        head.weights({"browUp": 1})


def displaced(head: HeadModel, name: str, weight: float) -> np.ndarray:
    """A use of the protocol and of nothing else."""
    vertices = head.vertices.copy()
    add_shapes(vertices, head.weights({name: weight}), head.starts, head.rows, head.deltas)
    return np.abs(vertices - head.vertices).max(1)


@pytest.mark.parametrize("model", [load_head, made_up_head])
def test_both_heads_keep_the_protocol(model: Callable[[], HeadModel]) -> None:
    head = model()
    assert isinstance(head, HeadModel)
    moved = displaced(head, "jawOpen", 0.5)
    assert moved.max() > 0.2
    assert np.array_equal(displaced(head, "jawOpen", 0.0), np.zeros_like(moved))
    assert np.allclose(displaced(head, "jawOpen", 1.0), 2 * moved, atol=1e-4)
    for name in head.material_names:
        own = head.triangles[head.materials == head.material(name)]
        assert np.array_equal(head.vertices_of(name), np.unique(own))
    assert head.uv.shape == (*head.triangles.shape, 2)
    assert len(head.starts) == len(head.shapes) + 1


def test_mirror_finds_the_other_side() -> None:
    head = made_up_head()
    marks = head.landmarks
    assert head.mirror[marks[36]] == marks[45]
    assert head.mirror[marks[0]] == marks[16]
    left = head.vertices_of("eye_L")
    assert set(head.mirror[left]) == set(head.vertices_of("eye_R"))


def test_person_adds_modes() -> None:
    head = made_up_head()
    weights = np.array([1.0, -0.5], np.float32)
    expected = head.vertices + head.modes[0] - 0.5 * head.modes[1]
    assert np.allclose(head.person(weights), expected, atol=1e-5)
    rest = ~np.isin(np.arange(len(head.vertices)), head.vertices_of(*ict.EYES))
    assert np.array_equal(PersonShape.mean().vertices(head)[rest], head.vertices[rest])


def test_eyes_and_teeth_stay_rigid() -> None:
    head = made_up_head()
    knots = head.vertices[head.landmarks, :2]
    rng = np.random.default_rng(1)
    pull = np.concatenate([rng.normal(0, 0.004, (len(knots), 2)), np.zeros((3, 2))]).astype(np.float32)
    shape = PersonShape(rng.normal(0, 0.5, 30).astype(np.float32), knots, pull)
    moved = shape.vertices(head)
    for i, name in enumerate(ict.EYES):
        own = head.vertices_of(name)
        centre = moved[own].mean(0) - (head.vertices[own].mean(0) - head.eyes[i, :3])
        away = np.linalg.norm(moved[own] - centre, axis=1)
        assert np.ptp(away) < 0.12 * away.mean()
    for name in ("teeth", "gums"):
        own = head.vertices_of(name)
        pulled = moved[own, :2] - head.person(shape.weights)[own, :2]
        assert np.ptp(pulled, axis=0).max() < 1e-4


def lids_about(head: ict.IctHead, vertices: np.ndarray, eye: int) -> float:
    """How far the lids' edges lie from the eyeball's middle on average, in its radii."""
    own = head.vertices_of(ict.EYES[eye])
    middle = head.eyes[eye, :3] + (vertices[own] - head.vertices[own]).mean(0)
    radius = np.linalg.norm(vertices[own] - middle, axis=1).mean()
    edges = head.landmarks[[43, 44, 45, 46, 47] if eye == 0 else [36, 37, 38, 40, 41]]
    return float(np.linalg.norm(vertices[edges] - middle, axis=1).mean() / radius)


def test_eyeballs_stay_behind_the_lids(real_head: ict.IctHead) -> None:
    rng = np.random.default_rng(4)
    for strength in (0.0, 0.5, 0.9):
        plain = PersonShape.mean()
        shape = PersonShape(rng.normal(0, strength, 60).astype(np.float32), plain.knots, plain.pull)
        vertices = shape.vertices(real_head)
        assert min(lids_about(real_head, vertices, eye) for eye in range(2)) > 1.02
        # No further back than it has to be.
        assert max(lids_about(real_head, vertices, eye) for eye in range(2)) < 1.15


def test_thin_plate_goes_through_what_it_was_solved_for() -> None:
    from ausynth.generators.portrait.fit import _spline

    rng = np.random.default_rng(0)
    knots, moves = rng.uniform(-8, 8, (30, 2)), rng.normal(0, 0.3, (30, 2))
    pull = _spline(knots, moves, np.full(30, 1e-6))
    assert np.abs(thin_plate(knots.astype(np.float32), knots.astype(np.float32), pull) - moves).max() < 1e-2


def test_camera_projects_and_resizes() -> None:
    seen_by = camera(256)
    points = np.array([[0, 0, 0], [2, 3, 0], [2, 3, 10]], np.float32)
    seen = seen_by.project(points)
    scale = 256 / 24
    assert np.allclose(seen[0, :2], [128, 0.52 * 256], atol=1e-3)
    assert np.allclose(seen[1, :2], [128 + 2 * scale, 0.52 * 256 - 3 * scale], atol=1e-3)
    assert seen[2, 0] > seen[1, 0]  # nearer is larger
    assert np.allclose(1 / seen[:, 2], [110, 110, 100], atol=1e-3)
    half = seen_by.resized(0.5, (10, -4)).project(points)
    assert np.allclose(half[:, :2], seen[:, :2] * 0.5 + [10, -4], atol=1e-3)
    again = PhotoCamera.from_arrays(seen_by.arrays())
    assert np.allclose(again.project(points), seen, atol=1e-3)


def test_load_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUSYNTH_ASSETS", str(tmp_path / "none"))
    with pytest.raises(assets.MissingAssetError, match=r"ausynth assets import ict-facekit PATH"):
        load_ict()


def test_load_reads_the_asset_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUSYNTH_ASSETS", str(tmp_path))
    assets.put_asset(assets.ICT_FACEKIT, ict_pack.pack_kit(made_up_kit()))
    first = load_ict()
    assert load_ict() is first
    kit = made_up_kit()
    other = dataclasses.replace(kit, vertices=kit.vertices * np.float32(1.01))
    assets.put_asset(assets.ICT_FACEKIT, ict_pack.pack_kit(other))
    assert load_ict().fingerprint != first.fingerprint


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "version"])
def test_a_damaged_head_is_refused(tmp_path: Path, damage: str) -> None:
    data = ict_pack.pack_kit(made_up_kit())
    path = tmp_path / "head.npz"
    if damage == "version":
        with np.load(__import__("io").BytesIO(data)) as file:
            packed = dict(file)
        packed["metadata"] = np.array('{"format": "ausynth-ict 0"}')
        with path.open("wb") as out:
            np.savez(out, **packed)
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"v 1 2 3\n"}[damage])
    with pytest.raises(AusynthError, match="assets import ict-facekit"):
        read_ict(path)


def test_the_real_kit(real_head: ict.IctHead) -> None:
    head = real_head
    check_head(head)
    assert 20_000 < len(head.vertices) < 24_000
    assert len(head.shapes) == 57
    away = np.linalg.norm(head.vertices[head.mirror] * [-1, 1, 1] - head.vertices, axis=1)
    skin = head.vertices_of("face")
    assert away[skin].max() < 0.01
    marks = head.vertices[head.landmarks]
    assert np.abs(marks[[36, 39]] * [-1, 1, 1] - marks[[45, 42]]).max() < 0.01
    assert 8.5 < marks[45, 0] - marks[36, 0] < 9.5  # centimetres between the outer corners of the eyes
    opened = head.expressed(head.vertices, {"jawOpen": 1.0})
    assert opened[head.landmarks[66], 1] < head.vertices[head.landmarks[66], 1] - 1
    smiling = head.expressed(head.vertices, {"mouthSmile_L": 1.0}) - head.vertices
    corners = np.linalg.norm(smiling[head.landmarks[[54, 48]]], axis=1)
    assert corners[0] > 5 * corners[1]  # _L is the person's left, at positive x
