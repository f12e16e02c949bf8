"""Faces: the index beside bare FAISS, numpy and torch; a million vectors; what a guard adds to a generated picture.

    python benchmarks/identity.py [--quick] [--json PATH]

Where AUSYNTH_TEST_DATA names real photographs (faces/faces.csv: file, identity, expression), and the extra `identity`
is installed: how far people are told apart by dlib's network, and what a guard lets pass whose gallery is every second
person's neutral picture.

Rounds are interleaved, figures are medians in milliseconds. Vectors are clustered as pictures of people are: ten of
each, with a cosine of about .6 between two of one person. A million of them lie in a process of their own, whose peak
of memory is the figure. Embedding is reported apart: it is a network's time, and any encoder's own.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import arguments, machine, write_keys
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

DIMENSION, QUERIES, RADIUS = 512, 256, 0.6
PER_PERSON, SPREAD = 10, 0.8

Vectors = NDArray[np.float32]


def faces(people: NDArray[np.int64], seed: int) -> Vectors:
    """Return (N, D) a picture of each person (N,): the person's direction and a random look."""
    unique, rows = np.unique(people, return_inverse=True)
    centres = np.empty((len(unique), DIMENSION), np.float32)
    for row, person in enumerate(unique.tolist()):
        centres[row] = np.random.default_rng([7, person]).standard_normal(DIMENSION, np.float32)
    vectors = centres[rows] + SPREAD * np.random.default_rng(seed).standard_normal((len(people), DIMENSION), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def medians(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median time of each call in milliseconds, over rounds in which all are called in turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:  # the first warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(some)) for name, some in times.items()}


def compare(count: int, rounds: int) -> Iterator[tuple[str, float, float | None]]:
    """Yield figures of an index of `count` vectors beside bare FAISS, numpy and torch."""
    import faiss
    import torch

    from ausynth.samplers import IdentityIndex

    people = np.arange(count) // PER_PERSON
    vectors = faces(people, seed=1)
    queries = faces(np.random.default_rng(2).choice(people[-1] + 1, QUERIES), seed=3)
    index, bare = IdentityIndex(DIMENSION), faiss.IndexFlatIP(DIMENSION)
    index.add(vectors)
    bare.add(vectors)
    torch_vectors, torch_queries = torch.from_numpy(vectors), torch.from_numpy(queries)
    nearest = medians(
        {
            "bare FAISS": partial(bare.search, queries, 1),
            "ausynth": partial(index.nearest, queries),
            "numpy": lambda: (queries @ vectors.T).argmax(axis=1),
            "torch": lambda: (torch_queries @ torch_vectors.T).max(dim=1),
        },
        rounds,
    )
    within = medians(
        {
            "bare FAISS": partial(bare.range_search, queries, RADIUS),
            "ausynth": partial(index.within, queries, RADIUS),
            "numpy": lambda: np.nonzero(queries @ vectors.T >= RADIUS),
            "torch": (torch_queries @ torch_vectors.T >= RADIUS).nonzero,
        },
        rounds,
    )
    for what, times in (("nearest", nearest), ("within", within)):
        for name, value in times.items():
            yield f"{count:,} {what} {name} ms", value, value / times["bare FAISS"]
    exact = queries @ vectors.T
    yield f"{count:,} recall of nearest", float((index.nearest(queries)[0][:, 0] == exact.argmax(axis=1)).mean()), None
    pairs = int((exact >= RADIUS).sum())
    yield f"{count:,} pairs within, of those of numpy", len(index.within(queries, RADIUS)) / max(1, pairs), None


def million(count: int, largest_flat: int) -> None:
    """Print, as JSON, figures of an index of `count` vectors in this process."""
    from ausynth.samplers import IdentityIndex

    index = IdentityIndex(DIMENSION, largest_flat=largest_flat)
    before = peak()
    seconds, step = 0.0, 50_000
    for first in range(0, count, step):
        vectors = faces(np.arange(first, min(first + step, count)) // PER_PERSON, seed=first)
        start = time.perf_counter()
        index.add(vectors)
        seconds += time.perf_counter() - start
    people = np.random.default_rng(5).choice(count // PER_PERSON, QUERIES * 4)
    queries = faces(people, seed=count)
    after = peak()
    start = time.perf_counter()
    ids, cosines = index.nearest(queries)
    searched = (time.perf_counter() - start) / 4
    close = cosines[:, 0] >= RADIUS
    figures = {
        "added a second": count / seconds,
        "peak memory GB": (after - before) / 1e9,
        "nearest of 256 ms": 1e3 * searched,
        "queries that find a match": float((ids[:, 0] // PER_PERSON == people).mean()),
        "nearest reaches the radius": float(close.mean()),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, work in (
            ("saved s", lambda: index.save(Path(folder) / "index")),
            ("loaded s", lambda: IdentityIndex.load(Path(folder) / "index")),
        ):
            start = time.perf_counter()
            work()
            figures[name] = time.perf_counter() - start
            if name == "saved s":
                del index
    print(json.dumps(figures))


def peak() -> float:
    """Return the most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says includes the parent's, from before this program was started
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024.0 * int(lines["VmHWM"].split()[0])
    import resource

    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_own_process(count: int, largest_flat: int) -> dict[str, float]:
    """Return what `million` prints."""
    command = [sys.executable, __file__, "--million", str(count), str(largest_flat)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(found.stdout)
    return figures


def guarded(templates: int, rounds: int) -> Iterator[tuple[str, float, float | None]]:
    """Yield what a guard with so many templates adds to the time of a rendered picture."""
    from ausynth.samplers import FunctionEncoder, Gallery, LeakageGuard
    from ausynth.samplers.identity_vectors import scan_nearest
    from ausynth.stream import MixedStream

    def nobody(images: NDArray[np.uint8]) -> NDArray[np.floating]:
        return np.ones((len(images), DIMENSION))

    encoder = FunctionEncoder(nobody, dimension=DIMENSION)
    known = faces(np.arange(templates) // PER_PERSON, seed=9)
    names = tuple(map(str, range(-(-templates // PER_PERSON))))
    guard = LeakageGuard(
        Gallery(known, np.arange(templates) // PER_PERSON, names, encoder.fingerprint), encoder, threshold=RADIUS
    )
    batch = faces(10**7 + np.arange(64), seed=10)
    stream = MixedStream(None, 1, batch_size=64, balance=None, threads=0)
    numbers = iter(range(10**6))
    calls: dict[str, Callable[[], Any]] = {
        "generate": lambda: stream.batch(next(numbers)),
        "search": lambda: guard.rejects(batch),
        "search in a forked worker": lambda: scan_nearest(guard._index._vectors, batch, 1),
    }
    try:
        from ausynth.samplers import DlibEncoder

        dlib = DlibEncoder()
        pictures = np.ascontiguousarray(stream.batch(0)["image"].permute(0, 2, 3, 1).numpy())[:8]
        calls["embed"] = lambda: dlib.embed(pictures)
    except Exception as error:
        Console().print(f"no figure of embedding: {error}")
    times = medians(calls, rounds)
    per_picture = {name: value / (8 if name == "embed" else 64) for name, value in times.items()}
    for name, value in per_picture.items():
        yield f"{name} a picture ms ({templates:,} templates)", value, value / per_picture["generate"]


def photographs(data: Path) -> Iterator[tuple[str, float, float | None]]:
    """Yield how alike people are to dlib's network, and what a guard of half of them rejects of smiling pictures."""
    from ausynth.samplers import DlibEncoder, Gallery, LeakageGuard

    rows = list(csv.DictReader((data / "faces" / "faces.csv").read_text().splitlines()))
    encoder = DlibEncoder()
    found = np.concatenate([
        encoder.embed(cv2.cvtColor(cv2.imread(str(data / "faces" / row["file"])), cv2.COLOR_BGR2RGB)[None])
        for row in rows
    ])  # fmt: skip
    who = np.array([row["identity"] for row in rows])
    yield "photographs", len(rows), None
    yield "photographs with a face", float(found.any(axis=1).sum()), None
    one, other = np.triu_indices(len(rows), 1)
    cosines = (found[one] * found[other]).sum(axis=1)
    same = who[one] == who[other]
    yield "photographs: pairs of one person", float(same.sum()), None
    yield "photographs: pairs of two people", float((~same).sum()), None
    yield "photographs: least cosine of one person", float(cosines[same].min()), None
    yield "photographs: largest cosine of two people", float(cosines[~same].max()), None
    smiling = np.array([row["expression"] == "smiling" for row in rows])
    people = sorted(set(who[smiling]))
    for half in (0, 1):
        theirs = np.isin(who, people[half::2])
        galleries = []
        for side in (theirs, np.isin(who, people) & ~theirs):
            mine = np.flatnonzero(side & ~smiling)
            names = tuple(who[mine])
            galleries.append(Gallery(found[mine], np.arange(len(mine)), names, encoder.fingerprint))
        guard = LeakageGuard(galleries[0], encoder, calibrate=galleries[1])
        name = f"photographs, half {half + 1} as gallery"
        yield f"{name}: threshold", guard.threshold, None
        yield f"{name}: of theirs rejected", float(guard.rejects(found[smiling & theirs]).mean()), None
        yield f"{name}: of others' rejected", float(guard.rejects(found[smiling & ~theirs]).mean()), None
        yield f"{name}: promised at most", guard.calibration.alpha, None
        yield f"{name}: upper end of its interval", guard.calibration.rejected_interval[1], None


def main() -> None:
    options = arguments(__doc__)
    count, rounds = (20_000, 3) if options.quick else (100_000, 7)
    table = Table("what", "figure", "of the first", title="faces", caption=machine())
    figures: dict[str, float] = {}

    def show(name: str, value: float, ratio: float | None = None) -> None:
        table.add_row(name, f"{value:,.3f}", "" if ratio is None else f"{ratio:.3f}")
        key = "".join(letter if letter.isalnum() else "_" for letter in name.lower().replace(",", ""))
        figures[key] = round(value, 5)
        if ratio is not None:
            figures[f"{key}_ratio"] = round(ratio, 5)

    for row in compare(count, rounds):
        show(*row)
    for row in guarded(2_000 if options.quick else 10_000, rounds):
        show(*row)
    data = os.environ.get("AUSYNTH_TEST_DATA")
    if data:
        for row in photographs(Path(data)):
            show(*row)
    many = 60_000 if options.quick else 1_000_000
    for kind, number, largest in (("flat", many, many), ("lists", many + PER_PERSON, many)):
        for name, value in in_own_process(number, largest).items():
            show(f"{many:,} {kind}: {name}", value)
    Console().print(table)
    write_keys(figures, options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--million"]:
        million(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
