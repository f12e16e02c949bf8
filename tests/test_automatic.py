"""What generator="auto" stands for: the shipped MAUGen where it has passed its gate, else the renderer."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from fakes import FakeSource
from maugen_fakes import AUS, TINY, pipeline_of
from typer.testing import CliRunner

import ausynth
from ausynth.cli import app
from ausynth.errors import ConfigurationError
from ausynth.generators import resolve_auto
from ausynth.generators.maugen import shipped
from ausynth.generators.maugen.people import People
from ausynth.jobs.options import StreamOptions

GOOD = {"judge_f1_request": 0.75, "judge_mae_request": 0.5, "zeros_mae": 0.7, "judge_f1_ceiling": 0.85}


@pytest.fixture(autouse=True)
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUSYNTH_GENERATOR")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "mini"
    pipeline = pipeline_of(TINY)
    pipeline.people = People(torch.randn(4, TINY.identity_tokens, TINY.token_width))
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def ship(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the package come with weights that have passed their gate."""
    monkeypatch.setattr(shipped, "SHIPPED", weights)
    (weights / shipped.FIGURES).write_text(json.dumps(GOOD))
    return weights


@pytest.fixture
def ship_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "none")


def test_the_renderer_where_no_weights_came_along(ship_nothing: None) -> None:
    chosen = resolve_auto()
    assert chosen.name == "rendered"
    assert "no MAUGen weights" in chosen.why
    assert ausynth.load_generator("auto", image_size=32).fingerprint == (
        ausynth.load_generator("rendered", image_size=32).fingerprint
    )
    with pytest.raises(ConfigurationError, match="none came with this installation"):
        ausynth.load_generator("maugen")


def test_maugen_where_it_has_passed_its_gate(ship: Path) -> None:
    chosen = resolve_auto(AUS)
    assert chosen.name == "maugen"
    assert "F1 0.750" in chosen.why
    assert "ceiling 0.850" in chosen.why
    by_name = ausynth.load_generator("maugen", "cpu")
    assert by_name.aus == AUS
    assert ausynth.load_generator("auto", "cpu", image_size=48).fingerprint == by_name.fingerprint


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        (GOOD | {"judge_f1_request": 0.699}, "F1 0.699"),
        (GOOD | {"judge_mae_request": 0.7}, "mean error 0.700"),
        ({name: value for name, value in GOOD.items() if name != "zeros_mae"}, "no judge has measured it"),
        (GOOD | {"judge_f1_request": float("nan")}, "no judge has measured it"),
        (None, "no judge has measured it"),
        ("[1]", "damaged"),
    ],
)
def test_the_renderer_where_it_has_not(ship: Path, figures: object, says: str) -> None:
    path = ship / shipped.FIGURES
    if figures is None:
        path.unlink()
    else:
        path.write_text(figures if isinstance(figures, str) else json.dumps(figures))
    chosen = resolve_auto(AUS)
    assert chosen.name == "rendered"
    assert says in chosen.why


def test_the_renderer_for_aus_that_it_does_not_know(ship: Path) -> None:
    chosen = resolve_auto((1, 7, 12))
    assert chosen.name == "rendered"
    assert "does not know AU7" in chosen.why
    assert ausynth.load_generator("auto", aus=(1, 7, 12), image_size=32).name == "rendered"
    assert ausynth.load_generator("auto", "cpu", aus=(12, 25)).name == "maugen"


def test_a_variable_says_what_it_stands_for(ship: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUSYNTH_GENERATOR", "rendered")
    assert resolve_auto(AUS).name == "rendered"
    monkeypatch.setenv("AUSYNTH_GENERATOR", "auto")
    assert resolve_auto(AUS).name == "maugen"
    monkeypatch.setenv("AUSYNTH_GENERATOR", "diffusion")
    with pytest.raises(ConfigurationError, match="AUSYNTH_GENERATOR='diffusion'"):
        resolve_auto(AUS)


def test_options_of_one_generator_are_refused(ship_nothing: None) -> None:
    with pytest.raises(ConfigurationError, match="name the generator"):
        ausynth.load_generator("auto", steps=4)


def test_a_stream_resolves_it_once_by_its_label_space(ship: Path) -> None:
    options = {"ratio": 0.5, "balance": None, "batch_size": 4, "image_size": 32}
    known, other = FakeSource(20, aus=(1, 12)), FakeSource(20, aus=(1, 7))
    with pytest.warns(UserWarning, match="on the CPU"):
        painted = ausynth.MixedStream(known, **options)
    assert painted.stats()["generator"]["name"] == "maugen"
    assert "passed its gate" in painted.stats()["generator"]["why"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = ausynth.MixedStream(other, **options)
        asked = ausynth.MixedStream(known, **options, aus="bp4d-12")
        named = ausynth.MixedStream(known, **options, generator="maugen")
    assert "does not know AU7" in drawn.stats()["generator"]["why"]
    assert asked.stats()["generator"]["name"] == "rendered"
    # The plan is that of the generator that "auto" stands for.
    assert named.plan == painted.plan
    assert named.stats()["generator"] == {**painted.stats()["generator"], "why": ""}
    assert ausynth.MixedStream(other, **options, generator="rendered").plan == drawn.plan
    assert ausynth.MixedStream(known, ratio=0, batch_size=4).stats()["generator"] is None


def test_without_a_real_set_it_decides_the_label_space(ship: Path) -> None:
    with pytest.warns(UserWarning, match="on the CPU"):
        stream = ausynth.MixedStream(None, 1, balance=None, batch_size=4)
    assert stream.aus == AUS


def test_a_cache_keeps_its_generator(ship: Path, tmp_path: Path) -> None:
    options = {"ratio": 1, "balance": None, "batch_size": 4, "image_size": 32, "aus": AUS, "cache": tmp_path / "cache"}
    first = ausynth.MixedStream(None, generator="rendered", **options)
    first.warm(0, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = ausynth.MixedStream(None, **options)
    assert again.plan == first.plan
    assert "holds its faces" in again.stats()["generator"]["why"]


def test_jobs_name_what_it_stood_for(ship: Path, tmp_path: Path) -> None:
    options = StreamOptions({"real": None, "ratio": 1, "balance": None, "cache": tmp_path / "cache"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = options()
    assert options.resolved(stream).options["generator"] == "maugen"
    named = StreamOptions({**options.options, "generator": "rendered"})
    assert named.resolved(stream) is named


def test_doctor_says_which_and_why(ship: Path) -> None:
    # The tiny weights know three AUs: neither all of DISFA's nor BP4D's.
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)["machine"]["generator auto"]
    assert said.startswith("rendered: ")
    assert "does not know AU2" in said
