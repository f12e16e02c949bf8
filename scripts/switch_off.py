"""Write copies of a MAUGen checkpoint, each with one part switched off: what carries the control, with no new training.

    python scripts/switch_off.py CHECKPOINT OUT
    python benchmarks/maugen.py --ablations OUT/whole OUT/au_tokens ... --judge DIR

A part that was trained along and is taken away afterwards says what the trained network leans on; what it would have
learned without it, only another training says (examples/mini/ablations.sh).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from ausynth.generators.maugen.checkpoint import newest
from ausynth.generators.maugen.config import PARTS, MAUGenConfig

# Queries are among the weights, however they began.
TAKEN = tuple(part for part in PARTS if part != "text_queries")


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint, or a training folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder for the copies")
    options = parser.parse_args()
    source = newest(options.checkpoint)
    if source is None:
        parser.error(f"{options.checkpoint} holds no MAUGen checkpoint")
    for name in ("whole", *TAKEN):
        folder = options.out / name
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("training"))
        path = folder / "model" / "config.json"
        facts = json.loads(path.read_text("utf-8"))
        if name != "whole":
            facts["architecture"] = MAUGenConfig.from_json(facts["architecture"]).without(name).to_json()
            path.write_text(json.dumps(facts, indent=1) + "\n")
        print(folder)


if __name__ == "__main__":
    main()
