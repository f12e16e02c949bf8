"""`ausynth warmup`: generates a stream's synthetic samples ahead of training, into its cache."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ausynth.commands.common import (
    BankFolder,
    BP4DRoot,
    DISFARoot,
    Look,
    RealSets,
    chosen_generator,
    given_roots,
    label_space,
    one_or_many,
    real_sets,
    split_names,
)
from ausynth.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from ausynth.jobs import Executor
    from ausynth.jobs.warmup import Standing, Warmed, Warmup

__all__ = ["warmup"]

_FAILED, _INTERRUPTED = 1, 130
_LINE_EVERY = 30.0
_SHOWN = 10


def warmup(
    ctx: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML of the stream: MixedStream's arguments. Flags below go before it."),
    ] = None,
    cache: Annotated[Path | None, typer.Option(metavar="FOLDER", help="The cache to fill.")] = None,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many synthetic samples, from the first.")
    ] = None,
    shards: Annotated[
        str | None, typer.Option(metavar="A:B", help="Only shards A to B-1: for jobs that share the work.")
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option(min=1, help="Samples of a shard [default: 4096; fewer in a small job]")
    ] = None,
    executor: Annotated[str, typer.Option(help="local: processes here; ray: actors, here or on a cluster.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="How many [default: one a core, one for a generator on CUDA]; 0: in this process."),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; else RAY_ADDRESS, else Ray here.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs that each Ray actor holds.")] = 0,
    codec: Annotated[str | None, typer.Option(help="How a new cache keeps pictures: raw or jpeg.")] = None,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Of JPEG.")] = None,
    real: RealSets = None,
    disfa_root: DISFARoot = None,
    bp4d_root: BP4DRoot = None,
    ratio: Annotated[float | None, typer.Option(help="Share of synthetic samples, 0 to 1.")] = None,
    generator: Annotated[
        str | None,
        typer.Option(metavar="auto|rendered|maugen|FOLDER", help="What makes the synthetic faces [default: auto]"),
    ] = None,
    look: Look = None,
    bank: BankFolder = None,
    image_size: Annotated[int | None, typer.Option(help="Height and width in pixels.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything.")] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(metavar="P1|SN001|...", help="Parts or subjects that are never shown.")
    ] = None,
    fold: Annotated[str | None, typer.Option(help="A fold by another code base's name, such as megraph:1.")] = None,
    aus: Annotated[
        str | None, typer.Option(help="Label space: benchmark, union, intersection, disfa-12, or 1,2,4.")
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(help="What labels aim at: soft (as streams do by default), hard, natural, uniform, none."),
    ] = None,
    identities: Annotated[int | None, typer.Option(help="How many synthetic people there are.")] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:NUMBER]",
            help="Draw again what is not as asked: jaccard:0.5, facs:0.7; or label anew: relabel:0.9, consensus:2 "
            "(both of checkpoints that bring detectors), realism:0.5.",
        ),
    ] = None,
    guard: Annotated[
        bool | None, typer.Option("--guard", help="Keep out faces that are too like a held-out person.")
    ] = None,
) -> None:
    """Generate a stream's synthetic samples ahead of training, into its cache, on many processes or machines.

    What is there is not made again: run it once more after an interruption, with another count, or in several jobs at
    once. A balanced stream asks for the faces that its real set lacks: give the real set, ratio and hold-out that
    training will have. Where one cache is to serve several of them, or DISFA is elsewhere, `--real none --aus disfa-8`
    fills it with what the published statistics of DISFA and BP4D ask for, and training takes it as a pool:
    `synthetic=FOLDER`.
    """
    from rich.console import Console

    from ausynth.jobs import open_executor
    from ausynth.jobs.executors import check_executor, cores
    from ausynth.jobs.options import StreamOptions, read_options
    from ausynth.jobs.warmup import Warmup

    check_executor(executor, workers, address=address, gpus=gpus)
    flags: dict[str, Any] = {
        "cache": cache,
        "cache_codec": _codec(codec, quality),
        "ratio": ratio,
        "generator": generator,
        "image_size": image_size,
        "seed": seed,
        "hold_out": one_or_many(split_names(hold_out)),
        "fold": fold,
        "aus": None if aus is None else label_space(aus),
        "identities": identities,
        "gates": gate or None,
        "guard": guard,
    }
    options = read_options(config) if config is not None else {}
    options |= {name: value for name, value in flags.items() if value is not None}
    if look is not None or bank is not None:
        options["generator"] = chosen_generator(options.get("generator", "auto"), look, bank)
    if real is not None:
        options["real"] = real_sets(real)
    if balance is not None:
        options["balance"] = None if balance == "none" else balance
    if "real" in options and options["real"] is None:
        options.setdefault("ratio", 1)
    roots = given_roots(disfa_root, bp4d_root)
    if roots:
        there = options.get("root")
        options["root"] = {**there, **roots} if isinstance(there, dict) else roots
    chosen = None if shards is None else _range(shards)

    console = Console(soft_wrap=True, highlight=False)
    with Console(stderr=True).status("looking into the cache"):
        job = Warmup(
            StreamOptions(options),
            count=count,
            shards=chosen,
            shard_size=shard_size,
            workers=workers if workers is not None else cores(),
        )
    console.print(
        f"{options['cache']}: {job.missing:,} of {job.samples:,} samples are to be made, "
        f"in {len(job.shards):,} shards of up to {job.shard_size:,}."
    )
    if not job.shards:
        return
    if workers is None and executor == "local":
        workers = 1 if str(job.device).startswith("cuda") else min(cores(), len(job.shards))
    with open_executor(executor, workers, address=address, gpus=gpus) as crew:
        warmed = _run(job, crew)
    _print_summary(console, warmed, debug=bool(ctx.find_root().params.get("debug")))
    if not warmed.complete:
        raise typer.Exit(_FAILED)


def _codec(codec: str | None, quality: int | None) -> str | None:
    if quality is not None and codec != "jpeg":
        raise ConfigurationError(f"--quality {quality} without --codec jpeg", expected="both, or neither")
    return codec if quality is None else f"{codec}:{quality}"


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+):(\d+)", text.strip())
    if match is None:
        raise ConfigurationError(f"--shards {text}", expected="A:B, such as 0:10 for the first ten")
    return int(match[1]), int(match[2])


def _run(job: Warmup, executor: Executor) -> Warmed:
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        with _shown(console, job.missing) as show:
            return job.run(executor, show)
    except KeyboardInterrupt:
        executor.shutdown()
        console.print(
            "[bold yellow]interrupted:[/] at most the shards in flight are lost; the same command goes on from there"
        )
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def _shown(console: Console, missing: int) -> Iterator[Callable[[Standing], None]]:
    """Give a function that shows how far the job is: as a bar, or in a log now and then as a line."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    began = said = time.monotonic()
    columns = (
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} samples"),
        BarColumn(),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=missing, rate="-", failed="")

        def show(standing: Standing) -> None:
            nonlocal said
            now = time.monotonic()
            rate = standing.made / max(now - began, 1e-9)
            failed = f"{standing.failed} shards failed" if standing.failed else ""
            ended = standing.ended
            if ended is not None and ended.failed:
                bar.console.print(f"shard {ended.task.number} failed: {ended.error}", markup=False)
            bar.update(task, completed=standing.made, total=standing.missing, rate=f"{rate:,.0f}", failed=failed)
            if not console.is_terminal and now - said > _LINE_EVERY:
                said = now
                left = (standing.missing - standing.made) / rate / 60 if rate else float("inf")
                line = f"{standing.made:,} of {standing.missing:,} samples, {rate:,.0f}/s, {left:,.0f} min left"
                console.print(f"{line}, {failed}" if failed else line)

        yield show


def _print_summary(console: Console, warmed: Warmed, *, debug: bool) -> None:
    rate = warmed.made / max(warmed.seconds, 1e-9)
    console.print(
        f"made {warmed.made:,} samples in {_duration(warmed.seconds)} ({rate:,.0f}/s); {warmed.found:,} were there "
        f"already; failed shards: {len(warmed.failed)}"
    )
    if any(warmed.counts.values()):
        console.print("counted: " + ", ".join(f"{name} {number:,}" for name, number in sorted(warmed.counts.items())))
    for outcome in warmed.failed[:_SHOWN]:
        shard = outcome.task
        tried = "" if outcome.attempts == 1 else f" ({outcome.attempts} attempts)"
        where = f"shard {shard.number}, samples {shard.start:,} to {shard.stop - 1:,}"
        console.print(f"  {where}{tried}: {outcome.error}", markup=False)
        if debug and outcome.details:
            console.print(outcome.details, markup=False)
    if len(warmed.failed) > _SHOWN:
        console.print(f"  and {len(warmed.failed) - _SHOWN} more")
    if warmed.given_up:
        console.print(f"{warmed.given_up} shards were not tried or not ended: too many had failed one after the other.")
    if not warmed.complete:
        console.print("The same command makes what is missing, once the cause is gone.")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
