"""What MAUGen's pictures show and what their labels are worth, by a judge; how fast it paints, and what that costs.

    python benchmarks/maugen.py [--checkpoint DIR --judge DIR] [--quick] [--json PATH]

The judge is an AU regressor that was trained on renders and has never seen the generator; nothing that the generator
learned from, or reads its labels with, is it. Its own ceiling on held-out renders comes first. Then MAUGen is asked for
the label vectors of those renders, of the natural and of the balanced kind, each by a person of its own (numbers from
1,000,000 on), and the judge reads its pictures: against the request, and against the label that a sample carries. The
label decoder's own agreement with the request is printed as what it is: it heard the request, and echoes it.

Held-out renders are of stores (`--natural`, `--balanced`, made by scripts/render_others.py), or are drawn now: by code,
and with `--bank` also of the people of a face bank. F1 is of intensity 2 and above, the mean over AUs that are there;
the figures without a suffix are of both kinds of label vectors together. With `--ablations` several checkpoints are
compared in the order given. Without a checkpoint the preset `mini` runs with fresh weights, for its speed alone.

Rounds of the speed comparison are interleaved, and medians are reported; the renderer at the same size runs beside it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import maugen_judged as judged
import maugen_looks as looks
import numpy as np
from common import machine, write_keys
from maugen_faces import FIRST_PERSON, KINDS, Painted, Renders, held_out, paint, verifier_of
from rich.console import Console
from rich.table import Table

import ausynth
from ausynth import facs
from ausynth.generators import Conditions, Generator
from ausynth.generators.maugen.config import PARTS, preset
from ausynth.generators.maugen.cost import flops_of_pass, passes_of_picture
from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.labels import Floats

console = Console(width=None if sys.stdout.isatty() else 112)
WAYS = {"default": {}, "4 steps": {"steps": 4}, "no guidance": {"guidance": 1.0}}


def main() -> None:
    options = arguments()
    figures = {} if options.ablations else costs()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.checkpoint or fresh(Path(scratch))
        if not options.ablations and not options.skip_speed:
            figures |= speeds(folder, options.device, rounds=2 if options.quick else 5)
        if options.judge is not None:
            figures |= ablations(options) if options.ablations else judgement(options)
    print(f"\n{machine()}")
    write_keys({name: round(float(value), 4) for name, value in figures.items() if math.isfinite(value)}, options.json)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="what `ausynth train maugen` made")
    parser.add_argument("--judge", type=Path, metavar="DIR", help="an AU network, or one with its calibration")
    parser.add_argument("--identity-net", type=Path, metavar="DIR", help="an identity network")
    parser.add_argument("--verifier", type=Path, metavar="DIR", help="what reads labels; default the checkpoint's own")
    parser.add_argument("--natural", type=Path, nargs="+", default=[], metavar="STORE", help="held-out renders")
    parser.add_argument("--balanced", type=Path, nargs="+", default=[], metavar="STORE", help="held-out renders")
    parser.add_argument("--bank", type=Path, metavar="FOLDER", help="face bank, for renders that are drawn now")
    parser.add_argument("--count", type=int, default=512, help="painted pictures of each kind of label vectors")
    parser.add_argument("--renders", type=int, default=2000, help="held-out renders of each kind")
    parser.add_argument("--steps", type=int, help="of the solver; default the generator's")
    parser.add_argument("--guidance", type=float, help="default the generator's")
    parser.add_argument("--ablations", type=Path, nargs="+", metavar="DIR", help="checkpoints to be compared")
    parser.add_argument("--reliability", type=Path, metavar="PATH", help="write what detectors and requests are worth")
    parser.add_argument("--skip-speed", action="store_true", help="do not time it")
    parser.add_argument("--device", default=None, help="cpu or cuda; default the best there is")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, as flat keys")
    options = parser.parse_args()
    if options.judge is not None and not (options.checkpoint or options.ablations):
        parser.error("--judge without --checkpoint or --ablations: there is nothing to be judged")
    if options.ablations and options.judge is None:
        parser.error("--ablations without --judge")
    if options.quick:
        options.count, options.renders = min(options.count, 32), min(options.renders, 200)
    return options


def judgement(options: argparse.Namespace) -> dict[str, float]:
    """Print and return everything that is judged."""
    generator = opened(options, options.checkpoint)
    judge = judged.Judge(options.judge, generator.aus)
    renders = all_renders(options, generator)
    figures = judged.ceiling(judge, renders)
    verifier = verifier_of(generator, options.verifier)
    painted = all_painted(generator, verifier, renders, options.count)
    figures |= judged.agreement(judge, painted, figures)
    figures |= judged.curves(judge, generator, 2 if options.quick else 8, options.bank)
    if options.identity_net is not None:
        people = 8 if options.quick else 48
        expressions = renders["balanced"].asked[:4]
        figures |= looks.identities(generator, options.identity_net, expressions, people, renders)
    space, name = looks.space_of(None, judge.features)
    figures |= looks.likeness(space, name, painted, renders)
    if options.identity_net is not None:
        space, name = looks.space_of(options.identity_net, judge.features)
        figures |= {f"{key}_identity": value for key, value in looks.likeness(space, name, painted, renders).items()}
    if options.reliability is not None:
        if verifier is None:
            raise SystemExit("--reliability of no detectors: give --verifier DIR, or a checkpoint that has one")
        figures |= judged.measure_reliability(judge, verifier, painted, options.reliability)
    figures |= {"judged_pictures": float(sum(len(part.asked) for part in painted.values()))}
    return figures | {"steps": float(generator.steps), "guidance": float(generator.guidance)}


def ablations(options: argparse.Namespace) -> dict[str, float]:
    """Print and return what the judge says of several checkpoints, asked for the same pictures, in the order given."""
    generators = [opened(options, folder) for folder in options.ablations]
    renders = all_renders(options, generators[0])
    judge = judged.Judge(options.judge, generators[0].aus)
    figures = judged.ceiling(judge, renders)
    table = Table("checkpoint", "without", "steps", "F1, request", "MAE, request", "F1, label", "F1 of the echo")
    for folder, generator in zip(options.ablations, generators, strict=True):
        if generator.aus != generators[0].aus:
            raise SystemExit(f"{folder} is of another label space than {options.ablations[0]}")
        painted = all_painted(generator, verifier_of(generator, options.verifier), renders, options.count)
        asked = np.concatenate([part.asked for part in painted.values()])
        said = np.concatenate([judge(part.images) for part in painted.values()])
        carried = np.concatenate([part.carried.intensity for part in painted.values()])
        heard = np.concatenate([part.readings["echo"].intensity for part in painted.values()])
        found = {
            "judge_f1_request": judged.macro(judged.f1(said, asked)),
            "judge_mae_request": judged.mae(said, asked),
            "judge_f1_carried": judged.macro(judged.f1(said, carried)),
            "echo_f1_request": judged.macro(judged.f1(heard, asked)),
        }
        without = ", ".join(part for part in PARTS if not getattr(generator.pipeline.maugen, part)) or "-"
        done = str(generator.record.get("step", generator.folder.name))
        cells = [f"{found[key]:.3f}" for key in found]
        table.add_row(folder.name, without, done, *cells)
        figures |= {f"{folder.name}_{key}": value for key, value in found.items()}
    console.print(table)
    return figures


def opened(options: argparse.Namespace, folder: Path) -> MAUGenGenerator:
    given: dict[str, Any] = {"steps": options.steps, "guidance": options.guidance}
    return MAUGenGenerator(folder, options.device, **{key: value for key, value in given.items() if value is not None})


def all_renders(options: argparse.Namespace, generator: MAUGenGenerator) -> dict[str, Renders]:
    stores = {"natural": options.natural, "balanced": options.balanced}
    return {
        kind: held_out(stores[kind], kind, options.renders, generator.aus, generator.image_size, bank=options.bank)
        for kind in KINDS
    }


def all_painted(
    generator: MAUGenGenerator, verifier: Any, renders: dict[str, Renders], count: int
) -> dict[str, Painted]:
    """Return pictures of the label vectors of held-out renders, each of a person of its own."""
    painted = {}
    for number, (kind, drawn) in enumerate(renders.items()):
        rows = np.random.default_rng(number).permutation(len(drawn.asked))[:count]
        person = FIRST_PERSON + 100_000 * number + np.arange(len(rows), dtype=np.int64)
        painted[kind] = paint(generator, verifier, drawn.asked[rows], person, name=kind)
    return painted


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
        steps = 30 if name == "sd15" else 6
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
