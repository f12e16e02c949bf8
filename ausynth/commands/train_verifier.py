"""`ausynth train verifier`: makes calibrated labels of several detectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ausynth.commands.common import write_whole
from ausynth.commands.train_networks import Crop, load_faces, table_of
from ausynth.errors import ConfigurationError

__all__ = ["verifier"]


def verifier(
    *,
    nets: Annotated[
        list[Path], typer.Option(metavar="DIR", help="Folder of a detector; repeated, better of several kinds.")
    ],
    data: Annotated[
        list[Path],
        typer.Option(metavar="STORE", help="Store of faces that none of them has learned from; may be repeated."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the verifier; one that is there is replaced.")],
    test: Annotated[
        list[Path] | None,
        typer.Option(metavar="STORE", help="Store of others to measure it on [default: half of the people of --data]"),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="K/N", help="Only the K-th of N parts of the people of --data.")
    ] = None,
    crop: Crop = "1",
    least: Annotated[float, typer.Option(min=0, max=1, help="Below this confidence an entry counts as masked.")] = 0.6,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw confidence against accuracy there.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="PATH", help="Write the figures there.")] = None,
) -> None:
    """Calibrate AU detectors into a verifier, which labels generated pictures by what they show.

    What a reading is worth is fitted on people whom no detector has learned from, and measured on others. One detector
    alone may be calibrated so, too.
    """
    from rich.console import Console

    from ausynth.networks import load
    from ausynth.networks.assembling import assemble, halves, measure
    from ausynth.networks.data import Split
    from ausynth.networks.reliability import ReliabilityCurve, reliability_plot
    from ausynth.networks.verifier import records_of

    console = Console(soft_wrap=True, highlight=False)
    networks = [load(folder, kind="au") for folder in nets]
    sizes = {network.image_size for network in networks}
    if len(sizes) != 1:
        raise ConfigurationError(f"detectors of the sizes {sorted(sizes)}", expected="one size")
    aus = ",".join(map(str, networks[0].aus))
    faces = load_faces(data, sizes.pop(), crop, aus)
    if split is not None:
        faces = faces.rows(Split.parse(split).left_out(faces.identity))
    fitted_on, others = (faces, load_faces(test, networks[0].image_size, crop, aus)) if test else halves(faces)
    made = assemble(networks, fitted_on, least=least)
    measured = measure(made, others)
    made.save(out, records_of(nets))
    console.print(table_of(measured.scores, f"{len(others):,} pictures of other people"))
    for folder, alone, raw in zip(nets, measured.alone, measured.raw, strict=True):
        facts, before = alone.to_json(), raw.to_json()
        console.print(
            f"{folder.name} alone: F1 {facts['f1']:.3f}, MAE {facts['mae']:.3f}; "
            f"not calibrated {before['f1']:.3f} and {before['mae']:.3f}",
            markup=False,
        )
    kept = measured.kept.to_json()
    console.print(
        f"Masked below {least:g}: {measured.masked:.1%} of the entries; the others F1 {kept['f1']:.3f}, "
        f"MAE {kept['mae']:.3f}."
    )
    curve: ReliabilityCurve = measured.curve
    console.print(f"Expected calibration error {curve.error:.4f}:")
    for said, is_there, count in zip(curve.confidence, curve.accuracy, curve.count, strict=True):
        console.print(f"  said {said:.3f}, is there {is_there:.3f}  ({count:,} entries)")
    if plot is not None:
        write_whole(plot, reliability_plot({"all AUs": curve}))
    if json_path is not None:
        write_whole(json_path, (json.dumps(measured.to_json(), indent=1) + "\n").encode())
    console.print(f"Verifier: {out}", markup=False)
