"""Gates by name with the networks of a checkpoint, and labels that its verifier reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from maugen_fakes import AUS, TINY, pipeline_of
from typer.testing import CliRunner

import ausynth
from ausynth.cli import app
from ausynth.errors import ConfigurationError, StoreError
from ausynth.gates import GatedGenerator, Realism, Relabel, Reliability, open_gate
from ausynth.generators.base import Conditions, Generated
from ausynth.generators.maugen.people import People
from ausynth.labels import Labels
from ausynth.networks import AUNet, Calibration, RealismNet, Verifier, save

ARCHITECTURES = ("residual", "separable", "patches")


def verifier_of(aus: tuple[int, ...] = AUS, *, slope: float = 3.0) -> Verifier:
    torch.manual_seed(1)
    networks = [AUNet(architecture, aus, 32, width=8) for architecture in ARCHITECTURES]
    alone = Calibration.plain(aus, slope=slope)
    return Verifier(networks, Calibration.plain(aus, 3, slope=slope), [alone] * 3)


def checkpoint(folder: Path, *, verifier: Verifier | None = None) -> Path:
    pipeline = pipeline_of(TINY)
    pipeline.people = People(torch.randn(4, TINY.identity_tokens, TINY.token_width))
    pipeline.save_pretrained(folder)
    if verifier is not None:
        verifier.save(folder / "verifier")
    return folder


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("mini") / "verified", verifier=verifier_of())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("mini") / "plain")


def load(folder: Path, **options: object) -> ausynth.Generator:
    return ausynth.load_generator(folder, "cpu", **{"steps": 1, "block_size": 4, **options})


def asked(count: int = 4) -> Conditions:
    intensity = np.random.default_rng(0).integers(0, 6, (count, len(AUS))).astype(np.float32)
    return Conditions(intensity, np.arange(count), np.arange(count))


# --- labels that the verifier reads ---------------------------------------------------------------------------------


def test_labels_are_what_the_verifier_reads_in_the_picture(verified: Path) -> None:
    generator = load(verified)
    made = generator.generate(asked())
    read = Verifier.load(verified / "verifier").read(made.images)
    for name in ("intensity", "occurrence", "confidence"):
        np.testing.assert_array_equal(getattr(made.labels, name), getattr(read, name))
    decoded = load(verified, labels="decoder").generate(asked())
    assert np.array_equal(decoded.images, made.images)  # who reads changes no picture
    assert not np.array_equal(decoded.labels.confidence, made.labels.confidence)


def test_uncertain_entries_are_masked_and_counted(verified: Path) -> None:
    for labels in ("verifier", "decoder"):
        generator = load(verified, labels=labels, least_confidence=0)
        confidence = generator.generate(asked()).labels.confidence
        least = float(np.quantile(confidence[confidence > 0.5], 0.5))
        strict = load(verified, labels=labels, least_confidence=least)
        found = strict.generate(asked()).labels
        assert np.array_equal(found.mask, confidence >= least)
        assert (found.confidence[~found.mask] == 0).all()
        counts = strict.counts()  # type: ignore[attr-defined]
        assert counts == {f"{labels}: entries": 12, f"{labels}: masked": int((~found.mask).sum())}
        assert strict.fingerprint != generator.fingerprint


def test_who_reads_the_labels_is_part_of_the_fingerprint(verified: Path, plain: Path) -> None:
    fingerprints = {
        load(verified).fingerprint,
        load(verified, labels="decoder").fingerprint,
        load(verified, least_confidence=0.8).fingerprint,
    }
    assert len(fingerprints) == 3
    assert load(verified, labels="verifier").fingerprint == load(verified).fingerprint
    assert load(plain, labels="decoder").fingerprint == load(plain).fingerprint
    # A verifier or a figure beside the weights changes nothing where it is not used.
    before = load(plain).fingerprint
    (plain / "figures.json").write_text("{}")
    assert load(plain).fingerprint == before


def test_a_verifier_that_cannot_be_used_is_refused(verified: Path, plain: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has none"):
        load(plain, labels="verifier")
    with pytest.raises(ConfigurationError, match="labels='judge'"):
        load(plain, labels="judge")
    with pytest.raises(ConfigurationError, match="least_confidence=1"):
        load(plain, least_confidence=1)
    with pytest.raises(ConfigurationError, match=r"does not read the AUs \[25\]"):
        load(checkpoint(tmp_path / "other", verifier=verifier_of((1, 12))))
    damaged = checkpoint(tmp_path / "damaged", verifier=verifier_of())
    (damaged / "verifier" / "calibration.json").unlink()
    with pytest.raises(StoreError, match="no verifier"):
        load(damaged)


# --- gates by name --------------------------------------------------------------------------------------------------


def test_a_consensus_of_the_checkpoints_own_detectors(verified: Path) -> None:
    generator = load(verified, least_confidence=0)
    gate = open_gate("consensus:3", generator)
    made = generator.generate(asked())
    verdict = gate.judge(asked(), made.images, made.labels)
    said = np.stack([detector(made.images) >= 0.5 for detector in Verifier.load(verified / "verifier").detectors()])
    agreed = said.all(0) | ~said.any(0)
    assert np.array_equal(verdict.labels.mask, agreed)
    np.testing.assert_array_equal(verdict.labels.occurrence[agreed], said[0][agreed])
    # The same networks where its labels are the decoder's.
    other = open_gate("consensus:3", load(verified, labels="decoder"))
    assert other.fingerprint == gate.fingerprint


def test_relabel_weighs_detectors_and_the_request(verified: Path) -> None:
    generator = load(verified, least_confidence=0)
    with pytest.raises(ConfigurationError, match=r"reliability\.json.*|.*benchmarks/maugen\.py"):
        open_gate("relabel", generator)
    detectors = Verifier.load(verified / "verifier").detectors()
    shape = (3, len(AUS))
    known = Reliability(
        AUS,
        tuple(detector.fingerprint for detector in detectors),
        np.full(shape, 0.6),
        np.full(shape, 0.6),
        np.full(3, 0.99),
        np.full(3, 0.01),
        np.full(3, 0.5),
    )
    known.save(verified / "verifier" / "reliability.json")
    try:
        gate = open_gate("relabel:0.8", generator)
        assert isinstance(gate, Relabel)
        assert gate.certainty == 0.8
        conditions = asked()
        made = generator.generate(conditions)
        found = gate.judge(conditions, made.images, made.labels).labels
        # Detectors of .6 change nothing where requests are obeyed in 99 of 100.
        np.testing.assert_array_equal(found.occurrence, conditions.intensity >= 2)
        gated = GatedGenerator(generator, [gate])
        gated.generate(conditions)
        assert {"relabel: relabelled", "relabel: masked", "verifier: entries", "pictures"} <= set(gated.counts())
    finally:
        (verified / "verifier" / "reliability.json").unlink()


def test_relabel_believes_labels_or_the_request() -> None:
    class Sees:
        aus, fingerprint = (12,), "sees"

        def __call__(self, images: np.ndarray) -> np.ndarray:
            return np.full((len(images), 1), 0.9)

    known = Reliability((12,), ("sees",), [[0.6]], [[0.6]], [0.95], [0.05], [0.5])
    conditions = Conditions(np.array([[4.0]]), np.array([0]), np.array([0]))
    images = np.zeros((1, 8, 8, 3), np.uint8)
    labels = Labels.from_intensity((12,), [[0.0]])
    by = {
        claims: Relabel([Sees()], known, 0.8, claims).judge(conditions, images, labels).labels.occurrence[0, 0]
        for claims in ("labels", "request")
    }
    assert by == {"labels": 0, "request": 1}
    with pytest.raises(ConfigurationError, match="claims='rumour'"):
        Relabel([Sees()], known, 0.8, "rumour")  # type: ignore[arg-type]


def test_a_realism_network_of_the_checkpoint(verified: Path) -> None:
    save(RealismNet("plain", 32, width=8), verified / "realism", {})
    gate = open_gate("realism:0.3", load(verified))
    assert isinstance(gate, Realism)
    assert gate.at_least == 0.3


@pytest.mark.parametrize("name", ["consensus", "relabel", "realism"])
def test_gates_that_need_networks_say_so_where_there_are_none(name: str, plain: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"gate '{name}' for no generator"):
        open_gate(name)
    with pytest.raises(ConfigurationError, match="generator 'rendered', which has none of its own"):
        open_gate(name, ausynth.load_generator("rendered", image_size=32))
    with pytest.raises(ConfigurationError, match="has no (verifier|realism)"):
        open_gate(name, load(plain))


def test_a_stream_and_a_warmup_pass_through_them(verified: Path, tmp_path: Path) -> None:
    generator = {"name": str(verified), "device": "cpu", "steps": 1, "block_size": 4}
    stream = ausynth.MixedStream(None, 1, generator=generator, gates=["consensus"], batch_size=4, balance=None)
    batch = stream.batch(0)
    assert batch["image"].shape[0] == 4
    gates = stream.stats()["gates"]
    assert gates["verifier: entries"] == gates["pictures"] * len(AUS)
    config = tmp_path / "stream.yaml"
    config.write_text(f"real: null\nratio: 1\nbalance: null\ngenerator: {generator}\n")
    command = ["warmup", "--config", str(config), "--cache", str(tmp_path / "cache"), "--count", "4", "--workers", "0"]
    done = CliRunner().invoke(app, [*command, "--gate", "consensus"])
    assert done.exit_code == 0, done.output
    assert "consensus: masked" in done.output
    assert "verifier: entries" in done.output
    refused = CliRunner().invoke(app, [*command, "--gate", "consent"])
    assert refused.exit_code == 2
    assert "consensus" in refused.output


def test_a_gated_generator_without_counts_of_its_own_reports_the_gates_alone() -> None:
    class Plain:
        name, fingerprint, image_size, aus, block_size = "plain", "plain", 8, (12,), 1

        def generate(self, conditions: Conditions) -> Generated:
            images = np.zeros((len(conditions), 8, 8, 3), np.uint8)
            return Generated(images, Labels.from_intensity(self.aus, conditions.intensity))

    gated = GatedGenerator(Plain(), [open_gate("jaccard")])
    gated.generate(Conditions(np.array([[3.0]]), np.array([0]), np.array([0])))
    assert gated.counts() == {"agreement: rejected": 0, "pictures": 1, "rejected": 0}
