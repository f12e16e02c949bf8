"""Quality gates: agreement, consensus, naive Bayes, and a generator behind them."""

from __future__ import annotations

import hashlib
import pickle
from itertools import islice

import numpy as np
import pytest
from fakes import FakeGenerator
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from typer.testing import CliRunner

import ausynth
from ausynth import facs
from ausynth.cli import app
from ausynth.errors import AusynthError, ConfigurationError, GenerationError
from ausynth.gates import (
    Agreement,
    Consensus,
    GatedGenerator,
    Realism,
    Relabel,
    Reliability,
    calibration_error,
    facs_agreement,
    jaccard,
    look,
    open_gate,
    vote,
)
from ausynth.generators.base import Conditions, Generated
from ausynth.jobs import open_executor
from ausynth.jobs.options import StreamOptions
from ausynth.jobs.warmup import Warmup
from ausynth.labels import Labels
from ausynth.samplers.combinations import CombinationSampler
from ausynth.sources.synthetic import SyntheticSource
from ausynth.store import Store
from ausynth.testing import check_generator

nan = float("nan")
AUS = facs.DISFA_12


# Agreement


@given(pair=arrays.arrays(np.int8, (2, 3, 12), elements=st.integers(0, 1)))
def test_agreement_is_symmetric_within_0_and_1_and_1_for_equals(pair):
    for measure in (jaccard, facs_agreement):
        agreement = measure(pair[0], pair[1])
        assert np.array_equal(agreement, measure(pair[1], pair[0]))
        assert ((agreement >= 0) & (agreement <= 1)).all()
        assert (measure(pair[0], pair[0]) == 1).all()
    similar = jaccard(pair[0], pair[1])
    assert np.allclose(facs_agreement(pair[0], pair[1]), 2 * similar / (1 + similar))  # as F1 and IoU are


def test_agreement_by_hand():
    found = [[1, 1, 1, 0], [0, 0, 0, 0], [1, nan, 0, 0], [0, 0, 0, 0]]
    wanted = [[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, nan], [1, 0, 0, 0]]
    assert jaccard(found, wanted).tolist() == [0.5, 1, 1, 0]
    assert facs_agreement(found, wanted) == pytest.approx([4 / 6, 1, 1, 0])


@pytest.mark.parametrize(("found", "wanted"), [([[1, 3]], [[1, 0]]), ([[1]], [[1, 0]]), ([1], [1])])
def test_what_is_no_occurrence_is_refused(found, wanted):
    with pytest.raises(ConfigurationError, match="occurrences"):
        jaccard(found, wanted)


# Consensus


def test_two_of_three_decide_and_where_there_are_not_two_nobody_does():
    said = np.array([[[0.9, 0.9, 0.9, nan]], [[0.8, 0.2, nan, nan]], [[0.1, 0.3, 0.2, 0.9]]])
    assert np.array_equal(vote(said), [[1, 0, nan, nan]], equal_nan=True)
    assert np.array_equal(vote(said, at_least=3), [[nan, nan, nan, nan]], equal_nan=True)
    assert np.array_equal(vote(said, margin=0.25), [[1, nan, nan, nan]], equal_nan=True)
    with pytest.raises(ConfigurationError, match="more than half"):
        vote(said, at_least=1)


# Naive Bayes: the simulation of the project's reference, two fifths of the entries asked for.


def simulate(count: int, seed: int, shared: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return requests, truth and what three detectors say, (N, 12), (N, 12), (3, N, 12); `shared`: of their errors."""
    draw = np.random.default_rng(seed)
    asked = draw.random((count, 12)) < 0.4
    truth = np.where(asked, draw.random(asked.shape) < 0.75, draw.random(asked.shape) < 0.05)
    luck = np.where(draw.random(asked.shape) < shared, draw.random(asked.shape), draw.random((3, *asked.shape)))
    said = np.where(truth, luck < 0.8, luck < 0.07)
    return asked.astype(float), truth.astype(float), said.astype(float)


def test_the_simulation_of_the_reference_is_reproduced():
    asked, truth, said = simulate(20_000, seed=1)
    assert (asked != truth).mean() == pytest.approx(0.130, abs=0.002)
    assert (jaccard(vote(said), asked) >= 0.7).mean() == pytest.approx(0.38, abs=0.01)

    reliability = Reliability.measure(AUS, "abc", *(part for part in reversed_simulation(5_000)))
    assert reliability.sensitivity == pytest.approx(np.full((3, 12), 0.8), abs=0.05)
    assert reliability.specificity == pytest.approx(np.full((3, 12), 0.93), abs=0.03)
    present = reliability.probability(said, asked)
    guessed, sure = present >= 0.5, np.maximum(present, 1 - present)
    assert (guessed != truth).mean() == pytest.approx(0.033, abs=0.002)
    certain = sure >= 0.9
    assert certain.mean() == pytest.approx(0.93, abs=0.01)
    assert (guessed != truth)[certain].mean() == pytest.approx(0.0075, abs=0.001)
    assert ((vote(said) != truth).mean()) > (guessed != truth).mean()  # the request is worth something
    assert calibration_error(sure, guessed == truth) < 0.01


def reversed_simulation(count: int, **options: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    asked, truth, said = simulate(count, seed=2, **options)
    return said, asked, truth


def test_detectors_that_err_together_are_calibrated():
    asked, truth, said = simulate(20_000, seed=3, shared=0.6)
    errors = {}
    for calibrate in (False, True):
        known = Reliability.measure(AUS, "abc", *reversed_simulation(5_000, shared=0.6), calibrate=calibrate)
        present = known.probability(said, asked)
        sure, right = np.maximum(present, 1 - present), (present >= 0.5) == truth
        errors[calibrate] = calibration_error(sure, right)
    assert known.detector_weight < 0.6 < known.claim_weight
    assert errors[True] < 0.2 * errors[False]


def test_the_sum_of_log_odds_by_hand():
    known = Reliability((1,), "ab", [[0.8], [0.6]], [[0.93], [0.7]], [0.75], [0.05], [0.3])

    def odds(said: list[float], claimed: float) -> float:
        logits = known.parts([[[word]] for word in said], [[claimed]])
        present = known.probability([[[word]] for word in said], [[claimed]])[0, 0]
        assert present / (1 - present) == pytest.approx(np.exp(logits[0] + logits[1])[0, 0])
        return present / (1 - present)

    assert odds([1, 0], 1) == pytest.approx(3 * (0.8 / 0.07) * (0.4 / 0.7))
    assert odds([1, nan], 0) == pytest.approx(0.05 / 0.95 * 0.8 / 0.07)
    assert odds([nan, nan], nan) == pytest.approx(0.3 / 0.7)


def test_reliability_of_few_pictures_is_no_certainty_and_unknown_truth_does_not_count():
    truth = [[1, nan], [1, nan], [0, nan]]
    known = Reliability.measure((1, 12), "a", [[[1, 1], [1, 0], [0, 1]]], np.nan_to_num(truth), truth)
    assert known.sensitivity.tolist() == [[0.75, 0.5]]
    assert known.rate.tolist() == [0.6, 0.5]


def test_reliability_is_kept_in_a_file(tmp_path):
    known = Reliability.measure(AUS, "abc", *reversed_simulation(200))
    known.save(tmp_path / "known.json")
    again = Reliability.load(tmp_path / "known.json")
    asked, _, said = simulate(50, seed=4)
    assert np.array_equal(again.probability(said, asked), known.probability(said, asked))
    (tmp_path / "other.json").write_text("{}")
    for name in ("other.json", "none.json"):
        with pytest.raises(ConfigurationError, match="Reliability.save"):
            Reliability.load(tmp_path / name)


# A generator behind gates


class Noisy(FakeGenerator):
    """A generator whose pictures have texture, that obeys in three of four AUs, and that echoes its requests."""

    licence = "CC0"

    def truth(self, conditions: Conditions) -> np.ndarray:
        """Return (B, A) which AUs it shows, by its pictures' own seeds."""
        obeys = [
            np.random.default_rng([int(i), int(n)]).random(len(self.aus)) < 0.75
            for i, n in zip(conditions.identity, conditions.noise, strict=True)
        ]
        return (conditions.intensity >= 2) & np.array(obeys, bool).reshape(len(conditions), len(self.aus))

    def generate(self, conditions: Conditions) -> Generated:
        if conditions.intensity.shape[1] != len(self.aus):
            raise ConfigurationError(f"{conditions.intensity.shape[1]} columns", expected=f"{len(self.aus)}")
        made = super().generate(conditions)
        shown = self.truth(conditions)
        for row, image in enumerate(made.images):  # what a picture shows stands in its first row
            image[1:] ^= np.random.default_rng(row % self.block_size).integers(0, 64, image[1:].shape, np.uint8)
            image[0, : len(self.aus), 0] = 255 * shown[row, : image.shape[1]]
        return made


class Eye:
    """A detector that reads the first row of a `Noisy` picture, and errs by the picture's own hash."""

    def __init__(self, name: str, errors: float = 0.1, aus: tuple[int, ...] = AUS) -> None:
        self.fingerprint, self.errors, self.aus = name, errors, aus
        self.sizes: list[int] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.sizes.append(len(images))
        said = np.empty((len(images), len(self.aus)))
        for row, image in enumerate(images):
            shows = image[0, [AUS.index(au) for au in self.aus], 0] > 0
            digest = hashlib.sha256(self.fingerprint.encode() + image.tobytes()).digest()
            errs = np.random.default_rng(list(digest)).random(len(self.aus)) < self.errors
            said[row] = np.where(shows != errs, 0.9, 0.1)
        return said


def lightness(images: np.ndarray) -> np.ndarray:
    return images[:, 1:].mean(axis=(1, 2, 3)) / 255


def conditions(count: int, seed: int = 0) -> Conditions:
    row = np.arange(count) + 1000 * seed
    return Conditions(CombinationSampler(AUS).sample(row, seed), row, row + 7)


EYES = [Eye("left"), Eye("right"), Eye("third")]
KNOWN = Reliability(
    AUS, ("left", "right", "third"), np.full((3, 12), 0.9), np.full((3, 12), 0.9), [0.75] * 12, [0.01] * 12, [0.2] * 12
)


def noisy(**options: object) -> Noisy:
    return Noisy(aus=AUS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("inner", [1, 4])
@pytest.mark.parametrize(
    "gates",
    [
        [Agreement()],
        [Agreement("facs", 0.7, EYES)],
        [Realism(lightness, 0.3)],
        [Consensus(EYES)],
        [Relabel(EYES, KNOWN)],
        [Realism(lightness, 0.3), Relabel(EYES, KNOWN), Agreement("jaccard", 0.5)],
    ],
)
def test_a_generator_behind_gates_keeps_the_contract(gates, inner):
    check_generator(GatedGenerator(noisy(block_size=inner), gates, block_size=4))


def test_one_picture_at_a_time_where_that_is_asked():
    eye = Eye("one")
    check_generator(GatedGenerator(noisy(), [Consensus([eye, Eye("two")])], block_size=1))
    assert set(eye.sizes) == {1}


def test_gates_see_one_block_at_a_time():
    eye = Eye("one")
    gated = GatedGenerator(noisy(), [Consensus([eye, Eye("two")])])
    assert gated.block_size == 32
    gated.generate(conditions(96))
    assert eye.sizes == [32, 32, 32]
    assert GatedGenerator(noisy(block_size=8), [Agreement()]).block_size == 8
    with pytest.raises(ConfigurationError, match="a multiple of the generator's, 8"):
        GatedGenerator(noisy(block_size=8), [Agreement()], block_size=12)


def test_relabelling_brings_labels_nearer_to_the_truth_and_keeps_every_picture():
    generator = noisy()
    gated, asked = GatedGenerator(generator, [Relabel(EYES, KNOWN, certainty=0.95)]), conditions(320)
    made, truth = gated.generate(asked), generator.truth(asked)
    assert made.accepted.all()
    known = made.labels.mask
    wrong = (made.labels.occurrence == 1) != truth
    assert ((asked.intensity >= 2) != truth).mean() > 0.03
    assert wrong[known].mean() < 0.01
    assert known.mean() > 0.9
    assert (made.labels.confidence[~known] == 0).all()
    assert (made.labels.confidence[known] >= 0.95).all()

    # An intensity stays where its occurrence does, and is unknown where that turned out otherwise.
    as_asked = made.labels.occurrence == (asked.intensity >= 2)
    assert np.array_equal(made.labels.intensity[as_asked], asked.intensity[as_asked])
    assert np.isnan(made.labels.intensity[~as_asked]).all()

    counts = gated.counts()
    assert counts["pictures"] == 320
    assert counts["rejected"] == 0
    assert counts["relabel: masked"] == (~known).sum()
    assert counts["relabel: relabelled"] == (known & ~as_asked).sum() > 0


def test_a_consensus_masks_what_detectors_do_not_agree_on_or_know():
    fewer = [Eye("left", 0.2), Eye("right", 0.2, aus=AUS[:6])]
    made = GatedGenerator(noisy(), [Consensus(fewer)]).generate(conditions(64))
    assert not made.labels.mask[:, 6:].any()
    said = look(fewer, made.images, AUS)
    agree = (said[0] >= 0.5) == (said[1] >= 0.5)
    assert np.array_equal(made.labels.mask[:, :6], agree[:, :6])
    assert made.labels.confidence[made.labels.mask] == pytest.approx(0.9)


def test_a_picture_that_is_not_as_asked_is_drawn_again():
    generator = noisy()
    gate = Agreement("jaccard", 0.7, [Eye("sharp", errors=0)])
    gated = GatedGenerator(generator, [gate], block_size=8)
    source = SyntheticSource(gated, CombinationSampler(AUS), seed=5)
    images = np.empty((64, 16, 16, 3), np.uint8)
    source.begin(np.arange(64))(images)
    found = Eye("sharp", errors=0)(images) > 0.5
    asked = source.conditions(np.arange(64)).intensity >= 2
    assert (jaccard(found, asked) >= 0.7).all()
    assert source.rejected > 10
    assert gated.counts()["agreement: rejected"] >= source.rejected

    free = SyntheticSource(generator, CombinationSampler(AUS), seed=5)
    before = np.empty_like(images)
    free.begin(np.arange(64))(before)
    shown = jaccard(generator.truth(free.conditions(np.arange(64))), asked) >= 0.7
    assert np.array_equal(images[shown], before[shown])
    assert (images[~shown] != before[~shown]).any(axis=(1, 2, 3)).all()


def test_a_request_that_no_picture_meets_is_named():
    gated = GatedGenerator(noisy(), [Realism(lightness, 1.0)])
    source = SyntheticSource(gated, CombinationSampler(AUS), seed=5)
    with pytest.raises(GenerationError, match=r"rejected 17 times.*the generator's gates"):
        source.begin(np.arange(4))(np.empty((4, 16, 16, 3), np.uint8))


def test_a_stream_behind_gates_is_the_same_cold_warm_and_in_any_order(tmp_path):
    def make(**options: object) -> ausynth.MixedStream:
        gates = [Agreement("facs", 0.6, EYES), Relabel(EYES, KNOWN)]
        gated = GatedGenerator(noisy(), gates, block_size=8)
        common = {"real": None, "ratio": 1, "balance": None, "image_size": 16, "batch_size": 16, "aus": "disfa-12"}
        return ausynth.MixedStream(**{"generator": gated, "threads": 0, **common, **options})  # type: ignore[arg-type]

    cold = list(islice(make(), 4))
    filling = make(cache=tmp_path / "faces")
    assert filling.warm(0, 64) == 64
    warm = make(cache=tmp_path / "faces")
    backwards = [warm.batch(step) for step in (3, 2, 1, 0)][::-1]
    for first, second, third in zip(cold, islice(warm, 4), backwards, strict=True):
        for name in ("image", "occurrence", "intensity", "confidence", "identity"):
            assert np.array_equal(first[name], second[name], equal_nan=True)
            assert np.array_equal(first[name], third[name], equal_nan=True)
    assert filling.stats()["rejected"] > 0
    assert warm.stats()["rejected"] == 0
    assert not all(batch["mask"].all() for batch in cold)


def test_a_balance_is_solved_through_the_gates(tmp_path):
    gated = GatedGenerator(noisy(), [Agreement("facs", 0.4, EYES), Relabel(EYES, KNOWN)])
    stream = ausynth.MixedStream(
        real=None, ratio=1, generator=gated, balance="soft", image_size=16, batch_size=256, aus="disfa-8", threads=0
    )
    rates = np.nanmean(np.concatenate([batch["occurrence"] for batch in islice(stream, 4)]), axis=0)
    assert (rates > 0.08).all()


def test_all_that_a_generator_says_of_itself_but_its_labels_holds_behind_gates():
    class Labelling(Noisy):
        device = "cpu"
        trained_on = ("SN001",)

        def label(self, conditions: Conditions) -> Labels:
            return self.generate(conditions).labels

    gated = GatedGenerator(Labelling(aus=AUS), [Agreement()])
    assert (gated.device, gated.licence, gated.trained_on) == ("cpu", "CC0", ("SN001",))
    assert not hasattr(gated, "label")
    assert not hasattr(gated, "reads_prompts")
    again = pickle.loads(pickle.dumps(GatedGenerator(noisy(), [Relabel(EYES, KNOWN)])))
    assert again.fingerprint == GatedGenerator(noisy(), [Relabel(EYES, KNOWN)]).fingerprint


def test_every_setting_of_a_gate_is_in_the_fingerprint():
    other = Reliability(**{**vars(KNOWN), "offset": 0.5})
    gates = [
        [Agreement()],
        [Agreement("facs")],
        [Agreement(at_least=0.6)],
        [Agreement(threshold=3)],
        [Agreement(detectors=EYES)],
        [Realism(lightness)],
        [Realism(lightness, 0.6)],
        [Consensus(EYES)],
        [Consensus(EYES, 3)],
        [Consensus(EYES, margin=0.1)],
        [Consensus(EYES[:2])],
        [Relabel(EYES, KNOWN)],
        [Relabel(EYES, KNOWN, 0.8)],
        [Relabel(EYES, other)],
        [Agreement(), Realism(lightness)],
        [Realism(lightness), Agreement()],
    ]
    found = {GatedGenerator(noisy(), chosen).fingerprint for chosen in gates} | {noisy().fingerprint}
    found.add(GatedGenerator(noisy(), [Agreement()], block_size=4).fingerprint)
    assert len(found) == len(gates) + 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Agreement("f1"), "measure='f1'"),
        (lambda: Agreement(at_least=0), "at_least=0"),
        (lambda: Agreement(detectors=[lightness]), "callable with `aus`"),
        (lambda: Realism(lambda images: images), "no name of its own"),
        (lambda: Consensus(EYES[:1]), "a consensus of 1"),
        (lambda: Consensus(EYES, 1), "more than half"),
        (lambda: Relabel(EYES[::-1], KNOWN), "the reliability of detectors"),
        (lambda: Relabel(EYES, KNOWN, 0.5), "certainty=0.5"),
        (lambda: GatedGenerator(noisy(), []), "one or more"),
        (lambda: GatedGenerator(noisy(), [lightness]), "one or more"),
        (lambda: Reliability((1,), "a", [[1.0]], [[0.9]], [0.5], [0.5], [0.5]), "neither included"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        wrong()


def test_a_detector_that_gives_no_probabilities_is_named():
    class Loud(Eye):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            return super().__call__(images) * 10

    with pytest.raises(AusynthError, match="detector loud returned.*values from 1 to 9"):
        look([Loud("loud")], noisy().generate(conditions(4)).images, AUS)


def test_reliability_is_measured_with_the_detectors_themselves():
    generator, asked = noisy(), conditions(400)
    made = generator.generate(asked)
    truth = Labels.from_intensity(AUS, 2 * generator.truth(asked))
    known = Reliability.of(EYES, made.images, made.labels, truth)
    assert known.detectors == ("left", "right", "third")
    assert known.specificity.mean() == pytest.approx(0.9, abs=0.02)
    assert known.sensitivity.mean() == pytest.approx(0.9, abs=0.05)
    assert known.if_claimed.mean() == pytest.approx(0.75, abs=0.07)
    Relabel(EYES, known)
    with pytest.raises(ConfigurationError, match="as many of each"):
        Reliability.of(EYES, made.images[:3], made.labels, truth)


# Where gates are given by name, and where their counts go


def test_gates_by_name():
    for name, least in (("jaccard", 0.5), ("facs", 0.7), ("jaccard:0.9", 0.9), ("facs:1", 1.0)):
        gate = open_gate(name)
        assert (gate.name, gate.measure, gate.at_least) == ("agreement", name.partition(":")[0], least)
    own = Relabel(EYES, KNOWN)
    assert open_gate(own) is own
    for wrong in ("realism", "jaccard:much", "jaccard:2", "", 7):
        with pytest.raises(ConfigurationError):
            open_gate(wrong)


def stream(**options: object) -> ausynth.MixedStream:
    common = {"real": None, "ratio": 1, "balance": None, "image_size": 16, "batch_size": 32, "aus": "disfa-12"}
    return ausynth.MixedStream(**{**common, "threads": 0, **options})  # type: ignore[arg-type]


def test_a_stream_takes_gates_and_says_what_they_did():
    gates = [Agreement("facs", 0.5, EYES), Relabel(EYES, KNOWN)]
    gated, free = stream(generator=noisy(), gates=gates), stream(generator=noisy())
    batch = gated.batch(0)
    assert gated.plan != free.plan
    assert np.array_equal(batch["image"], stream(generator=GatedGenerator(noisy(), gates)).batch(0)["image"])
    stats = gated.stats()
    assert stats["gates"]["pictures"] >= 32
    assert stats["gates"]["agreement: rejected"] >= stats["rejected"] > 0
    assert stats["gates"]["relabel: masked"] > 0
    free.batch(0)
    assert free.stats()["gates"] == {}


def test_gates_have_nothing_to_do_where_nothing_is_generated(tmp_path):
    for options in ({"generator": None, "cache": tmp_path}, {"synthetic": tmp_path}):
        with pytest.raises(ConfigurationError, match="gates where nothing is generated"):
            stream(gates=["facs"], **options)
    with pytest.raises(ConfigurationError, match="a list"):
        stream(generator=noisy(), gates="facs")


class Echo(Noisy):
    """A `Noisy` generator whose labels are read from its pictures."""

    def generate(self, conditions: Conditions) -> Generated:
        return Generated(super().generate(conditions).images, Labels.from_intensity(AUS, 2.0 * self.truth(conditions)))


def test_a_warmup_passes_through_gates_and_says_what_they_did(tmp_path):
    options = StreamOptions(
        {"real": None, "ratio": 1, "balance": None, "generator": Echo(aus=AUS), "image_size": 16, "seed": 2}
        | {"gates": ["jaccard:0.7"], "cache": tmp_path / "faces", "aus": "disfa-12"}
    )
    with open_executor("local", 0) as crew:
        warmed = Warmup(options, count=128).run(crew)
    assert warmed.complete
    assert warmed.counts["agreement: rejected"] > 0
    assert warmed.counts["pictures"] > 128

    pool = Store(tmp_path / "faces")
    assert pool.recipe.about["gates"] == [f"agreement {Agreement('jaccard', 0.7).fingerprint}"]
    assert pool.recipe.about["licence"] == "CC0"
    kept = pool.samples(np.arange(128))
    assert (jaccard(kept.labels.occurrence, kept.asked >= 2) >= 0.7).all()
    assert (kept.attempt > 0).any()


def test_the_command_takes_a_gate(tmp_path):
    command = ["warmup", "--real", "none", "--cache", str(tmp_path / "faces"), "--count", "8", "--aus", "disfa-8"]
    command += ["--image-size", "32", "--balance", "none", "--workers", "0", "--gate", "facs:0.6", "--gate", "jaccard"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "counted: agreement: rejected" in result.output
    wrong = CliRunner().invoke(app, [*command, "--gate", "beauty"])
    assert wrong.exit_code != 0
