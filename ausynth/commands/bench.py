"""`ausynth bench`: how fast a stream is here, and where its time goes."""

from __future__ import annotations

import time
from itertools import islice
from typing import Annotated, Any

import typer

from ausynth.commands.common import (
    BP4DRoot,
    DISFARoot,
    GeneratorName,
    ImageSize,
    Ratio,
    RealSets,
    given_roots,
    real_sets,
)

__all__ = ["bench"]

_WARM_UP = 4
_STAGES = {
    "wait": "the loop waited for a batch",
    "read": "files",
    "decode": "pictures",
    "generate": "synthetic faces",
    "transform": "augmentation",
    "assemble": "labels, crops, copies, the rest of a batch",
}


def bench(
    *,
    real: RealSets = None,
    disfa_root: DISFARoot = None,
    bp4d_root: BP4DRoot = None,
    ratio: Ratio = 0.5,
    generator: GeneratorName = "auto",
    image_size: ImageSize = 112,
    batch_size: Annotated[int, typer.Option(help="Samples of a batch.")] = 64,
    batches: Annotated[int, typer.Option(min=1, help="How many batches are timed.")] = 50,
    threads: Annotated[int | None, typer.Option(help="Threads that make batches; default one for each core.")] = None,
) -> None:
    """Time a stream, and say where the time goes: seconds a stage, summed over threads, and samples by source."""
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from ausynth.stream import MixedStream

    stream = MixedStream(
        real_sets(real),
        ratio,
        root=given_roots(disfa_root, bp4d_root) or None,
        generator=generator,
        image_size=image_size,
        batch_size=batch_size,
        threads=threads,
    )
    console = Console(soft_wrap=True)
    iterator = iter(stream)
    for _ in islice(iterator, _WARM_UP):  # compiles the renderer, fills the buffers
        pass
    before, start = stream.stats(), time.perf_counter()
    for _ in track(islice(iterator, batches), "streaming", total=batches, console=Console(stderr=True), transient=True):
        pass
    seconds = time.perf_counter() - start
    spent = {name: value - before["seconds"].get(name, 0) for name, value in stream.stats()["seconds"].items()}
    iterator.close()  # type: ignore[attr-defined]
    table = Table(title=f"{batches} batches of {batch_size} at {image_size} px, {stream.threads} threads")
    for header in ("stage", "seconds", "ms a batch", "what it is"):
        table.add_column(header, justify="left" if header in ("stage", "what it is") else "right")
    for name, what in _STAGES.items():
        if name in spent:
            table.add_row(name, f"{spent[name]:.2f}", f"{spent[name] / batches * 1e3:.2f}", what)
    console.print(table)
    _print_counts(console, stream.stats())
    console.print(f"{batches * batch_size / seconds:,.0f} images/s")
    made = stream.stats()["generator"]
    if made is not None:
        console.print(f"synthetic faces by {made['name']}" + (f": {made['why']}" if made["why"] else ""), markup=False)


def _print_counts(console: Any, stats: dict[str, Any]) -> None:
    counts = ", ".join(f"{name} {count:,}" for name, count in stats["counts"].items())
    console.print(f"Samples made, by source: {counts}; rejected {stats['rejected']:,}")
    for file, times in stats["skipped"].items():
        console.print(f"skipped {times} times: {file}", highlight=False)
