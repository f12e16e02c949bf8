"""How many faces a second each look of the rendered generator draws on one core, and how much memory it takes.

    python benchmarks/render_looks.py [--bank FOLDER] [--quick] [--json PATH]

Rounds are interleaved over looks and sizes, and medians are reported. "new" shows another person in every picture, as a
stream of many identities does (for the portrait look mixed from people of the bank, who are loaded before); "known" the
same ones again. Seconds are those of the processor, all threads together, which a busy machine changes less than the
clock's. Memory is what a process of its own holds more at its most than before it imported the library. Without
--bank the portrait look is left out: it shows people of a face bank (`ausynth faces build`).
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from common import arguments, conditions, machine, write_keys
from rich.console import Console
from rich.table import Table

SIZES = (112, 128, 256)
GOALS = {("procedural", 128): 300, ("portrait", 128): 150}  # images a second on one core


def main() -> None:
    options = arguments(__doc__, lambda parser: parser.add_argument("--bank", type=Path, metavar="FOLDER"))
    rounds, pictures = (2, 16) if options.quick else (5, 48)
    looks: dict[str, dict[str, Any]] = {"procedural": {}}
    if options.bank is not None:
        looks["portrait"] = {"look": "portrait", "bank": str(options.bank)}
    figures = speeds(looks, rounds, pictures)
    memory = {
        f"memory_mb_{look}_{size}px": held(chosen, size, pictures) for look, chosen in looks.items() for size in SIZES
    }
    table = Table("look", "px", "images/s, new people", "images/s, known people", "memory, MB", caption=machine())
    table.title = f"One core, medians of {rounds} rounds of {pictures} pictures"
    for look in looks:
        for size in SIZES:
            rates = [figures[f"images_per_s_{kind}_{look}_{size}px"] for kind in ("new", "known")]
            goal = GOALS.get((look, size))
            cells = [f"{rates[0]:.0f}" + (f" (goal {goal})" if goal else ""), f"{rates[1]:.0f}"]
            table.add_row(look, str(size), *cells, f"{memory[f'memory_mb_{look}_{size}px']:.0f}")
    Console().print(table)
    write_keys(figures | memory, options.json)


def speeds(looks: dict[str, dict[str, Any]], rounds: int, pictures: int) -> dict[str, float]:
    """Return the pictures a second of each look and size, one thread."""
    from ausynth import load_generator

    generators = {
        (look, size): load_generator("rendered", image_size=size, **chosen)
        for look, chosen in looks.items()
        for size in SIZES
    }
    for generator in generators.values():
        generator.generate(conditions(2, 0))  # compiles, or loads what was compiled before
        if (warm := getattr(generator, "bank", None)) is not None:
            # Everybody in the bank is seen once: loading them is no part of a stream's steady speed.
            generator.label(conditions(12 * len(warm), 900_000_000))
    taken: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds):
        for (look, size), generator in generators.items():
            asked = conditions(pictures, 1 + turn * 1_000_000 + size * 1000)
            for kind in ("new", "known"):
                start = time.process_time()
                generator.generate(asked)
                taken[f"images_per_s_{kind}_{look}_{size}px"].append(pictures / (time.process_time() - start))
    return {key: round(statistics.median(values), 1) for key, values in taken.items()}


def held(chosen: dict[str, Any], size: int, pictures: int) -> float:
    """Return the megabytes that a process holds more at its most than before it imported the library."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_held, (chosen, size, pictures))


def _held(chosen: dict[str, Any], size: int, pictures: int) -> float:
    before = _peak()
    from ausynth import load_generator

    generator = load_generator("rendered", image_size=size, **chosen)
    for start in range(0, 4 * pictures, 8):
        generator.generate(conditions(8, start))
    return round(_peak() - before, 1)


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage knows the most of the process that began this one, too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
