from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeGenerator
from typer.testing import CliRunner

from ausynth import facs
from ausynth.balance_sheet import balance_sheet
from ausynth.cli import app
from ausynth.samplers import calibrate
from ausynth.samplers.problem import Problem
from ausynth.stream import MixedStream

runner = CliRunner()
GREY, GREEN = (160, 163, 168), (36, 128, 76)
HARD = (["00", "10", "11"], [80, 15, 5])


def call(*arguments: object) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments])


def strictly(path: Path) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def disfa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("practice") / "disfa"
    result = call("simulate", "disfa", root, "--subjects", 4, "--frames", 60, "--size", 32, "--run-length", 4)
    assert result.exit_code == 0, result.output
    return root


def test_it_says_what_a_stream_of_the_same_arguments_does(disfa: Path, tmp_path: Path, monkeypatch: Any) -> None:
    out = tmp_path / "out"
    options = ("--disfa-root", disfa, "--target", "hard", "--out", out, "--json", out / "figures.json")
    result = call("balance", *options, "--hold-out", "SN001", "--aus", "1,2,4,6,12,25,26")
    assert result.exit_code == 0, result.output
    monkeypatch.setattr(Problem, "solve", None)  # the stream finds the solution
    stream = MixedStream("disfa", root=disfa, balance="hard", hold_out="SN001", aus=[1, 2, 4, 6, 12, 25, 26])
    found = strictly(out / "figures.json")
    assert found.items() >= stream.balance.report().items()
    assert found["fingerprint"] == stream.balance.fingerprint
    assert np.array(found["phi"]["after"], float) == pytest.approx(stream.balance.reached_phi.round(5), nan_ok=True)
    assert sorted(path.name for path in out.iterdir()) == ["balance.png", "figures.json"]
    assert min(cv2.imread(str(out / "balance.png")).shape[:2]) > 800
    assert "180 frames (practice copy)" in result.stdout
    assert "12 lip corner puller" in result.stdout
    assert f"{found['largest_weight']:.2f}" in result.stdout
    assert str(out / "balance.png") in result.stdout
    for note in found["notes"]:
        assert note in result.stdout
    assert "…" not in result.stdout  # nothing was cut, at 80 columns
    assert "ausynth prepare" not in result.stderr  # no picture is read


def test_what_is_commonly_done_stands_beside_it(disfa: Path, tmp_path: Path) -> None:
    options = ("--disfa-root", disfa, "--generator", "none", "--target", "hard", "--json", tmp_path / "figures.json")
    result = call("balance", *options)
    assert result.exit_code == 0, result.output
    found = strictly(tmp_path / "figures.json")
    assert set(found["baselines"]) == {"natural", "inverse frequency", "repeat factor", "class-aware"}
    assert found["baselines"]["natural"]["alone"]["effective_share"] == 1
    assert found["baselines"]["natural"]["alone"]["max_abs_phi"] == pytest.approx(
        found["natural_max_abs_phi"], abs=1e-4
    )
    for kinds in found["baselines"].values():
        for figures in kinds.values():
            assert figures["marginal_error"] > found["marginal_error"]
            assert figures["max_abs_phi"] > found["max_abs_phi"]
    assert "repeat factor" in result.stdout
    assert "mixed:" in result.stdout


def test_real_frames_alone(disfa: Path, tmp_path: Path) -> None:
    result = call("balance", "--disfa-root", disfa, "--ratio", 0, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    found = strictly(tmp_path / "figures.json")
    assert found["unreached_rates"]
    assert all(row["synthetic"] is None for row in found["aus"])
    assert set(found["baselines"]["natural"]) == {"alone"}
    assert "Not reached" in result.stdout
    assert "mixed:" not in result.stdout
    rows = found["aus"]
    assert all(row["people"] <= 4 for row in rows)
    assert any(row["people"] > 1 for row in rows)


def test_without_real_frames(tmp_path: Path) -> None:
    options = ("--real", "none", "--ratio", 1, "--generator", "none", "--aus", "disfa-12")
    result = call("balance", *options, "--out", tmp_path, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    found = strictly(tmp_path / "figures.json")
    assert [row["au"] for row in found["aus"]] == list(facs.DISFA_12)
    assert found["marginal_error"] < 0.002
    assert not found["baselines"]
    assert "people" not in result.stdout
    assert (tmp_path / "balance.png").exists()


def test_a_pool_is_weighed(disfa: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    maker = MixedStream(None, 1, generator=FakeGenerator(), image_size=16, balance=None, cache=store)
    maker.warm(0, 500)
    result = call("balance", "--disfa-root", disfa, "--synthetic", store, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    assert f"500 faces of {store}" in result.stdout
    found = strictly(tmp_path / "figures.json")
    stream = MixedStream("disfa", root=disfa, synthetic=store, generator=None)
    assert found["fingerprint"] == stream.balance.fingerprint
    assert set(found["baselines"]["natural"]) == {"alone"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--target", "softly"], (2, "soft, hard, natural, uniform")),
        (["--ratio", "1.5"], (2, "ratio 1.5")),
        (["--real", "none"], (2, "ratio")),
        (["--generator", "magic"], (2, "magic")),
        (["--aus", "99"], (2, "unknown AU 99")),
        (["--hold-out", "P7"], (2, "P7")),
        (["--synthetic", "nowhere"], (1, "nowhere")),
        (["--out", "FILE"], (1, "FILE")),
    ],
)
def test_what_cannot_be_ends_with_one_message(
    disfa: Path, tmp_path: Path, monkeypatch: Any, arguments: list[str], expected: tuple[int, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("")
    given = arguments if "--real" in arguments else ["--disfa-root", str(disfa), *arguments]
    given = given if {"--generator", "--synthetic"} & set(given) else [*given, "--generator", "none"]
    result = call("balance", *given)
    assert result.exit_code == expected[0], result.output
    assert expected[1] in result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


def test_without_a_root_it_says_which_variable_is_missing() -> None:
    result = call("balance")
    assert result.exit_code == 2
    assert "AUSYNTH_DISFA_ROOT" in result.stderr


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from ausynth.cli import app
try:
    app(["balance", "--help"])
except SystemExit as end:
    assert not end.code, end.code
heavy = sorted({"torch", "cv2", "numba", "scipy", "av", "pandas", "PIL"} & set(sys.modules))
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--target" in done.stdout


# The picture


def holds(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


def runs_of(sheet: np.ndarray, colour: tuple[int, int, int]) -> list[int]:
    """Return the heights of the bars of a colour below the legend, from left to right."""
    column_heights = (sheet[148:410] == colour).all(axis=2).sum(axis=0)
    starts = np.flatnonzero(np.diff((column_heights > 3).astype(int), prepend=0) == 1)
    return [int(column_heights[start + 2]) for start in starts]


def test_bars_are_as_high_as_the_rates() -> None:
    balance = calibrate(HARD, aus=(12, 25), ratio=0.5, target="hard", alpha=0)
    sheet = balance_sheet(balance, title="title")
    before, after = runs_of(sheet, GREY), runs_of(sheet, GREEN)
    assert len(before) == len(after) == 2
    scale = after[0] / balance.reached_rates[0]
    assert after[1] == pytest.approx(scale * balance.reached_rates[1], abs=3)
    assert before == pytest.approx(scale * balance.natural_rates, abs=4)


def test_colours_tell_which_aus_go_together() -> None:
    def tints(rows: list[str], counts: list[int]) -> tuple[int, int]:
        sheet = balance_sheet(calibrate((rows, counts), aus=(12, 25), ratio=0), title="title")
        cells = sheet[500:-80].astype(int)
        spread = cells[..., 0] - cells[..., 2]
        return int((spread > 90).sum()), int((spread < -90).sum())

    together, apart = tints(["00", "11"], [50, 50]), tints(["01", "10"], [50, 50])
    assert together[0] > 2 * 40 * 40
    assert together[1] == 0
    assert apart[0] == 0
    assert apart[1] > 2 * 40 * 40


@pytest.mark.parametrize("aus", [(12,), facs.UNION_17, tuple(facs.ACTION_UNITS)])
def test_any_label_space_fits(aus: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((200, len(aus))) < 0.2).astype(float)
    labels[:, -1] = math.nan
    labels[0, -1] = 0
    sheet = balance_sheet(calibrate((labels, np.ones(200)), aus=aus, ratio=0), title="title " * 40, subtitle="s " * 200)
    assert sheet.dtype == np.uint8
    assert (sheet[:, -20:] == (250, 250, 248)).all()  # nothing runs over the margin
    assert (sheet[-20:] == (250, 250, 248)).all()
    assert len(runs_of(sheet, GREY)) >= len(aus) - 1
