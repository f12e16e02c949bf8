"""How many faces the rendered generator draws a second, and where the time goes.

    python benchmarks/render.py [--quick] [--json PATH]

Rounds are interleaved over sizes and threads, and medians are reported. Every picture of `new_people` shows another
person, as a stream of very many identities would ask for; `known_people` repeats the same ones, whose shapes are kept.
`cpu` figures count the processor's time of the rendering thread alone: what a core does that nobody else uses. Memory
is what the process holds more after rendering than before the first generator was made, and what a kept person takes.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, conditions, machine, write_keys

from ausynth.generators.base import Conditions
from ausynth.generators.rendered import generator as rendered
from ausynth.generators.rendered.generator import RenderedGenerator

SIZES = (112, 128, 256)
THREADS = (1, 2)
STAGES = {  # where a stage's function is called, its name there, and the stage it belongs to
    "fill": (rendered.raster, "raster"),
    "project": (rendered.raster, "raster"),
    "shade": (rendered, "shade"),
    "develop": (rendered, "develop"),
    "pose": (rendered.mesh, "geometry"),
    "shown_normals": (rendered.mesh, "geometry"),
    "face": (rendered.Shaper, "geometry"),
    "person": (rendered.Shaper, "person"),
}


def main() -> None:
    options = arguments(__doc__)
    rounds, pictures = (3, 24) if options.quick else (7, 64)
    print(f"{machine()}\nmedians of {rounds} rounds of {pictures} pictures\n")
    held = resident()
    figures = {**speeds(rounds, pictures), **shares(rounds, pictures)}
    write_keys({**figures, **memory(held)}, options.json)


def resident() -> float:
    """Return the memory that this process holds, MB; the peak where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(before: float) -> dict[str, float]:
    """Print and return what rendering holds."""
    person = RenderedGenerator(128)._shaper.person(1)
    arrays = [*vars(person).values(), *vars(person.shell).values()]
    kept = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) / 1e6
    more = resident() - before
    print(f"\nmemory: {more:.0f} MB more than before, of {resident():.0f} MB; a kept person {kept:.2f} MB")
    return {"memory_more_mb": round(more, 1), "memory_person_mb": round(kept, 3)}


def speeds(rounds: int, pictures: int) -> dict[str, float]:
    """Print and return the pictures a second of each size and number of threads."""
    generators = {size: RenderedGenerator(size) for size in SIZES}
    for generator in generators.values():
        generator.generate(conditions(1, 0))  # compiles, or loads what was compiled before
    taken: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds):
        for size, generator in generators.items():
            for threads in THREADS:
                new = conditions(pictures, 1 + turn * 1_000_000 + size * 1000 + threads * 100_000)
                for kind in ("new_people", "known_people"):  # the second time the same people: they are known
                    taken[f"{kind}_{size}px_{threads}_threads"].append(pictures / run(generator, new, threads))
            for kind, asked in (
                ("new_people", conditions(pictures, 7 + turn * 1_000_000 + size * 977)),
                ("known_people", new),
            ):
                generator.generate(new)
                start = time.thread_time()
                generator.generate(asked)
                taken[f"{kind}_{size}px_cpu"].append(pictures / (time.thread_time() - start))
    medians = {f"images_per_s_{key}": round(statistics.median(values), 1) for key, values in taken.items()}
    print(f"{'images/s':>14} " + " ".join(f"{f'{threads} thread(s)':>12}" for threads in THREADS) + "  a core's time")
    for kind in ("new_people", "known_people"):
        for size in SIZES:
            row = [medians[f"images_per_s_{kind}_{size}px_{threads}_threads"] for threads in THREADS]
            row.append(medians[f"images_per_s_{kind}_{size}px_cpu"])
            print(f"{kind[:-7]:>6} {size:4} px " + " ".join(f"{value:12.1f}" for value in row))
    return medians


def run(generator: RenderedGenerator, asked: Conditions, threads: int) -> float:
    """Return the seconds that `threads` threads take for the pictures, in batches of 8."""
    parts = [slice(i, i + 8) for i in range(0, len(asked), 8)]
    batches = [Conditions(asked.intensity[p], asked.identity[p], asked.noise[p]) for p in parts]
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(generator.generate, batches))
    return time.perf_counter() - start


def shares(rounds: int, pictures: int) -> dict[str, float]:
    """Print and return each stage's share of the time at 128 px, known people, one thread."""
    generator = RenderedGenerator(128)
    spent: dict[str, float] = defaultdict(float)
    originals = {name: getattr(owner, name) for name, (owner, _) in STAGES.items()}
    for name, (owner, stage) in STAGES.items():
        setattr(owner, name, timed(originals[name], stage, spent))
    try:
        start = time.perf_counter()
        for turn in range(rounds):
            generator.generate(conditions(pictures, 50_000_000 + turn * 1_000_000))
        total = time.perf_counter() - start
    finally:
        for name, (owner, _) in STAGES.items():
            setattr(owner, name, originals[name])
    spent["other"] = total - sum(spent.values())
    print("\nshare of the time at 128 px, new people")
    for stage, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{stage:>10} {100 * seconds / total:5.1f} %  {1000 * seconds / rounds / pictures:6.2f} ms")
    return {f"share_{stage}": round(seconds / total, 3) for stage, seconds in spent.items()}


def timed(function: Callable[..., Any], stage: str, spent: dict[str, float]) -> Callable[..., Any]:
    """Return the function with its time added to `spent`."""

    def wrapper(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **named)
        spent[stage] += time.perf_counter() - start
        return result

    return wrapper


if __name__ == "__main__":
    main()
