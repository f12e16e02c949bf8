"""`ausynth sheet`: contact sheets of any generator, by one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from ausynth import facs
from ausynth.cli import app
from ausynth.commands import sheet as command
from ausynth.errors import ConfigurationError
from ausynth.generators import Conditions, Generated, load_generator
from ausynth.labels import Labels
from ausynth.people_sheet import combinations_of, said_of


class Plain:
    """A generator with blocks, another label space, and nothing to say about its people."""

    name, fingerprint, image_size, aus, block_size = "plain", "plain-1", 40, (4, 12, 25), 7

    def generate(self, conditions: Conditions) -> Generated:
        assert len(conditions) % self.block_size == 0
        images = np.zeros((len(conditions), 40, 40, 3), np.uint8)
        images[:] = (conditions.identity % 200).astype(np.uint8)[:, None, None, None]
        return Generated(images, Labels.from_intensity(self.aus, conditions.intensity))


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("options", [(), ("--png",)])
def test_the_sheets_are_drawn(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = call("sheet", "--out", tmp_path, "--people", 2, "--combinations", 5, "--image-size", 48, *options)
    assert done.exit_code == 0, done.output
    suffix = "png" if options else "jpg"
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"aus_1.{suffix}", f"aus_2.{suffix}", f"combinations.{suffix}"]
    for name in files:
        assert cv2.imread(str(tmp_path / name)).std() > 10
        assert options or (tmp_path / name).stat().st_size <= 400_000
        assert name in done.output.replace("\n", "")


def test_any_generator_can_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_load", lambda *_, **__: Plain())
    done = call(
        "sheet", "--out", tmp_path, "--people", 2, "--combinations", 5, "--look", "portrait", "--bank", tmp_path
    )
    assert done.exit_code == 0, done.output
    assert len(list(tmp_path.iterdir())) == 3
    assert command.choose_people(Plain(), 3) == [0, 1, 2]
    assert command.describe(Plain(), 4) == "person 4"


def test_a_network_shows_its_people_with_each_au_and_combinations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ausynth.generators.load_generator", lambda *_, **__: Plain())
    done = call("sheet", "--out", tmp_path, "--generator", "maugen", "--people", 2, "--combinations", 3, "--png")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["combinations.png", "people.png"]
    people = cv2.imread(str(tmp_path / "people.png"))
    # Two rows of a neutral face and three AUs, each person a grey of their own.
    assert {tuple(people[160 + 48 + row * 120, 84 + 48 + k * 102]) for k in range(4) for row in (0,)} == {(0, 0, 0)}
    assert tuple(people[160 + 48 + 120, 84 + 48]) == (1, 1, 1)


def test_combinations_are_of_the_label_space_and_possible() -> None:
    headings, wanted = combinations_of(facs.DISFA_12, 20)
    assert len(headings) == len(wanted) == 20 == len({tuple(row) for row in wanted.tolist()})
    assert facs.is_possible(wanted, facs.DISFA_12).all()
    assert (wanted.astype(bool).sum(1) > 1).all()
    assert headings[0] == "happiness\n6+12"
    with pytest.raises(ConfigurationError, match="no combination"):
        combinations_of((2,), 5)


def test_notes_say_what_a_label_says_and_whether_it_is_as_asked() -> None:
    labels = Labels.from_intensity((4, 12), [[3.0, 0.5], [3.0, 4.0], [np.nan, 1.0]])
    asked = np.array([[4, 0], [4, 0], [4, 0]], np.float32)
    assert said_of(asked, labels) == [("4:3.0", True), ("4:3.0 12:4.0", False), ("4:?", True)]


def test_the_people_differ_in_age_gender_and_ethnicity() -> None:
    generator = load_generator("rendered", image_size=32)
    people = command.choose_people(generator, 6)
    traits = [generator.attributes(who) for who in people]  # type: ignore[attr-defined]
    assert len(set(people)) == 6
    assert {trait["gender"] for trait in traits} == {"female", "male"}
    assert {trait["ethnicity"] for trait in traits} >= {"african", "asian", "caucasian"}
    assert np.ptp([trait["age"] for trait in traits]) > 30
    assert all(trait["clear"] for trait in traits)


@pytest.mark.parametrize(
    ("options", "message"), [(("--look", "wax"), "look 'wax'"), (("--look", "portrait"), "--bank")]
)
def test_a_look_that_cannot_be_shown_is_refused(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    done = call("sheet", "--out", tmp_path, *options)
    assert done.exit_code == 2
    assert message in done.output
    assert not list(tmp_path.iterdir())
