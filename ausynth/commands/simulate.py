"""`ausynth simulate`: a practice copy of DISFA or BP4D made of rendered faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ausynth.commands.common import BankFolder, Look, chosen_generator

__all__ = ["simulate"]


def simulate(
    dataset: Annotated[str, typer.Argument(metavar="disfa|bp4d", help="Whose layout and statistics to follow.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the practice copy.")],
    *,
    subjects: Annotated[int, typer.Option(help="People, in the data set's order.")] = 27,
    frames: Annotated[int, typer.Option(help="Frames of each person (BP4D: over two tasks).")] = 200,
    size: Annotated[int, typer.Option(help="Height and width of a frame in pixels.")] = 240,
    layout: Annotated[str, typer.Option(help="frames, video, or both (BP4D: frames).")] = "frames",
    codec: Annotated[str, typer.Option(help="Of the videos: mjpeg or mpeg4.")] = "mjpeg",
    seed: Annotated[int, typer.Option(help="Another seed, other people and labels.")] = 0,
    run_length: Annotated[float, typer.Option(help="Mean number of frames between changes of the labels.")] = 53,
    look: Look = None,
    bank: BankFolder = None,
    style: Annotated[float, typer.Option(help="How much people differ in which AUs they show, 0 to 1.")] = 0.3,
    smooth: Annotated[
        bool, typer.Option("--smooth/--at-once", help="Expressions rise and fall, or change from frame to frame.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Make an older practice copy anew, or write beside other files.")
    ] = False,
) -> None:
    """Make a practice copy of DISFA or BP4D from rendered faces, in the real set's layout, with its label statistics.

    No licence is needed, and with the procedural look no person is shown: it is there to try the library on.
    Interrupt it at any time; the same command goes on where it was.
    """
    from typing import cast

    from rich.console import Console

    from ausynth import simulate as making
    from ausynth.bars import counting_bar
    from ausynth.simulated.files import Codec, Layout

    simulation = making.Simulation(
        dataset=cast("making.Dataset", dataset.lower()),
        subjects=subjects,
        frames=frames,
        size=size,
        layout=cast("Layout", layout),
        codec=cast("Codec", codec),
        seed=seed,
        run_length=run_length,
        style=style,
        smooth=smooth,
    )
    chosen = chosen_generator("rendered", look, bank)
    generator = None if chosen == "rendered" else making.laboratory(simulation, chosen)
    console = Console(soft_wrap=True)
    with counting_bar("frames", console=console, transient=True) as bar:
        task = bar.add_task("starting", total=subjects * frames)

        def show(done: int, total: int, who: str) -> None:
            bar.update(task, completed=done, total=total, description=who)

        result = making.simulate(simulation, out, force=force, generator=generator, progress=show)
    made, found, name = len(result.made), len(result.found), simulation.dataset
    already = f", {found} were there already" if found else ""
    console.print(f"{out}: {made} people with {frames} frames each{already}.")
    console.print(f"These are rendered faces in the layout of {name.upper()}, not {name.upper()}: see README.txt.")
    console.print(f"Try: ausynth preview --real {name} --{name}-root {out} --out preview")
