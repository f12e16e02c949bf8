"""Renders faces of people whom no other store of a recipe shows: for judges, and for everything that is measured.

    python scripts/render_others.py --config portraits.yaml --first-identity 1000000 --seed 901 --count 4000 --out DIR

The recipe is a file of options as `ausynth warmup --config` takes it. Pictures, labels and poses are drawn as warmup
draws them, from another seed; each identity number has `--first-identity` added, so that everybody is somebody new.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import yaml

from ausynth import MixedStream
from ausynth.bars import counting_bar
from ausynth.generators import Conditions
from ausynth.labels import Labels
from ausynth.sources.made import content_keys, recipe_of
from ausynth.store import Samples, Store

AT_ONCE = 256
SHARD = 4096


def main() -> None:
    """Render what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="options of a warmup, as YAML")
    parser.add_argument("--first-identity", type=int, required=True, help="is added to each identity number")
    parser.add_argument("--seed", type=int, required=True, help="instead of the recipe's")
    parser.add_argument("--count", type=int, required=True, help="pictures")
    parser.add_argument("--out", type=Path, required=True, help="the store that is made")
    options = parser.parse_args()
    recipe = yaml.safe_load(options.config.read_text()) | {"seed": options.seed, "threads": 0}
    side = MixedStream(**recipe).synthetic_side
    generator = side.generator  # type: ignore[attr-defined]
    store = Store.create(options.out, recipe_of(generator))
    plan = f"others {options.first_identity} {options.seed}"
    stored = set(store.numbers(plan).tolist())
    with counting_bar("pictures") as bar:
        task = bar.add_task(str(options.out.name), total=options.count, completed=len(stored))
        for start in range(0, options.count, SHARD):
            numbers = np.arange(start, min(start + SHARD, options.count))
            if set(numbers.tolist()) <= stored:
                continue
            images, parts = [], []
            for first in range(0, len(numbers), AT_ONCE):
                ordinals = numbers[first : first + AT_ONCE]
                asked = side.conditions(ordinals)  # type: ignore[attr-defined]
                asked = dataclasses.replace(asked, identity=asked.identity + options.first_identity)
                made = generator.generate(asked)
                images.append(made.images)
                parts.append((asked, made.labels))
                bar.advance(task, len(ordinals))
            store.write(samples_of(generator, numbers, parts), np.concatenate(images), plan=plan)


def samples_of(generator: object, numbers: np.ndarray, parts: list) -> Samples:
    """Return what a store keeps beside the pictures."""
    asked, labels = Conditions.join([asked for asked, _ in parts]), Labels.concatenate([each for _, each in parts])
    return Samples(
        number=numbers,
        key=content_keys(generator.fingerprint, asked, generator.block_size),  # type: ignore[attr-defined]
        labels=labels,
        asked=asked.intensity,
        identity=asked.identity,
        noise=asked.noise,
        attempt=np.zeros(len(numbers), np.int64),
        text=tuple(asked.prompt or [""] * len(numbers)),
    )


if __name__ == "__main__":
    main()
