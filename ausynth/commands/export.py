"""`ausynth export`: generated samples as a Hugging Face data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["export"]


def export(
    *,
    cache: Annotated[Path, typer.Option(metavar="DIR", help="Folder of a store of generated samples.")],
    out: Annotated[Path, typer.Option(metavar="OUT", help="Folder of the data set, new or empty.")],
    plan: Annotated[
        str | None, typer.Option(metavar="HASH", help="Only the samples of this plan; the hash's beginning will do.")
    ] = None,
    count: Annotated[int | None, typer.Option(metavar="N", help="How many samples, from the first on.")] = None,
    image_format: Annotated[
        Literal["png", "jpeg"] | None,
        typer.Option(help="png loses nothing. Default: png, and the very bytes of a store of JPEGs."),
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="USER/NAME", help="Upload the data set to the Hugging Face Hub as well.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Let only you see what is uploaded.")] = False,
) -> None:
    """Write generated samples as a Hugging Face data set: parquet files, and a card that says what they are.

    `datasets.load_dataset(OUT)` gives back the same pictures and labels, streaming or not. Recordings of real people
    are refused: their licences do not let them be passed on. Nothing is uploaded unless --push-to-hub asks for it.
    Interrupt it at any time: what is unfinished is deleted, and the same command begins again.
    """
    from rich.console import Console

    from ausynth.bars import counting_bar
    from ausynth.errors import ConfigurationError
    from ausynth.jobs import hub
    from ausynth.jobs.export import export_store
    from ausynth.store import Store

    if push_to_hub is not None:
        hub.require_repo(push_to_hub)
    elif private:
        raise ConfigurationError("--private without --push-to-hub", expected="something that is uploaded")
    console = Console(soft_wrap=True)
    with counting_bar("samples", console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total or None, description=what)

        exported = export_store(Store(cache), out, plan=plan, count=count, image_format=image_format, progress=show)
    done = "was there already" if exported.found else "exported"
    files = f"{len(exported.files)} file{'' if len(exported.files) == 1 else 's'}"
    console.print(
        f"{out}: {exported.samples:,} samples in {files}, {exported.bytes / 1e6:,.1f} MB, {done}.",
        highlight=False,
        markup=False,
    )
    if push_to_hub is not None:
        with console.status(f"uploading to {push_to_hub}"):
            address = hub.push_to_hub(out, push_to_hub, private=private)
        console.print(f"Uploaded: {address}", highlight=False, markup=False)
    where = push_to_hub or out
    console.print(f'Load: datasets.load_dataset("{where}", split="train")', highlight=False, markup=False)
