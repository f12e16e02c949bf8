from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
import torch
from fakes import FakeGenerator, FakeSource
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ausynth import facs
from ausynth.errors import AusynthError, ConfigurationError, FrameError, GenerationError
from ausynth.generators.base import Generated
from ausynth.labels import Labels
from ausynth.stream import MixedStream


def make(real=None, ratio=0.5, *, batch_size=8, generator=None, image_size=16, **options) -> MixedStream:
    real = real if real is not None else FakeSource(50)
    generator = generator or FakeGenerator(image_size=16)
    options = {"balance": None, **options}  # these tests are of everything else
    return MixedStream(real, ratio, batch_size=batch_size, generator=generator, image_size=image_size, **options)


def equal(a, b) -> bool:
    assert a.keys() == b.keys()
    return all(torch.allclose(torch.as_tensor(a[k]), torch.as_tensor(b[k]), equal_nan=True, rtol=0, atol=0) for k in a)


def number_of(image) -> int:
    """Return which picture of a FakeSource this is."""
    pixel = image[:, 0, 0].tolist()
    return pixel[1] * 256 + pixel[2]


def test_the_batch_contract():
    batch = make(batch_size=6).batch(3)
    shapes = {
        "image": (torch.uint8, (6, 3, 16, 16)),
        "occurrence": (torch.float32, (6, 3)),
        "intensity": (torch.float32, (6, 3)),
        "mask": (torch.bool, (6, 3)),
        "confidence": (torch.float32, (6, 3)),
        "synthetic": (torch.bool, (6,)),
        "identity": (torch.int64, (6,)),
        "source": (torch.int64, (6,)),
        "key": (torch.int64, (6,)),
    }
    assert {k: (v.dtype, tuple(v.shape)) for k, v in batch.items() if k != "step"} == shapes
    assert batch["step"] == 3
    assert batch["key"].tolist() == list(range(18, 24))
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("ratio", [0, 0.1, 0.5, 2 / 3, 1])
def test_any_window_of_the_stream_holds_the_ratio_within_one(ratio):
    stream = make(ratio=ratio, batch_size=7)
    drawn = torch.cat([batch["synthetic"] for batch in islice(stream, 12)]).numpy()
    total = np.concatenate([[0], np.cumsum(drawn)])
    for length in range(1, len(drawn) + 1):
        counts = total[length:] - total[:-length]
        assert (np.abs(counts - length * ratio) <= 1).all(), length


@given(
    ratio=st.sampled_from([0, 0.1, 0.5, 2 / 3, 1]) | st.floats(0, 1),
    batch_size=st.integers(1, 20),
    steps=st.lists(st.integers(0, 10**9), min_size=1, max_size=4),
)
@settings(max_examples=50)
def test_the_ratio_is_exact_in_every_batch_however_far(ratio, batch_size, steps):
    stream = make(ratio=ratio, batch_size=batch_size)
    for step in steps:
        batch = stream.batch(step)
        assert abs(int(batch["synthetic"].sum()) - batch_size * ratio) <= 1
        assert (batch["source"] == batch["synthetic"].long()).all()


def test_a_batch_is_a_function_of_its_number():
    stream, again = make(), make()
    forward = [stream.batch(k) for k in range(6)]
    backward = [again.batch(k) for k in reversed(range(6))][::-1]
    assert all(map(equal, forward, backward))
    assert all(map(equal, forward, islice(iter(make()), 6)))


def test_seeds_differ():
    assert not equal(make(seed=1).batch(0), make(seed=2).batch(0))


def test_every_real_frame_is_shown_once_before_any_comes_again():
    stream = make(FakeSource(50), batch_size=20)
    real = [number_of(image) for b in islice(stream, 20) for image, s in zip(b["image"], b["synthetic"]) if not s]
    for epoch in range(4):
        assert sorted(real[epoch * 50 : epoch * 50 + 50]) == list(range(50))
    assert real[:50] != real[50:100]


def test_labels_belong_to_their_pictures():
    source = FakeSource(50)
    for batch in islice(make(source, batch_size=10), 5):
        for row in np.flatnonzero(~batch["synthetic"].numpy()):
            number = number_of(batch["image"][row])
            assert batch["intensity"][row].tolist() == source.labels.intensity[number].tolist()
            assert batch["occurrence"][row, 0] == (number % 6 >= 2)
            assert batch["identity"][row] == source.identities[number]


@pytest.mark.parametrize("threshold", [1, 4])
def test_one_threshold_for_both_sides(threshold):
    batch = make(threshold=threshold, batch_size=60).batch(0)
    known = ~torch.isnan(batch["intensity"])
    assert torch.equal(batch["occurrence"][known], (batch["intensity"][known] >= threshold).float())
    for side in (batch["synthetic"], ~batch["synthetic"]):
        assert 0 < batch["occurrence"][side].mean() < 1


def test_synthetic_labels_are_what_the_generator_says_it_made():
    class Other(FakeGenerator):
        def generate(self, conditions):
            made = super().generate(conditions)
            return Generated(made.images, Labels.from_intensity(self.aus, np.full_like(conditions.intensity, 3)))

    batch = make(ratio=1, generator=Other()).batch(0)
    assert (batch["intensity"] == 3).all()
    assert (batch["occurrence"] == 1).all()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_the_one_sequence(workers):
    alone = list(islice(iter(DataLoader(make(), batch_size=None)), 9))
    shared = list(islice(iter(DataLoader(make(), batch_size=None, num_workers=workers)), 9))
    assert all(map(equal, alone, shared))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_plain_data_loader_works_on_single_samples(workers):
    stream = MixedStream(FakeSource(500), 0.5, generator=FakeGenerator(), image_size=16, balance=None)
    batches = list(islice(iter(DataLoader(stream, batch_size=64, num_workers=workers)), 4))
    assert [b["key"].tolist() for b in batches] == [list(range(64 * k, 64 * k + 64)) for k in range(4)]
    assert all(int(b["synthetic"].sum()) == 32 for b in batches)
    assert torch.equal(batches[1]["image"], make(FakeSource(500), batch_size=64).batch(1)["image"])


def test_ranks_share_the_one_sequence():
    ranks = [iter(make(rank=r, world_size=3)) for r in range(3)]
    steps = [next(ranks[r])["step"] for _ in range(3) for r in range(3)]
    assert steps == list(range(9))


def test_ranks_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert next(iter(make()))["step"] == 1


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_epochs_go_on_and_never_replay(workers, persistent):
    if persistent and not workers:
        pytest.skip("no workers that could persist")
    stream = make(steps_per_epoch=5)
    loader = DataLoader(stream, batch_size=None, num_workers=workers, persistent_workers=persistent)
    assert len(loader) == 5
    assert [[batch["step"] for batch in loader] for _ in range(3)] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [10, 11, 12, 13, 14],
    ]
    stream.set_epoch(1)
    assert [batch["step"] for batch in loader] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("workers", [0, 2])
def test_iterating_an_endless_stream_again_shows_other_samples(workers):
    loader = DataLoader(make(), batch_size=None, num_workers=workers)
    once, twice = ([b["key"] for b in islice(iter(loader), 4)] for _ in range(2))
    assert not set(torch.cat(once).tolist()) & set(torch.cat(twice).tolist())


def test_resume_finishes_the_epoch_that_was_begun():
    stream = make(steps_per_epoch=5)
    list(stream)
    half = list(islice(stream, 2))
    again = make(steps_per_epoch=5)
    again.load_state_dict(stream.state_dict(after=half[-1]))
    assert [[batch["step"] for batch in again] for _ in range(2)] == [[7, 8, 9], [10, 11, 12, 13, 14]]
    again.set_epoch(0)
    assert [batch["step"] for batch in again] == [0, 1, 2, 3, 4]


def test_an_endless_stream_has_no_length_and_no_epochs():
    with pytest.raises(TypeError, match="steps_per_epoch"):
        len(make())
    with pytest.raises(ConfigurationError, match="set_epoch on an endless stream"):
        make().set_epoch(1)


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_by_one_integer(workers):
    whole = list(islice(iter(DataLoader(make(), batch_size=None)), 10))
    first = make()
    seen = list(islice(iter(DataLoader(first, batch_size=None, num_workers=workers)), 4))
    state = first.state_dict(after=seen[-1])
    assert state["samples"] == 32
    second = make()
    second.load_state_dict(state)
    rest = list(islice(iter(DataLoader(second, batch_size=None)), 6))
    assert all(map(equal, whole, seen + rest))


def test_the_stream_counts_by_itself_without_workers():
    stream = make()
    list(islice(stream, 3))
    assert stream.state_dict()["samples"] == 24


def test_resume_of_single_samples_in_the_middle_of_a_chunk():
    stream = make(batch_size=None)
    seen = list(islice(stream, 10))
    again = make(batch_size=None)
    again.load_state_dict(stream.state_dict(after=seen[-1]))
    assert [int(s["key"]) for s in islice(again, 100)] == list(range(10, 110))


def test_resume_with_ranks_counts_the_round_of_all():
    streams = [make(rank=r, world_size=2) for r in range(2)]
    batches = [list(islice(stream, 3))[-1] for stream in streams]
    states = [stream.state_dict(after=batch) for stream, batch in zip(streams, batches)]
    assert states[0] == states[1]
    assert states[0]["samples"] == 6 * 8
    streams[1].load_state_dict(states[1])
    assert next(iter(streams[1]))["step"] == 7


def test_a_state_of_another_plan_is_refused():
    state = make(seed=1).state_dict()
    with pytest.raises(ConfigurationError, match="a state of plan .* this stream's plan"):
        make(seed=2).load_state_dict(state)


@pytest.mark.parametrize(
    "change",
    [
        {"ratio": 0.25},
        {"seed": 1},
        {"aus": [1, 2]},
        {"image_size": 32},
        {"real": FakeSource(51)},
        {"generator": FakeGenerator(block_size=4)},
        {"identities": 5},
    ],
)
def test_the_plan_knows_what_it_is_made_of(change):
    assert make().plan == make().plan
    assert make(**change).plan != make().plan


@pytest.mark.parametrize("block_size", [4, 32])
def test_a_generator_is_asked_for_whole_blocks_and_the_cut_does_not_show(block_size):
    def pictures(batch_size, order):
        stream = make(ratio=1, batch_size=batch_size, generator=FakeGenerator(block_size=block_size))
        batches = {k: stream.batch(k)["image"] for k in order}
        return torch.cat([batches[k] for k in sorted(batches)])[:96]

    once = pictures(96, [0])
    assert torch.equal(once, pictures(8, range(12)))
    assert torch.equal(once, pictures(5, [*range(19, -1, -1)]))


def test_a_block_is_made_once_for_the_batches_that_share_it():
    generator = FakeGenerator(block_size=32)
    list(make(ratio=0.5, batch_size=8, generator=generator, steps_per_epoch=16))
    assert generator.calls == [32, 32]


def too_dark(images, labels):
    return images[:, 0, 0, 0] < 128


@pytest.mark.parametrize("block_size", [1, 4])
def test_a_rejected_picture_is_drawn_again_with_the_same_labels(block_size):
    options = {"ratio": 1, "generator": FakeGenerator(block_size=block_size), "batch_size": 40}
    free, picky = make(**options), make(**options, reject=too_dark)
    before, after = free.batch(3), picky.batch(3)
    rejected = before["image"][:, 0, 0, 0] < 128
    assert rejected.any()
    assert (after["image"][:, 0, 0, 0] >= 128).all()
    assert torch.equal(before["intensity"], after["intensity"])
    assert torch.equal(before["image"][~rejected], after["image"][~rejected])
    assert (before["identity"][rejected] != after["identity"][rejected]).any()
    assert picky.stats()["rejected"] >= int(rejected.sum())
    again = make(**{**options, "batch_size": 8}, reject=too_dark)
    assert torch.equal(torch.cat([again.batch(k)["image"] for k in range(15, 20)]), after["image"])
    assert free.plan != picky.plan


def test_a_request_that_is_always_rejected_is_named():
    def everything(images, labels):
        return np.ones(len(images), bool)

    with pytest.raises(GenerationError, match=r"synthetic sample 0 \(.*\) was rejected 17 times.*loosen reject"):
        make(ratio=1, reject=everything).batch(0)


def test_synthetic_people_appear_equally_often():
    stream = make(ratio=1, identities=10, batch_size=100)
    people, counts = np.unique(stream.batch(0)["identity"], return_counts=True)
    assert len(people) == 10
    assert (counts == 10).all()


def test_identities_have_names_and_do_not_collide():
    stream = make([FakeSource(10, name="a"), FakeSource(10, name="b")], batch_size=24)
    batch = stream.batch(0)
    names = {stream.identity_name(i) for i in batch["identity"]}
    assert {n.split(":")[0] for n in names} == {"a", "b", "synthetic"}
    assert "a:a-0" in names


def test_two_sources_of_one_name_are_told_apart():
    stream = make([FakeSource(10, name="folder"), FakeSource(10, name="folder", number=2)])
    assert stream.source_names == ("folder", "folder-2", "synthetic")


def test_several_sources_in_proportion_and_by_weight():
    sources = [FakeSource(300, name="a"), FakeSource(100, name="b", number=2)]
    by_size = make(sources, ratio=0, batch_size=400).batch(0)["source"]
    assert torch.bincount(by_size).tolist() == [300, 100]
    by_weight = make(sources, ratio=0, batch_size=400, weights=[1, 3]).batch(0)["source"]
    assert torch.bincount(by_weight).tolist() == [100, 300]


def test_what_a_source_does_not_code_is_masked_not_absent():
    sources = [FakeSource(100, name="a", aus=(1, 2)), FakeSource(100, name="b", aus=(2, 12))]
    stream = make(sources, batch_size=40)
    assert stream.aus == (1, 2, 12)
    batch = stream.batch(0)
    known = {0: [True, True, False], 1: [False, True, True], 2: [True, True, True]}
    for row in range(40):
        assert batch["mask"][row].tolist() == known[int(batch["source"][row])]
        assert (torch.isnan(batch["occurrence"][row]) == ~batch["mask"][row]).all()
        assert ((batch["confidence"][row] == 0) == ~batch["mask"][row]).all()


@pytest.mark.parametrize(
    ("aus", "expected"),
    [
        ("benchmark", (1, 2, 12)),
        ("union", (1, 2, 12)),
        ("intersection", (2,)),
        ("disfa-8", facs.DISFA_8),
        ([12, 1], (12, 1)),
    ],
)
def test_label_spaces(aus, expected):
    sources = [FakeSource(9, name="a", aus=(1, 2)), FakeSource(9, name="b", aus=(2, 12))]
    assert make(sources, aus=aus).aus == expected


def test_an_au_that_the_generator_lacks_is_unknown_on_its_pictures():
    stream = make(generator=FakeGenerator(aus=(1, 12)), batch_size=10)
    batch = stream.batch(0)
    assert batch["mask"][batch["synthetic"]].tolist() == [[True, False, True]] * 5
    assert batch["mask"][~batch["synthetic"]].all()


def test_a_purely_synthetic_stream_needs_no_data():
    stream = MixedStream(real=None, ratio=1, generator=FakeGenerator(), image_size=16, batch_size=4, balance=None)
    batch = stream.batch(0)
    assert stream.aus == facs.UNION_17
    assert batch["synthetic"].all()


def test_a_purely_real_stream_loads_no_generator():
    stream = MixedStream(FakeSource(10), 0, generator="no such generator", image_size=16, batch_size=4, balance=None)
    assert not stream.batch(0)["synthetic"].any()


def test_tuples_in_the_habit_of_the_field():
    assert [t.shape[0] for t in make(as_tuple=True).batch(0)] == [8, 8]
    _, occurrence, mask = make(as_tuple=True, aus=[1, 9]).batch(0)
    assert occurrence.shape == mask.shape == (8, 2)
    assert not mask.all()
    sample = next(iter(make(as_tuple=True, batch_size=None)))
    assert sample[0].shape == (3, 16, 16)


class Stripes(FakeSource):
    """Pictures of one-pixel stripes at 32 px: grey once they have been at 16 px."""

    def read(self, indices, out):
        from ausynth.sources.crop import resize_into

        stripes = np.zeros((32, 32, 3), np.uint8)
        stripes[:, ::2] = 255
        for row in out:
            resize_into(stripes, row)


@pytest.mark.parametrize(("matched", "contrast"), [(True, 0), (False, 255)])
def test_real_frames_come_through_the_generators_resolution(matched, contrast):
    batch = make(Stripes(5), image_size=32, match_resolution=matched).batch(0)
    assert batch["image"].shape == (8, 3, 32, 32)
    real = batch["image"][~batch["synthetic"]].int()
    assert int(real.max() - real.min()) == contrast


def test_an_unreadable_frame_raises_and_names_the_file():
    with pytest.raises(FrameError, match=r"cannot read fake/7.jpg: damaged.*on_error='skip'"):
        list(islice(make(FakeSource(20, corrupt=[7]), ratio=0), 3))


def test_an_unreadable_frame_can_be_skipped_and_is_counted():
    stream = make(FakeSource(20, corrupt=[3, 7]), ratio=0, on_error="skip", batch_size=10)
    batches = list(islice(stream, 4))
    shown = [number_of(image) for batch in batches for image in batch["image"]]
    assert len(shown) == 40
    assert not {3, 7} & set(shown)
    assert stream.skipped.keys() == {"fake/3.jpg", "fake/7.jpg"}
    again = make(FakeSource(20, corrupt=[3, 7]), ratio=0, on_error="skip", batch_size=10)
    assert all(map(equal, batches, (again.batch(k) for k in range(4))))
    for batch in batches:
        assert all(batch["intensity"][i, 0] == number_of(batch["image"][i]) % 6 for i in range(10))


def test_skipping_gives_up_when_nothing_can_be_read():
    with pytest.raises(FrameError, match="100 pictures of fake in a row.*disk is mounted"):
        make(FakeSource(500, corrupt=range(500)), ratio=0, on_error="skip").batch(0)


def test_a_generator_that_breaks_its_contract_is_named():
    class Broken(FakeGenerator):
        def generate(self, conditions):
            made = super().generate(conditions)
            return Generated(made.images[:-1], made.labels)

    with pytest.raises(AusynthError, match="generator 'fake' returned .*check_generator"):
        make(generator=Broken()).batch(0)


def test_albumentations_are_seeded_by_the_sample_and_leave_the_loop_alone():
    import albumentations as a

    def augmented():
        transform = a.Compose([a.RandomCrop(12, 12), a.HorizontalFlip(p=0.5), a.RandomBrightnessContrast(p=1)])
        return make(ratio=0, batch_size=8, transform=transform)

    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    once = augmented()
    batches = [once.batch(k)["image"] for k in (0, 1)]
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()
    assert batches[0].shape == (8, 3, 12, 12)
    other = augmented()
    assert torch.equal(other.batch(1)["image"], batches[1])
    assert torch.equal(other.batch(0)["image"], batches[0])


def test_torchvision_transforms_are_seeded_by_the_sample_and_leave_the_loop_alone():
    from torchvision.transforms import v2

    transform = v2.Compose([v2.RandomResizedCrop(12), v2.ColorJitter(0.4), v2.ToDtype(torch.float32, scale=True)])
    before = torch.get_rng_state()
    stream = make(ratio=0, transform=transform)
    first = stream.batch(0)["image"]
    assert first.dtype == torch.float32
    assert first.shape == (8, 3, 12, 12)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    assert torch.equal(make(ratio=0, transform=transform).batch(0)["image"], first)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ratio": 1.5}, r"ratio 1.5.*from 0 .*to 1"),
        ({"threshold": 0}, "threshold 0"),
        ({"ratio": float("nan")}, "ratio nan"),
        ({"batch_size": 0}, "batch_size 0.*1 or more"),
        ({"steps_per_epoch": 0}, "steps_per_epoch 0"),
        ({"steps_per_epoch": 3, "batch_size": None}, "steps_per_epoch without batch_size"),
        ({"image_size": 4}, "image_size 4"),
        ({"seed": -1}, "seed -1"),
        ({"on_error": "ignore"}, "on_error='ignore'.*'raise' or 'skip'"),
        ({"aus": [99]}, "unknown AU 99"),
        ({"aus": [43]}, r"nothing in this stream has labels for \(43,\)"),
        ({"weights": [1, 2]}, "2 weights for 1 sources"),
        ({"hold_out": "P1"}, "hold_out with a source that is open already.*open_source"),
        ({"generator": 3}, "generator 3.*load_generator"),
        ({"reject": lambda images, labels: labels}, "reject=.*no name of its own"),
        ({"identities": 0}, "identities 0.*1 or more"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"rank": 1}, "both or neither"),
        ({"real": FakeSource(0)}, "no pictures in fake"),
        ({"real": []}, "names no source"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(options, words):
    with pytest.raises(ConfigurationError, match=words):
        make(**options)


def test_no_real_source_needs_a_ratio_of_one():
    with pytest.raises(ConfigurationError, match="real=None with ratio=0.5"):
        MixedStream(real=None, generator=FakeGenerator())


def test_an_unknown_source_or_a_missing_root_is_named():
    with pytest.raises(ConfigurationError, match="'dsfia'.*disfa"):
        MixedStream(real="dsfia", generator=FakeGenerator())
    with pytest.raises(ConfigurationError, match="AUSYNTH_DISFA_ROOT.*simulate disfa"):
        MixedStream(real="disfa", generator=FakeGenerator())
