"""The portrait look: the same conditions are the same bits, labels say what the mesh shows, options do their part."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import portrait_fakes as fakes
import pytest
from fakes import FakeSource
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth import MixedStream, facs
from ausynth.errors import AusynthError, ConfigurationError
from ausynth.generators import Conditions, Generated, load_generator
from ausynth.generators.portrait import kernels, raster, shade
from ausynth.generators.portrait.backdrop import draw_backdrop
from ausynth.generators.portrait.bank import BankError, FaceBank
from ausynth.generators.portrait.generator import PortraitGenerator
from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.labels import intensity_of_drop
from ausynth.generators.portrait.light import draw_light, lamp, shade_of
from ausynth.generators.portrait.table import AUS, Actions, load_table
from ausynth.generators.portrait.wrinkles import channels, depths
from ausynth.generators.rendered import kernels as rendered_kernels
from ausynth.generators.rendered.lips import intensity_of_gap
from ausynth.testing import check_generator

STILL = {
    "yaw": 0, "pitch": 0, "roll": 0, "jitter": 0, "gaze": 0, "blink": 0, "light": 0, "background": 0, "asymmetry": 0,
    "blur": 0, "grain": 0, "jpeg": None, "distance": (65, 65),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("portrait")
    fakes.fake_bank(place)
    return place


@pytest.fixture(scope="module")
def head(folder: Path) -> IctHead:
    return fakes.fake_head(folder)


@pytest.fixture(scope="module")
def bank(folder: Path, head: IctHead) -> FaceBank:
    return FaceBank(folder / "bank", head)


@pytest.fixture(scope="module")
def small(bank: FaceBank, head: IctHead) -> PortraitGenerator:
    return PortraitGenerator(bank, 48, head=head)


@pytest.fixture
def asset_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUSYNTH_ASSETS", str(folder))
    return folder


def still(bank: FaceBank, head: IctHead, size: int = 64, **options: object) -> PortraitGenerator:
    return PortraitGenerator(bank, size, head=head, **(STILL | options))


def some_conditions(count: int, seed: int = 0) -> Conditions:
    draw = np.random.default_rng(seed)
    intensity = draw.integers(0, 6, (count, len(AUS))) * (draw.random((count, len(AUS))) < 0.2)
    return Conditions(intensity.astype(np.float32), draw.integers(0, 50, count), draw.integers(0, 10**9, count))


def asking(asked: dict[int, float], identity: int = 3, noise: int = 0) -> Conditions:
    intensity = np.array([[asked.get(au, 0) for au in AUS]], np.float32)
    return Conditions(intensity, np.array([identity]), np.array([noise]))


def label(generator: PortraitGenerator, asked: dict[int, float], au: int) -> float:
    return float(generator.label(asking(asked)).intensity[0, AUS.index(au)])


def test_it_keeps_the_generators_contract(small: PortraitGenerator) -> None:
    check_generator(small, samples=4)


@pytest.mark.parametrize(("size", "supersample"), [(32, 1), (57, 2)])
def test_any_size_keeps_the_contract(bank: FaceBank, head: IctHead, size: int, supersample: int) -> None:
    check_generator(PortraitGenerator(bank, size, supersample=supersample, head=head), samples=2)


def test_threads_of_a_fresh_generator_give_the_same_bits(
    bank: FaceBank, head: IctHead, small: PortraitGenerator
) -> None:
    conditions, fresh = some_conditions(8), PortraitGenerator(bank, 48, head=head)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: fresh.generate(conditions).images, range(3)))
    wanted = small.generate(conditions).images
    assert all(np.array_equal(images, wanted) for images in results)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(6)), cut=st.integers(1, 5))
def test_companions_do_not_matter(small: PortraitGenerator, order: list[int], cut: int) -> None:
    conditions = some_conditions(6)
    whole = small.generate(conditions)
    for part in (order[:cut], order[cut:]):
        some = small.generate(conditions.rows(np.array(part)))
        assert np.array_equal(some.images, whole.images[part])
        assert np.array_equal(some.labels.intensity, whole.labels.intensity[part], equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(
    intensity=st.lists(st.integers(0, 50).map(lambda tenths: tenths / 10), min_size=17, max_size=17),
    identity=st.integers(0, 2**62),
    noise=st.integers(0, 2**62),
    size=st.sampled_from((32, 61, 128, 512)),
)
def test_any_face_is_finite_inside_the_picture_and_the_same_again(  # noqa: PLR0917
    bank: FaceBank, head: IctHead, intensity: list[float], identity: int, noise: int, size: int
) -> None:
    generator = made_at(bank, head, size)
    conditions = Conditions(np.array([intensity], np.float32), np.array([identity]), np.array([noise]))
    one = generator.render(conditions)
    assert np.isfinite(one.landmarks).all()
    inner = one.landmarks[0, 17:]
    assert (inner > -0.5).all() and (inner < size - 0.5).all()  # noqa: PT018
    again: Generated = generator.generate(conditions)
    assert np.array_equal(one.images, again.images)
    assert np.array_equal(one.labels.intensity, again.labels.intensity, equal_nan=True)


GENERATORS: dict[int, PortraitGenerator] = {}


def made_at(bank: FaceBank, head: IctHead, size: int) -> PortraitGenerator:
    if size not in GENERATORS:
        GENERATORS[size] = PortraitGenerator(bank, size, head=head)
    return GENERATORS[size]


def test_no_action_unit_is_the_neutral_face(bank: FaceBank, head: IctHead) -> None:
    generator = still(bank, head)
    sitter, face, _ = generator._face(np.zeros(len(AUS), np.float32), 5, 1)
    assert np.array_equal(face.vertices, sitter.build.vertices)
    assert np.array_equal(generator.label(asking({})).intensity, np.zeros((1, len(AUS)), np.float32))


@pytest.mark.parametrize("au", [1, 2, 4, 6, 9, 10, 12, 14, 15, 17, 20, 25, 26])
def test_every_action_unit_changes_the_picture(bank: FaceBank, head: IctHead, au: int) -> None:
    generator = still(bank, head)
    neutral = generator.generate(asking({})).images[0].astype(int)
    weak = generator.generate(asking({au: 2})).images[0].astype(int)
    strong = generator.generate(asking({au: 5})).images[0].astype(int)
    assert 0 < np.abs(weak - neutral).sum() < np.abs(strong - neutral).sum()


@pytest.mark.parametrize("au", [9, 10, 12, 14, 15, 17, 20, 23, 24])
def test_lips_stay_closed_where_nothing_parts_them(bank: FaceBank, head: IctHead, au: int) -> None:
    generator = still(bank, head)
    for identity in range(5):
        _, face, _ = generator._face(asking({au: 5}).intensity[0], identity, 0)
        assert face.gap_cm < 0.1
    assert label(generator, {au: 5}, 25) == 0


@pytest.mark.parametrize("intensity", [1, 2, 3.5, 5])
def test_parted_lips_are_as_far_apart_as_their_label_says(bank: FaceBank, head: IctHead, intensity: float) -> None:
    generator = still(bank, head)
    assert label(generator, {25: intensity}, 25) == pytest.approx(intensity, abs=0.051)
    assert label(generator, {25: intensity}, 26) == 0
    assert label(generator, {25: intensity, 10: 5, 17: 3}, 25) == pytest.approx(intensity, abs=0.051)


def test_labels_of_lips_and_jaw_are_measured(bank: FaceBank, head: IctHead) -> None:
    generator = still(bank, head)
    conditions = some_conditions(200, seed=4)
    labels = generator.label(conditions).intensity
    for b in range(200):
        _, face, _ = generator._face(conditions.intensity[b], int(conditions.identity[b]), int(conditions.noise[b]))
        assert labels[b, AUS.index(25)] == np.float32(intensity_of_gap(face.gap_cm))
        full = generator._shaper.full_drop_cm
        assert labels[b, AUS.index(26)] == np.float32(intensity_of_drop(face.drop_cm, full))


@pytest.mark.parametrize("intensity", [1, 3, 5])
def test_a_dropped_jaw_parts_the_lips_and_says_so(bank: FaceBank, head: IctHead, intensity: float) -> None:
    generator = still(bank, head)
    assert label(generator, {26: intensity}, 26) == pytest.approx(intensity, abs=0.051)
    assert label(generator, {26: intensity}, 25) > 0
    assert label(generator, {26: intensity, 24: 3}, 25) == 0  # it may drop behind pressed lips


def test_pressed_and_parted_lips_exclude_one_another(bank: FaceBank, head: IctHead) -> None:
    assert label(still(bank, head), {24: 4, 25: 3}, 24) == 0


def test_shut_eyes_hide_the_lid_tightener_and_nothing_else(bank: FaceBank, head: IctHead) -> None:
    blinking = still(bank, head, blink=1)
    masked = np.isnan(blinking.label(asking({12: 3})).intensity[0])
    assert masked.tolist() == [au == 7 for au in AUS]
    assert label(blinking, {5: 4}, 5) == 4  # eyes held wide open do not blink
    assert not np.isnan(label(blinking, {5: 4}, 7))


def test_what_lies_outside_the_picture_is_not_claimed(bank: FaceBank, head: IctHead) -> None:
    far_up = still(bank, head, jitter=0.2)
    hidden = 0
    for noise in range(60):
        conditions = asking({1: 3, 12: 3}, noise=noise)
        labels = far_up.label(conditions).intensity[0]
        landmarks = far_up.render(conditions).landmarks[0]
        if np.isnan(labels[AUS.index(1)]):
            hidden += 1
            assert not _inside(landmarks[17:27], 64).all()
        if np.isnan(labels[AUS.index(12)]):
            hidden += 1
            assert not _inside(landmarks[48:68], 64).all()
    assert hidden > 0


def _inside(points: np.ndarray, size: int) -> np.ndarray:
    return ((points > -0.5) & (points < size - 0.5)).all(-1)


def test_asymmetry_weakens_one_side(head: IctHead) -> None:
    actions = Actions(head)
    asked = asking({12: 5, 26: 5}).intensity[0]
    weaker_right = np.where(np.array(AUS) == 12, 0.4, 0.4).astype(np.float32)
    weights = actions.weights(asked, weaker_right)
    assert weights[head.shapes["mouthSmile_L"]] == 1
    assert weights[head.shapes["mouthSmile_R"]] == pytest.approx(0.6)
    assert weights[head.shapes["jawOpen"]] == pytest.approx(0.5)  # a jaw has no sides


def test_sides_say_how_uneven_people_are(bank: FaceBank, head: IctHead) -> None:
    even, uneven = still(bank, head), still(bank, head, asymmetry=0.3)
    who = np.arange(40)
    assert (even.sides(who) == 1).all()
    sides = uneven.sides(who)
    assert sides.shape == (40, 2, len(AUS))
    assert (sides.max(1) == 1).all()
    assert 0.1 < (1 - sides.min(1)).mean() < 0.4
    _, face, _ = uneven._face(asking({12: 5}).intensity[0], 7, 0)
    sitter = uneven._studio.sitter(7)
    left, right = uneven._shaper.topology.landmarks[[54, 48]]
    moved = np.linalg.norm(face.vertices - sitter.build.vertices, axis=1)
    a12 = AUS.index(12)
    assert (moved[left] > moved[right]) == (sides[7, 0, a12] > sides[7, 1, a12])


def test_gains_are_those_of_the_letters() -> None:
    table = load_table()
    assert table.moved(np.array([0, 1, 2, 3, 4, 5], np.float32)).tolist() == pytest.approx([0, 0.12, 0.3, 0.55, 0.8, 1])
    assert table.moved(np.array([2.5], np.float32))[0] == pytest.approx(0.425)


def test_lines_deepen_with_their_action_unit_alone() -> None:
    zero = depths(np.zeros(len(AUS), np.float32), 1.0)
    assert not zero.any()
    glabella = channels().index("glabella")
    grown = [depths(asking({4: level}).intensity[0], 1.0) for level in range(1, 6)]
    assert all(a[glabella] < b[glabella] for a, b in itertools.pairwise(grown))
    assert np.flatnonzero(grown[-1]).tolist() == [glabella]


OPTIONS = [
    ("yaw", 10), ("pitch", 6), ("roll", 5), ("jitter", 0.05), ("gaze", 10), ("blink", 1), ("light", 1),
    ("background", 1), ("asymmetry", 0.3), ("blur", 1), ("grain", 1), ("jpeg", (30, 60)), ("distance", (40, 45)),
    ("wrinkles", 0),
    ("blend", False), ("supersample", 2),
]  # fmt: skip


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_every_option_changes_the_picture_and_the_fingerprint(
    bank: FaceBank, head: IctHead, option: str, value: object
) -> None:
    plain, other = still(bank, head), still(bank, head, **{option: value})
    conditions = asking({4: 5, 12: 3}, identity=11, noise=8)
    assert not np.array_equal(plain.generate(conditions).images, other.generate(conditions).images)
    assert plain.fingerprint != other.fingerprint


def test_with_every_option_off_noise_changes_nothing(bank: FaceBank, head: IctHead) -> None:
    generator = still(bank, head)
    one, two = (generator.generate(asking({12: 3}, noise=noise)).images for noise in (1, 2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("image_size", 31), ("image_size", 64.5), ("yaw", 21), ("yaw", -1), ("distance", (90, 40)), ("distance", 60),
        ("jpeg", (0, 90)), ("jpeg", 90), ("blend", 1), ("blink", 1.5), ("asymmetry", 0.5), ("supersample", 5),
        ("wrinkles", -1), ("grain", float("nan")), ("blur", "much"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(bank: FaceBank, head: IctHead, option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=option):
        PortraitGenerator(bank, **({"image_size": 64, "head": head} | {option: value}))


def test_bank_and_head_are_part_of_the_fingerprint(tmp_path: Path, bank: FaceBank, head: IctHead) -> None:
    fewer = fakes.fake_bank(tmp_path, people=3)
    assert PortraitGenerator(bank, 64, head=head).fingerprint == PortraitGenerator(bank, 64, head=head).fingerprint
    assert PortraitGenerator(fewer, 64, head=head).fingerprint != PortraitGenerator(bank, 64, head=head).fingerprint


def test_the_licence_names_the_photographs_terms(small: PortraitGenerator) -> None:
    assert "4 people" in small.licence
    assert "painted by a test, 2 (CC0)" in small.licence


def test_mixtures_follow_from_the_number_alone(bank: FaceBank, head: IctHead, small: PortraitGenerator) -> None:
    again = PortraitGenerator(bank, 64, head=head)
    bases = set()
    for identity in range(80):
        mixture = small.mixture(identity)
        assert mixture == again.mixture(identity)
        assert mixture.base not in mixture.others
        assert 1 <= len(mixture.others) <= 2
        assert 0.35 <= sum(mixture.shares) <= 0.6
        bases.add(mixture.base)
    assert bases == {0, 1, 2, 3}


def test_of_how_many_people_a_face_is_mixed_can_be_said(bank: FaceBank, head: IctHead) -> None:
    generator = PortraitGenerator(bank, 64, head=head, mixed=(3, 4))
    counts = {1 + len(generator.mixture(identity).others) for identity in range(40)}
    assert counts == {3, min(4, len(bank))}
    with pytest.raises(ConfigurationError, match="mixed"):
        PortraitGenerator(bank, 64, head=head, mixed=(1, 2))


def test_people_of_the_bank_as_they_are(bank: FaceBank, head: IctHead) -> None:
    generator = still(bank, head, blend=False)
    pictures: dict[int, np.ndarray] = {}
    for identity in range(20):
        mixture = generator.mixture(identity)
        assert mixture.others == ()
        image = generator.generate(asking({12: 2}, identity=identity)).images[0]
        assert np.array_equal(pictures.setdefault(mixture.base, image), image)
    assert len(pictures) == 4


def test_a_stream_deals_the_people_of_the_bank_and_refuses_those_it_holds_out(bank: FaceBank, head: IctHead) -> None:
    generator = still(bank, head, blend=False, size=32)
    assert [person.name for person in generator.people] == list(bank.names)
    assert generator.people[1].age == 27
    assert generator.people[1].gender == "male"
    assert still(bank, head).people == ()
    options = {"image_size": 32, "batch_size": 8, "balance": None, "threads": 0}
    stream = MixedStream(None, 1, generator=generator, **options)
    shown = [stream.batch(k)["identity"] for k in range(2)]
    assert np.unique(np.concatenate(shown) - np.concatenate(shown).min(), return_counts=True)[1].tolist() == [4] * 4
    source = FakeSource(9, name="photograph")
    source.subjects = (*source.subjects[:-1], bank.subjects[2].partition(":")[2])
    source.identities = np.zeros(9, np.int64)  # the last one is held out
    with pytest.raises(ConfigurationError, match="whom this stream holds out"):
        MixedStream(source, 0.5, generator=generator, **options)


def test_maps_say_where_the_face_is(bank: FaceBank, head: IctHead) -> None:
    generator = still(bank, head, size=96)
    conditions = asking({12: 3})
    made = generator.render(conditions)
    assert np.array_equal(made.images, generator.generate(conditions).images)
    assert made.landmarks.shape == (1, 68, 2)
    assert made.mask.shape == made.depth.shape == (1, 96, 96)
    nose = np.rint(made.landmarks[0, 30]).astype(int)
    assert made.mask[0, nose[1], nose[0]]
    assert np.array_equal(np.isinf(made.depth), ~made.mask)
    near, far = made.depth.min(), made.depth[made.mask].max()
    assert 50 < near < far < 80  # the face's middle is 65 cm away
    assert made.landmarks[0, 36:42, 0].mean() < made.landmarks[0, 42:48, 0].mean()  # the person's right eye is left


def test_backdrops_are_no_confetti() -> None:
    saturation = []
    for noise in range(60):
        scene = draw_backdrop(noise, 1.0, 32)
        assert np.isfinite(scene).all() and scene.min() > 0  # noqa: PT018
        saturation.append(float(np.mean(1 - scene.min(-1) / scene.max(-1))))
    assert np.mean(saturation) < 0.3
    assert np.unique(np.round(saturation, 4)).size > 50
    assert np.ptp(draw_backdrop(3, 0.0, 32)) == 0


def test_a_lamp_lights_what_faces_it() -> None:
    towards = np.array([0.6, 0.0, 0.8], np.float32)
    normals = np.stack([towards, [0, 0, 1], -towards]).astype(np.float32)
    shade = np.empty((3, 3), np.float32)
    shade_of(normals, np.repeat(lamp(towards)[:, None], 3, axis=1), shade)
    assert shade[0, 0] == pytest.approx(1, abs=1e-4)
    assert shade[0, 0] > shade[1, 0] > shade[2, 0] == 0.25  # the darkest there is


def test_light_keeps_the_photographs_own_where_it_is_off() -> None:
    photo = np.zeros((9, 3), np.float32)
    photo[0], photo[2] = 0.7, 0.4
    assert np.array_equal(draw_light(5, 0.0, photo).weights, photo)
    assert not np.array_equal(draw_light(5, 1.0, photo).weights, draw_light(6, 1.0, photo).weights)


def test_load_generator_finds_the_look(asset_folder: Path) -> None:
    generator = load_generator("rendered", look="portrait", bank=asset_folder / "bank", image_size=40)
    assert isinstance(generator, PortraitGenerator)
    assert generator.image_size == 40
    assert load_generator("rendered", look="procedural", image_size=64).image_size == 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"look": "cartoon"}, "cartoon"),
        ({"look": "portrait"}, "ausynth faces build"),
        ({"look": "portrait", "bank": "x", "skin": 1}, "no option skin"),
        ({"bank": "x"}, "look='portrait'"),
    ],
)
def test_load_generator_says_what_is_wrong(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_generator("rendered", **options)


def test_a_missing_bank_and_a_missing_head_say_what_to_do(
    asset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BankError, match="ausynth faces build"):
        load_generator("rendered", look="portrait", bank=tmp_path)
    monkeypatch.setenv("AUSYNTH_ASSETS", str(tmp_path))
    with pytest.raises(AusynthError, match="ausynth assets import ict-facekit"):
        load_generator("rendered", look="portrait", bank=asset_folder / "bank")


def test_a_stream_takes_the_look_as_options(asset_folder: Path) -> None:
    options = {"look": "portrait", "bank": str(asset_folder / "bank")}
    stream = MixedStream(
        real=None,
        ratio=1,
        generator=pickle.loads(pickle.dumps(options)),
        image_size=48,
        batch_size=4,
        threads=0,
        prefetch=0,
    )
    batch = stream.batch(0)
    assert batch["image"].shape == (4, 3, 48, 48)
    assert stream.generator is not None
    made = load_generator("rendered", image_size=48, **options)
    assert stream.generator.fingerprint == made.fingerprint


def test_the_commands_take_the_look(asset_folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from ausynth.cli import app

    runner = CliRunner()
    bank = ["--look", "portrait", "--bank", str(asset_folder / "bank")]
    warm = ["warmup", "--real", "none", "--aus", "disfa-8", "--cache", str(tmp_path / "cache"), "--count", "4"]
    done = runner.invoke(app, [*warm, "--image-size", "32", "--workers", "0", *bank])
    assert done.exit_code == 0, done.output
    done = runner.invoke(
        app,
        ["simulate", "disfa", str(tmp_path / "practice"), "--subjects", "1", "--frames", "3", "--size", "48", *bank],
    )
    assert done.exit_code == 0, done.output
    readme = (tmp_path / "practice" / "README.txt").read_text()
    assert "painted by a test" in readme
    assert "No person is shown" not in readme
    done = runner.invoke(app, ["export", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "exported")])
    assert done.exit_code == 0, done.output
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "photographs of real people" in card
    assert "No recording of a real person" not in card


def test_preview_draws_every_action_unit_of_the_look(asset_folder: Path) -> None:
    from ausynth.commands.common import chosen_generator
    from ausynth.commands.preview import _draw_aus

    chosen = chosen_generator("rendered", None, asset_folder / "bank")
    assert chosen == {"name": "rendered", "look": "portrait", "bank": str(asset_folder / "bank")}
    sheet = _draw_aus(chosen, 0)
    assert sheet.shape[0] > 1000 and sheet.std() > 20  # noqa: PT018


def test_faces_of_a_licensed_set_are_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ausynth.jobs.export import _refuse_real
    from ausynth.sources.made import recipe_of

    head = fakes.fake_head(tmp_path)
    faces = [dataclasses.replace(fakes.fake_face(0), subject="disfa:SN001"), fakes.fake_face(1)]
    FaceBank.write(tmp_path / "bank", faces)
    generator = PortraitGenerator(FaceBank(tmp_path / "bank", head), 48, head=head)
    assert generator.shows == ("disfa", "photograph")
    with pytest.raises(ConfigurationError, match="frames of DISFA"):
        _refuse_real(recipe_of(generator))


def test_compiled_code_is_stamped_with_the_sources_of_both_looks() -> None:
    """What numba keeps on disk must not outlive a change in a file that a function merely calls."""
    assert kernels.SOURCES != rendered_kernels.SOURCES
    for function in (shade.shade, raster.rasterise, raster.clear):
        assert function._cache._cache_file._source_stamp == kernels.SOURCES


def test_conditions_with_other_columns_are_refused(small: PortraitGenerator) -> None:
    wrong = Conditions(np.zeros((1, 12), np.float32), np.array([0]), np.array([0]))
    for method in (small.generate, small.label, small.render):
        with pytest.raises(ConfigurationError, match="12 columns"):
            method(wrong)


def test_its_action_units_are_the_union_of_the_data_sets() -> None:
    assert PortraitGenerator.aus == facs.UNION_17
