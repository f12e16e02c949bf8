"""The conformance suite that every generator is held to."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import AusynthError
from ausynth.generators.base import Conditions, Generated, Generator

__all__ = ["check_generator"]


def check_generator(generator: Generator, *, samples: int = 4) -> None:
    """Check that a generator keeps the promises of `ausynth.generators.Generator`.

    >>> check_generator(ausynth.load_generator("rendered", image_size=64))

    It asks for a few pictures several times: alone and in other company (where `block_size` is 1), again, as other
    people and with other noise, and with the wrong number of AU columns.

    Args:
        generator: the generator to check.
        samples: how many different conditions to try, 2 or more; rounded up to whole blocks.

    Raises:
        AssertionError: a promise is broken; the message says which, what was found and what was expected.
    """
    _check_properties(generator)
    _check_people(generator)
    block = generator.block_size
    count = -(-max(samples, 2) // block) * block
    conditions = _conditions(generator, count)
    before = [np.copy(part) for part in (conditions.intensity, conditions.identity, conditions.noise)]
    first = generator.generate(conditions)
    for name, part in zip(("intensity", "identity", "noise"), before, strict=True):
        assert np.array_equal(getattr(conditions, name), part), f"generate() changed conditions.{name}"
    _check_generated(generator, first, count)
    _check_determinism(generator, conditions, first)
    _check_label(generator, conditions, first)
    if block == 1:
        _check_independence(generator, conditions, first)
    _check_seeds(generator, conditions, first)
    _check_refusal(generator, count)
    nothing = generator.generate(_rows(conditions, np.arange(0)))
    _check_generated(generator, nothing, 0)


def _check_properties(generator: Generator) -> None:
    assert isinstance(generator, Generator), (
        f"{type(generator).__name__} lacks a part: name, fingerprint, image_size, aus, block_size or generate"
    )
    assert isinstance(generator.name, str) and generator.name, f"name is {generator.name!r}, not a text"  # noqa: PT018
    fingerprint = generator.fingerprint
    assert isinstance(fingerprint, str) and fingerprint, f"fingerprint is {fingerprint!r}, not a text"  # noqa: PT018
    assert generator.fingerprint == fingerprint, "fingerprint differs from one reading to the next"
    size, block = generator.image_size, generator.block_size
    assert isinstance(size, int) and size > 0, f"image_size is {size!r}, not a whole number above 0"  # noqa: PT018
    assert isinstance(block, int) and block > 0, f"block_size is {block!r}, not a whole number above 0"  # noqa: PT018
    assert isinstance(generator.aus, tuple), f"aus is a {type(generator.aus).__name__}, not a tuple"
    try:
        facs.label_space(generator.aus)
    except AusynthError as error:
        raise AssertionError(f"aus is no label space: {error}") from error


def _check_people(generator: Generator) -> None:
    for who in getattr(generator, "trained_on", None) or ():
        assert isinstance(who, str) and who.count(":") == 1 and all(who.split(":")), (  # noqa: PT018
            f"trained_on names {who!r}, not a data set and a subject: 'disfa:SN001'"
        )
    people = list(getattr(generator, "people", None) or ())
    for person in people:
        for part in ("name", "source"):
            text = getattr(person, part, None)
            assert isinstance(text, str) and text, f"{part} of a person of the generator is {text!r}, not a text"  # noqa: PT018
    names = [person.name for person in people]
    assert len(set(names)) == len(names), "two people of the generator have one name"


def _check_generated(generator: Generator, generated: Generated, count: int) -> None:
    size, aus = generator.image_size, generator.aus
    images, labels = generated.images, generated.labels
    assert isinstance(images, np.ndarray), f"images is a {type(images).__name__}, not a numpy array"
    assert images.dtype == np.uint8, f"images are {images.dtype}, not uint8"
    assert images.shape == (count, size, size, 3), f"images have shape {images.shape}, not {(count, size, size, 3)}"
    assert labels.aus == aus, f"labels are over {labels.aus}, not over the generator's aus {aus}"
    assert len(labels) == count, f"{len(labels)} labels for {count} pictures"
    for name in ("intensity", "occurrence", "confidence"):
        values = getattr(labels, name)
        assert values.dtype == np.float32, f"labels.{name} is {values.dtype}, not float32"
        assert values.shape == (count, len(aus)), f"labels.{name} has shape {values.shape}, not {(count, len(aus))}"
        known = values[~np.isnan(values)]
        most = 5 if name == "intensity" else 1
        assert ((known >= 0) & (known <= most)).all(), f"labels.{name} leaves 0-{most}"
    accepted = generated.accepted
    if accepted is not None:
        assert accepted.dtype == bool and accepted.shape == (count,), (  # noqa: PT018
            f"accepted is {accepted.dtype} of shape {accepted.shape}, not bool of shape ({count},)"
        )
    for picture in range(count):
        assert images[picture].std() > 1, f"picture {picture} is one colour"


def _check_determinism(generator: Generator, conditions: Conditions, first: Generated) -> None:
    # What was made in between must not matter, so something else is made in between.
    generator.generate(_conditions(generator, len(conditions), seed=1))
    _require_equal(generator.generate(conditions), first, "the same conditions a second time")


def _check_independence(generator: Generator, conditions: Conditions, first: Generated) -> None:
    reverse = np.arange(len(conditions))[::-1]
    _require_equal(generator.generate(_rows(conditions, reverse)), _part(first, reverse), "block_size 1, another order")
    for row in range(len(conditions)):
        alone = np.array([row])
        _require_equal(
            generator.generate(_rows(conditions, alone)), _part(first, alone), f"block_size 1, row {row} alone"
        )


def _check_seeds(generator: Generator, conditions: Conditions, first: Generated) -> None:
    for name in ("noise", "identity"):
        seeds_B = getattr(conditions, name)
        other = generator.generate(dataclasses.replace(conditions, **{name: seeds_B + 10_000}))
        for row in range(len(conditions)):
            assert not np.array_equal(other.images[row], first.images[row]), (
                f"picture {row} is the same with another {name}: {seeds_B[row]} and {seeds_B[row] + 10_000}"
            )


def _check_refusal(generator: Generator, count: int) -> None:
    for columns in (len(generator.aus) - 1, len(generator.aus) + 1):
        zeros_B = np.zeros(count, np.int64)
        wrong = Conditions(np.zeros((count, columns), np.float32), zeros_B, zeros_B, prompt=[""] * count)
        try:
            generator.generate(wrong)
        except AusynthError as error:
            says_so = str(columns) in str(error)
            refusal = str(error)
        except Exception as error:
            found = f"{type(error).__name__}, not an AusynthError: {error}"
            raise AssertionError(f"{columns} AU columns raise {found}") from error
        else:
            raise AssertionError(f"{columns} AU columns are accepted, where aus has {len(generator.aus)}")
        assert says_so, f"the refusal of {columns} AU columns does not say {columns}: {refusal}"


def _conditions(generator: Generator, count: int, seed: int = 0) -> Conditions:
    """Return possible label vectors with a few AUs each, distinct people and distinct noise."""
    draw = np.random.default_rng(seed)
    aus = generator.aus
    intensity_BA = np.zeros((count, len(aus)), np.float32)
    for row in range(count):
        for _ in range(50):
            chosen_A = draw.random(len(aus)) < 3 / len(aus)
            candidate_1A = (chosen_A * draw.integers(1, 6, len(aus))).astype(np.float32)[None]
            if facs.is_possible(candidate_1A, aus)[0]:
                intensity_BA[row] = candidate_1A[0]
                break
    identity_B = np.arange(count, dtype=np.int64) + 100 * seed + 1
    prompts = [
        " ".join(str(facs.ACTION_UNITS[au]) for au, i in zip(aus, row, strict=True) if i) for row in intensity_BA
    ]
    return Conditions(intensity_BA, identity_B, identity_B + 1000, prompts)


def _check_label(generator: Generator, conditions: Conditions, made: Generated) -> None:
    label = getattr(generator, "label", None)
    if label is None:
        return
    labels = label(conditions)
    for name in ("intensity", "occurrence", "confidence"):
        found, wanted = getattr(labels, name), getattr(made.labels, name)
        assert np.array_equal(found, wanted, equal_nan=True), f"label() and generate() differ in {name}"


def _rows(conditions: Conditions, rows: NDArray[np.int64]) -> Conditions:
    return conditions.rows(rows)


def _part(generated: Generated, rows: NDArray[np.int64]) -> Generated:
    accepted = None if generated.accepted is None else generated.accepted[rows]
    return Generated(generated.images[rows], generated.labels[rows], accepted)


def _require_equal(found: Generated, expected: Generated, case: str) -> None:
    differ = [row for row in range(len(expected.images)) if not np.array_equal(found.images[row], expected.images[row])]
    assert not differ, f"{case}: other bits in pictures {differ}"
    before = [None if made.accepted is None else made.accepted.tolist() for made in (found, expected)]
    assert before[0] == before[1], f"{case}: other pictures are accepted"
    for name in ("intensity", "occurrence", "confidence"):
        pair = getattr(found.labels, name), getattr(expected.labels, name)
        assert np.array_equal(*pair, equal_nan=True), f"{case}: another labels.{name}"
