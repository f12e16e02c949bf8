"""The portrait look on ICT-FaceKit's head: lips, lids and labels, over many people and all action units."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import portrait_fakes as fakes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth.generators import Conditions
from ausynth.generators.portrait.bank import FaceBank
from ausynth.generators.portrait.eyes import LID_RADII
from ausynth.generators.portrait.generator import PortraitGenerator
from ausynth.generators.portrait.ict import IctHead, read_ict
from ausynth.generators.portrait.ict_pack import pack_kit, read_kit
from ausynth.generators.portrait.labels import intensity_of_drop
from ausynth.generators.portrait.shape import Eyes, Shaper
from ausynth.generators.portrait.table import AUS, load_table
from ausynth.generators.portrait.topology import Topology
from ausynth.generators.rendered.lips import intensity_of_gap

DATA = os.environ.get("AUSYNTH_TEST_DATA")
KIT = Path(DATA or "") / "ict_facekit.npz"
pytestmark = pytest.mark.skipif(not DATA or not KIT.exists(), reason="AUSYNTH_TEST_DATA has no ict_facekit.npz")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> IctHead:
    path = tmp_path_factory.mktemp("assets") / "ict-facekit.npz"
    path.write_bytes(pack_kit(read_kit(KIT)))
    return read_ict(path)


@pytest.fixture(scope="module")
def shaper(head: IctHead) -> Shaper:
    return Shaper(head)


@pytest.fixture(scope="module")
def people(head: IctHead, shaper: Shaper) -> list[np.ndarray]:
    """Neutral vertices of people as different as the model's first modes make them."""
    draw = np.random.default_rng(3)
    weights = [np.zeros(1), *(np.clip(draw.standard_normal(25), -1.5, 1.5) * 0.8 for _ in range(11))]
    return [head.person(w.astype(np.float32))[shaper.topology.source] for w in weights]


@pytest.fixture(scope="module")
def generator(head: IctHead, tmp_path_factory: pytest.TempPathFactory) -> PortraitGenerator:
    folder = tmp_path_factory.mktemp("people")
    FaceBank.write(folder, [fakes.fake_face(number) for number in range(2)])
    return PortraitGenerator(FaceBank(folder, head), 128, head=head)


def asked(wanted: dict[int, float]) -> np.ndarray:
    return np.array([wanted.get(au, 0) for au in AUS], np.float32)


NOBODY = np.zeros(len(AUS), np.float32)


@pytest.mark.parametrize("au", [9, 10, 17, 24, 12, 14, 15, 20, 23])
def test_lips_stay_within_a_millimetre(shaper: Shaper, people: list[np.ndarray], au: int) -> None:
    for neutral in people:
        build = shaper.build(neutral, NOBODY)
        assert build.gap_cm < 0.1
        assert shaper.face(build, asked({au: 5})).gap_cm < 0.1


def test_lips_part_as_far_as_asked_whatever_else_moves(shaper: Shaper, people: list[np.ndarray]) -> None:
    for neutral in people:
        build = shaper.build(neutral, NOBODY)
        for others in ({}, {10: 5}, {12: 5, 6: 4}, {9: 3, 17: 4}, {20: 5}):
            for intensity in (1, 3, 5):
                gap = shaper.face(build, asked(others | {25: intensity})).gap_cm
                assert intensity_of_gap(gap) == pytest.approx(intensity, abs=0.11)


def test_labels_follow_the_mesh_in_a_thousand_faces(generator: PortraitGenerator) -> None:
    draw = np.random.default_rng(0)
    intensity = (draw.integers(0, 6, (1000, 17)) * (draw.random((1000, 17)) < 0.25)).astype(np.float32)
    numbers = np.arange(1000)
    labels = generator.label(Conditions(intensity, numbers % 30, numbers)).intensity
    full, a25, a26, a24 = generator._shaper.full_drop_cm, AUS.index(25), AUS.index(26), AUS.index(24)
    for b in range(1000):
        _, face, _ = generator._face(intensity[b], b % 30, b)
        for column, value in ((a25, intensity_of_gap(face.gap_cm)), (a26, intensity_of_drop(face.drop_cm, full))):
            assert np.isnan(labels[b, column]) or labels[b, column] == np.float32(value)
    known = ~np.isnan(labels[:, a26])
    assert np.abs(labels[known, a26] - intensity[known, a26]).max() < 0.11
    shut = ~np.isnan(labels[:, a25]) & (intensity[:, a25] == 0) & (intensity[:, a26] == 0)
    assert (labels[shut, a25] == 0).all()
    assert np.isnan(labels).mean() < 0.01
    given_up = (intensity[:, a25] > 0) & ~np.isnan(labels[:, a24])
    assert (labels[given_up, a24] == 0).all()


def test_lids_stay_outside_the_eyeballs(shaper: Shaper, people: list[np.ndarray]) -> None:
    topology = shaper.topology
    for neutral in people[:6]:
        build = shaper.build(neutral, NOBODY)
        for wanted in ({}, {5: 5}, {6: 5}, {7: 5}, {6: 5, 7: 5, 9: 5}, {4: 5}):
            for eyes in (Eyes(), Eyes((12, 8)), Eyes(blink=1.0)):
                vertices = shaper.face(build, asked(wanted), eyes).vertices
                for own, ball in zip(topology.lids, build.balls):
                    offset = vertices[own] - ball[:3]
                    front = offset[:, 2] > 1e-3
                    assert np.linalg.norm(offset[front], axis=1).min() > (LID_RADII - 1e-3) * ball[3]


def test_a_blink_shuts_the_eyes(shaper: Shaper, people: list[np.ndarray]) -> None:
    topology = shaper.topology
    for neutral in people[:4]:
        build = shaper.build(neutral, NOBODY)
        opened, shut = (shaper.face(build, asked({}), Eyes(blink=b)).vertices for b in (0.0, 1.0))
        for upper, lower in (((37, 38), (41, 40)), ((43, 44), (47, 46))):
            up, down = topology.landmarks[list(upper)], topology.landmarks[list(lower)]
            aperture = [float((v[up, 1] - v[down, 1]).mean()) for v in (opened, shut)]
            assert aperture[1] < 0.25 * aperture[0]


MOVES = {  # landmarks whose height (+: higher) or distance from the middle (x) an action unit changes
    1: ("y", (21, 22), 1), 2: ("y", (17, 18, 25, 26), 1), 4: ("y", (20, 21, 22, 23), -1), 5: ("y", (37, 38, 43, 44), 1),
    7: ("y", (40, 41, 46, 47), 1), 9: ("y", (31, 35), 1), 10: ("y", (50, 52), 1), 12: ("y", (48, 54), 1),
    15: ("y", (48, 54), -1), 17: ("y", (57,), 1), 20: ("x", (48, 54), 1), 26: ("y", (8,), -1),
}  # fmt: skip


@pytest.mark.parametrize("au", sorted(MOVES))
def test_action_units_move_what_facs_says_and_further_with_intensity(
    shaper: Shaper, people: list[np.ndarray], au: int
) -> None:
    axis, which, sign = MOVES[au]
    points = shaper.topology.landmarks[list(which)]
    for neutral in people[:3]:
        build = shaper.build(neutral, NOBODY)
        heights = []
        for intensity in range(6):
            at = shaper.face(build, asked({au: intensity})).vertices[points]
            heights.append(float(np.abs(at[:, 0]).mean() if axis == "x" else at[:, 1].mean()) * sign)
        assert (np.diff(heights) > 0.005).all(), heights


def test_the_left_is_the_persons_left(shaper: Shaper, people: list[np.ndarray]) -> None:
    """Landmark 54 is the corner on the right of the picture: the person's left, x above 0."""
    weaker_right = np.full(len(AUS), 0.5, np.float32)
    build = shaper.build(people[0], weaker_right)
    face = shaper.face(build, asked({12: 5}))
    left, right = shaper.topology.landmarks[[54, 48]]
    moved = np.linalg.norm(face.vertices - build.vertices, axis=1)
    assert build.vertices[left, 0] > 0
    assert moved[left] > 1.5 * moved[right]


def test_the_topology_is_whole(head: IctHead) -> None:
    topology = Topology.of(head)
    assert topology.triangles.min() >= 0
    assert topology.triangles.max() < len(topology.source)
    assert topology.lips_upper.shape[1] == topology.lips_lower.shape[1] == 12
    for columns in (topology.lips_upper, topology.lips_lower):
        assert (np.diff(topology.rest[columns[:, 0], 0]) > -0.2).all()  # from the right corner to the left
    assert topology.rest[topology.lips_upper[:, :4], 1].mean() > topology.rest[topology.lips_lower[:, :4], 1].mean()
    assert min(len(jaw) for jaw in topology.jaws) > 1000
    assert all(len(loop) == 42 for loop in topology.lid_loops)


def test_every_name_in_the_table_is_a_shape_of_the_head(head: IctHead) -> None:
    for weights in load_table().shapes.values():
        head.weights(weights)


def test_what_labels_call_seen_is_seen_in_the_picture(generator: PortraitGenerator) -> None:
    """At the limits of the pose: the z-buffer of the drawn picture against the labels, which need no picture."""
    turned = PortraitGenerator(generator.bank, 192, yaw=20, pitch=10, roll=10, blink=0, head=generator._shaper.head)
    labeller, draw, differ = turned._labeller, np.random.default_rng(1), 0
    for noise in range(40):
        intensity = ((draw.random(17) < 0.25) * draw.integers(1, 6, 17)).astype(np.float32)
        sitter, face, view = turned._face(intensity, noise % 3, noise)
        drawing = turned._artist.draw(sitter, face, view, noise, np.empty((192, 192, 3), np.float32))
        column, row = (drawing.seen[:, i].astype(int).clip(0, 191) for i in (0, 1))
        behind_cm = 1 / drawing.seen[:, 2] - 1 / np.maximum(drawing.nearest[row, column], 1e-6)
        seen = ((drawing.seen[:, :2] >= 0) & (drawing.seen[:, :2] < 192)).all(1) & (behind_cm < 0.35)
        best = np.zeros(17)
        for disc, a in enumerate(labeller.owners):
            members = labeller.members[labeller.starts[disc] : labeller.starts[disc + 1]]
            best[a] = max(best[a], seen[members].mean())
        differ += int((np.isnan(labeller.row(sitter, face, view)) != (best < 0.4)).sum())
    assert differ <= 0.005 * 40 * 17


@settings(max_examples=12, deadline=None)
@given(
    intensity=st.lists(st.sampled_from((0, 0, 0, 1, 2.5, 5)), min_size=17, max_size=17),
    noise=st.integers(0, 2**40),
)
def test_any_face_is_inside_the_picture_and_the_same_again(
    generator: PortraitGenerator, intensity: list[float], noise: int
) -> None:
    conditions = Conditions(np.array([intensity], np.float32), np.array([noise]), np.array([noise]))
    made = generator.render(conditions)
    inner = made.landmarks[0, 17:]
    assert (inner > -0.5).all() and (inner < 127.5).all()  # noqa: PT018
    assert made.mask.mean() > 0.15
    assert np.array_equal(made.images, generator.generate(conditions).images)
