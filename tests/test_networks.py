"""Small networks that look at faces: what goes in and comes out, their files, their training, what they are worth."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maugen_fakes import write_faces
from typer.testing import CliRunner

from ausynth import MixedStream
from ausynth.cli import app
from ausynth.errors import ConfigurationError, GenerationError, StoreError
from ausynth.gates import Detector, Realism, look
from ausynth.labels import Labels
from ausynth.networks import (
    AUNet,
    Calibration,
    IdentityNet,
    NetDetector,
    NetRealism,
    RealismNet,
    Verifier,
    fingerprint,
    load,
    save,
)
from ausynth.networks.assembling import assemble, halves, measure
from ausynth.networks.augment import Augment
from ausynth.networks.backbones import ARCHITECTURES, places_of
from ausynth.networks.data import FaceSet, Split, read_faces
from ausynth.networks.detecting import train_detector
from ausynth.networks.files import load_record
from ausynth.networks.fitting import FitOptions, fit
from ausynth.networks.identifying import train_identity, verify
from ausynth.networks.realism import train_realism
from ausynth.networks.reliability import ReliabilityCurve, reliability_plot
from ausynth.networks.scores import read, score
from ausynth.store import Recipe

AUS = (1, 12, 25)
WIDTHS = {"residual": 4, "separable": 8, "patches": 16, "plain": 4}
OPTIONS = FitOptions(steps=4, batch_size=8, bf16=False)


def net(architecture: str = "residual", aus: tuple[int, ...] = AUS, size: int = 32, seed: int = 0) -> AUNet:
    torch.manual_seed(seed)
    return AUNet(architecture, aus, size, width=WIDTHS[architecture]).eval()


def pictures(count: int, size: int = 32, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def calibration(aus: tuple[int, ...] = AUS, networks: int = 1, slope: float = 3.0) -> Calibration:
    return Calibration.plain(aus, networks, slope=slope, doubt=1.0)


def faces_of(count: int = 48, size: int = 32, people: int = 8, margin: int = 4, seed: int = 0) -> FaceSet:
    """Pictures in which each AU is a patch, as bright as the AU is strong, and a person is a colour."""
    draw = np.random.default_rng(seed)
    intensity = draw.choice([0.0, 0.0, 3.0, 5.0], (count, len(AUS))).astype(np.float32)
    identity = np.arange(count) % people
    images = np.empty((count, size + 2 * margin, size + 2 * margin, 3), np.uint8)
    for row in range(count):
        images[row] = np.random.default_rng(1000 + identity[row]).integers(20, 90, 3)
        for column in range(len(AUS)):
            top = margin + 2 + 10 * column
            images[row, top : top + 7, margin + 4 : -margin - 4] += np.uint8(30 * intensity[row, column])
    labels = Labels.from_intensity(AUS, intensity)
    return FaceSet(images, labels, identity, identity.copy(), margin, [{"generator": "patches"}])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store of the procedural generator."""
    folder = tmp_path_factory.mktemp("faces") / "store"
    stream = MixedStream(
        real=None,
        ratio=1.0,
        aus="disfa-12",
        image_size=48,
        identities=12,
        balance=None,
        generator={"name": "rendered", "supersample": 1},
        cache=folder,
        threads=0,
    )
    stream.warm(0, 96)
    return folder


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# --- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_pictures_of_any_size_give_intensities_and_their_gradient_reaches_them(architecture: str) -> None:
    network = net(architecture)
    for size in (32, 48, 64, 20):
        images = (torch.rand(2, 3, size, size) * 2 - 1).requires_grad_()
        found = network(images)
        assert found.shape == (2, 3)
        maps = network.features(images)
        assert len(maps) == 3
        assert all(each.shape[0] == 2 and each.ndim == 4 for each in maps)
        assert maps[-1].shape[-1] >= places_of(architecture, 32) or architecture != "patches"
        (found.sum() + sum(each.square().mean() for each in maps)).backward()
        assert images.grad is not None
        assert images.grad.flatten(1).abs().sum(1).min() > 0


def test_a_picture_is_read_alike_alone_and_in_company() -> None:
    for architecture in ARCHITECTURES:
        network, images = net(architecture), pictures(5)
        together, alone = read(network, images), np.concatenate([read(network, images[b : b + 1]) for b in range(5)])
        np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dense", AUS, 64), "'dense'"),
        (("residual", (3,), 64), "3"),
        (("residual", AUS, 60), "60"),
        (("residual", AUS, 16), "16"),
    ],
)
def test_a_network_that_cannot_be_is_refused(arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        AUNet(*arguments)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_what_is_saved_is_what_is_loaded_bit_for_bit(architecture: str, tmp_path: Path) -> None:
    network = net(architecture)
    save(network, tmp_path / "a", {"seed": 7})
    first = load(tmp_path / "a", kind="au")
    assert not first.training
    assert not any(each.requires_grad for each in first.parameters())
    save(first, tmp_path / "b", load_record(tmp_path / "a"))
    second = load(tmp_path / "b")
    assert fingerprint(first) == fingerprint(second)
    images = pictures(3)
    assert np.array_equal(read(first, images), read(second, images))
    np.testing.assert_allclose(read(first, images), read(network, images), atol=0.02)  # rounded to float16
    for name in ("weights.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert load_record(tmp_path / "b") == {"seed": 7}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_other_heads_are_saved_and_loaded_too(tmp_path: Path) -> None:
    images = torch.rand(4, 3, 32, 32, requires_grad=True)
    identity, realism = (
        IdentityNet("residual", 32, width=4, dimensions=16).eval(),
        RealismNet("plain", 32, width=4).eval(),
    )
    vectors = identity(images)
    assert vectors.shape == (4, 16)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(4))
    logits = realism(images)
    assert logits.shape == (4,)
    (vectors.sum() + logits.sum()).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    for network in (identity, realism):
        save(network, tmp_path / network.kind, {}, half=False)
        assert fingerprint(load(tmp_path / network.kind)) == fingerprint(network)
    with pytest.raises(ConfigurationError, match="kind 'identity'"):
        load(tmp_path / "identity", kind="au")


def test_a_changed_weight_is_another_network() -> None:
    network, other = net(), net()
    assert fingerprint(network) == fingerprint(other)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    assert fingerprint(network) != fingerprint(other)
    assert fingerprint(network) != fingerprint(net(aus=(1, 12, 26)))


def test_damaged_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no network in"):
        load(tmp_path)
    save(net(), tmp_path / "a", {})
    config = json.loads((tmp_path / "a/config.json").read_text())
    config["options"]["width"] = 8
    (tmp_path / "a/config.json").write_text(json.dumps(config))
    with pytest.raises(StoreError, match="cannot be read"):
        load(tmp_path / "a")
    (tmp_path / "a/config.json").write_text("{")
    with pytest.raises(StoreError, match="no network in"):
        load(tmp_path / "a")
    save(net(), tmp_path / "a", {})  # in its place
    (tmp_path / "a/weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="cannot be read"):
        load(tmp_path / "a")
    with pytest.raises(ConfigurationError, match="Linear to save"):
        save(torch.nn.Linear(1, 1), tmp_path / "b", {})


# --- faces ----------------------------------------------------------------------------------------------------------


def test_faces_are_read_with_their_labels_and_the_middle_is_what_networks_see(store: Path) -> None:
    whole = read_faces([store], size=48)
    assert len(whole) == 96
    assert whole.images.shape == (96, 48, 48, 3)
    assert whole.labels.mask.all()
    assert len(np.unique(whole.person)) == 12
    part = read_faces([store], size=32, crop=32 / 48, margin=4)
    assert part.images.shape == (96, 40, 40, 3)
    assert part.size == 32
    assert np.array_equal(part.views(), whole.images[:, 8:40, 8:40])
    assert np.array_equal(part.images, whole.images[:, 4:44, 4:44])
    assert read_faces([store], size=24, crop=0.5).images.shape == (96, 24, 24, 3)
    # Margins end where pictures do.
    assert read_faces([store], size=48, margin=4).margin == 0
    assert len(read_faces([store], size=48, most=10)) == 10
    # Another label space: what is not labelled there is unknown.
    assert not read_faces([store], size=48, aus=(1, 27)).labels.mask[:, 1].any()


def test_one_number_is_one_person_in_stores_of_one_generator_and_two_of_two(tmp_path: Path) -> None:
    write_faces(tmp_path / "a")
    write_faces(tmp_path / "b", recipe=Recipe("synthetic", AUS, 16, fingerprint="other"))
    write_faces(tmp_path / "c")
    faces = read_faces([tmp_path / name for name in "abc"], size=16)
    assert len(np.unique(faces.person)) == 8
    assert len(np.unique(faces.identity)) == 4
    out = Split(0, 2).left_out(faces.identity)
    assert all(len(np.unique(out[faces.identity == number])) == 1 for number in range(4))


def test_faces_that_cannot_be_learned_from_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no data"):
        read_faces([])
    with pytest.raises(ConfigurationError, match="crop=1.5"):
        read_faces([store], crop=1.5)
    with pytest.raises(ConfigurationError, match="no picture is labelled with any of the AUs \\(27,\\)"):
        read_faces([store], aus=(27,))
    with pytest.raises(StoreError, match="holds no store"):
        read_faces([tmp_path])


@pytest.mark.parametrize("text", ["3", "3/3", "-1/3", "1/1", "a/b", "1/"])
def test_a_split_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="split"):
        Split.parse(text)


def test_parts_of_a_split_are_everybody_once() -> None:
    numbers = np.arange(500)
    parts = [Split(part, 3).left_out(numbers) for part in range(3)]
    assert (np.sum(parts, axis=0) == 1).all()
    assert all(100 < part.sum() < 250 for part in parts)


def test_augmentation_is_a_function_of_its_seed_and_keeps_the_range() -> None:
    images = pictures(16, 40)
    first, again, other = (Augment()(images, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (16, 3, 32, 32)
    assert first.abs().max() <= 1
    still = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0)
    seen = {still(images, 0, torch.Generator().manual_seed(seed)).shape for seed in range(4)}
    assert seen == {(16, 3, 40, 40)}


# --- training -------------------------------------------------------------------------------------------------------


def test_a_detector_learns_and_the_same_seed_gives_the_same_bits() -> None:
    options = dataclasses.replace(OPTIONS, steps=80, batch_size=16, lr=3e-3)
    still = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0)
    _, fitted, scores, record = train_detector(
        net(), faces_of(), options, split=Split(0, 4), augment=still, oversample=0.5
    )
    assert fitted.losses[-1] < 0.3 * fitted.losses[0]
    assert scores is not None
    assert np.nanmean(scores.mae) < 0.7 * np.nanmean(scores.mae_of_zeros)
    assert record["images"] == 80 * 16
    assert record["held_out"]["f1"] > 0.8
    assert json.loads(json.dumps(record)) == record
    short = dataclasses.replace(OPTIONS, steps=3)
    twice = [fingerprint(train_detector(net(), faces_of(), short)[0]) for _ in range(2)]
    assert twice[0] == twice[1]
    assert twice[0] != fingerprint(train_detector(net(), faces_of(), dataclasses.replace(short, seed=1))[0])


def test_a_label_that_is_not_known_teaches_nothing() -> None:
    faces = faces_of()
    unknown = faces.labels.intensity.copy()
    unknown[:, 1] = np.nan
    blind = dataclasses.replace(faces, labels=Labels.from_intensity(AUS, unknown))
    torch.manual_seed(0)
    network = AUNet("residual", AUS, 32, width=4)
    first, before = (network.head[-1].weight[row].detach().clone() for row in (0, 1))
    options = dataclasses.replace(OPTIONS, weight_decay=0.0, average=0.0)
    trained, *_ = train_detector(network, blind, options)
    assert torch.equal(trained.head[-1].weight[1], before)
    assert not torch.equal(trained.head[-1].weight[0], first)


def test_training_ends_after_its_minutes() -> None:
    options = dataclasses.replace(OPTIONS, steps=10**6, minutes=1e-4)
    _, fitted, *_ = train_detector(net(), faces_of(), options)
    assert fitted.steps < 1000


def test_a_loss_that_is_no_number_stops_training_with_a_message() -> None:
    def draw(source: torch.Generator, count: int) -> torch.Tensor:
        return torch.full((count, 3, 32, 32), float("nan"))

    with pytest.raises(GenerationError, match="no number"):
        fit(net(), draw, lambda network, batch: network(batch).mean(), dataclasses.replace(OPTIONS, steps=50))


def test_faces_that_do_not_fit_a_network_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="faces of \\(1, 12, 25\\) at 32"):
        train_detector(net(aus=(1, 12)), faces_of(), OPTIONS)
    with pytest.raises(ConfigurationError, match="at 48 pixels"):
        train_detector(net(size=48), faces_of(), OPTIONS)
    with pytest.raises(ConfigurationError, match="leaves"):
        train_detector(net(), faces_of(people=1), OPTIONS, split=Split(0, 2))
    with pytest.raises(ConfigurationError, match="1 people"):
        train_identity(IdentityNet("residual", 32, width=4), faces_of(people=1), OPTIONS)
    with pytest.raises(ConfigurationError, match="steps=0"):
        FitOptions(steps=0)


def test_identities_are_told_apart_and_proxies_are_thrown_away() -> None:
    torch.manual_seed(0)
    network = IdentityNet("residual", 32, width=4, dimensions=16)
    names = set(network.state_dict())
    faces = faces_of(count=120, people=20)
    options = dataclasses.replace(OPTIONS, steps=60, batch_size=32, lr=3e-3)
    trained, result, record = train_identity(
        network, faces, options, split=Split(0, 3), augment=Augment(0, 0, 0, 0, 0, 0, 0, 0, 0)
    )
    assert set(trained.state_dict()) == names
    assert result is not None
    assert result.auc > 0.9
    assert result.same > result.different
    assert 0 <= result.eer < 0.25
    assert record["people"] + result.people == 20
    with pytest.raises(ConfigurationError, match="1 people"):
        verify(trained, faces.rows(faces.person == 0))


def test_realism_tells_real_from_generated() -> None:
    real, fake = faces_of(), faces_of(seed=1)
    washed = dataclasses.replace(fake, images=(fake.images // 2 + 80).astype(np.uint8))
    torch.manual_seed(0)
    options = dataclasses.replace(OPTIONS, steps=100, batch_size=16, lr=3e-3)
    _, result, record = train_realism(RealismNet("residual", 32, width=4), real, washed, options)
    assert result["real_accepted"] > 0.8
    assert result["fake_refused"] > 0.8
    assert json.loads(json.dumps(record)) == record
    with pytest.raises(ConfigurationError, match="3 pictures"):
        train_realism(RealismNet("residual", 32, width=4), real.rows(np.arange(3)), washed, options)


# --- what readings are worth ----------------------------------------------------------------------------------------


def test_scores_are_those_of_the_textbook() -> None:
    truth = np.array([[0, 3], [5, 3], [0, np.nan], [2, 0]])
    found = np.array([[2.5, 2], [9, 1], [0, 4], [1, -1]])
    scores = score((1, 12), found, truth)
    np.testing.assert_allclose(scores.f1, [2 / 4, 2 / 3])
    np.testing.assert_allclose(scores.mae, [(2.5 + 0 + 0 + 1) / 4, (1 + 2 + 0) / 3])
    np.testing.assert_allclose(scores.mae_of_zeros, [7 / 4, 6 / 3])
    assert np.isnan(score((1,), [[0.0]], [[0.0]]).f1[0])


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 2.0), st.integers(5, 400), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_a_calibration_rises_with_the_reading_and_gives_probabilities(
    seed: int, noise: float, count: int, networks: int
) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.choice([0, 1, 2, 3, 5], (count, 2)).astype(float)
    known = Calibration.fit((1, 12), truth + noise * draw.standard_normal((networks, count, 2)), truth)
    assert known.networks == networks
    np.testing.assert_allclose(known.weights.sum(0), 1)
    grid = np.linspace(-3, 8, 60)[None, :, None].repeat(2, 2).repeat(networks, 0)
    apart = grid + 0.5 * draw.standard_normal((networks, 1, 2))
    for readings in (grid, apart):
        intensity, said = known.judge(readings)
        assert ((said >= 0) & (said <= 1)).all()
        assert (np.diff(said, axis=0) >= -1e-12).all()
        assert ((intensity >= 0) & (intensity <= 5)).all()
        assert (np.diff(intensity, axis=0) >= -1e-12).all()
        assert np.array_equal(intensity.astype(np.float32) >= 2, said >= 0.5)


def test_a_calibration_finds_what_readings_are_worth() -> None:
    draw = np.random.default_rng(0)
    count = 20_000
    truth = draw.choice([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0], (count, 1))
    # A network that falls short by a half, and one that sees little; both are worse in some pictures than in others.
    hard = draw.choice([0.3, 1.5], truth.shape)
    readings = 0.5 * truth[None] + hard * draw.standard_normal((2, *truth.shape)) * np.array([0.4, 2.0])[:, None, None]
    fitted, judged = slice(0, count // 2), slice(count // 2, None)
    there, known = truth[judged] >= 2, Calibration.fit((12,), readings[:, fitted], truth[fitted])
    assert known.weights[0, 0] > 0.8
    assert 0.5 < known.cut[0] < 1.1
    assert known.doubt[0] > 0.2
    intensity, said = known.judge(readings[:, judged])
    assert ReliabilityCurve.of(said, there).error < 0.03
    raw = readings[:, judged].mean(0)
    assert score((12,), intensity, truth[judged]).f1[0] > score((12,), raw, truth[judged]).f1[0] + 0.1
    assert score((12,), intensity, truth[judged]).mae[0] < score((12,), raw, truth[judged]).mae[0]
    assert known.sigma[0] == pytest.approx(np.sqrt(np.mean((intensity - truth[judged]) ** 2)), rel=0.1)
    # Doubt is worth something: without it, the same readings say less.
    blind = dataclasses.replace(known, doubt=0 * known.doubt).judge(readings[:, judged])[1]
    assert ((said - there) ** 2).mean() < ((blind - there) ** 2).mean()


def test_the_fit_of_a_calibration_is_a_minimum() -> None:
    draw = np.random.default_rng(3)
    truth = draw.choice([0.0, 2.0, 4.0], 500)
    readings = truth + draw.standard_normal((2, 500)) * np.array([[0.5], [1.0]])
    present = (truth >= 2).astype(float)

    def loss(weight: float, slope: float, bend: float, cut: float, doubt: float) -> float:
        away = (weight * readings[0] + (1 - weight) * readings[1] - cut) / np.sqrt(1 + doubt * readings.var(0))
        logit = slope * (away + bend * away * np.abs(away))
        free = [np.log(slope / 2), np.log(bend / 0.1), cut - 2, np.log(doubt), *_logits(weight)]
        return float(np.logaddexp(0, logit).sum() - present @ logit + 0.5 * np.square(free).sum())

    def _logits(weight: float) -> list[float]:  # softmax of these is (weight, 1 - weight); the prior centres them
        half = 0.5 * np.log(weight / (1 - weight))
        return [half, -half]

    known = Calibration.fit((12,), readings[..., None], truth[:, None])
    best = [known.weights[0, 0], known.slope[0], known.bend[0], known.cut[0], known.doubt[0]]
    for place in range(5):
        for factor in (0.97, 1.03):
            other = [value * (factor if at == place else 1) for at, value in enumerate(best)]
            assert loss(*other) > loss(*best)


def test_a_calibration_is_kept_and_refused_where_it_cannot_be(tmp_path: Path) -> None:
    known = calibration(networks=2)
    known.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json").to_json() == known.to_json()
    with pytest.raises(ConfigurationError, match="cannot read"):
        Calibration.load(tmp_path / "none.json")
    for change in ({"slope": -known.slope}, {"weights": known.weights / 2}, {"doubt": known.doubt - 3}):
        with pytest.raises(ConfigurationError, match="falls"):
            dataclasses.replace(known, **change)
    with pytest.raises(ConfigurationError, match="shape"):
        dataclasses.replace(known, cut=np.ones(2))
    with pytest.raises(ConfigurationError, match="AU \\[12\\]"):
        Calibration.fit((1, 12), np.zeros((1, 3, 2)), [[0, np.nan]] * 3)
    with pytest.raises(ConfigurationError, match="readings \\(3, 2\\)"):
        Calibration.fit((1, 12), np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ConfigurationError, match="\\(2, B, 3\\)"):
        known.judge(np.zeros((1, 4, 3)))


def test_a_detector_for_gates_gives_probabilities_and_is_told_apart() -> None:
    detector = NetDetector(net(), calibration())
    assert isinstance(detector, Detector)
    said = look([detector], pictures(3), (12, 26))
    assert np.isfinite(said[:, :, 0]).all()
    assert np.isnan(said[:, :, 1]).all()
    assert detector(pictures(0)).shape == (0, 3)
    others = (NetDetector(net(), calibration(slope=2.0)), NetDetector(net(seed=1), calibration()))
    assert len({detector.fingerprint, *(other.fingerprint for other in others)}) == 3
    with pytest.raises(ConfigurationError, match="calibrated for"):
        NetDetector(net(), calibration((1, 12)))


def test_a_verifier_masks_what_it_is_not_sure_of() -> None:
    networks = [net(name, seed=seed) for seed, name in enumerate(("residual", "separable", "patches"))]
    verifier = Verifier(networks, calibration(networks=3))
    readings = np.array([[[4.0, 0.0, 2.1]], [[5.0, 0.2, 2.1]], [[7.0, -0.5, 2.1]]])
    labels = verifier.label(readings)
    assert labels.mask.tolist() == [[True, True, False]]
    assert labels.occurrence[0, :2].tolist() == [1, 0]
    np.testing.assert_allclose(labels.intensity[0, :2], [5, 0])
    assert (labels.confidence[0, :2] > 0.6).all()
    assert labels.confidence[0, 2] == 0
    assert np.isnan(labels.intensity[0, 2])
    # Disagreement makes unsure.
    torn = verifier.label(np.array([[[0.0] * 3], [[6.0] * 3], [[1.0] * 3]]))
    assert not torn.mask.any()
    assert Verifier(networks, calibration(networks=3), least=0.0).label(readings).mask.all()
    found = verifier.read(pictures(4))
    assert found.aus == AUS
    assert len(found) == 4
    assert (found.confidence[found.mask] >= 0.6).all()
    assert len(verifier.read(pictures(0))) == 0


def test_a_verifier_comes_back_from_its_folder(tmp_path: Path) -> None:
    networks = [net("residual"), net("plain")]
    for number, network in enumerate(networks):
        save(network, tmp_path / str(number), {})
    networks = [load(tmp_path / str(number)) for number in range(2)]  # as float16 rounds them
    verifier = Verifier(networks, calibration(networks=2), [calibration(slope=1.0), calibration(slope=2.0)])
    verifier.save(tmp_path / "v")
    again = Verifier.load(tmp_path / "v")
    assert again.fingerprint == verifier.fingerprint
    assert [each.fingerprint for each in again.detectors()] == [each.fingerprint for each in verifier.detectors()]
    images = pictures(4, 64)
    for name in ("intensity", "occurrence", "confidence"):
        assert np.array_equal(getattr(again.read(images), name), getattr(verifier.read(images), name), equal_nan=True)
    assert Verifier.load(tmp_path / "v", least=0.7).fingerprint != verifier.fingerprint
    Verifier(networks[:1], calibration()).save(tmp_path / "v")  # in its place
    assert len(Verifier.load(tmp_path / "v").networks) == 1
    with pytest.raises(ConfigurationError, match="one by one"):
        Verifier.load(tmp_path / "v").detectors()
    with pytest.raises(StoreError, match="no verifier"):
        Verifier.load(tmp_path / "0")
    (tmp_path / "v/0/weights.safetensors").unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        Verifier.load(tmp_path / "v")
    for wrong in ({"networks": []}, {"least": 1.0}, {"detectors": [calibration()]}, {"calibration": calibration()}):
        with pytest.raises(ConfigurationError):
            Verifier(**({"networks": networks, "calibration": calibration(networks=2)} | wrong))


def test_a_verifier_is_measured_on_others_than_it_is_fitted_on() -> None:
    faces = faces_of(count=160, people=40)
    one, other = halves(faces)
    assert not set(one.identity) & set(other.identity)
    options = dataclasses.replace(OPTIONS, steps=60, batch_size=16, lr=3e-3)
    still = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0)
    networks = [train_detector(net(seed=seed), one, options, augment=still)[0] for seed in range(2)]
    verifier = assemble(networks, one)
    measured = measure(verifier, other)
    assert measured.curve.error < 0.15
    assert measured.curve.count.sum() == other.labels.intensity.size
    facts = measured.to_json()
    assert facts["kept"]["f1"] >= facts["scores"]["f1"] - 0.02
    assert json.loads(json.dumps(facts)) == facts
    with pytest.raises(ConfigurationError, match="label spaces"):
        assemble([net(), net(aus=(1, 12))], one)
    # For losses and for gates, each network says the same of a picture.
    images = other.views()
    for reader, detector, alone in zip(verifier.readers(), verifier.detectors(), verifier.alone, strict=True):
        intensity = read(reader, images)
        assert ((intensity >= 0) & (intensity <= 5)).all()
        certain = np.abs(detector(images) - 0.5) > 1e-4
        assert np.array_equal((intensity >= 2)[certain], (detector(images) >= 0.5)[certain])
        np.testing.assert_allclose(intensity, alone.judge(read(reader.network, images)[None])[0], atol=1e-4)
    plot = reliability_plot({"all": measured.curve})
    assert plot.startswith(b"\x89PNG")


def test_reliability_is_what_was_said_against_what_is_there() -> None:
    curve = ReliabilityCurve.of([0.1] * 10 + [0.9] * 10, [0] * 9 + [1] + [1] * 5 + [0] * 5, bins=10)
    np.testing.assert_allclose(curve.accuracy, [0.1, 0.5])
    assert curve.error == pytest.approx(0.2)
    with pytest.raises(ConfigurationError, match="confidences"):
        ReliabilityCurve.of([1.5], [1])


# --- the command line -----------------------------------------------------------------------------------------------


def test_commands_train_networks_and_assemble_a_verifier(store: Path, tmp_path: Path) -> None:
    common = ("--data", store, "--image-size", 32, "--crop", "40/48", "--steps", 3, "--batch-size", 8)
    for number, name in enumerate(("residual", "patches")):
        result = call(
            *("train", "detector", *common, "--architecture", name, "--width", 8, "--aus", "disfa-12"),
            *("--split", f"{number}/3", "--out", tmp_path / name),
        )
        assert result.exit_code == 0, result.output
        assert "People left out" in result.output
        assert load(tmp_path / name, kind="au").aus == (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
        assert load_record(tmp_path / name)["left_out"] == f"{number}/3"
        assert load_record(tmp_path / name)["data"][0]["pictures"] == 96
    result = call(
        *("train", "verifier", "--nets", tmp_path / "residual", "--nets", tmp_path / "patches", "--data", store),
        *(
            "--crop",
            "40/48",
            "--out",
            tmp_path / "verifier",
            "--plot",
            tmp_path / "r.png",
            "--json",
            tmp_path / "r.json",
        ),
    )
    assert result.exit_code == 0, result.output
    assert "calibration error" in result.output
    assert Verifier.load(tmp_path / "verifier").detectors()
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert 0 <= json.loads((tmp_path / "r.json").read_text())["calibration_error"] <= 1
    result = call("train", "identity", *common, "--split", "0/3", "--out", tmp_path / "identity")
    assert result.exit_code == 0, result.output
    assert "AUC" in result.output
    result = call("train", "realism", "--real", store, "--fake", store, *common[2:], "--out", tmp_path / "realism")
    assert result.exit_code == 0, result.output
    scorer = NetRealism(load(tmp_path / "realism", kind="realism"))
    assert scorer.network.image_size == 32
    assert Realism(scorer).fingerprint != Realism(NetRealism(RealismNet("residual", 32))).fingerprint
    said = scorer(pictures(3))
    assert ((said >= 0) & (said <= 1)).all()
    assert scorer(pictures(0)).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--aus", "27"), "no picture is labelled"),
        (("--architecture", "dense"), "'dense'"),
        (("--crop", "3/2"), "crop '3/2'"),
        (("--split", "3/3"), "split '3/3'"),
        (("--image-size", "30"), "image_size 30"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_is_written(
    store: Path, tmp_path: Path, arguments: tuple[str, str], says: str
) -> None:
    result = call("train", "detector", "--data", store, "--out", tmp_path / "net", *arguments)
    assert result.exit_code == 2
    assert says in result.output + result.stderr
    assert not (tmp_path / "net").exists()


def test_help_of_training_loads_no_torch() -> None:
    code = (
        "import sys; from ausynth.cli import app\ntry: app(['train', 'detector', '--help'])\nexcept SystemExit: pass\n"
    )
    code += "assert 'torchvision' not in sys.modules and 'diffusers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
