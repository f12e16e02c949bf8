"""AU descriptions: what is said, that it is said once, and that it is read back."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from fakes import FakeGenerator
from hypothesis import given
from hypothesis import strategies as st

import ausynth
from ausynth import facs, text
from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated
from ausynth.samplers.combinations import CombinationSampler
from ausynth.sources.made import recipe_of
from ausynth.sources.synthetic import SyntheticSource
from ausynth.store import Store
from ausynth.text.phrases import SLOT, book, skeleton

# Of the papers' text processor, as the reference lists them; the order decides between equally large ones.
INTERACTING = (
    "12+15, 1+4, 6+12+15, 12+15+17, 6+12+15+17, 1+2+4, 15+17, 4+7+15, 1+2, 6+12, 6+7+12, 10+12, 10+14, 12+14, 17+23, "
    "17+24, 23+24, 4+7, 4+9, 6+10+12, 6+7+10+12, 14+17, 7+10, 15+17+24, 12+17, 1+2+5"
)
COMBINATIONS = [tuple(map(int, names.split("+"))) for names in INTERACTING.split(", ")]

levels = st.lists(st.integers(0, 5), min_size=17, max_size=17)
sparse = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]), min_size=17, max_size=17)
vectors = st.one_of(levels, sparse).filter(lambda row: facs.is_possible(np.array([row], float), facs.UNION_17)[0])
seeds = st.integers(0, 2**63 - 1)


def said(row: list[int], aus: tuple[int, ...] = facs.UNION_17) -> dict[int, int]:
    return {au: level for au, level in zip(aus, row, strict=True) if level}


@given(row=vectors, seed=seeds)
def test_what_is_described_is_read_back_with_its_levels(row, seed):
    assert text.parse(text.describe(row, facs.UNION_17, seed)) == said(row)


@given(row=vectors, seed=seeds, order=st.permutations(range(17)))
def test_the_order_of_the_aus_does_not_matter(row, seed, order):
    shuffled = text.describe([row[i] for i in order], [facs.UNION_17[i] for i in order], seed)
    assert shuffled == text.describe(row, facs.UNION_17, seed)


@given(rows=st.lists(vectors, min_size=1, max_size=4), seed=st.integers(0, 2**40))
def test_a_text_depends_on_its_own_vector_and_seed(rows, seed):
    together = text.describe_batch(rows, facs.UNION_17, np.arange(seed, seed + len(rows)))
    assert together == [text.describe(row, facs.UNION_17, seed + i) for i, row in enumerate(rows)]
    assert len(text.describe_batch(np.zeros((0, 17)), facs.UNION_17, [])) == 0


@given(row=vectors, seed=seeds)
def test_a_text_is_read_within_other_text_and_without_regard_to_case(row, seed):
    described = text.describe(row, facs.UNION_17, seed)
    assert text.parse(f"A studio portrait of somebody.\n{described.upper()} Soft light") == said(row)


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_every_phrase_is_read_with_every_word_of_degree(level):
    for entry in book().entries:
        for phrase, degree in itertools.product(entry.phrases, book().degrees[level]):
            filled = re.sub(r"\{\d+\}", degree, phrase)
            assert text.parse(filled) == dict.fromkeys(entry.aus, level)


def test_the_book_says_17_aus_and_26_combinations_in_five_ways_each():
    assert book().aus == facs.UNION_17
    combined = [entry.aus for entry in book().entries if len(entry.aus) > 1]
    assert combined == sorted(COMBINATIONS, key=lambda aus: -len(aus))  # stable: ties in the order of the list
    assert all(len(set(entry.phrases)) == 5 for entry in book().entries)
    assert len(set(book().neutral)) == 5
    assert sorted(book().degrees) == [1, 2, 3, 4, 5]


def test_a_phrase_grades_each_of_its_aus_once_and_brings_no_degree_of_its_own():
    for entry in book().entries:
        for phrase in entry.phrases:
            assert sorted(map(int, re.findall(r"\{(\d+)\}", phrase))) == list(entry.aus), phrase
            assert skeleton(re.sub(r"\{\d+\}", SLOT, phrase))[1] == [], phrase
    words = [word for words in book().degrees.values() for word in words]
    assert len(set(words)) == len(words)


def test_no_phrase_lies_in_another_one():
    known = sorted(book().readings)
    assert len(known) == 43 * 5 + 5
    assert [(a, b) for a, b in itertools.permutations(known, 2) if a in b] == []


def test_every_possible_set_of_aus_is_covered_once_by_the_largest_combinations():
    count = 0
    for bits in range(1 << 17):
        active = [au for i, au in enumerate(facs.UNION_17) if bits >> i & 1]
        if {24, 25} <= set(active):
            continue
        parts = text.partition(active)
        assert sorted(au for part in parts for au in part) == active
        left = set(active)
        for part in parts:  # nothing larger could have been taken
            assert not any(len(other) > len(part) and left.issuperset(other) for other in COMBINATIONS)
            left -= set(part)
        count += 1
    assert count == (1 << 17) * 3 // 4


def test_ties_go_by_the_order_of_the_list():
    assert text.partition([4, 12, 15, 17, 24, 7]) == [(12, 15, 17), (4, 7), (24,)]
    assert text.partition([1, 2, 4, 5]) == [(1, 2, 4), (5,)]
    assert text.partition([4, 9, 7]) == [(4, 7), (9,)]


def test_seeds_choose_among_all_paraphrases():
    neutral = {text.describe([0], [12], seed) for seed in range(100)}
    assert len(neutral) == 5
    skeletons = {skeleton(text.describe([3, 3], [6, 12], seed).lower())[0] for seed in range(100)}
    assert len(skeletons) == 5


def test_intensities_are_rounded_and_what_is_not_coded_is_not_said():
    described = text.describe([0.49, 0.5, 2.5, float("nan"), 4.4], [1, 6, 9, 12, 26], 1)
    assert text.parse(described) == {6: 1, 9: 3, 26: 4}


@pytest.mark.parametrize(
    ("intensities", "aus", "message"),
    [
        ([1], [45], "no words for AU45 blink"),
        ([1, 2], [12], r"intensities of shape \(2,\)"),
        ([6], [12], "outside 0-5"),
        ([-1], [12], "outside 0-5"),
        ([float("inf")], [12], "outside 0-5"),
        ([1], [3], "unknown AU 3"),
    ],
)
def test_what_cannot_be_described_is_refused(intensities, aus, message):
    with pytest.raises(ConfigurationError, match=message):
        text.describe(intensities, aus, 0)
    with pytest.raises(ConfigurationError, match="seeds"):
        text.describe([1], [12], -1)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a hint of sadness with clearly lowered brows", {1: 1, 4: 3, 15: 1}),
        ("happiness", {6: 3, 12: 3}),
        ("extremely angry", {4: 5, 5: 5, 7: 5, 23: 5}),
        ("happily surprised", {1: 3, 2: 3, 12: 3, 25: 3}),
        ("sad and angry", {1: 3, 4: 3, 5: 3, 7: 3, 15: 3, 23: 3}),
        ("happiness without raised cheeks", {12: 3}),
        ("strong anger, no frown, lips pressed together", {5: 4, 7: 4, 23: 4, 24: 3}),
        ("not happy, but slightly surprised", {1: 2, 2: 2, 5: 2, 26: 2}),
        ("surprise with the mouth closed", {1: 3, 2: 3, 5: 3}),
        ("fear, but the brows do not move", {5: 3, 20: 3}),
        ("no smile", {}),
        ("not a hint of a smile", {}),
        ("neither smile nor frown", {}),
        ("he isn\u2019t smiling", {}),
        ("raised brows and no smile and parted lips", {1: 3, 2: 3, 25: 3}),
        ("a broad smile and no frown", {12: 4}),
        ("a neutral face", {}),
        ("AU6+12C, no AU25", {6: 3, 12: 3}),
        ("AUs 1, 2 and 4", {1: 3, 2: 3, 4: 3}),
        ("inner brow raiser, lip corner depressor", {1: 3, 15: 3}),
        ("brows strongly raised and lids tight", {1: 4, 2: 4, 7: 3}),
        ("lips slightly parted and jaw strongly dropped", {25: 2, 26: 4}),
        ("raised eyebrows and cheeks", {1: 3, 2: 3, 6: 3}),
        ("the brows are lowered and drawn together", {4: 3}),
        ("a very slightly wrinkled nose", {9: 1}),
        ("corners of the mouth pulled down slightly", {15: 2}),
        ("eyes wide open, mouth hanging open", {5: 3, 25: 3, 26: 3}),
        ("jaw dropped maximally", {26: 5}),
        ("mouth open, lips faintly parted", {25: 1, 26: 3}),
        (
            "The look reveals marked excited enjoyment, with a clear still inner brow, definite jaw release, moderate "
            "lip corner lift, no lip stretching, defined lip part, and moderate lifted cheeks.",
            {6: 3, 12: 3, 25: 3, 26: 3},
        ),
        (
            "A hint of distinct sad expression is noticeable, emphasized by nose without movement, markedly lowered "
            "brows, faint lid elevation and noticeably downturned lip corners.",
            {1: 1, 4: 3, 5: 1, 15: 3},
        ),
    ],
)
def test_what_people_write_is_understood(written, expected):
    assert text.parse(written) == expected


@pytest.mark.parametrize("written", ["", "purple monkey", "a person with brown hair"])
def test_a_text_without_a_face_in_it_is_refused(written):
    with pytest.raises(ConfigurationError, match="no facial action"):
        text.parse(written)


SCRAPS = (
    "brows eyebrows lids cheeks nose upper lip corners of the mouth chin jaw lips raised lowered no not without still "
    "and or with slightly strongly a hint of sadness angry surprised smile frown au6 au12c +4 , . ; tight parted closed"
)
scraps = st.lists(st.sampled_from(SCRAPS.split()), max_size=25).map(" ".join)


@given(written=st.one_of(st.text(), scraps))
def test_whatever_is_written_gives_levels_or_a_refusal(written):
    try:
        found = text.parse(written)
    except ConfigurationError:
        return
    assert list(found) == sorted(found)
    assert set(found) <= set(facs.ACTION_UNITS)
    assert set(found.values()) <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize("name", [*facs.PROTOTYPES, *facs.COMPOUND_PROTOTYPES])
def test_every_emotion_stands_for_its_prototype(name):
    required = {**facs.PROTOTYPES, **facs.COMPOUND_PROTOTYPES}[name].required
    assert text.parse(f"slight {name}") == dict.fromkeys(sorted(required), 2)
    assert text.parse(text.expand(f"strong {name}", seed=5)) == dict.fromkeys(sorted(required), 4)
    assert text.parse(text.expand("neutral")) == {}


@pytest.mark.parametrize("au", facs.UNION_17)
def test_every_au_is_known_by_its_name(au):
    assert text.parse(f"strong {facs.ACTION_UNITS[au].name}") == {au: 4}


def test_texts_become_label_vectors():
    found = text.intensities_of(["a faint smile and crow's feet", "no smile"], "disfa-12")
    assert found.dtype == np.float32
    assert said(found[0].tolist(), facs.DISFA_12) == {6: 3, 12: 1}
    assert not found[1].any()
    with pytest.raises(ConfigurationError, match="AU10"):
        text.intensities_of(["disgust"], "disfa-12")


class Reader(FakeGenerator):
    """A generator that reads text, and keeps what it read."""

    reads_prompts = True

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.read: list[str] = []

    def generate(self, conditions: Conditions) -> Generated:
        assert conditions.prompt is not None
        self.read += conditions.prompt
        return super().generate(conditions)


@pytest.mark.parametrize("block_size", [1, 4])
def test_a_generator_that_reads_text_is_told_what_its_labels_say(block_size):
    source = SyntheticSource(Reader(block_size=block_size), CombinationSampler(facs.UNION_17), seed=3)
    asked = source.conditions(np.arange(40))
    for prompt, row in zip(asked.prompt, asked.intensity, strict=True):
        assert text.parse(prompt) == said(row.astype(int).tolist())
    shuffled = source.conditions(np.arange(40)[::-1])
    assert list(shuffled.prompt) == list(asked.prompt)[::-1]
    silent = SyntheticSource(FakeGenerator(), CombinationSampler(facs.UNION_17), seed=3)
    assert silent.conditions(np.arange(4)).prompt is None


def test_prompts_are_stored_and_a_cache_is_found_by_them(tmp_path):
    generator = Reader()
    sampler = CombinationSampler(facs.UNION_17)
    store = Store.create(tmp_path / "faces", recipe_of(generator))
    source = SyntheticSource(generator, sampler, seed=3, store=store)
    assert source.warm(0, 24) == 24
    assert source.warm(0, 24) == 0
    kept = store.samples(store.find(source.base, np.arange(24)))
    assert kept.text == tuple(source.conditions(np.arange(24)).prompt)
    assert kept.text == tuple(generator.read)

    # A stream without the generator knows the words too, and finds the faces.
    stream = ausynth.MixedStream(real=None, ratio=1, generator=None, cache=tmp_path / "faces", sampler=sampler, seed=3)
    assert np.array_equal(stream.stored(0, 24), np.ones(24, bool))


def test_other_words_are_another_plan(monkeypatch):
    def base(generator: FakeGenerator) -> str:
        return SyntheticSource(generator, CombinationSampler(facs.UNION_17), seed=3).base

    before = base(Reader()), base(FakeGenerator())
    monkeypatch.setattr("ausynth.text.fingerprint", lambda: "other words")
    after = base(Reader()), base(FakeGenerator())
    assert before[0] != after[0]
    assert before[1] == after[1]
