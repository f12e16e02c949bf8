"""A store whose writer is killed at any moment, or whose disk fills up, loses nothing that was acknowledged."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from kills import killed_at

from ausynth.store import Store
from ausynth.store.maintenance import verify

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and mounts of POSIX systems")

SIZE = 24

# What the processes under test share with the test: a picture, its labels and its key follow from a number.
COMMON = f"""
import sys, time
import numpy as np
from pathlib import Path
from ausynth.labels import Labels
from ausynth.errors import StoreError
from ausynth.store import Recipe, Samples, Store

SIZE, PLAN = {SIZE}, "plan"
RECIPE = Recipe(kind="synthetic", aus=(1, 12), image_size=SIZE, fingerprint="noise")

def picture(number):
    return np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)

def write(store, numbers):
    numbers = np.asarray(numbers, np.int64)
    key = np.zeros((len(numbers), 16), np.uint8)
    key[:, :8] = numbers[:, None].view(np.uint8)
    intensity = (numbers[:, None] % np.array([5, 3])).astype(np.float32)
    nothing = np.zeros(len(numbers), np.int64)
    samples = Samples(number=numbers, key=key, labels=Labels.from_intensity((1, 12), intensity), asked=intensity,
                      identity=numbers // 7, noise=numbers + 1, attempt=nothing, text=("",) * len(numbers))
    return store.write(samples, np.stack([picture(number) for number in numbers]), plan=PLAN)
"""
scope: dict = {}
exec(COMMON, scope)
write, RECIPE, PLAN = scope["write"], scope["RECIPE"], scope["PLAN"]
picture = functools.cache(scope["picture"])

# Writes what is missing below a bound, or without end, and says what was acknowledged.
WRITER = (
    COMMON
    + """
folder, bound, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = Store.create(folder, RECIPE)
print("open", flush=True)
draw, number, there = np.random.default_rng(seed), 0, set(store.numbers(PLAN).tolist())
while not bound or number < bound:
    size = int(draw.integers(1, 200))
    wanted = [each for each in range(number, number + size) if each not in there and (not bound or each < bound)]
    number += size
    if wanted:
        write(store, wanted)
        print("stored", *wanted, flush=True)
"""
)


def start(folder: Path, bound: int, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(bound), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def listen(process: subprocess.Popen[str], opened: threading.Event) -> set[int]:
    """Return the numbers that a writer acknowledged until its end; half a line is no acknowledgement."""
    acknowledged: set[int] = set()
    assert process.stdout is not None
    for line in process.stdout:
        opened.set()
        if line.startswith("stored") and line.endswith("\n"):
            acknowledged.update(map(int, line.split()[1:]))
    opened.set()
    return acknowledged


def check_everything(folder: Path) -> set[int]:
    """Return the stored numbers, after making sure that each stored picture and label is what its number says."""
    found = verify(folder)
    assert not found.damaged, found.damaged
    store = Store(folder, verify="read")
    numbers = store.numbers(PLAN)
    assert len(np.unique(numbers)) == len(numbers) == len(store)
    places = store.find(PLAN, numbers)
    assert (places >= 0).all()
    images = np.empty((len(numbers), SIZE, SIZE, 3), np.uint8)
    store.read(places, images)
    assert all((image == picture(number)).all() for image, number in zip(images, numbers.tolist()))
    samples = store.samples(places)
    assert (samples.number == numbers).all()
    assert (samples.labels.intensity == numbers[:, None] % np.array([5, 3])).all()
    return set(numbers.tolist())


def kill_at_random(folder: Path, times: int) -> set[int]:
    draw = random.Random(times)
    acknowledged: set[int] = set()
    for each in range(times):
        opened = threading.Event()
        process = start(folder, 0, each)
        heard: list[set[int]] = []
        listener = threading.Thread(target=lambda p=process, h=heard, o=opened: h.append(listen(p, o)))
        listener.start()
        try:
            # One in four is killed while it starts: opening cleans up after the one before, and that too may be cut.
            if each % 4:
                opened.wait()
                time.sleep(draw.uniform(0, 0.25))
            else:
                time.sleep(draw.uniform(0.2, 1.0))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            listener.join()
            process.stdout.close()
        acknowledged |= heard[0]
        if (folder / "store.json").exists():
            assert acknowledged <= check_everything(folder)
        assert acknowledged or each < 2
    return acknowledged


def complete(folder: Path, bound: int) -> None:
    process = start(folder, bound, 10**6)
    with process:
        opened = threading.Event()
        listen(process, opened)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "times",
    [
        8,
        pytest.param(
            100,
            marks=pytest.mark.skipif(not os.environ.get("AUSYNTH_SLOW"), reason="a minute or two: AUSYNTH_SLOW=1"),
        ),
    ],
)
def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path, times: int) -> None:
    folder = tmp_path / "store"
    acknowledged = kill_at_random(folder, times)
    assert acknowledged
    bound = max(acknowledged) + 300
    complete(folder, bound)
    numbers = check_everything(folder)
    assert set(range(bound)) <= numbers
    assert acknowledged <= numbers
    assert not list(folder.rglob("*.part"))
    assert verify(folder).ok


def test_two_writers_of_which_one_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    steady, doomed = start(folder, 0, 1), start(folder, 0, 2)
    heard: dict[str, set[int]] = {}
    events = {"steady": threading.Event(), "doomed": threading.Event()}
    pairs = {"steady": steady, "doomed": doomed}
    listeners = [
        threading.Thread(target=lambda n=name, p=process: heard.__setitem__(n, listen(p, events[n])))
        for name, process in pairs.items()
    ]
    for listener in listeners:
        listener.start()
    try:
        events["doomed"].wait()
        events["steady"].wait()
        time.sleep(0.2)
        doomed.kill()
        time.sleep(0.2)
    finally:
        for process in pairs.values():
            process.kill()
            process.wait()
        for listener in listeners:
            listener.join()
        for process in pairs.values():
            process.stdout.close()
    assert heard["steady"] | heard["doomed"] <= check_everything(folder)


def test_killed_at_every_single_step(tmp_path: Path) -> None:
    folder, acknowledged, step = tmp_path / "store", tmp_path / "acknowledged", 0

    def job() -> None:
        store = Store.create(folder, RECIPE)
        write(store, range(20))
        acknowledged.write_text("20")
        write(store, range(20, 50))
        acknowledged.write_text("50")

    while killed_at(step, job):
        count = int((acknowledged.exists() and acknowledged.read_text()) or 0)
        stored = check_everything(folder) if (folder / "store.json").exists() else set()
        assert set(range(count)) <= stored
        assert stored in ({*range(number)} for number in (0, 20, 50))
        job()
        assert check_everything(folder) == set(range(50)), step
        found = verify(folder)
        assert (found.ok, found.samples) == (True, 50)
        assert sorted(path.suffix for path in folder.iterdir() if path.name != ".lock") == [
            ".h5",
            ".h5",
            ".json",
            ".jsonl",
        ]
        shutil.rmtree(folder)
        acknowledged.unlink()
        step += 1
    assert step > 30


# Inside a mount of its own that nobody else sees and that goes with the process.
FULL = (
    COMMON
    + """
import json, subprocess
from ausynth.store.maintenance import verify
mount = Path(sys.argv[1])
made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)], capture_output=True, text=True)
if made.returncode:
    print(json.dumps({"skip": made.stderr.strip()}))
    raise SystemExit
import os, shutil
folder, page = mount / "store", os.sysconf("SC_PAGE_SIZE")
store = Store.create(folder, RECIPE)
ballast = mount / "ballast"
messages, stored, number, kept = [], set(), 0, 0
write(store, range(50)); stored.update(range(50))

def fill(free):
    # Leave so many bytes, whatever else there is.
    ballast.unlink(missing_ok=True)
    left = shutil.disk_usage(mount).free - free
    with ballast.open("wb") as file:
        file.write(bytes(max(0, left)))

# Every number of free pages from none to more than a shard needs: the disk fills in the middle of every step.
number, step, fits = 50, 20, 0
for pages in range(0, 200):
    fill(pages * page)
    wanted = range(number, number + step)
    try:
        write(store, wanted)
    except StoreError as error:
        messages.append(str(error))
        found = verify(folder)
        assert not found.damaged, found
        assert not list(folder.rglob("*.part")), list(folder.rglob("*.part"))
        assert set(store.numbers(PLAN).tolist()) == stored
        continue
    stored.update(wanted)
    number += step
    fits += 1
    if fits > 3:
        break
refused = len(messages)
# A full disk, then room again: the same store goes on.
fill(0)
try:
    write(store, range(number, number + 200))
except StoreError as error:
    messages.append(str(error))
subprocess.run(["mount", "-o", "remount,size=16m", str(mount)], check=True)
write(store, range(number, number + 200)); stored.update(range(number, number + 200))
again = Store(folder)
assert set(again.numbers(PLAN).tolist()) == stored == set(range(number + 200))
numbers = again.numbers(PLAN)
out = np.empty((len(numbers), SIZE, SIZE, 3), np.uint8)
again.read(again.find(PLAN, numbers), out)
assert all((image == picture(n)).all() for image, n in zip(out, numbers.tolist()))
found = verify(folder)
print(json.dumps({"messages": messages, "refused": refused, "fits": fits, "folder": str(folder), "ok": found.ok}))
"""
)


def in_a_small_disk(mount: Path) -> dict:
    mount.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed: a small disk needs a mount of its own")
    why = ""
    for options in ("-rm", "-m"):
        command = ["unshare", options, sys.executable, "-c", FULL, str(mount)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if "unshare:" in ran.stderr:
            why = ran.stderr.strip()
            continue
        assert ran.returncode == 0, ran.stderr
        answer = json.loads(ran.stdout.splitlines()[-1])
        if "skip" not in answer:
            return answer
        why = answer["skip"]
    pytest.skip(f"no right to mount a small disk: {why}")


def test_a_full_disk_is_said_and_nothing_is_corrupt(tmp_path: Path) -> None:
    answer = in_a_small_disk(tmp_path / "disk")
    assert answer["refused"] >= 3
    assert answer["fits"] >= 3
    for message in answer["messages"]:
        assert "disk is full" in message
        assert answer["folder"] in message
    assert answer["ok"]


LIMITED = (
    COMMON
    + """
import resource
store = Store.create(Path(sys.argv[1]), RECIPE)
write(store, range(10))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    write(store, range(10, 1000))
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(store, range(10, 1000))
"""
)


def test_a_limit_on_the_size_of_files_is_like_a_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    ran = subprocess.run([sys.executable, "-c", LIMITED, str(folder)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert str(folder) in ran.stdout
    assert not list(folder.rglob("*.part"))
    assert check_everything(folder) == set(range(1000))
