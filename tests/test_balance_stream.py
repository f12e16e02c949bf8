"""What a balanced stream emits: counted from its batches, never read off the solution."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import FakeGenerator
from torch.utils.data import DataLoader

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated
from ausynth.label_process import LabelProcess
from ausynth.labels import Labels
from ausynth.samplers import Balance, Channel, CombinationSampler, baseline, calibrate
from ausynth.samplers.problem import Problem
from ausynth.samplers.published import published_rates
from ausynth.stream import MixedStream

PEOPLE, FRAMES = 9, 2_200
DRAWN = 20_000


class Recording:
    """Frames in runs with the published statistics of a data set; the pixels of frame i are i // 256 and i % 256."""

    def __init__(self, name: str = "disfa", people: int = PEOPLE, frames: int = FRAMES, seed: int = 0) -> None:
        process = LabelProcess.published(name)
        drawn = process.draw(people, frames, seed=seed)
        self.name, self.benchmark = name, process.aus
        self.labels = Labels.from_intensity(process.aus, drawn.reshape(-1, len(process.aus)))
        self.subjects = tuple(f"{name}-{number}" for number in range(people))
        self.identities = np.repeat(np.arange(people), frames)
        self.fingerprint = f"{name} {people} {frames} {seed}"

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Any, out: np.ndarray) -> None:
        number = np.asarray(indices)
        out[:] = np.stack([number * 0, number // 256, number % 256], axis=1)[:, None, None].astype(np.uint8)


class Twisting(FakeGenerator):
    """A dropped jaw parts the lips, and lowered brows fail for every other noise."""

    asked: list[np.ndarray]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked = []

    @property
    def fingerprint(self) -> str:
        return f"twisting {super().fingerprint}"

    def shown(self, conditions: Conditions) -> Labels:
        intensity = conditions.intensity.copy()
        brows, lips, jaw = (self.aus.index(au) for au in (4, 25, 26))
        intensity[:, lips] = np.maximum(intensity[:, lips], intensity[:, jaw])
        intensity[conditions.noise % 2 == 0, brows] = 0
        return Labels.from_intensity(self.aus, intensity)

    def generate(self, conditions: Conditions) -> Generated:
        self.asked.append(conditions.intensity)
        return Generated(super().generate(conditions).images, self.shown(conditions))


class Saying(Twisting):
    """The same, and it says so without drawing."""

    def label(self, conditions: Conditions) -> Labels:
        return self.shown(conditions)


def make(real: Any, ratio: float = 0.5, **options: Any) -> MixedStream:
    options = {"generator": FakeGenerator(), "image_size": 16, "batch_size": 1000, **options}
    return MixedStream(real, ratio, **options)


def emitted(stream: MixedStream, samples: int = DRAWN) -> dict[str, np.ndarray]:
    """Return the fields of the first batches of a stream, joined."""
    batches = [stream.batch(k) for k in range(-(-samples // stream.batch_size))]
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0] if name != "step"}


def rates(occurrence: np.ndarray) -> np.ndarray:
    return np.nanmean(occurrence, axis=0)


def worst_window(occurrence: np.ndarray, expected: np.ndarray, window: int = 1000) -> float:
    """Return how far the rates of any `window` consecutive samples are off, at most."""
    counts = np.concatenate([np.zeros((1, occurrence.shape[1])), np.cumsum(occurrence, axis=0)])
    return float(np.abs((counts[window:] - counts[:-window]) / window - expected).max())


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("solved or measured again")


@pytest.fixture(scope="module")
def disfa() -> Recording:
    return Recording()


@pytest.fixture(scope="module")
def streams(disfa: Recording, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, float], Any]:
    """Return streams with what their first 20,000 samples are."""
    cases = itertools.chain(itertools.product(["soft", "hard"], [0.5, 1]), [("soft", 0), ("natural", 0.5)])
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUSYNTH_CACHE", str(tmp_path_factory.mktemp("solutions")))
        for target, ratio in cases:
            stream = make(disfa, ratio, balance=target)
            found[target, ratio] = (stream, emitted(stream))
    return found


BOTH = [("soft", 0.0), ("soft", 0.5), ("hard", 0.5), ("natural", 0.5), ("soft", 1.0), ("hard", 1.0)]


# What comes out


@pytest.mark.parametrize("case", BOTH)
def test_rates_of_the_stream_are_those_solved_for(streams, case):
    stream, batch = streams[case]
    expected = stream.balance.reached_rates
    assert np.abs(rates(batch["occurrence"]) - expected).max() < 0.005
    assert worst_window(batch["occurrence"], expected) < 0.02


@pytest.mark.parametrize("case", [case for case in BOTH if case[1] > 0])
def test_what_is_solved_for_is_what_was_asked(streams, case):
    balance = streams[case][0].balance
    assert balance.target == case[0]
    assert balance.marginal_error < (0.01 if case[0] == "hard" else 0.002)  # AU5 is rare, and two people's


@pytest.mark.parametrize("case", BOTH)
def test_aus_occur_together_as_often_as_solved_for(streams, case):
    stream, batch = streams[case]
    with np.errstate(invalid="ignore"):
        phi = np.corrcoef(batch["occurrence"].T)
    off = np.abs(phi - stream.balance.reached_phi)
    assert np.nanmax(off) < 0.03
    natural = stream.balance.natural_phi
    if case == ("hard", 0.5):
        assert np.nanmax(np.abs(natural)) > 0.5
        assert np.nanmax(np.abs(np.where(np.eye(12), np.nan, phi))) < 0.03


@pytest.mark.parametrize("case", [case for case in BOTH if case[1] > 0])
def test_levels_come_in_their_shares(streams, case):
    stream, batch = streams[case]
    balance = stream.balance
    for column, au in enumerate(balance.aus):
        level = batch["intensity"][batch["synthetic"], column]
        present = level >= 2
        found = np.bincount(level.astype(int), minlength=6) / len(level)
        side = np.where(np.arange(6) < 2, 1 - present.mean(), present.mean())
        assert np.abs(found - balance.levels[column] * side).max() < 0.01, au


def test_levels_of_the_whole_stream_are_those_asked_for(streams):
    """The real side's levels are made up for by the synthetic side's."""
    from ausynth.samplers.statistics import LabelTable
    from ausynth.samplers.targets import resolve

    stream, batch = streams["soft", 0.5]
    table = LabelTable.of_labels(stream.real[0].labels)
    asked = resolve("soft", table.aus, table).levels
    for column, au in enumerate(table.aus):
        level = batch["intensity"][:, column]
        present = level >= 2
        found = np.bincount(level.astype(int), minlength=6) / len(level)
        side = np.where(np.arange(6) < 2, 1 - present.mean(), present.mean())
        assert np.abs(found - asked[column] * side).max() < 0.01, au


@pytest.mark.parametrize("case", [("soft", 0.0), ("hard", 0.5)])
def test_a_weight_is_how_often_a_frame_comes_in_an_epoch(streams, disfa, case):
    stream, batch = streams[case]
    if case[1]:  # 20,000 samples hold half an epoch of real frames
        batch = emitted(stream, 2 * len(disfa))
    pixels = batch["image"][~batch["synthetic"], :, 0, 0].astype(int)
    shown = (pixels[:, 1] * 256 + pixels[:, 2])[: len(disfa)]
    copies = np.bincount(shown, minlength=len(disfa))
    weights = stream.balance.real_weights
    assert (copies >= np.floor(weights - 1e-9)).all()
    assert (copies <= np.ceil(weights + 1e-9)).all()
    assert copies.sum() == len(disfa)
    assert weights.max() > 1.5  # there is something to round


def test_without_synthetic_samples_real_frames_are_weighed_and_the_rest_is_said(streams, disfa):
    stream, batch = streams["soft", 0.0]
    assert not batch["synthetic"].any()
    before, after = rates(disfa.labels.occurrence), rates(batch["occurrence"])
    rare = before < 0.05
    assert (after[rare] > 1.5 * before[rare]).all()
    said = stream.balance.report()
    assert said["unreached_rates"]
    assert any("Not reached" in note for note in said["notes"])


@pytest.mark.parametrize("case", [("soft", 0.0), ("hard", 0.5)])
def test_everyone_carries_as_much(streams, disfa, case):
    """Weights alone would have the few people who show a rare AU carry the real side."""
    stream, batch = streams[case]
    if case[1]:
        batch = emitted(stream, 2 * len(disfa))
    people = np.bincount(batch["identity"][~batch["synthetic"]][: len(disfa)] % PEOPLE)
    assert people / len(disfa) == pytest.approx(np.full(PEOPLE, 1 / PEOPLE), abs=0.005)
    alone = calibrate(disfa.labels, ratio=case[1], target=case[0])
    carried = np.bincount(disfa.identities, alone.real_weights) / len(disfa)
    assert carried.max() > 1.3 / PEOPLE


def test_corrections_are_of_the_rates_that_come_out(streams):
    stream, batch = streams["soft", 0.5]
    found, natural = rates(batch["occurrence"]), stream.balance.natural_rates
    assert stream.pos_weight().dtype == torch.float32
    assert stream.pos_weight().numpy() == pytest.approx((1 - found) / found, rel=0.03)
    assert stream.loss_weights().numpy() == pytest.approx(12 / found / (1 / found).sum(), rel=0.03)
    offsets = np.log(natural / (1 - natural)) - np.log(found / (1 - found))
    assert stream.logit_offsets().numpy() == pytest.approx(offsets, abs=0.05)
    torch.nn.BCEWithLogitsLoss(pos_weight=stream.pos_weight())(torch.zeros(2, 12), torch.ones(2, 12))


# A generator that shows something else than was asked


@pytest.mark.parametrize(("generator", "limit"), [(Saying, 0.01), (Twisting, 0.02)])
@pytest.mark.parametrize("ratio", [0.5, 1])
def test_what_a_generator_makes_of_requests_is_solved_through(disfa, generator, limit, ratio):
    """A pilot of 1,000 labels, or of 256 pictures where labels are not to be had without them."""
    twisting = generator()
    stream = make(disfa, ratio, generator=twisting)
    assert (len(twisting.asked) == 0) == (generator is Saying)
    batch = emitted(stream)
    assert np.abs(rates(batch["occurrence"]) - stream.balance.asked_rates).max() < limit
    assert np.abs(rates(batch["occurrence"]) - stream.balance.reached_rates).max() < limit
    # It took other requests: twice as many lowered brows, as half of them fail.
    asked = rates(np.concatenate(twisting.asked) >= 2)
    shown = rates(batch["occurrence"][batch["synthetic"]])
    brows = disfa.labels.aus.index(4)
    assert asked[facs.UNION_17.index(4)] > 1.6 * shown[brows]
    assert any("solved through" in note for note in stream.balance.notes)


def test_unsolved_requests_would_miss(disfa, streams):
    """The limits above are met because of the pilot, not in spite of it."""
    naive = calibrate(disfa.labels, ratio=0.5, controls=facs.UNION_17, subjects=disfa.identities)
    from ausynth.samplers import BalancedSampler

    stream = make(disfa, generator=Saying(), sampler=BalancedSampler(naive, facs.UNION_17))
    assert np.abs(rates(emitted(stream)["occurrence"]) - naive.asked_rates).max() > 0.05


def test_an_odd_block_is_measured_in_whole_blocks(disfa):
    generator = Twisting(block_size=12)
    stream = make(disfa, generator=generator)
    assert 256 <= sum(generator.calls) < 256 + 36  # it asserts by itself that no part of a block is asked for
    assert stream.balance is not None


@pytest.mark.parametrize("threshold", [1, 3])
def test_rates_hold_at_the_threshold_of_the_stream(disfa, threshold):
    stream = make(disfa, threshold=threshold, generator=Saying())
    assert stream.balance.first_level == threshold
    batch = emitted(stream)
    assert np.array_equal(batch["occurrence"], batch["intensity"] >= threshold)
    assert np.abs(rates(batch["occurrence"]) - stream.balance.reached_rates).max() < 0.02


# Other sides


@pytest.mark.parametrize("target", ["soft", "hard"])
def test_without_real_data_the_published_rates_are_natural(target):
    stream = make(None, 1, aus=facs.DISFA_12, balance=target)
    known = published_rates(facs.DISFA_12)
    bounds = {"soft": np.clip(np.sqrt(0.3 * known), 0.1, 0.5), "hard": np.clip(known, 0.3, 0.5)}
    assert stream.balance.asked_rates == pytest.approx(bounds[target])
    assert np.abs(rates(emitted(stream)["occurrence"]) - bounds[target]).max() < 0.005


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of 4,000 faces that were asked for without any balance, and show something else again."""
    folder = tmp_path_factory.mktemp("pool") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUSYNTH_CACHE", str(tmp_path_factory.mktemp("solutions")))
        make(None, 1, generator=Twisting(), balance=None, cache=folder).warm(0, 4_000)
    return folder


@pytest.mark.parametrize("ratio", [0.5, 1])
def test_a_pool_is_weighed_by_what_its_faces_show(disfa, pool, ratio):
    stream = make(disfa, ratio, synthetic=pool, generator=None, balance="hard")
    assert len(stream.balance.pool_weights) == 4_000
    assert not len(stream.balance.patterns)
    batch = emitted(stream)
    assert np.abs(rates(batch["occurrence"]) - stream.balance.reached_rates).max() < 0.005
    assert worst_window(batch["occurrence"], stream.balance.reached_rates) < 0.02
    unweighed = rates(emitted(make(disfa, ratio, synthetic=pool, generator=None, balance=None))["occurrence"])
    asked = stream.balance.asked_rates
    assert np.abs(rates(batch["occurrence"]) - asked).mean() < 0.5 * np.abs(unweighed - asked).mean()


def test_a_pool_has_the_rates_of_the_streams_threshold(disfa, pool):
    stream = make(disfa, synthetic=pool, generator=None, threshold=3)
    assert np.abs(rates(emitted(stream)["occurrence"]) - stream.balance.reached_rates).max() < 0.005


def test_a_sampler_or_none_switches_balance_off(disfa):
    for stream in (make(disfa, sampler=CombinationSampler(facs.UNION_17)), make(disfa, balance=None)):
        assert stream.balance is None
        for ask in (stream.pos_weight, stream.loss_weights, stream.logit_offsets):
            with pytest.raises(ConfigurationError, match="not balanced"):
                ask()
        shown = emitted(stream, 4 * len(disfa))
        pixels = shown["image"][~shown["synthetic"], :, 0, 0].astype(int)
        frames = (pixels[:, 1] * 256 + pixels[:, 2])[: len(disfa)]
        assert len(set(frames.tolist())) == len(disfa)  # each once before any comes again


def test_nothing_impossible_is_asked_on_the_union():
    """Two data sets that code different AUs: 17 together, some of which no face shows at once."""
    sources = [Recording("disfa", 3, 500), Recording("bp4d", 3, 500)]
    stream = make(sources, 0.5, aus="union", balance="hard", generator=Saying())
    assert stream.aus == facs.UNION_17
    stream.generator.asked.clear()
    batch = emitted(stream, 10_000)
    asked = np.concatenate(stream.generator.asked)
    assert len(asked) == 5_000
    assert facs.is_possible(asked, facs.UNION_17).all()
    assert (batch["mask"][batch["synthetic"]]).all()
    assert not batch["mask"][~batch["synthetic"]].all()
    # What holds among the samples in which an AU is known is what was asked.
    assert np.abs(rates(batch["occurrence"]) - stream.balance.reached_rates).max() < 0.02
    # Real frames that break the rules stay, whatever is asked of a generator.
    assert stream.balance.real_weights.min() >= 0.05


# A balance of one's own


def test_a_balance_that_was_calibrated_elsewhere_is_taken(disfa):
    balance = calibrate(disfa.labels, ratio=0.5, target="hard", controls=facs.UNION_17)
    stream = make(disfa, balance=balance)
    assert stream.balance.real_weights is balance.real_weights
    assert np.abs(rates(emitted(stream)["occurrence"]) - balance.reached_rates).max() < 0.005
    weighed = baseline(disfa.labels, "repeat factor", ratio=0.5)
    assert np.abs(rates(emitted(make(disfa, balance=weighed))["occurrence"]) - weighed.reached_rates).max() < 0.005


def test_a_balance_that_was_solved_through_is_not_solved_through_again(disfa):
    first = make(disfa, generator=Saying())
    again = make(disfa, generator=Saying(), balance=Balance.from_dict(json.loads(json.dumps(first.balance.to_dict()))))
    assert again.plan == first.plan
    with pytest.raises(ConfigurationError, match="another generator"):
        make(disfa, balance=first.balance)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ratio": 0.25}, "ratio 0.5"),
        ({"aus": facs.DISFA_8}, "AUs"),
        ({"threshold": 3}, "lowest level"),
        ({"real": Recording(frames=100)}, "real frames 19800"),
        ({"real": Recording(seed=1)}, "other labels"),
    ],
)
def test_a_balance_of_something_else_is_refused(disfa, change, says):
    balance = calibrate(disfa.labels, ratio=0.5, controls=facs.UNION_17)
    with pytest.raises(ConfigurationError, match=says):
        make(**{"real": disfa, "balance": balance, **change})


@pytest.mark.parametrize("wrong", ["softly", 0.3, "Balance"])
def test_an_unknown_balance_is_refused(disfa, wrong):
    with pytest.raises(ConfigurationError, match="'soft', 'hard', 'natural', 'uniform'"):
        make(disfa, balance=wrong)


# One plan, solved once


def test_every_question_has_its_own_plan(disfa):
    plans = [
        make(disfa).plan,
        make(disfa, 0.25).plan,
        make(disfa, balance="hard").plan,
        make(disfa, balance=None).plan,
        make(disfa, aus="disfa-8").plan,
        make(disfa, threshold=3).plan,
        make(disfa, seed=1).plan,
        make(disfa, generator=Saying()).plan,
        make(Recording(people=8)).plan,
        make([disfa, Recording("bp4d", 3, 500)]).plan,
        make([disfa, Recording("bp4d", 3, 500)], weights=[1, 1]).plan,
    ]
    assert len(set(plans)) == len(plans)
    assert make(disfa).plan == plans[0]


def test_a_resumed_stream_neither_solves_nor_measures_again(disfa, monkeypatch):
    first = make(disfa, generator=Twisting(), batch_size=8)
    expected, state = first.batch(3), first.state_dict(after=first.batch(2))
    monkeypatch.setattr(Problem, "solve", never)
    monkeypatch.setattr(Channel, "measure", never)
    again = make(disfa, generator=Twisting(), batch_size=8)
    assert not again.generator.calls
    again.load_state_dict(state)
    batch = next(iter(again))
    assert all(torch.equal(torch.as_tensor(batch[name]), torch.as_tensor(expected[name])) for name in batch)
    with pytest.raises(AssertionError, match="solved"):
        make(disfa, 0.25, generator=Twisting())


@pytest.mark.parametrize("generator", [Twisting, Saying])
def test_a_warm_cache_needs_neither_generator_nor_solver(disfa, tmp_path, monkeypatch, generator):
    folder = tmp_path / "cache"
    made = make(disfa, generator=generator(), cache=folder, batch_size=50)
    made.warm(0, 200)
    with_it = make(disfa, generator=generator(), cache=folder, batch_size=50, on_exhausted="repeat")
    # Elsewhere: nothing but the cache came along.
    monkeypatch.setenv("AUSYNTH_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(Problem, "solve", never)
    monkeypatch.setattr(Channel, "measure", never)
    without = make(disfa, generator=None, cache=folder, batch_size=50)
    assert without.plan == with_it.plan
    for k in range(8):
        ours, theirs, at_first = without.batch(k), with_it.batch(k), made.batch(k)
        for name in ours:
            assert torch.equal(torch.as_tensor(ours[name]), torch.as_tensor(theirs[name])), name
            assert torch.equal(torch.as_tensor(ours[name]), torch.as_tensor(at_first[name])), name


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_balanced_batch_is_a_function_of_its_number(disfa, workers):
    stream = make(disfa, generator=Saying(), batch_size=64)
    alone = [stream.batch(k) for k in (2, 1, 0)][::-1]
    iterated = list(itertools.islice(iter(make(disfa, generator=Saying(), batch_size=64)), 3))
    loader = DataLoader(make(disfa, generator=Saying(), batch_size=64), batch_size=None, num_workers=workers)
    loaded = list(itertools.islice(iter(loader), 3))
    for ours, *others in zip(alone, iterated, loaded, strict=True):
        for other, name in itertools.product(others, ours):
            assert torch.equal(torch.as_tensor(ours[name]), torch.as_tensor(other[name])), name
