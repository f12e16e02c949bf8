from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import numpy as np
import pytest

import ausynth

HEAVY = (
    "torch",
    "torchvision",
    "cv2",
    "numba",
    "av",
    "scipy",
    "albumentations",
    "datasets",
    "diffusers",
    "faiss",
    "h5py",
)


def modules_after(code: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after `code`."""
    report = f"{code}\nimport sys; print('loaded:', *({set(HEAVY)!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(result.stdout.rsplit("loaded:", 1)[1].split())


def test_importing_the_package_loads_nothing_heavy():
    assert modules_after("import ausynth") == set()


def test_importing_the_stream_loads_only_what_every_stream_needs():
    assert modules_after("from ausynth import MixedStream") <= {"torch", "cv2"}


def test_help_needs_no_torch():
    code = "import sys\nfrom ausynth.cli import app\ntry: app(['--help'])\nexcept SystemExit as e: assert e.code == 0"
    assert modules_after(code) == set()


def test_every_public_name_is_there():
    for name in ausynth.__all__:
        assert getattr(ausynth, name) is not None
        assert name in dir(ausynth)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ausynth.nothing  # noqa: B018


MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(ausynth.__path__, "ausynth.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["ausynth", *MODULES])
def test_the_examples_in_the_docstrings(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"ausynth": ausynth, "np": np})
    assert result.failed == 0
