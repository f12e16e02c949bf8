from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import ausynth
from ausynth.cli import app
from ausynth.commands.common import label_space, split_names, write_whole
from ausynth.errors import AusynthError

runner = CliRunner()


def call(*arguments: object) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments])


def program(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as its own process."""
    command = [sys.executable, "-m", "ausynth", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def disfa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("practice") / "disfa"
    result = call("simulate", "disfa", root, "--subjects", 3, "--frames", 24, "--size", 48, "--run-length", 6)
    assert result.exit_code == 0, result.output
    return root


@pytest.fixture(scope="module")
def bp4d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("practice") / "bp4d"
    result = call("simulate", "bp4d", root, "--subjects", 2, "--frames", 24, "--size", 48, "--run-length", 6)
    assert result.exit_code == 0, result.output
    return root


@pytest.mark.parametrize("command", [[], ["simulate"], ["preview"], ["doctor"]])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    code = f"""
import sys
from ausynth.cli import app
try:
    app({[*command, "--help"]!r})
except SystemExit as end:
    assert not end.code, end.code
heavy = sorted({{"torch", "cv2", "numba", "scipy", "av", "pandas", "PIL"}} & set(sys.modules))
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_version() -> None:
    done = program("--version")
    assert done.stdout.strip() == f"ausynth {ausynth.__version__}"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["preview", "--out", "x", "--real", "ck"], "ck"),
        (["preview", "--out", "x", "--ratio", "1.5"], "ratio 1.5"),
        (["preview", "--out", "x"], "AUSYNTH_DISFA_ROOT"),
        (["preview", "--out", "x", "--real", "none"], "ratio"),
        (["preview", "--out", "x", "--disfa-root", "TREE", "--aus", "99"], "unknown AU 99"),
        (["preview", "--out", "x", "--disfa-root", "TREE", "--aus", "emotions"], "emotions"),
        (["preview", "--out", "x", "--disfa-root", "TREE", "--hold-out", "P7"], "P7"),
        (["preview", "--out", "x", "--disfa-root", "TREE", "--batch-size", "0"], "batch_size"),
        (["preview", "--out", "x", "--disfa-root", "TREE", "--generator", "magic"], "magic"),
        (["simulate", "ck", "x"], "disfa, bp4d"),
        (["simulate", "bp4d", "x", "--layout", "video"], "BP4D comes as pictures"),
        (["simulate", "disfa", "x", "--subjects", "28"], "1 to 27"),
        (["simulate", "disfa", "TREE", "--seed", "4"], "seed 0 there, 4 asked"),
    ],
)
def test_wrong_arguments_end_with_one_message_and_code_2(
    arguments: list[str], says: str, disfa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*(str(disfa) if argument == "TREE" else argument for argument in arguments))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = call("preview", "--out", tmp_path, "--disfa-root", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert str(tmp_path / "nowhere") in result.stderr


def test_unknown_options_and_commands_are_refused() -> None:
    assert call("preview", "--out", "x", "--colour").exit_code == 2
    assert call("fly").exit_code == 2
    assert call("preview").exit_code == 2


def test_debug_shows_the_traceback() -> None:
    assert isinstance(call("--debug", "simulate", "ck", "x").exception, AusynthError)
    done = program("--debug", "simulate", "ck", "x")
    assert "Traceback" in done.stderr
    assert done.returncode == 1


def test_an_unwritable_folder_is_one_message(disfa: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = call("simulate", "disfa", tmp_path / "file" / "tree", "--subjects", 1, "--frames", 1, "--size", 48)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    result = call("preview", "--disfa-root", disfa, "--batch-size", 2, "--out", tmp_path / "file" / "sheets")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_preview_writes_two_sheets_and_says_where_and_how_fast(disfa: Path, tmp_path: Path) -> None:
    result = call("preview", "--disfa-root", disfa, "--batch-size", 6, "--image-size", 48, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    batch, aus = (cv2.imread(str(tmp_path / "out" / name)) for name in ("batch.png", "aus.png"))
    assert min(batch.shape[:2]) > 200
    assert min(aus.shape[:2]) > 800
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["aus.png", "batch.png"]
    assert re.search(r"[\d,]+ images/s", result.output)
    assert str(tmp_path / "out" / "batch.png") in result.output
    assert "disfa 36, synthetic 36" in result.output
    assert "12 lip corner puller" in result.output
    orange, blue = (batch == (20, 96, 214)).all(axis=2).sum(), (batch == (172, 104, 31)).all(axis=2).sum()
    assert orange > 3 * 4 * 6 * 180
    assert blue > 3 * 4 * 6 * 180


def test_preview_of_two_data_sets_marks_what_one_does_not_code(disfa: Path, bp4d: Path, tmp_path: Path) -> None:
    roots = ("--disfa-root", disfa, "--bp4d-root", bp4d)
    result = call(
        *("preview", *roots, "--real", "disfa,bp4d", "--batch-size", 4, "--image-size", 48),
        *("--aus", "5,7,12", "--ratio", "0.25", "--hold-out", "SN001", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.output
    assert re.search(r"7 lid tightener +│ +- │ +\d", result.output)
    assert "synthetic 12" in result.output


def test_preview_without_real_data(tmp_path: Path) -> None:
    result = call("preview", "--real", "none", "--ratio", 1, "--batch-size", 2, "--image-size", 48, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "batch.png").is_file()


def test_preview_without_synthetic_data_still_shows_the_generator(disfa: Path, tmp_path: Path) -> None:
    result = call("preview", "--disfa-root", disfa, "--ratio", 0, "--batch-size", 2, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "synthetic 0" in result.output
    assert (tmp_path / "aus.png").is_file()


def test_simulate_says_that_it_is_not_the_real_set(tmp_path: Path) -> None:
    arguments = ("simulate", "disfa", tmp_path / "tree", "--subjects", 1, "--frames", 3, "--size", 48)
    first = call(*arguments)
    assert "rendered faces" in first.output
    assert "README.txt" in first.output
    again = call(*arguments)
    assert again.exit_code == 0
    assert "1 were there already" in again.output


def test_interrupt_ends_with_130_and_whole_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ausynth", "simulate", "disfa", str(tmp_path / "tree")]
    process = subprocess.Popen(
        [*command, "--frames", "300", "--size", "64"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    labels = tmp_path / "tree" / "ActionUnit_Labels"
    while process.poll() is None and not (labels.is_dir() and any(labels.iterdir())):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert stderr.strip().startswith("interrupted")
    assert len(stderr.strip().splitlines()) == 1
    whole = {path.name for path in labels.iterdir()}
    assert 0 < len(whole) < 27
    for who in whole:
        assert len(list((labels / who).iterdir())) == 12
        assert len(list((tmp_path / "tree" / "aligned_images" / who).iterdir())) == 300
    assert not list((tmp_path / "tree").glob(".*"))


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ausynth", "doctor", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr


def test_doctor_without_data_sets_is_content() -> None:
    result = call("doctor")
    assert result.exit_code == 0, result.output
    assert "AUSYNTH_BP4D_ROOT" in result.output
    answer = json.loads(call("doctor", "--json").stdout)
    assert answer["versions"]["ausynth"] == ausynth.__version__
    assert answer["broken"] == []
    assert answer["data sets"]["disfa"]["state"] == "no root"


def test_doctor_describes_whole_data_sets(disfa: Path, bp4d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUSYNTH_BP4D_ROOT", str(bp4d))
    result = call("doctor", "--disfa-root", disfa, "--json")
    assert result.exit_code == 0, result.output
    sets = json.loads(result.stdout)["data sets"]
    assert sets["disfa"]["state"] == sets["bp4d"]["state"] == "ready"
    assert sets["disfa"]["facts"]["subjects"].startswith("3 of 27")
    assert "72 extracted frames" in sets["disfa"]["facts"]["used"]
    assert "practice copy" in sets["disfa"]["facts"]["note"]
    assert sets["bp4d"]["facts"]["AUs graded"] == "6 10 12 14 17"
    assert sets["bp4d"]["published_rates"]["12"] == pytest.approx(0.562)
    labels = ausynth.open_source("disfa", root=disfa).labels.project([25])
    assert sets["disfa"]["rates"]["25"] == pytest.approx(labels.rates()[0], abs=1e-3)
    assert "ready" in call("doctor", "--disfa-root", disfa).output


def test_doctor_names_what_is_broken(disfa: Path, tmp_path: Path) -> None:
    tree = _copy(disfa, tmp_path / "tree")
    (tree / "ActionUnit_Labels" / "SN002" / "SN002_au9.txt").unlink()
    result = call("doctor", "--disfa-root", tree)
    assert result.exit_code == 1
    assert "SN002_au9.txt" in result.output
    assert call("doctor", "--disfa-root", tmp_path / "nowhere").exit_code == 1
    empty = tmp_path / "empty"
    empty.mkdir()
    result = call("doctor", "--bp4d-root", empty)
    assert result.exit_code == 1
    assert "AU_OCC" in result.output


def test_doctor_looks_at_videos_without_decoding_them(tmp_path: Path, own_cache: Path) -> None:
    tree = tmp_path / "tree"
    options = ("--subjects", 2, "--frames", 20, "--size", 48, "--layout", "video")
    assert call("simulate", "disfa", tree, *options).exit_code == 0
    result = call("doctor", "--disfa-root", tree)
    assert result.exit_code == 0, result.output
    assert "2 left videos" in result.output
    assert not list(own_cache.rglob("*.zip"))
    video = tree / "Videos_LeftCamera" / "LeftVideoSN002_comp.avi"
    for label in (tree / "ActionUnit_Labels" / "SN002").iterdir():
        label.write_text("".join(f"{number},0\n" for number in range(1, 100)))
    result = call("doctor", "--disfa-root", tree)
    assert result.exit_code == 1
    assert "20 frames for 99 label lines" in result.output
    video.write_bytes(b"RIFF, and then nothing")
    assert "cannot be opened" in call("doctor", "--disfa-root", tree).output
    video.unlink()
    assert "SN002" in call("doctor", "--disfa-root", tree).output


def test_names_may_be_repeated_or_have_commas() -> None:
    assert split_names(["disfa, bp4d", "ck"]) == ["disfa", "bp4d", "ck"]
    assert split_names(None) == []
    assert label_space("1, 2,12") == [1, 2, 12]
    assert label_space("disfa-12") == "disfa-12"


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "new" / "a", b"one")
    write_whole(tmp_path / "new" / "a", b"two")
    assert (tmp_path / "new" / "a").read_bytes() == b"two"

    def broken(_: int) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="fire"):
        write_whole(tmp_path / "new" / "a", b"three")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]
    assert (tmp_path / "new" / "a").read_bytes() == b"two"


def test_au_pictures_ask_for_one_action_at_a_time() -> None:
    from ausynth.commands.preview import au_pictures

    generator = ausynth.load_generator("rendered", image_size=32)
    images, labels = au_pictures(generator)
    assert set(images) == set(labels) == set(generator.aus)
    for au in (4, 12):
        assert images[au].shape == (6, 32, 32, 3)
        column = labels[au].aus.index(au)
        assert (np.diff(labels[au].intensity[:, column]) > 0).all()


def _copy(source: Path, target: Path) -> Path:
    import shutil

    return Path(shutil.copytree(source, target))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_an_interruption_inside_compiled_code_is_one(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(level: int) -> None:
        if level == 0:
            raise KeyboardInterrupt
        try:
            fail(level - 1)
        except BaseException as error:
            raise SystemError("returned a result with an exception set") from error

    monkeypatch.setattr("ausynth.checkup.check_machine", lambda: fail(depth))
    result = call("doctor")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
