"""What all tests share: no network, no touching of the user's cache, reproducible Hypothesis."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
# What "auto" stands for must not depend on which weights lie in the package: tests that are about it say so.
os.environ["AUSYNTH_GENERATOR"] = "rendered"

# A shell that starts the suite in the background has it ignore Ctrl-C, and whatever it starts: tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine may stall any example; what is tested is behaviour, never time.
settings.register_profile("ausynth", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ausynth")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the cache, and every variable that names a data set, away from the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AUSYNTH_CACHE", str(folder))
    for variable in ("AUSYNTH_DISFA_ROOT", "AUSYNTH_BP4D_ROOT", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(variable, raising=False)
    return folder


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a process or shared memory behind."""
    shared = Path("/dev/shm")
    before = set(shared.iterdir()) if shared.is_dir() else set()
    yield
    deadline = time.monotonic() + 30
    while (left := _left()) and time.monotonic() < deadline:
        gc.collect()  # a caught exception keeps the frames of the loop that it ended
        time.sleep(0.02)
    assert not left
    if shared.is_dir():
        assert not {path for path in set(shared.iterdir()) - before if str(os.getpid()) in path.name}


def _left() -> list[object]:
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("ausynth")]
    return [*threads, *multiprocessing.active_children()]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real photographs that lies outside the repository, or skip."""
    folder = os.environ.get("AUSYNTH_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("AUSYNTH_TEST_DATA names no folder of real photographs")
    return Path(folder)
