"""The conformance suite passes a good generator and catches each way of being broken."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated
from ausynth.labels import Labels
from ausynth.testing.generators import check_generator


class Good:
    """A generator of noise that keeps every promise; the tests break one at a time."""

    name = "good"
    fingerprint = "good-1"
    image_size = 8
    aus = (1, 12, 25)
    block_size = 1

    def generate(self, conditions: Conditions) -> Generated:
        if conditions.intensity.shape[1] != len(self.aus):
            raise ConfigurationError(f"{conditions.intensity.shape[1]} columns", expected=f"{len(self.aus)}")
        images = np.empty((len(conditions), 8, 8, 3), np.uint8)
        for row in range(len(conditions)):
            images[row] = self.picture(
                conditions.intensity[row], int(conditions.identity[row]), int(conditions.noise[row]), row
            )
        return Generated(images, Labels.from_intensity(self.aus, conditions.intensity))

    def picture(self, intensity: np.ndarray, identity: int, noise: int, row: int) -> np.ndarray:
        return np.random.default_rng([identity, noise]).integers(0, 256, (8, 8, 3), np.uint8)


def broken(generate: Callable[[Good, Conditions], Generated], **properties: object) -> Good:
    return type("Broken", (Good,), {"generate": generate, **properties})()


def test_a_good_generator_passes() -> None:
    check_generator(Good())


def test_a_good_generator_of_whole_blocks_passes() -> None:
    class Blocks(Good):
        block_size = 3

        def generate(self, conditions: Conditions) -> Generated:
            assert len(conditions) % 3 == 0
            made = super().generate(conditions)
            for start in range(0, len(conditions), 3):  # companions of a block change its bits
                made.images[start : start + 3] ^= np.bitwise_xor.reduce(made.images[start : start + 3], axis=0) // 2
            return made

    check_generator(Blocks(), samples=4)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"fingerprint": 7}, "fingerprint is 7"),
        ({"fingerprint": property(lambda self: str(np.random.default_rng().random()))}, "fingerprint differs"),
        ({"block_size": 0}, "block_size is 0"),
        ({"image_size": 8.0}, "image_size is 8.0"),
        ({"aus": [1, 12, 25]}, "aus is a list"),
        ({"aus": (1, 1, 25)}, "no label space"),
        ({"name": ""}, "name is ''"),
    ],
)
def test_properties(properties: dict[str, object], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_generator(broken(Good.generate, **properties))


def test_a_missing_part() -> None:
    with pytest.raises(AssertionError, match="lacks a part"):
        check_generator(object())  # type: ignore[arg-type]


class OfItsRow(Good):
    def picture(self, intensity: np.ndarray, identity: int, noise: int, row: int) -> np.ndarray:
        return super().picture(intensity, identity, noise + 50 * row, row)


class Stateful(Good):
    calls = 0

    def generate(self, conditions: Conditions) -> Generated:
        self.calls += 1
        return super().generate(
            Conditions(conditions.intensity, conditions.identity, conditions.noise + 7 * self.calls)
        )


class DeafToNoise(Good):
    def picture(self, intensity: np.ndarray, identity: int, noise: int, row: int) -> np.ndarray:
        return super().picture(intensity, identity, 0, row)


class DeafToIdentity(Good):
    def picture(self, intensity: np.ndarray, identity: int, noise: int, row: int) -> np.ndarray:
        return super().picture(intensity, 0, noise, row)


class Blank(Good):
    def picture(self, intensity: np.ndarray, identity: int, noise: int, row: int) -> np.ndarray:
        return np.full((8, 8, 3), (identity + noise) % 256, np.uint8)


class Vandal(Good):
    def generate(self, conditions: Conditions) -> Generated:
        made = super().generate(conditions)
        conditions.intensity[:] = 0
        return made


class Careless(Good):
    def generate(self, conditions: Conditions) -> Generated:
        return super().generate(
            Conditions(np.zeros((len(conditions), 3), np.float32), conditions.identity, conditions.noise)
        )


class Rude(Good):
    def generate(self, conditions: Conditions) -> Generated:
        if conditions.intensity.shape[1] != 3:
            raise IndexError("index 3 is out of bounds")
        return super().generate(conditions)


class Floating(Good):
    def generate(self, conditions: Conditions) -> Generated:
        made = super().generate(conditions)
        return Generated(made.images.astype(np.float32), made.labels)  # type: ignore[arg-type]


class ChannelsFirst(Good):
    def generate(self, conditions: Conditions) -> Generated:
        made = super().generate(conditions)
        return Generated(made.images.transpose(0, 3, 1, 2), made.labels)


class OtherLabelSpace(Good):
    def generate(self, conditions: Conditions) -> Generated:
        made = super().generate(conditions)
        return Generated(made.images, made.labels.project((1, 12)))


class TooFewLabels(Good):
    def generate(self, conditions: Conditions) -> Generated:
        made = super().generate(conditions)
        return Generated(made.images, made.labels[: len(conditions) - 1])


class RandomLabels(Good):
    calls = 0

    def generate(self, conditions: Conditions) -> Generated:
        made = super().generate(conditions)
        self.calls += 1
        return Generated(made.images, Labels.from_intensity(self.aus, (conditions.intensity + self.calls) % 5))


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (OfItsRow, "block_size 1, another order: other bits"),
        (Stateful, "a second time: other bits"),
        (DeafToNoise, "the same with another noise"),
        (DeafToIdentity, "the same with another identity"),
        (Blank, "is one colour"),
        (Vandal, "changed conditions.intensity"),
        (Careless, "2 AU columns are accepted"),
        (Rude, "raise IndexError, not an AusynthError"),
        (Floating, "images are float32, not uint8"),
        (ChannelsFirst, "images have shape"),
        (OtherLabelSpace, "labels are over"),
        (TooFewLabels, "3 labels for 4 pictures"),
        (RandomLabels, "a second time: another labels.intensity"),
    ],
)
def test_a_broken_generator_is_caught(generator: type[Good], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_generator(generator())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"trained_on": ("SN001",)}, "trained_on names 'SN001'"),
        ({"people": [SimpleNamespace(name="a", source="")]}, "source of a person"),
        ({"people": [SimpleNamespace(name="a", source="b")] * 2}, "two people .* one name"),
    ],
)
def test_what_is_said_of_people_is_looked_at(members, message):
    with pytest.raises(AssertionError, match=message):
        check_generator(broken(Good.generate, **members))
    check_generator(broken(Good.generate, trained_on=("disfa:SN001",), people=[SimpleNamespace(name="a", source="b")]))
