"""`ausynth cache`: what a store of samples holds, whether it is whole, and what to do about it if it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from ausynth.store.maintenance import Info, Merged, Repair, Verification

__all__ = ["cache"]

cache = typer.Typer(
    no_args_is_help=True,
    help="Look into a store of samples: verify, info, merge, repair.",
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Folder = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of a store: a cache, or a prepared real set.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

_SHOWN = 8  # lines of a list, then how many more there are
_RANGES = 6


@cache.command()
def verify(folder: Folder, *, as_json: AsJson = False) -> None:
    """Read every sample of a store and compare it with its checksum.

    Changes nothing. Exits with 1 where anything is damaged.
    """
    from ausynth.store import maintenance

    console = _console()
    with _bar() as show:
        found = maintenance.verify(folder, progress=show)
    if as_json:
        _print_json(
            {
                "ok": found.ok,
                "shards": found.shards,
                "samples": found.samples,
                "bytes": found.bytes,
                "damaged": [
                    {"shard": each.shard, "what": each.what, "rows": list(each.rows), "all": each.whole}
                    for each in found.damaged
                ],
                "damaged_manifest_lines": found.lines,
                "recipe": found.recipe_problem or None,
                "unlisted": list(found.unlisted),
                "leftovers": list(found.leftovers),
                "lost": _as_ranges(found.lost),
                "unknown": list(found.unknown),
            }
        )
    else:
        _print_verification(console, found)
    if not found.ok:
        raise typer.Exit(1)


@cache.command()
def info(folder: Folder, *, as_json: AsJson = False) -> None:
    """Say what a store holds: samples, plans, where they come from, under which licence.

    Reads the list of shards, no pictures.
    """
    from ausynth.store import maintenance

    found = maintenance.describe(folder)
    if as_json:
        _print_json(
            {
                "folder": str(found.folder),
                "recipe": found.recipe.to_json(),
                "shards": found.shards,
                "samples": found.samples,
                "bytes": found.bytes,
                "plans": _as_ranges(found.plans),
                "configurations": {plan: dict(facts) for plan, facts in found.configurations.items()},
                "damaged_manifest_lines": found.lines,
            }
        )
    else:
        _print_info(_console(), found)


@cache.command()
def merge(
    inputs: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Folders of the stores to bring together.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The store of all; a new folder or one to add to.")],
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy every shard, where files on one disk would share their bytes.")
    ] = False,
) -> None:
    """Bring several stores of one generator (or of one real set) together in one.

    Every sample is checked on the way, a sample that several have is taken once, and the inputs stay as they are.
    Interrupt it at any time: the same command goes on where it was.
    """
    from ausynth.store import maintenance

    console = _console()
    with _bar() as show:
        merged = maintenance.merge(inputs, out, progress=show, link=not copy)
    _print_merged(console, merged)


@cache.command()
def repair(folder: Folder, *, as_json: AsJson = False) -> None:
    """Drop what is damaged, keep all that is whole, and say what must be made again.

    Rebuilds the list of shards and store.json where those are damaged. Interrupt it at any time: nothing more is lost,
    and the same command goes on.
    """
    from ausynth.store import maintenance

    console = _console()
    with _bar() as show:
        done = maintenance.repair(folder, progress=show)
    if as_json:
        _print_json(
            {
                "changed": done.changed,
                "kept": done.kept,
                "dropped": [{"shard": each.shard, "what": each.what} for each in done.dropped],
                "relisted": list(done.relisted),
                "manifest_rebuilt": done.manifest_rebuilt,
                "recipe_rebuilt": done.recipe_rebuilt,
                "lost": _as_ranges(done.lost),
                "unknown": list(done.unknown),
            }
        )
    else:
        _print_repair(console, done)


def _print_verification(console: Console, found: Verification) -> None:
    console.print(f"{found.folder}: {_amount(found.shards, found.samples, found.bytes)}", highlight=False, markup=False)
    for each in found.unlisted[:_SHOWN]:
        console.print(f"  {each}: whole and not listed yet; the next writer lists it", highlight=False, markup=False)
    for each in found.leftovers[:_SHOWN]:
        console.print(f"  {each}: of a writer that works or was killed", highlight=False, markup=False)
    for each in found.foreign[:_SHOWN]:
        console.print(f"  {each}: a shard of another store, which is let alone", highlight=False, markup=False)
    if found.ok:
        console.print("[green]whole[/]: every sample is what was written")
        return
    _list_problems(console, found)
    _list_lost(console, found.lost, found.unknown, "lost")
    console.print(f"To do: ausynth cache repair {found.folder}", highlight=False, markup=False)


def _list_problems(console: Console, found: Verification) -> None:
    from rich.markup import escape

    def say(text: str) -> None:
        console.print(f"  [bold red]damaged[/] {escape(text)}", highlight=False)

    if found.recipe_problem:
        say(f"store.json: {found.recipe_problem}")
    if found.lines:
        say(f"manifest.jsonl: {_count(found.lines, 'line')} of it cannot be read")
    for each in found.damaged[:_SHOWN]:
        say(f"{each.shard}: {each.what}")
    if len(found.damaged) > _SHOWN:
        say(f"... and {_count(len(found.damaged) - _SHOWN, 'shard')} more")


def _print_info(console: Console, found: Info) -> None:
    from rich.markup import escape
    from rich.table import Table

    recipe = found.recipe
    console.print(f"[bold]{escape(str(found.folder))}[/]", highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_row("holds", _amount(found.shards, found.samples, found.bytes))
    pictures = f"{recipe.image_size} x {recipe.image_size}, " + (
        "raw pixels" if recipe.codec == "raw" else f"JPEG of quality {recipe.quality}"
    )
    table.add_row("samples", f"{recipe.kind}, {pictures}")
    table.add_row("AUs", " ".join(map(str, recipe.aus)))
    table.add_row("fingerprint", escape(recipe.fingerprint or "none"))
    for topic, fact in sorted(recipe.about.items()):
        table.add_row(escape(str(topic)), escape(_short(fact)))
    console.print(table)
    for plan, numbers in found.plans.items():
        console.print(
            f"  plan {plan or '(none)'}: {_count(len(numbers), 'sample')}, numbers {_ranges(numbers)}",
            highlight=False,
            markup=False,
        )
        if configuration := found.configurations.get(plan):
            console.print(f"    {_short(configuration)}", highlight=False, markup=False, style="dim")
    if found.lines:
        console.print(
            f"[bold red]damaged[/] manifest.jsonl: {_count(found.lines, 'line')} of it cannot be read. "
            f"To do: ausynth cache repair {escape(str(found.folder))}",
            highlight=False,
        )


def _print_merged(console: Console, merged: Merged) -> None:
    how = {
        "linked": merged.linked,
        "copied": merged.copied,
        "rewritten": merged.rewritten,
        "there already": merged.there,
    }
    said = ", ".join(f"{count} {word}" for word, count in how.items() if count) or "none"
    console.print(
        f"{merged.out}: {_amount(merged.shards, merged.samples, merged.bytes)}", highlight=False, markup=False
    )
    console.print(f"Shards of the inputs: {said}.", highlight=False)
    if merged.duplicates:
        console.print(f"{_count(merged.duplicates, 'sample')} of the inputs were there already, or came twice.")


def _print_repair(console: Console, done: Repair) -> None:
    from rich.markup import escape

    if not done.changed:
        console.print(f"[green]whole[/]: nothing to repair in {escape(str(done.folder))}", highlight=False)
        return
    for each in done.dropped[:_SHOWN]:
        console.print(f"  [yellow]dropped[/] {escape(each.shard)}: {escape(each.what)}", highlight=False)
    if len(done.dropped) > _SHOWN:
        console.print(f"  ... and {_count(len(done.dropped) - _SHOWN, 'shard')} more")
    for what, rebuilt in (("manifest.jsonl", done.manifest_rebuilt), ("store.json", done.recipe_rebuilt)):
        if rebuilt:
            console.print(f"  {what} was damaged and is rebuilt")
    if done.relisted:
        console.print(f"  {_count(len(done.relisted), 'whole shard')} listed anew")
    console.print(f"{done.folder}: {_count(done.kept, 'sample')} kept", highlight=False, markup=False)
    _list_lost(console, done.lost, done.unknown, "gone")
    if done.lost or done.unknown:
        console.print("To do: run again what filled the store; it makes what is missing.")


def _list_lost(console: Console, lost: Mapping[str, NDArray[np.int64]], unknown: Sequence[str], word: str) -> None:
    if not lost and not unknown:
        console.print("No sample is lost.")
        return
    for plan, numbers in lost.items():
        amount = _count(len(numbers), "sample")
        text = f"{word}: {amount} of plan {plan or '(none)'}, to be made again: {_ranges(numbers)}"
        console.print(text, highlight=False, markup=False)
    for shard in unknown:
        console.print(
            f"{shard}: what it held cannot be told any more; a rerun of what filled the store finds what is missing",
            highlight=False,
            markup=False,
        )


def _ranges(numbers: NDArray[np.int64]) -> str:
    from ausynth.store.manifest import format_numbers

    parts = format_numbers(numbers).split(",")
    more = f" and {len(parts) - _RANGES} more ranges (--json has them)" if len(parts) > _RANGES else ""
    return ", ".join(parts[:_RANGES]) + more


def _as_ranges(plans: Mapping[str, NDArray[np.int64]]) -> dict[str, str]:
    from ausynth.store.manifest import format_numbers

    return {plan: format_numbers(numbers) for plan, numbers in plans.items()}


def _amount(shards: int, samples: int, size: int) -> str:
    return f"{_count(shards, 'shard')}, {_count(samples, 'sample')}, {_size(size)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _short(fact: object) -> str:
    import json

    text = fact if isinstance(fact, str) else json.dumps(fact)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _console() -> Console:
    from rich.console import Console

    return Console(soft_wrap=True)


@contextmanager
def _bar() -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar while something goes through samples, beside what is printed."""
    from rich.console import Console

    from ausynth.bars import counting_bar

    console = Console(stderr=True)
    with counting_bar("samples", console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield show


def _print_json(answer: Mapping[str, Any]) -> None:
    import json

    typer.echo(json.dumps(answer, indent=2))
