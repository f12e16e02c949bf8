"""How many portraits a second whole batches of tensors give, on CUDA or the CPU, beside one core of the compiled path.

    python benchmarks/render_batched.py --bank FOLDER [--device cuda] [--block 256] [--quick] [--json PATH]

Rounds are interleaved over engines and sizes, and medians are reported. "new" shows another person in every picture,
mixed from people of the bank, who are loaded before; "known" the same ones again. On CUDA the clock's seconds count,
from the conditions to pictures and labels in the CPU's memory; without it, for both engines, the processor's. The
compiled path is given one thread. The shares of the stages are those of one block at 128 pixels, the device waited for
after each; they add up to more than a block takes when nobody waits. The two engines' pictures are compared as well.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import arguments, conditions, machine, write_keys
from rich.console import Console
from rich.table import Table

from ausynth.generators.portrait.bank import FaceBank
from ausynth.generators.portrait.ict import load_ict

SIZES = (112, 128, 256)
GOAL = {128: 10_000}  # images a second on CUDA
NUMBERS = "numbers drawn on the CPU"


class Asked(NamedTuple):
    """How much is measured: pictures a round of each engine, and rounds."""

    pictures: dict[str, int]
    rounds: int


def main() -> None:
    options = arguments(__doc__, add_options)
    is_cuda = options.device.startswith("cuda")
    rounds, compiled_pictures = (2, 16) if options.quick else (5, 48)
    block = options.block or (256 if is_cuda else 16)
    torch.set_num_threads(torch.get_num_threads() if is_cuda else 1)
    name = f"torch on {torch.cuda.get_device_name(options.device)}" if is_cuda else "torch on one core"
    chosen = {"compiled": {}, "torch": {"engine": "torch", "device": options.device, "block": block}}
    pictures = {"compiled": compiled_pictures, "torch": block}
    bank = FaceBank(options.bank, load_ict())
    sizes = (128,) if options.quick else SIZES
    made = {(engine, size): opened(bank, size, **chosen[engine]) for engine in chosen for size in sizes}
    figures = speeds(made, Asked(pictures, rounds), options.device)
    table = Table("engine", "px", "images/s, new people", "images/s, known people", "to a core's", "device memory, MB")
    table.title, table.caption = f"Portraits, medians of {rounds} rounds, blocks of {block}", machine()
    for engine, words in (("compiled", "compiled, one core"), ("torch", name)):
        for size in sizes:
            new, known = (figures[f"images_per_s_{kind}_{engine}_{size}px"] for kind in ("new", "known"))
            goal = f" (goal {GOAL[size]:,})" if is_cuda and engine == "torch" and size in GOAL else ""
            ratio = new / figures[f"images_per_s_new_compiled_{size}px"]
            held = figures.get(f"memory_mb_{engine}_{size}px")
            cells = (f"{new:,.0f}{goal}", f"{known:,.0f}", f"{ratio:.2f}", "" if held is None else f"{held:,.0f}")
            table.add_row(words, str(size), *cells)
    Console().print(table)
    figures |= stages(made["torch", 128], options.device)
    figures |= differences(made["compiled", 128], made["torch", 128])
    write_keys(figures, options.json)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark asks beside the usual."""
    parser.add_argument("--bank", type=Path, metavar="FOLDER", required=True, help="made by `ausynth faces build`")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--block", type=int, help="pictures made together: 256 on CUDA, 16 on the CPU")


def opened(bank: FaceBank, size: int, **chosen: Any) -> Any:
    """Return a generator that has drawn before, and knows everybody in its bank."""
    from ausynth import load_generator

    generator: Any = load_generator("rendered", image_size=size, look="portrait", bank=bank, head=load_ict(), **chosen)
    everybody = range(len(bank))
    if generator.block_size > 1:
        with torch.inference_mode():
            generator._engine._casting.roster.slots(list(everybody))
    for number in everybody:
        generator._studio.known(number)
    generator.generate(conditions(generator.block_size, 0))
    return generator


def speeds(generators: dict[tuple[str, int], Any], asked_for: Asked, device: str) -> dict[str, float]:
    """Return the pictures a second of each engine and size, and the device's memory at its most."""
    is_cuda = device.startswith("cuda")
    clock = time.perf_counter if is_cuda else time.process_time
    taken: dict[str, list[float]] = defaultdict(list)
    most: dict[str, float] = {}
    for turn in range(asked_for.rounds):
        for (engine, size), generator in generators.items():
            count = asked_for.pictures[engine]
            asked = conditions(count, 1 + turn * 1_000_000 + size * 1000)
            if is_cuda:
                torch.cuda.reset_peak_memory_stats(device)
            for kind in ("new", "known"):
                start = clock()
                generator.generate(asked)
                taken[f"images_per_s_{kind}_{engine}_{size}px"].append(count / (clock() - start))
            if is_cuda and engine == "torch":
                most[f"memory_mb_{engine}_{size}px"] = torch.cuda.max_memory_allocated(device) / 1e6
    return {key: round(statistics.median(values), 1) for key, values in taken.items()} | most


def stages(generator: Any, device: str) -> dict[str, float]:
    """Print and return where the time of one block at 128 pixels goes."""
    from ausynth.generators.portrait.batched import backdrop, engine, sensor

    block = generator.block_size
    spent: dict[str, float] = defaultdict(float)
    inner: list[float] = []
    own: Any = generator._engine
    places = [
        (engine, "draw_views", NUMBERS), (backdrop, "Plans", NUMBERS),
        (engine, "blinks", NUMBERS), (own._casting, "_facts", NUMBERS), (own._maker, "motion", NUMBERS),
        (own._casting, "cast", "people mixed"), (own._maker, "faces", "faces moved"), (engine, "rasterise", "raster"),
        (engine.mesh, "normals", "normals"), (engine, "draw_lights", "light"), (own._openness, "of", "light"),
        (own._engraver, "grooves", "lines"), (own._backdrops, "paint", "backdrop"), (engine, "shade", "shade"),
        (own._lens, "expose", "blur and noise"), (sensor, "compressed", "jpeg"), (own, "_rows", "labels"),
    ]  # fmt: skip
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in places]

    def timed(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def wrapper(*given: Any, **named: Any) -> Any:
            inner.append(0.0)
            start = now(device)
            result = function(*given, **named)
            took = now(device) - start
            spent[stage] += took - inner.pop()
            if inner:
                inner[-1] += took
            return result

        return wrapper

    for (owner, name, function), (_, _, stage) in zip(originals, places, strict=True):
        setattr(owner, name, timed(function, stage))
    try:
        start = now(device)
        generator.generate(conditions(block, 70_000_000))
        total = now(device) - start
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)
    spent["other"] = total - sum(spent.values())
    print("\nwhere the time of a block goes at 128 px, new people")
    for stage, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{stage:>26} {100 * seconds / total:5.1f} %  {1e6 * seconds / block:8.1f} µs a picture")
    return {f"share_{stage.replace(' ', '_')}": round(seconds / total, 3) for stage, seconds in spent.items()}


def now(device: str) -> float:
    """Return the time when all that was asked of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def differences(compiled: Any, other: Any) -> dict[str, float]:
    """Print and return how far the two engines' pictures of the same conditions are apart."""
    import numpy as np

    count = min(other.block_size, 64)
    asked = conditions(count, 80_000_000)
    one, two = compiled.generate(asked), other.generate(asked)
    apart = np.abs(one.images.astype(int) - two.images)
    mean, share, most = apart.mean(), (apart.max(3) > 2).mean(), apart.max()
    labels = np.nanmax(np.abs(one.labels.intensity - two.labels.intensity))
    print(
        f"\nboth engines on {count} conditions at 128 px: {mean:.5f} gray levels apart in the mean, at most {most};"
        f"\n{100 * share:.4f} % of the pixels by more than 2; labels by at most {labels:.2f}"
    )
    return {
        "difference_mean_levels": float(mean),
        "difference_share_beyond_2": float(share),
        "difference_most_levels": float(most),
        "difference_labels": float(labels),
    }


if __name__ == "__main__":
    main()
