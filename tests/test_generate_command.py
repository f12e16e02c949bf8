"""`ausynth generate`: from a text or numbers to labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from maugen_fakes import AUS, TINY, pipeline_of
from typer.testing import CliRunner

import ausynth
from ausynth import facs
from ausynth.cli import app
from ausynth.errors import ConfigurationError
from ausynth.generators import Conditions
from ausynth.generators.maugen.people import People
from ausynth.requests import intensities_of_text, intensities_of_units, request_vector

SADNESS = "a hint of sadness with clearly lowered brows"


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["generate", *(str(argument) for argument in arguments)])


def pixels(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    pipeline = pipeline_of(TINY)
    pipeline.people = People(torch.randn(4, TINY.identity_tokens, TINY.token_width))
    pipeline.save_pretrained(folder)
    return folder


def test_a_text_becomes_a_picture_of_what_it_says(tmp_path: Path) -> None:
    done = call(
        SADNESS, "--identity", 7, "--out", tmp_path / "new" / "x.png", "--size", 64, "--json", tmp_path / "x.json"
    )
    assert done.exit_code == 0, done.output
    assert "AU1 inner brow raiser 1, AU4 brow lowerer 3, AU15 lip corner depressor 1" in done.output
    assert "made by: rendered (" in done.output
    assert "AU4 3.0 (100%)" in done.output
    said = json.loads((tmp_path / "x.json").read_text())
    assert said["asked"] == {"1": 1, "4": 3, "15": 1}
    (picture,) = said["pictures"]
    assert picture["identity"] == 7
    assert picture["labels"]["4"] == {"intensity": 3.0, "occurrence": 1.0, "confidence": 1.0}
    # It is the picture that the generator makes for this request.
    generator = ausynth.load_generator("rendered", image_size=64)
    vector = request_vector({1: 1, 4: 3, 15: 1}, generator.aus, "it")
    made = generator.generate(Conditions(vector[None], np.array([7]), np.array([0])))
    assert np.array_equal(pixels(tmp_path / "new" / "x.png"), made.images[0])


def test_numbers_do_as_well(tmp_path: Path) -> None:
    done = call("--au", "12=2.5,6=1", "--au", "25", "--out", tmp_path / "x.png", "--size", 32)
    assert done.exit_code == 0, done.output
    assert "AU6 cheek raiser 1, AU12 lip corner puller 2.5, AU25 lips part 3" in done.output


def test_several_are_a_contact_sheet_or_a_folder(tmp_path: Path) -> None:
    done = call("neutral", "--count", 3, "--out", tmp_path / "sheet.png", "--size", 48)
    assert done.exit_code == 0, done.output
    assert "a neutral face" in done.output
    assert pixels(tmp_path / "sheet.png").shape[1] > 3 * 48
    assert "person 2, seed 2" in done.output
    done = call("neutral", "--count", 3, "--out", tmp_path / "each", "--size", 48, "--identity", 9)
    assert sorted(path.name for path in (tmp_path / "each").iterdir()) == ["0000.png", "0001.png", "0002.png"]
    pictures = [pixels(path) for path in sorted((tmp_path / "each").iterdir())]
    assert not np.array_equal(pictures[0], pictures[1])  # one person, in other poses
    assert "person 9, seed 2" in done.output


def test_a_maugen_says_what_it_reads_and_how_sure_it_is(mini: Path, tmp_path: Path) -> None:
    options = ("--generator", mini, "--device", "cpu", "--steps", 1, "--guidance", 1)
    done = call(
        "a slight smile",
        *options,
        "--count",
        2,
        "--out",
        tmp_path / "each",
        "--size",
        40,
        "--json",
        tmp_path / "x.json",
    )
    assert done.exit_code == 0, done.output
    assert "made by: maugen" in done.output
    said = json.loads((tmp_path / "x.json").read_text())
    assert [set(picture["labels"]) for picture in said["pictures"]] == [{str(au) for au in AUS}] * 2
    assert pixels(tmp_path / "each" / "0000.png").shape == (40, 40, 3)
    generator = ausynth.load_generator(mini, "cpu", steps=1, guidance=1, block_size=2)
    assert said["generator"]["fingerprint"] == generator.fingerprint
    assert all(entry["prompt"] is None or entry["prompt"] for entry in said["pictures"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["hello there", "--out", "x.png"], "smile, smirk"),
        (["--out", "x.png"], "neither a text nor --au"),
        (["a smile", "--au", "12=3", "--out", "x.png"], "a text and --au"),
        (["--au", "12=6", "--out", "x.png"], "AU 12 of intensity 6"),
        (["--au", "12=1,12=2", "--out", "x.png"], "AU 12 twice"),
        (["--au", "smile", "--out", "x.png"], "'smile' for an action unit"),
        (["--au", "99=1", "--out", "x.png"], "unknown AU 99"),
        (["a smile", "--out", "x.jpg"], "suffix .jpg"),
        (["a smile", "--out", "FILE/x.png"], "is a file"),
        (["a smile", "--out", "FOLDER.png"], "is a folder"),
        (["a smile", "--steps", "3", "--out", "x.png"], "--steps for the renderer"),
        (["a smile", "--device", "cuda", "--generator", "rendered", "--out", "x.png"], "--device cuda"),
        (["a smile", "--generator", "nowhere", "--out", "x.png"], "unknown generator 'nowhere'"),
        (["a smile", "--look", "portrait", "--out", "x.png"], "without a face bank"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")
    (tmp_path / "FOLDER.png").mkdir()
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.output.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["FILE", "FOLDER.png"]


def test_an_au_that_the_generator_lacks_is_refused(mini: Path, tmp_path: Path) -> None:
    done = call("--au", "4=3", "--generator", mini, "--device", "cpu", "--out", tmp_path / "x.png")
    assert done.exit_code == 2
    assert "AU4 brow lowerer, which generator 'maugen' does not know" in " ".join(done.output.split())
    assert request_vector({4: 0, 12: 2}, AUS, "it").tolist() == [0, 2, 0]  # absent is what it can do


def test_what_is_understood() -> None:
    assert intensities_of_text(SADNESS) == {1: 1, 4: 3, 15: 1}
    assert intensities_of_text("surprise") == dict.fromkeys(facs.PROTOTYPES["surprise"].required, 3)
    assert intensities_of_units(["au12:4, 6"]) == {6: 3, 12: 4}
    with pytest.raises(ConfigurationError, match="happiness"):
        intensities_of_text("the weather is fine")
    with pytest.raises(ConfigurationError, match="unknown AU 99"):
        intensities_of_text("AU99")
