"""What does it cost to export a store as a Hugging Face data set, and does the same come back?

    python benchmarks/export.py [--quick] [--json PATH]

10,000 faces of 112 px with 17 AUs, some of their labels unknown, lie in a store. Each step runs in a process of its
own, whose peak memory is counted from the moment when everything is imported (torch too, which `datasets` imports to
stream): the export; `datasets.load_dataset` of it, and the same with streaming=True, both comparing every pixel and
every label with what was stored; and, beside them, what one would write without ausynth, `Dataset.from_generator` and
`to_parquet`. Steps are interleaved over the rounds: medians of the seconds, the worst of the peaks. `growth` is how
much memory the export takes from its first fifth to its end.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import Report, arguments

import ausynth
from ausynth.labels import Labels
from ausynth.store import Recipe, Samples, Store

SIZE, FACES, BLOCK, GOAL = 112, 256, 1000, 500
OWN = ("ausynth.jobs.export", "ausynth.sheets", "ausynth.sources.images")
STEPS = ("export", "load", "stream", "from_generator")


def main() -> None:
    options = arguments(__doc__)
    count, rounds = (2_000, 1) if options.quick else (10_000, 3)
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="ausynth-bench-") as folder:
        fill(Path(folder), count)
        for turn in range(rounds):
            for step in STEPS:
                for key, value in in_own_process(step, Path(folder), count, turn).items():
                    found[f"{step}_{key}"].append(value)
            for made in Path(folder).glob(f"*{turn}*"):
                shutil.rmtree(made) if made.is_dir() else made.unlink()
    summarise(found, count).finish(options.json)


def summarise(found: dict[str, list[float]], count: int) -> Report:
    """Return the figures of all rounds."""
    report = Report(f"{count:,} faces of {SIZE} px to parquet and back, every pixel and label compared")
    first = statistics.median(found["export_seconds"])
    for step in STEPS:
        seconds = statistics.median(found[f"{step}_seconds"])
        report.add(f"{step}_seconds", seconds, seconds / first)
    for step in STEPS:
        report.add(f"{step}_peak_mb_above_import", max(found[f"{step}_peak_mb"]))
    report.add("export_growth_mb", max(found["export_growth_mb"]))
    report.add("export_samples_per_second", count / first)
    report.add("bytes_per_sample", found["export_bytes"][-1] / count)
    report.add("different_samples", sum(found["load_different"]) + sum(found["stream_different"]))
    ours = max(max(found[f"{step}_peak_mb"]) for step in ("export", "load", "stream"))
    report.key("ratio_of_peak_to_goal", ours / GOAL)
    report.key("ratio_to_from_generator", statistics.median(found["from_generator_seconds"]) / first)
    return report


def in_own_process(step: str, folder: Path, count: int, turn: int) -> dict[str, float]:
    """Return the figures of one step."""
    command = [sys.executable, __file__, "--step", step, str(folder), str(count), str(turn)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


# --- the samples


def fill(folder: Path, count: int) -> None:
    """Put the samples into a store, and the faces that they are made of beside it."""
    generator = ausynth.load_generator("rendered", image_size=SIZE)
    draw = np.random.default_rng(0)
    intensity_NA = np.zeros((FACES, len(generator.aus)), np.float32)
    for row in intensity_NA:
        row[draw.integers(len(row))] = draw.integers(1, 6)
    number_N = np.arange(FACES)
    np.save(folder / "faces.npy", generator.generate(ausynth.Conditions(intensity_NA, number_N, number_N)).images)
    recipe = Recipe(
        kind="synthetic",
        aus=tuple(generator.aus),
        image_size=SIZE,
        fingerprint=generator.fingerprint,
        about={"generator": generator.name, "licence": generator.licence},  # type: ignore[attr-defined]
    )
    store = Store.create(folder / "store", recipe)
    for start in range(0, count, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, count))
        store.write(samples(numbers, recipe.aus), pictures(folder, numbers), plan="plan")


def pictures(folder: Path, numbers: np.ndarray) -> np.ndarray:
    """Return the pictures of some numbers: a rendered face, moved so that no two are equal."""
    faces = np.load(folder / "faces.npy", mmap_mode="r")
    return np.stack([np.roll(faces[n % FACES], n // FACES, axis=1) for n in numbers.tolist()])


def samples(numbers: np.ndarray, aus: tuple[int, ...]) -> Samples:
    """Return labels and provenance of some numbers."""
    draw = np.stack([np.random.default_rng(n).integers(0, 7, len(aus)) for n in numbers.tolist()])
    intensity_NA = np.where(draw == 6, np.nan, draw).astype(np.float32)
    keys = np.stack([np.random.default_rng(n + 2**32).integers(0, 256, 16, np.uint8) for n in numbers.tolist()])
    labels = Labels.from_intensity(aus, intensity_NA)
    texts = tuple(f"a face, number {n}" for n in numbers.tolist())
    asked = np.nan_to_num(intensity_NA)
    return Samples(numbers, keys, labels, asked, numbers % 100, numbers, np.zeros_like(numbers), texts)


# --- the steps, each in a process of its own


def step(name: str, folder: Path, count: int, turn: int) -> None:
    """Run one step and print its figures."""
    import datasets

    # Imported before the count of memory begins: any user of either way would import them.
    for module in ("torch.utils.data", "pyarrow.dataset", "pyarrow.parquet", "xxhash", *OWN):
        importlib.import_module(module)
    datasets.disable_progress_bars()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    start = time.perf_counter()
    figures = {"export": export, "load": load, "stream": load, "from_generator": from_generator}[name](
        folder, count, turn, name == "stream"
    )
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": memory("VmHWM") - before, **figures}))


def export(folder: Path, count: int, turn: int, _: bool) -> dict[str, float]:
    """Export the store."""
    from ausynth.jobs.export import export_store

    early: list[float] = []

    def watch(done: int, *_: object) -> None:
        if done >= count / 5 and not early:
            early.append(memory("VmRSS"))

    done = export_store(Store(folder / "store"), folder / f"out{turn}", progress=watch)
    return {"bytes": done.bytes, "growth_mb": memory("VmRSS") - early[0]}


def load(folder: Path, count: int, turn: int, streaming: bool) -> dict[str, float]:
    """Load the export, and count the samples that are not what was stored."""
    import datasets

    out, cache = str(folder / f"out{turn}"), str(folder / f"cache{turn}")
    loaded = datasets.load_dataset(out, split="train", streaming=streaming, cache_dir=cache)
    aus = Store(folder / "store").recipe.aus
    different = seen = 0
    block: list[dict[str, Any]] = []
    for row in loaded:
        block.append(row)
        if len(block) == 100 or seen + len(block) == count:
            different += compare(block, folder, np.arange(seen, seen + len(block)), aus)
            seen += len(block)
            block = []
    return {"different": different + abs(count - seen)}


def compare(rows: list[dict[str, Any]], folder: Path, numbers: np.ndarray, aus: tuple[int, ...]) -> int:
    """Return how many rows are not what was stored."""
    expected, images = samples(numbers, aus), pictures(folder, numbers)
    wrong = 0
    for i, row in enumerate(rows):
        cells = {
            what: np.array([row[f"AU{au:02}_{what}"] for au in aus], np.float32) for what in ("intensity", "occurrence")
        }
        same = (
            np.array_equal(np.asarray(row["image"]), images[i])
            and np.array_equal(cells["intensity"], expected.labels.intensity[i], equal_nan=True)
            and np.array_equal(cells["occurrence"], expected.labels.occurrence[i], equal_nan=True)
            and row["mask"] == expected.labels.mask[i].tolist()
            and row["confidence"] == expected.labels.confidence[i].tolist()
            and row["asked_intensity"] == expected.asked[i].tolist()
            and row["prompt"] == expected.text[i]
            and row["key"] == expected.key[i].tobytes().hex()
            and all(row[name] == getattr(expected, name)[i] for name in ("number", "identity", "noise", "attempt"))
        )
        wrong += not same
    return wrong


def from_generator(folder: Path, count: int, turn: int, _: bool) -> dict[str, float]:
    """Export the store as one would without ausynth's own writer: the same columns, `datasets` at its defaults."""
    import datasets

    from ausynth.jobs.parquet import features

    store = Store(folder / "store")

    def rows() -> Iterator[dict[str, Any]]:
        places = store.find("plan", store.numbers("plan"))
        pixels = np.empty((100, SIZE, SIZE, 3), np.uint8)
        for start in range(0, count, 100):
            some = store.samples(places[start : start + 100])
            store.read(places[start : start + 100], pixels[: len(some)])
            for i in range(len(some)):
                yield row(some, i, pixels[i])

    cache = str(folder / f"generated{turn}")
    made = datasets.Dataset.from_generator(rows, features=features(store.recipe.aus), cache_dir=cache)
    made.to_parquet(str(folder / f"generated{turn}.parquet"))
    return {"bytes": (folder / f"generated{turn}.parquet").stat().st_size}


def row(some: Samples, i: int, image: np.ndarray) -> dict[str, Any]:
    """Return one sample as `datasets` takes it."""
    labels = some.labels
    own = {}
    for what in ("intensity", "occurrence"):
        values = [None if np.isnan(value) else float(value) for value in getattr(labels, what)[i]]
        own |= {f"AU{au:02}_{what}": value for au, value in zip(labels.aus, values, strict=True)}
    return {
        "image": image.copy(),
        **own,
        "mask": labels.mask[i].tolist(),
        "confidence": labels.confidence[i].tolist(),
        "asked_intensity": some.asked[i].tolist(),
        **{name: int(getattr(some, name)[i]) for name in ("identity", "noise", "attempt", "number")},
        "prompt": some.text[i],
        "plan": "plan",
        "key": some.key[i].tobytes().hex(),
        "generator": "rendered",
        "fingerprint": "",
        "licence": "",
    }


def memory(what: str) -> float:
    """Return this process's memory in MB: VmRSS now, or VmHWM, the most so far."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1000


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        step(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
