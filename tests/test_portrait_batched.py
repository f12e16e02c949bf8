"""The portrait look by whole batches of tensors: pictures, labels and maps of the compiled path, within rounding."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import portrait_fakes as fakes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from placement import DEVICE, Placement

from ausynth import MixedStream
from ausynth.errors import ConfigurationError
from ausynth.generators import Conditions, load_generator
from ausynth.generators.portrait import engines
from ausynth.generators.portrait.backdrop import draw_backdrop
from ausynth.generators.portrait.bank import FaceBank
from ausynth.generators.portrait.batched import engine as batched
from ausynth.generators.portrait.batched.backdrop import Backdrops
from ausynth.generators.portrait.batched.draws import streams
from ausynth.generators.portrait.batched.jpeg import compressed
from ausynth.generators.portrait.batched.light import draw_lights
from ausynth.generators.portrait.batched.raster import rasterise
from ausynth.generators.portrait.batched.views import draw_views
from ausynth.generators.portrait.generator import PortraitGenerator
from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.light import draw_light
from ausynth.generators.portrait.raster import rasterised
from ausynth.generators.portrait.table import AUS, Actions
from ausynth.generators.rendered.camera import Camera
from ausynth.generators.rendered.draws import PURPOSES, stream
from ausynth.generators.rendered.maps import Rendered
from ausynth.testing import check_generator

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")


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


def some_conditions(count: int, seed: int = 0, share: float = 0.25) -> Conditions:
    draw = np.random.default_rng(seed)
    shape = (count, len(AUS))
    intensity = draw.uniform(0, 5, shape).round(1) * (draw.random(shape) < share)
    return Conditions(intensity.astype(np.float32), draw.integers(0, 2**62, count), draw.integers(0, 2**62, count))


def require_alike(one: Rendered, other: Rendered) -> None:
    """Hold two renderings to what "the same within rounding" means."""
    difference = np.abs(one.images.astype(int) - other.images)
    assert difference.mean() < 0.1  # gray levels
    assert (difference.max(3) > 2).mean() < 0.001  # of the pixels, where a depth test or a JPEG step tips over
    assert difference.mean((1, 2, 3)).max() < 0.5  # not all of it in one picture
    assert np.abs(one.landmarks - other.landmarks).max() < 0.01  # pixels
    assert (one.mask != other.mask).mean() < 0.001
    both = one.mask & other.mask
    apart = np.abs(one.depth[both] - other.depth[both])
    assert (apart > 0.01).mean() < 0.001  # centimetres
    given, found = one.labels.intensity, other.labels.intensity
    assert (np.isnan(given) == np.isnan(found)).mean() > 0.99
    assert np.nanmax(np.abs(given - found)) < 0.051  # a step of AU25's and AU26's measurement


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (64, {}),
        (128, {"jpeg": None, "blur": 0, "grain": 0}),
        (57, {"supersample": 2, "blink": 0.5}),
        (48, {"blend": False, "background": 0, "light": 0}),
        (64, {"mixed": (3, 4)}),
        (96, {"gaze": 15, "jitter": 0.1, "wrinkles": 2, "asymmetry": 0.3, "light": 0.5, "background": 0.5}),
    ],
)
def test_both_engines_draw_the_same(bank: FaceBank, head: IctHead, size: int, options: dict[str, object]) -> None:
    conditions = some_conditions(12, seed=size)
    compiled = PortraitGenerator(bank, size, head=head, **options)
    by_torch = PortraitGenerator(bank, size, head=head, engine="torch", block=12, **options)
    require_alike(compiled.render(conditions), by_torch.render(conditions))


@pytest.mark.parametrize("au", AUS)
def test_each_action_unit_alone_is_the_same(bank: FaceBank, head: IctHead, au: int) -> None:
    intensity = np.zeros((3, len(AUS)), np.float32)
    intensity[:, AUS.index(au)] = (0, 2.5, 5)
    conditions = Conditions(intensity, np.full(3, 9), np.full(3, au))
    compiled, by_torch = _pair(bank, head)
    require_alike(compiled.render(conditions), by_torch.render(conditions))


PAIR: list[PortraitGenerator] = []


def _pair(bank: FaceBank, head: IctHead) -> tuple[PortraitGenerator, PortraitGenerator]:
    if not PAIR:
        PAIR.append(PortraitGenerator(bank, 48, head=head))
        PAIR.append(PortraitGenerator(bank, 48, head=head, engine="torch", block=4))
    return PAIR[0], PAIR[1]


@settings(max_examples=10, deadline=None)
@given(
    intensity=st.lists(st.integers(0, 50).map(lambda tenths: tenths / 10), min_size=17, max_size=17),
    identity=st.integers(0, 2**62),
    noise=st.integers(0, 2**62),
)
def test_any_face_is_the_same(bank: FaceBank, head: IctHead, intensity: list[float], identity: int, noise: int) -> None:
    conditions = Conditions(np.array([intensity], np.float32), np.array([identity]), np.array([noise]))
    compiled, by_torch = (generator.generate(conditions) for generator in _pair(bank, head))
    assert np.abs(compiled.images.astype(int) - by_torch.images).mean() < 0.5
    assert np.nanmax(np.abs(compiled.labels.intensity - by_torch.labels.intensity)) < 0.051


def test_it_keeps_the_generators_contract(bank: FaceBank, head: IctHead) -> None:
    check_generator(PortraitGenerator(bank, 32, head=head, engine="torch", block=4), samples=4)


def test_companions_hardly_matter(bank: FaceBank, head: IctHead) -> None:
    """A block is the unit, since a sum's last bit may follow the size of the batch; but no more than that does."""
    conditions = some_conditions(8, seed=3)
    generator = PortraitGenerator(bank, 64, head=head, engine="torch", block=8)
    whole = generator.generate(conditions)
    alone = [generator.generate(conditions.rows(np.array([b]))) for b in range(8)]
    difference = np.abs(whole.images.astype(int) - np.concatenate([one.images for one in alone]))
    assert (difference > 1).mean() < 1e-4
    rows = np.concatenate([one.labels.intensity for one in alone])
    assert np.allclose(whole.labels.intensity, rows, atol=0.051, equal_nan=True)


def test_chunks_of_a_block_are_put_together(bank: FaceBank, head: IctHead, monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = some_conditions(5, seed=4)
    generator = PortraitGenerator(bank, 48, head=head, engine="torch", block=5)
    whole = generator.render(conditions)
    monkeypatch.setattr(batched, "_POINTS_AT_ONCE", 2 * 48 * 48)
    require_alike(whole, generator.render(conditions))
    assert np.array_equal(generator.label(conditions).intensity, whole.labels.intensity, equal_nan=True)


def test_the_training_loops_switches_do_not_reach_the_pictures(bank: FaceBank, head: IctHead) -> None:
    conditions = some_conditions(3, seed=5)
    generator = PortraitGenerator(bank, 48, head=head, engine="torch", block=3)
    plain = generator.generate(conditions).images
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            inside = generator.generate(conditions).images
    finally:
        torch.set_float32_matmul_precision(before)
    assert np.array_equal(plain, inside)


def test_nothing_on_the_device_meets_what_stayed_behind(
    bank: FaceBank, head: IctHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU would refuse is refused here."""
    conditions = some_conditions(3, seed=6, share=0.5)
    wanted = PortraitGenerator(bank, 48, head=head, engine="torch", block=3).render(conditions)
    undisturbed = batched._undisturbed
    monkeypatch.setattr(batched, "_undisturbed", lambda _: undisturbed(CPU))
    monkeypatch.setattr(
        "ausynth.generators.portrait.generator.chosen_engine", lambda *_: engines.Chosen("torch", str(DEVICE))
    )
    with Placement() as placement:
        made = PortraitGenerator(bank, 48, head=head, block=3).render(conditions)
        with pytest.raises(AssertionError, match="mixes"):
            torch.from_numpy(np.ones(3)).to(DEVICE) + torch.from_numpy(np.ones(3))
    assert placement.operations > 1000
    assert np.array_equal(made.images, wanted.images)


def test_engines_have_fingerprints_and_blocks_of_their_own(bank: FaceBank, head: IctHead) -> None:
    compiled = PortraitGenerator(bank, 48, head=head)
    again = PortraitGenerator(bank, 48, head=head, device="cpu")
    by_torch = PortraitGenerator(bank, 48, head=head, engine="torch")
    smaller = PortraitGenerator(bank, 48, head=head, engine="torch", block=64)
    assert compiled.fingerprint == again.fingerprint
    assert len({compiled.fingerprint, by_torch.fingerprint, smaller.fingerprint}) == 3
    assert (compiled.block_size, by_torch.block_size, smaller.block_size) == (1, 256, 64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "triton"}, "engine='triton'"),
        ({"device": "tpu"}, "device 'tpu'"),
        ({"device": "cuda", "engine": "compiled"}, "engine='compiled' on device 'cuda'"),
        ({"device": "cuda:99"}, "CUDA devices here"),
        ({"engine": "torch", "block": 0}, "block"),
    ],
)
def test_what_cannot_run_says_so(bank: FaceBank, head: IctHead, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        PortraitGenerator(bank, 48, head=head, **options)


def test_the_procedural_look_says_that_it_runs_on_the_cpu() -> None:
    with pytest.raises(ConfigurationError, match="runs on the CPU"):
        load_generator("rendered", device="cuda")


def test_a_stream_takes_the_engine_as_options(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUSYNTH_ASSETS", str(folder))
    options = {"name": "rendered", "look": "portrait", "bank": str(folder / "bank"), "engine": "torch", "block": 4}
    made = [
        MixedStream(
            real=None, ratio=1, generator=options, image_size=32, batch_size=batch, threads=0, prefetch=0
        ).batch(0)["image"]
        for batch in (4, 2)
    ]
    assert torch.equal(made[0][:2], made[1])


def test_random_numbers_are_those_of_the_streams() -> None:
    draw = np.random.default_rng(0)
    keys = np.concatenate([[0, 1, 2**32 - 1, 2**32, 2**63 - 1], draw.integers(0, 2**62, 300)])
    for purpose in PURPOSES:
        for key, fast in zip(keys.tolist(), streams(purpose, keys), strict=True):
            slow = stream(purpose, key)
            assert fast.random() == slow.random()
            assert fast.integers(7) == slow.integers(7)
            assert np.array_equal(fast.standard_normal(3), slow.standard_normal(3))


@pytest.mark.parametrize("amount", [1.0, 0.4, 0.0])
def test_lights_are_those_of_the_compiled_path(amount: float) -> None:
    noise = np.arange(200)
    photos = np.random.default_rng(1).normal(0.2, 0.2, (200, 9, 3)).astype(np.float32)
    photos[:, 0] = 0.8
    lights = draw_lights(noise, amount, photos)
    for n in noise.tolist():
        one = draw_light(n, amount, photos[n])
        assert np.allclose(lights.weights[n], one.weights, rtol=1e-5, atol=1e-5)
        assert np.allclose(lights.key[n], one.key, atol=1e-5)
        assert np.allclose(lights.key_colour[n], one.key_colour, atol=1e-5)


@pytest.mark.parametrize("amount", [1.0, 0.3])
def test_backdrops_are_those_of_the_compiled_path(amount: float) -> None:
    noise = np.arange(120)  # of every kind more than ten
    painted = Backdrops(amount, 40, CPU).paint(noise).numpy()
    wanted = np.stack([draw_backdrop(n, amount, 40) for n in noise.tolist()])
    assert np.abs(painted - wanted).max() < 2e-4


def test_views_are_those_of_the_compiled_path() -> None:
    camera, noise = Camera(10, 6, 5, (40.0, 90.0), 0.05, 4), np.arange(100)
    views = draw_views(camera, noise)
    for n in noise.tolist():
        one = camera.view(n)
        assert np.allclose(views.angles[n], (one.yaw, one.pitch, one.roll))
        assert np.allclose((views.distance[n], views.zoom[n]), (one.distance, one.zoom))
        assert np.allclose([*views.shift[n], *views.gaze[n]], [*one.shift, *one.gaze])


def test_weights_of_many_faces_are_those_of_each(head: IctHead) -> None:
    actions, conditions = Actions(head), some_conditions(20, seed=8)
    asymmetry = np.random.default_rng(8).uniform(-0.5, 0.5, conditions.intensity.shape).astype(np.float32)
    many = actions.weights_of_many(conditions.intensity, asymmetry)
    each = [actions.weights(*row) for row in zip(conditions.intensity, asymmetry, strict=True)]
    assert np.allclose(many, np.stack(each), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 40))
def test_any_triangles_are_seen_as_by_the_compiled_path(seed: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    vertices = draw.uniform(-0.5, 1.5, (60, 3)).astype(np.float32) * np.array([size, size, 0.1], np.float32)
    vertices[:, 2] = np.abs(vertices[:, 2]) + 0.01
    vertices[:20, :2] = np.round(vertices[:20, :2]) + 0.5  # corners and edges through the middles of points
    triangles = draw.integers(0, 60, (50, 3)).astype(np.int32)
    wanted, weights = rasterised(vertices, triangles, size)
    seen = rasterise(torch.from_numpy(vertices)[None], torch.from_numpy(triangles).long(), size)
    found = seen.triangle[0].numpy()
    assert (found != wanted).mean() < 0.02 + 2 / size**2  # an edge may fall to either side
    same = (found == wanted).ravel()[seen.places.numpy()]
    flat = weights.reshape(-1, 2)[seen.places.numpy()]
    assert np.allclose(seen.weights[same, 1:].numpy(), flat[same], atol=1e-3)


def test_rasterising_does_not_depend_on_how_much_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(2)
    vertices = torch.from_numpy(draw.uniform(0, 1, (3, 40, 3)).astype(np.float32)) * torch.tensor([30.0, 30, 1]) + 0.01
    triangles = torch.from_numpy(draw.integers(0, 40, (3, 60, 3)))
    whole = rasterise(vertices, triangles, 30)
    monkeypatch.setattr("ausynth.generators.portrait.batched.raster._CANDIDATES", 700)
    parts = rasterise(vertices, triangles, 30)
    assert torch.equal(whole.triangle, parts.triangle)
    assert torch.equal(whole.weights, parts.weights)
    assert (whole.triangle >= 0).any()


@pytest.mark.parametrize("size", [32, 57, 112, 131])
def test_jpeg_takes_what_libjpeg_takes(size: int) -> None:
    draw = np.random.default_rng(size)
    smooth = cv2.resize(draw.random((5, 5, 3)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    quality = np.array([5, 30, 45, 70, 95, 100])
    noisy = [smooth * 255 + draw.normal(0, 4 * b, (size, size, 3)) for b in range(len(quality))]
    images = np.clip(noisy, 0, 255).astype(np.uint8)
    made = compressed(torch.from_numpy(images), quality).numpy()
    for image, own, found in zip(images, quality.tolist(), made, strict=True):
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, own])
        wanted = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
        difference = np.abs(wanted.astype(int) - found)
        assert difference.max() <= 1  # equal to the bit where OpenCV is built with libjpeg-turbo
        assert difference.mean() < 0.01


@needs_cuda
def test_cuda_draws_the_same(bank: FaceBank, head: IctHead) -> None:
    conditions = some_conditions(32, seed=7)
    compiled = PortraitGenerator(bank, 128, head=head)
    on_cuda = PortraitGenerator(bank, 128, head=head, device="cuda", block=32)
    assert on_cuda.device == f"cuda:{torch.cuda.current_device()}"
    require_alike(compiled.render(conditions), on_cuda.render(conditions))


@needs_cuda
def test_cuda_gives_the_same_bits_again(bank: FaceBank, head: IctHead) -> None:
    generator = PortraitGenerator(bank, 64, head=head, device="cuda", block=16)
    check_generator(generator, samples=16)
    conditions = some_conditions(16, seed=9)
    one, two = generator.render(conditions), generator.render(conditions)
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.depth, two.depth)
