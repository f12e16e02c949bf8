from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from faces import FaceGenerator, FaceSource, FakeEncoder, face
from hypothesis import given
from hypothesis import strategies as st

import ausynth
from ausynth.errors import ConfigurationError, StoreError
from ausynth.samplers import IdentityBank, Person
from ausynth.samplers.identity_bank import rendered_pictures


def people(*groups):
    """Return a person for each (count, attributes)."""
    rows = [facts for count, facts in groups for _ in range(count)]
    return IdentityBank(tuple(Person(f"p{n}", n, "made up for a test", **facts) for n, facts in enumerate(rows)))


def test_everybody_comes_once_before_anybody_comes_again():
    bank = IdentityBank.of_seeds(50, start=7)
    dealt = bank.deal(np.arange(150), seed=3).reshape(3, 50)
    assert all(sorted(epoch.tolist()) == list(range(7, 57)) for epoch in dealt)
    assert not np.array_equal(dealt[0], dealt[1])
    assert np.array_equal(bank.deal([10**12, 4], seed=3)[1:], dealt[0, 4:5])
    assert not np.array_equal(bank.deal(np.arange(50), seed=4), dealt[0])


@given(st.integers(1, 30), st.integers(1, 12), st.floats(1, 6), st.integers(0, 9))
def test_nobody_has_more_turns_than_the_cap_allows(many, few, cap, seed):
    bank = people((many, {"gender": "female", "age": 25}), (few, {"gender": "male"})).balanced(cap=cap)
    dealt = bank.deal(np.arange(2 * bank.round), seed)
    for epoch in dealt.reshape(2, -1):
        times = np.bincount(epoch, minlength=len(bank))
        assert np.array_equal(times, bank.turns)
        assert times.max() <= cap * 8
        assert times.min() >= 1
    assert bank.turns.max() <= cap * bank.turns.mean() * 1.15 + 1
    drawn = np.bincount(bank.redeal(np.arange(20), 3, seed), minlength=len(bank))
    assert drawn.sum() == 20


def test_balancing_evens_out_groups_as_far_as_the_cap_allows():
    bank = people(
        (30, {"gender": "female", "ethnicity": "white"}), (10, {"gender": "male", "ethnicity": "black"}), (5, {})
    )
    even = bank.balanced(cap=4)
    for attribute in ("gender", "ethnicity"):
        for before, after in even.shares(attribute).values():
            assert after == pytest.approx(0.5, abs=0.03)
            assert before != 0.5
    unknown = even.turns[40:].sum() / even.turns.sum()
    assert unknown == pytest.approx(5 / 45, abs=0.04)
    capped = bank.balanced(cap=1.2)
    assert capped.shares("gender")["male"][1] < 0.4
    assert even.effective < bank.effective == pytest.approx(len(bank))


def test_one_person_under_two_seeds_is_dealt_once():
    generator = FaceGenerator(people=30)  # seeds 30 to 44 are the people 1 to 15 again
    bank = IdentityBank.of_seeds(45).deduplicated(FakeEncoder(), 0.7, rendered_pictures(generator))
    assert [person.number for person in bank.people] == list(range(30))
    assert set(bank.removed) == {f"seed-{n}" for n in range(30, 45)}
    assert bank.removed["seed-30"].startswith("as seed-0, cosine ")


def test_whoever_has_no_face_is_left_out(tmp_path):
    from PIL import Image

    for n in (0, 3, 5):
        Image.fromarray(face(n)).save(tmp_path / f"a{n}.png")
    paths = sorted(tmp_path.glob("*.png"))
    bank = IdentityBank.of_pictures(paths, source="drawn", licence="CC0", attributes={"a3": {"age": 31}})
    kept = bank.deduplicated(FakeEncoder(), 0.7)
    assert [person.name for person in kept.people] == ["a3", "a5"]
    assert kept.removed == {"a0": "no face was found"}
    assert kept.person(1).age == 31
    assert kept.person(1).licence == "CC0"


def test_a_manifest_says_where_everybody_comes_from(tmp_path):
    bank = people((3, {"gender": "female", "licence": "CC BY 4.0"}), (1, {"gender": "male"})).balanced(["gender"])
    bank.save(tmp_path / "bank.json")
    loaded = IdentityBank.load(tmp_path / "bank.json")
    assert loaded.manifest() == bank.manifest()
    assert loaded.fingerprint == bank.fingerprint
    assert all(person["source"] == "made up for a test" for person in loaded.manifest()["people"])
    data = (tmp_path / "bank.json").read_bytes()
    (tmp_path / "bank.json").write_bytes(data.replace(b"female", b"famele", 1))
    with pytest.raises(StoreError, match="damaged"):
        IdentityBank.load(tmp_path / "bank.json")


def test_what_cannot_be_right_is_refused():
    with pytest.raises(ConfigurationError, match="without people"):
        IdentityBank(())
    with pytest.raises(ConfigurationError, match="two people with the number 1"):
        IdentityBank((Person("a", 1, "x"), Person("b", 1, "x")))
    with pytest.raises(ConfigurationError, match="who, and where from"):
        Person("a", 0, "")
    with pytest.raises(ConfigurationError, match="no exemplar picture"):
        IdentityBank.of_seeds(2).deduplicated(FakeEncoder(), 0.5)
    with pytest.raises(ConfigurationError, match="a cap of 1 or more"):
        IdentityBank.of_seeds(2).balanced(cap=0.5)
    with pytest.raises(ConfigurationError, match="nobody is left"):
        IdentityBank.of_subjects(FaceSource([2])).without(["DISFA+:SN003"])


# -- in a stream


def stream_of(generator, **options):
    settings = {"balance": None, "image_size": 16, "batch_size": 16, "threads": 0}
    return ausynth.MixedStream(None, 1, generator=generator, **settings | options)


def test_a_stream_shows_the_people_of_its_bank():
    bank = people((4, {"gender": "female"}), (1, {"gender": "male"})).balanced(["gender"], cap=3)
    stream = stream_of(FaceGenerator(), identities=bank)
    shown = np.concatenate([stream.batch(k)["identity"] % 2**32 for k in range(2 * bank.round // 16)])
    assert np.array_equal(np.bincount(shown), 2 * bank.turns)
    assert stream.plan != stream_of(FaceGenerator(), identities=5).plan
    assert stream.plan == stream_of(FaceGenerator(), identities=bank).plan


def test_a_generators_own_people_are_its_bank_without_those_held_out():
    class Banked(FaceGenerator):
        people = tuple(
            SimpleNamespace(name=f"n{n}", source="frames", subject=f"disfa:SN{n + 1:03d}" if n < 3 else None)
            for n in range(6)
        )

    source = FaceSource([1, 2, 4])
    stream = ausynth.MixedStream(source, 0.5, generator=Banked(), balance=None, image_size=16, batch_size=64)
    batch = stream.batch(0)
    assert set((batch["identity"][batch["synthetic"]] % 2**32).tolist()) == {1, 2, 3, 4, 5}  # SN001 is not shown


def test_a_bank_with_held_out_people_is_refused():
    everyone, source = FaceSource(range(20)), FaceSource(range(5, 20))
    bank = IdentityBank.of_subjects(everyone)
    with pytest.raises(ConfigurationError, match="identity bank has disfa:SN001, .*bank.without"):
        ausynth.MixedStream(source, 0.5, generator=FaceGenerator(), identities=bank, balance=None, image_size=16)
    kept = bank.without(everyone.subjects[:5] and [f"disfa:{who}" for who in everyone.subjects[:5]])
    stream = ausynth.MixedStream(
        source, 0.5, generator=FaceGenerator(), identities=kept, balance=None, image_size=16, batch_size=64
    )
    batch = stream.batch(0)
    assert set((batch["identity"][batch["synthetic"]] % 2**32).tolist()) == set(range(5, 20))
