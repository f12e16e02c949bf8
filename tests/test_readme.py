"""The README's examples run, one after the other, on practice data."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    """Return the roots of a small DISFA and a small BP4D tree of rendered people."""
    from ausynth.simulate import Simulation, simulate

    root = tmp_path_factory.mktemp("practice")
    for name in ("disfa", "bp4d"):
        simulate(Simulation(name, subjects=6, frames=20, size=64, run_length=5), root / name)
    return root


def test_the_examples_of_the_readme_run_in_order(practice, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUSYNTH_DISFA_ROOT", str(practice / "disfa"))
    monkeypatch.setenv("AUSYNTH_BP4D_ROOT", str(practice / "bp4d"))
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"README.md, example {number}", "exec"), names)
    assert int(names["batch"]["synthetic"].sum()) == 32


def test_the_readme_names_only_files_that_are_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


def test_the_readme_names_only_commands_that_are_there():
    from typer.main import get_command

    from ausynth.cli import app

    known = set(get_command(app).commands)
    named = set(re.findall(r"`ausynth ([a-z]+)", README.read_text()))
    assert named
    assert named <= known


def test_the_training_example_trains_and_tests(practice):
    script = README.parent / "examples" / "train.py"
    options = ["--disfa-root", str(practice / "disfa"), "--steps", "2", "--batch-size", "4", "--image-size", "64"]
    done = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "step 0: loss" in done.stdout
    assert "mean F1 at 0.5 on 40 frames of part P1" in done.stdout  # SN001 and SN002
