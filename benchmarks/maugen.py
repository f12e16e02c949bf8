"""How fast MAUGen paints and reads, what a picture costs, and how its labels agree with what was asked.

    python benchmarks/maugen.py [--checkpoint DIR] [--device cpu] [--quick] [--json PATH]

Without a checkpoint the preset `mini` runs with fresh weights: speed does not depend on them, and of labels nothing is
said. With one, three labels are compared with the request: the one that a sample carries (read off the picture without
hearing the request), the decoder's own (which heard it, and echoes it: its agreement says nothing about the picture),
and the carried labels of other samples (what chance gives). None of them is a judge of the pictures: that takes a
detector which has never seen the generator.

Rounds are interleaved, and medians are reported; the renderer at the same size runs beside it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from common import machine, write_keys

import ausynth
from ausynth import facs
from ausynth.generators import Conditions, Generator
from ausynth.generators.maugen.config import preset
from ausynth.generators.maugen.cost import flops_of_pass, passes_of_picture
from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.labels import Floats

WAYS = {"default": {}, "4 steps": {"steps": 4}, "no guidance": {"guidance": 1.0}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="what `ausynth train maugen` made")
    parser.add_argument("--device", default=None, help="cpu or cuda; default the best there is")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, as flat keys")
    options = parser.parse_args()
    figures = costs()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.checkpoint or fresh(Path(scratch))
        figures |= speeds(folder, options.device, rounds=2 if options.quick else 5)
        if options.checkpoint is not None:
            figures |= agreement(folder, options.device, count=32 if options.quick else 512)
    print(f"\n{machine()}")
    write_keys(figures, options.json)


def fresh(folder: Path) -> Path:
    """Write a mini with fresh weights, and return its folder."""
    import torch

    from ausynth.generators.maugen.people import People

    pipeline = MAUGenPipeline.create(preset("mini"))
    config = pipeline.maugen
    pipeline.people = People(torch.randn(8, config.identity_tokens, config.token_width))
    pipeline.save_pretrained(folder)
    return folder


def costs() -> dict[str, float]:
    """Print and return what a picture and its label cost, by preset."""
    figures = {}
    print(f"{'preset':>9} {'pixels':>7} {'GFLOP a pass':>13} {'a picture':>10}")
    for name in ("mini", "mini-112", "sd15"):
        config, key = preset(name), name.replace("-", "_")
        one = flops_of_pass(config) / 1e9
        steps = 30 if name == "sd15" else 8
        whole = one * passes_of_picture(steps, 2.0, 2)
        print(f"{name:>9} {config.image_size:7} {one:13.2f} {whole:10,.0f}   ({steps} steps with guidance, 2 readings)")
        figures |= {f"{key}_gflop_a_pass": round(one, 3), f"{key}_gflop_a_picture": round(whole, 1)}
    return figures


def speeds(folder: Path, device: str | None, rounds: int) -> dict[str, float]:
    """Print and return pictures a second, labels read."""
    generators: dict[str, Generator] = {
        name: MAUGenGenerator(folder, device, **changes) for name, changes in WAYS.items()
    }
    size = generators["default"].image_size
    generators["renderer"] = ausynth.load_generator("rendered", image_size=size)
    taken: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        for name, generator in generators.items():
            asked = requests(generator.aus, 16, seed=turn)
            start = time.perf_counter()
            generator.generate(asked)
            if turn:  # the first warms up
                taken[name].append(len(asked) / (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"\npictures a second with their labels, {size} px, medians of {rounds} rounds of 16")
    for name, value in medians.items():
        print(f"{name:>12} {value:8.1f}   {value / medians['renderer']:.3f} of the renderer's")
    return {f"images_per_s_{name.replace(' ', '_')}": round(value, 2) for name, value in medians.items()}


def agreement(folder: Path, device: str | None, count: int) -> dict[str, float]:
    """Print and return F1 (at intensity 2) and mean absolute error of labels against the request."""
    generator = MAUGenGenerator(folder, device)
    pipeline = generator.pipeline
    carried, decoded, wanted = [], [], []
    for first in range(0, count, 16):
        asked = requests(generator.aus, 16, seed=10_000 + first)
        made = pipeline(
            [generator.describe(row, generator.aus, 0) for row in asked.intensity],
            intensities=asked.intensity,
            identity=asked.identity if pipeline.maugen.identity else None,
            generator=asked.noise.tolist(),
            output_type="np",
        )
        carried.append(made.labels.intensity)
        decoded.append(made.decoded.intensity)
        wanted.append(asked.intensity)
    read, heard, request = (np.concatenate(parts) for parts in (carried, decoded, wanted))
    rows = {"carried": read, "decoder": heard, "chance": np.roll(read, 1, axis=0), "all_zeros": np.zeros_like(read)}
    print(f"\nlabels against the request, {count} pictures\n{'label':>10} {'F1 (>= 2)':>10} {'MAE':>6}")
    figures = {}
    for name, label in rows.items():
        score, error = f1(label, request), float(np.abs(label - request).mean())
        print(f"{name.replace('_', ' '):>10} {score:10.3f} {error:6.2f}")
        figures |= {f"f1_{name}_against_request": round(score, 4), f"mae_{name}_against_request": round(error, 4)}
    return figures


def f1(found: Floats, wanted: Floats) -> float:
    """Return the mean over AUs of F1 at intensity 2, 0 where an AU is neither found nor wanted."""
    there, right = found >= 2, wanted >= 2
    hits = (there & right).sum(0)
    return float((2 * hits / np.maximum(there.sum(0) + right.sum(0), 1)).mean())


def requests(aus: tuple[int, ...], count: int, seed: int) -> Conditions:
    """Return possible requests in which each AU is there as often as the others, about a fifth of the time."""
    draw = np.random.default_rng(seed)
    rows: list[Floats] = []
    while len(rows) < count:
        row = (draw.integers(1, 6, len(aus)) * (draw.random(len(aus)) < 0.2)).astype(np.float32)
        if facs.is_possible(row[None], aus)[0]:
            rows.append(row)
    number = np.arange(count) + count * seed
    return Conditions(np.stack(rows), number, number)


if __name__ == "__main__":
    main()
