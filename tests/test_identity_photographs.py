"""Recognition, the guard and the report on real photographs, with dlib's network; skipped where either is absent.

People of the photographs keep their roles here: nobody is trained on, everybody is only compared.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader
from typer.testing import CliRunner

import ausynth
from ausynth.errors import ConfigurationError
from ausynth.generators.base import Generated
from ausynth.labels import Labels
from ausynth.samplers import Gallery, LeakageGuard
from ausynth.testing import check_encoder

pytest.importorskip("dlib", reason="the extra `identity` is not installed")


@pytest.fixture(scope="module")
def encoder():
    from ausynth.samplers import DlibEncoder

    return DlibEncoder()


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="module")
def london(test_data, encoder):
    """Return expression -> (70, 128) embeddings of the people of London, who are in the same order in both."""
    table = csv.DictReader((test_data / "faces" / "faces.csv").read_text().splitlines())
    rows = [row for row in table if row["file"].startswith("london/")]
    people = sorted({row["identity"] for row in rows})
    found = {}
    for expression in ("neutral", "smiling"):
        files = {row["identity"]: row["file"] for row in rows if row["expression"] == expression}
        images = np.stack([read(test_data / "faces" / files[who]) for who in people])
        found[expression] = encoder.embed(images)
    return found


def gallery(vectors, encoder, prefix=""):
    names = tuple(f"{prefix}{n}" for n in range(len(vectors)))
    return Gallery(vectors, np.arange(len(vectors)), names, encoder.fingerprint)


def test_pictures_of_a_person_match_and_of_two_people_do_not(london):
    neutral, smiling = london["neutral"], london["smiling"]
    assert neutral.any(axis=1).all()
    assert smiling.any(axis=1).all()
    cosines = neutral @ smiling.T
    genuine, impostors = np.diag(cosines), cosines[~np.eye(len(cosines), dtype=bool)]
    assert (cosines.argmax(axis=1) == np.arange(len(cosines))).all()
    assert genuine.min() > impostors.max()


@pytest.mark.parametrize("half", [0, 1])
def test_half_of_the_people_are_kept_out_and_the_others_let_in(london, encoder, half):
    theirs = np.arange(len(london["neutral"])) % 2 == half
    neutral, smiling = london["neutral"], london["smiling"]
    guard = LeakageGuard(
        gallery(neutral[theirs], encoder, "test"), encoder, calibrate=gallery(neutral[~theirs], encoder, "other")
    )
    assert guard.rejects(smiling[theirs]).all()
    wrongly = guard.rejects(smiling[~theirs]).mean()
    low, high = guard.calibration.rejected_interval
    assert low <= guard.calibration.alpha
    assert wrongly <= max(guard.calibration.alpha, high)


def test_dlib_keeps_an_encoders_promises(test_data, encoder):
    names = ("001_neutral", "001_smiling", "002_neutral")
    images = [read(test_data / "faces" / "london" / f"{name}.jpg") for name in names]
    check_encoder(encoder, np.stack([*images, np.zeros_like(images[0])]))


class Photographs:
    """A generator that shows somebody's smiling photograph, whatever is asked."""

    name, image_size, aus, block_size = "photographs", 256, (6, 12, 25), 1

    def __init__(self, images):
        self.images, self.fingerprint = images, "photographs"

    def generate(self, conditions):
        images = self.images[conditions.identity % len(self.images)]
        return Generated(images, Labels.from_intensity(self.aus, conditions.intensity))


def test_a_stream_of_photographs_shows_nobody_of_the_gallery(test_data, london, encoder):
    """Every second person of 20 is in the gallery, by a neutral picture; the generator shows all of them smiling."""
    files = sorted((test_data / "faces" / "london").glob("*_smiling.jpg"))[:20]
    theirs = np.arange(70) % 2 == 0
    neutral = london["neutral"]
    guard = LeakageGuard(
        gallery(neutral[theirs], encoder, "test"), encoder, calibrate=gallery(neutral[~theirs], encoder, "other")
    )
    stream = ausynth.MixedStream(
        None,
        1,
        generator=Photographs(np.stack([read(file) for file in files])),
        guard=guard,
        identities=20,
        balance=None,
        image_size=64,
        batch_size=20,
        threads=0,
    )
    shown = stream.batch(0)["identity"] % 2**32
    assert (shown % 2 == 1).all()
    assert stream.stats()["rejected"] >= 10


def test_small_and_rendered_faces_are_found_and_nothing_is_not(test_data, encoder):
    photograph = read(test_data / "faces" / "london" / "001_neutral.jpg")
    whole = encoder.embed(photograph[None])[0]
    for size in (64, 112, 512):
        small = encoder.embed(cv2.resize(photograph, (size, size), interpolation=cv2.INTER_AREA)[None])[0]
        assert small @ whole > 0.95
    assert not encoder.embed(np.full((1, 96, 96, 3), 128, np.uint8)).any()
    stream = ausynth.MixedStream(None, 1, batch_size=8, balance=None, image_size=96, threads=0)
    faces = np.ascontiguousarray(stream.batch(0)["image"].permute(0, 2, 3, 1).numpy())
    assert encoder.embed(faces).any(axis=1).mean() >= 0.8


@pytest.fixture(scope="module")
def disfa(test_data, tmp_path_factory):
    """Return a DISFA tree of photographs: 12 subjects, of each part some."""
    script = test_data.parent / "tools" / "photo_disfa.py"
    if not script.is_file():
        pytest.skip(f"no {script.name} beside the photographs")
    root = tmp_path_factory.mktemp("disfa")
    command = [sys.executable, str(script), str(root), "--layout", "frames", "--frames", "12", "--subjects", "12"]
    subprocess.run(command, check=True)
    return root


@pytest.fixture
def few_frames(monkeypatch, tmp_path_factory):
    """Take two frames of a person, and remember embeddings from one test to the next."""
    monkeypatch.setattr("ausynth.samplers.gallery.PER_PERSON", 2)
    monkeypatch.setenv("AUSYNTH_CACHE", str(tmp_path_factory.getbasetemp() / "embedded"))


def test_guard_true_keeps_photographs_of_test_people_out(disfa, few_frames, tmp_path):
    stream = ausynth.MixedStream(
        "disfa", 0.5, root=disfa, hold_out="P1", guard=True, balance=None, batch_size=8, threads=0, cache=tmp_path
    )
    batch = stream.batch(0)
    assert stream.stats()["guard"]["checked"] >= 4 == int(batch["synthetic"].sum())
    held = ausynth.open_source("disfa", disfa, keep="P1")
    frames = np.empty((4, 256, 256, 3), np.uint8)
    held.read([0, 13, 25, 37], frames)
    assert stream.guard.rejects(stream.guard.embed(frames)).all()
    loader = DataLoader(stream, batch_size=None, num_workers=1, multiprocessing_context="fork", timeout=120)
    assert (next(iter(loader))["image"] == batch["image"]).all()  # dlib in a forked worker
    with pytest.raises(ConfigurationError, match="nobody held out"):
        ausynth.MixedStream("disfa", 0.5, root=disfa, guard=True, balance=None)


def test_the_report_says_how_alike_faces_are(disfa, few_frames, tmp_path):
    from ausynth.cli import app

    command = ["identity", "report", "--disfa-root", disfa, "--hold-out", "P1", "--count", 8, "--image-size", 64]
    command += ["--out", tmp_path, "--json", tmp_path / "figures.json", "--pairs", 2, "--cache", tmp_path / "faces"]
    result = CliRunner().invoke(app, list(map(str, command)))
    assert result.exit_code == 0, result.output
    assert "8 synthetic faces of 8 people" in result.output
    assert "synthetic-test" in result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["faces"] == 8
    assert 1 <= figures["effective"] <= 8
    assert sum(figures["synthetic-train"]["histogram"].values()) == 8 - figures["no_face"]
    assert max(map(float, figures["train-test"]["histogram"])) < figures["threshold"]
    assert "SN0" not in (tmp_path / "figures.json").read_text()
    sheet = cv2.imread(str(tmp_path / "identity.png"))
    assert sheet is not None
    assert sheet.std() > 10
