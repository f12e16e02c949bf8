"""How well the small networks read renders of people they have never seen: ceilings for whoever is judged by them.

    python benchmarks/networks.py --natural STORE --balanced STORE [--judge DIR] [--verifier DIR] [--identity DIR]
                                  [--crop 64/88] [--quick] [--json PATH]

F1 of intensity >= 2 and mean absolute error (mean over AUs), for natural and for balanced label vectors, beside what
answering 0 always gives. The stores must show people whom no network has learned from (scripts/render_others.py makes
such). A judge's figures here are what a perfect generator could reach in its eyes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import arguments, machine, write_keys
from rich.console import Console
from rich.table import Table

from ausynth.commands.train_networks import share_of
from ausynth.networks import Verifier, fingerprint, load
from ausynth.networks.assembling import measure
from ausynth.networks.backbones import count_flops
from ausynth.networks.data import FaceSet, read_faces
from ausynth.networks.identifying import verify
from ausynth.networks.scores import Scores


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--natural", type=Path, action="append", default=[], metavar="STORE", help="may be repeated")
    parser.add_argument("--balanced", type=Path, action="append", default=[], metavar="STORE", help="may be repeated")
    parser.add_argument("--judge", type=Path, metavar="DIR", help="a detector, calibrated by `ausynth train verifier`")
    parser.add_argument("--verifier", type=Path, metavar="DIR")
    parser.add_argument("--identity", type=Path, metavar="DIR")
    parser.add_argument("--crop", default="1", help="the middle share of the pictures that networks see")


def main() -> None:
    options = arguments(__doc__, add)
    figures: dict[str, float] = {}
    table = Table(title="Held-out people", caption=machine())
    for column in ("labels", "network", "F1", "MAE", "MAE of zeros", "masked", "ECE", "MB in fp16", "MFLOP"):
        table.add_column(column, justify="right" if column not in ("labels", "network") else "left")
    for kind in ("natural", "balanced"):
        folders = getattr(options, kind)
        if not folders:
            continue
        faces = read_faces(folders, crop=share_of(options.crop), most=600 if options.quick else None)
        for name, scores, more in readers(options, faces):
            facts = scores.to_json()
            figures |= {f"{kind}_{name}_{key}": facts[key] for key in ("f1", "mae", "mae_of_zeros")}
            figures |= {f"{kind}_{name}_f1_au{au}": value for au, value in facts["f1_by_au"].items()}
            figures |= {f"{kind}_{name}_{key}": value for key, value in more.items() if isinstance(value, float)}
            shown = [f"{facts[key]:.3f}" for key in ("f1", "mae", "mae_of_zeros")]
            shown += [f"{more[key]:.3f}" if key in more else "" for key in ("masked", "ece", "mb", "mflop")]
            table.add_row(f"{kind} ({len(faces):,})", name, *shown)
        if options.identity is not None:
            told = verify(load(options.identity, kind="identity"), faces)
            figures |= {f"{kind}_identity_auc": told.auc, f"{kind}_identity_eer": told.eer}
            print(
                f"{kind}: {told.people:,} people, {told.pictures:,} pictures, all pairs: AUC {told.auc:.4f}, "
                f"EER {told.eer:.4f}, cosine {told.same:.3f} (same), {told.different:.3f} (different)"
            )
    Console(width=120).print(table)
    write_keys(figures, options.json)


def readers(options: argparse.Namespace, faces: FaceSet) -> Iterator[tuple[str, Scores, dict[str, Any]]]:
    """Yield each network's name, its scores, and what else is known of it."""
    for folder, name in ((options.judge, "judge"), (options.verifier, "verifier")):
        if folder is None:
            continue
        verifier = Verifier.load(folder)
        print(f"{name} {verifier.fingerprint}: {', '.join(map(fingerprint, verifier.networks))}")
        measured = measure(verifier, faces)
        costs = [cost(network) for network in verifier.networks]
        for number, network in enumerate(verifier.networks):
            own = network.architecture
            yield f"{name}_{own}_uncalibrated", measured.raw[number], costs[number]
            if len(costs) > 1 and measured.alone:
                yield f"{name}_{own}", measured.alone[number], {}
        whole = {key: sum(each[key] for each in costs) for key in costs[0]}
        yield name, measured.scores, whole | {"ece": measured.curve.error}
        yield f"{name}_unmasked", measured.kept, {"masked": measured.masked}


def cost(network: Any) -> dict[str, float]:
    """Return what a network costs: megabytes as it is stored, and millions of operations a picture."""
    size = sum(each.numel() for each in network.state_dict().values())
    return {"mb": 2 * size / 1e6, "mflop": count_flops(network, network.image_size) / 1e6}


if __name__ == "__main__":
    main()
