"""`ausynth prepare`: the faces of a real data set, cut out once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ausynth.commands.common import split_names

if TYPE_CHECKING:
    from rich.console import Console

    from ausynth.jobs.prepare import Progress

__all__ = ["prepare"]


def prepare(
    dataset: Annotated[str, typer.Argument(metavar="disfa|bp4d|folder", help="Which data set it is.")],
    *,
    root: Annotated[
        Path | None,
        typer.Option(help="Its root (folder: the csv file); else AUSYNTH_DISFA_ROOT or AUSYNTH_BP4D_ROOT."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the store; default one of its own in the cache folder.")
    ] = None,
    size: Annotated[int, typer.Option(help="Height and width of a picture in pixels: those of the stream.")] = 112,
    align: Annotated[str, typer.Option(help="none, landmarks, or a function of yours as MODULE:FUNCTION.")] = "none",
    codec: Annotated[str, typer.Option(help="raw (exact, fast) or jpeg (small).")] = "raw",
    quality: Annotated[int, typer.Option(help="Of JPEGs that are encoded, 1 to 100.")] = 95,
    workers: Annotated[int | None, typer.Option(help="Processes; default one for each core, 8 at most.")] = None,
    thin: Annotated[
        str | None,
        typer.Option(help="runs, or a number k: only frames where the labels change, and every k-th one."),
    ] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Parts or subjects to leave out; repeated or with commas.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="The only ones to take, in the same spelling.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="An option of the data set, camera=right for example."),
    ] = None,
    skip_damaged: Annotated[bool, typer.Option("--skip-damaged", help="Go on where a picture cannot be read.")] = False,
) -> None:
    """Cut the faces of a data set out of its files once, into a store that training reads several times as fast.

    Everyone goes in, so that one store serves every fold, label space and threshold. A stream of the same files at this
    size reads the store from then on; elsewhere, give it the store as root. Interrupt it at any time; the same command
    goes on where it was.
    """
    from typing import cast

    from rich.console import Console

    from ausynth.jobs import prepare as job

    options = {**_given(option)}
    options |= {
        name: words for name, words in (("hold_out", split_names(hold_out)), ("keep", split_names(keep))) if words
    }
    console = Console(soft_wrap=True)
    with _bar(console, dataset) as progress:
        made = job.prepare(
            dataset.lower(),
            root,
            out,
            size=size,
            align=_function(align),
            thin=_thin(thin),
            codec=cast("job.Codec", codec),
            quality=quality,
            workers=workers,
            skip_damaged=skip_damaged,
            progress=progress,
            options=options,
        )
    there = made.pictures - made.made
    already = f", {there:,} of them were there already" if there else ""
    say: Any = lambda text: console.print(text, highlight=False, markup=False)  # noqa: E731
    say(f"{made.folder}: {made.pictures:,} pictures at {size} px{already}, {made.bytes / 1e6:,.1f} MB.")
    if made.unreadable:
        say(f"{made.unreadable:,} pictures cannot be read, here as in their files: train with on_error='skip'.")
    name = dataset.lower()
    use = f"--{name}-root {made.folder}" if name != "folder" else f"open_source('folder', {str(made.folder)!r})"
    if made.exact:
        say(f"A stream of these files at {size} px reads them from there. Elsewhere: {use}")
    else:
        say(f"They are encoded anew, and so not quite the files' pictures; to train on them: {use}")


@contextmanager
def _bar(console: Console, dataset: str) -> Iterator[Progress]:
    from ausynth.bars import counting_bar

    with counting_bar("images", console=console, transient=True) as bar:
        task = bar.add_task(f"preparing {dataset}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _given(options: Sequence[str] | None) -> dict[str, Any]:
    """Return the options NAME=VALUE; a value is what YAML makes of it: a number, true, a list, or text.

    >>> _given(["camera=right", "frame_base=1", "allow_missing=true"])
    {'camera': 'right', 'frame_base': 1, 'allow_missing': True}
    """
    import yaml

    from ausynth.errors import ConfigurationError

    given = {}
    for entry in options or ():
        name, sign, value = entry.partition("=")
        if not sign or not name:
            raise ConfigurationError(f"--option {entry}", expected="NAME=VALUE, camera=right for example")
        given[name.strip().replace("-", "_")] = yaml.safe_load(value)
    return given


def _thin(given: str | None) -> Any:
    return int(given) if given is not None and given.isdecimal() else given


def _function(align: str) -> Any:
    """Return the function that MODULE:FUNCTION names; other words as they are."""
    import importlib
    import sys

    from ausynth.errors import ConfigurationError

    module, sign, name = align.partition(":")
    if not sign:
        return align
    # As `python -m` does: a module beside which one stands is found, though this command lies elsewhere.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"--align {align}: {error}", expected="MODULE:FUNCTION of a module that can be imported from here"
        ) from error
