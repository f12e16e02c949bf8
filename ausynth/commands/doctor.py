"""`ausynth doctor`: is everything there that a stream needs, and if not, what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ausynth.commands.common import BP4DRoot, DISFARoot, given_roots

if TYPE_CHECKING:
    from rich.console import Console

    from ausynth.checkup import DatasetCheck, MachineCheck

__all__ = ["doctor"]


def doctor(
    disfa_root: DISFARoot = None,
    bp4d_root: BP4DRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Check software, hardware, cache and data sets, and say what is wrong and what to do.

    Reads label files, names of pictures and headers of videos; decodes nothing. Exits with 1 where a data set whose
    root is given is broken, or a package that ausynth needs.
    """
    from rich.console import Console

    from ausynth.checkup import DATASETS, check_dataset, check_machine

    console = Console(soft_wrap=True)
    roots = given_roots(disfa_root, bp4d_root)
    with Console(stderr=True).status("looking"):
        machine = check_machine()
        checks = [check_dataset(name, roots.get(name)) for name in DATASETS]
    if as_json:
        typer.echo(_json(machine, checks))
    else:
        _print_machine(console, machine)
        for check in checks:
            _print_dataset(console, check)
    if machine.broken or any(check.state == "broken" for check in checks):
        raise typer.Exit(1)


def _print_machine(console: Console, machine: MachineCheck) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, version in machine.versions.items():
        table.add_row(name, Text(version, style="bold red" if name in machine.broken else ""))
    for topic, fact in machine.facts.items():
        table.add_row(topic, Text(fact))
    console.print(table)


def _print_dataset(console: Console, check: DatasetCheck) -> None:
    import math

    from rich.markup import escape
    from rich.table import Table

    colour = {"ready": "green", "broken": "red", "no root": "yellow"}[check.state]
    where = f"  {escape(str(check.root))}" if check.root else ""
    console.print(f"\n[bold]{check.name.upper()}[/]  [bold {colour}]{check.state}[/]{where}", highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    for topic, fact in check.facts.items():
        table.add_row(topic, escape(fact))
    console.print(table)
    if check.rates:
        # Without lines and with one blank between columns, twelve AUs fit into 80 characters.
        rates = Table(
            box=None, padding=(0, 1, 0, 0), title="  share of frames in which each AU occurs, %", title_justify="left"
        )
        rates.add_column("  AU")
        for au in check.rates:
            rates.add_column(str(au), justify="right")
        for row, name in enumerate(("  here", "  published")):
            cells = (pair[row] for pair in check.rates.values())
            rates.add_row(name, *("-" if math.isnan(cell) else f"{100 * cell:.1f}" for cell in cells))
        console.print(rates)
    if check.problem:
        console.print(f"[bold red]problem:[/] {escape(check.problem)}", highlight=False)


def _json(machine: MachineCheck, checks: list[DatasetCheck]) -> str:
    import json
    import math

    def rate(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 4)

    sets = {
        check.name: {
            "state": check.state,
            "root": str(check.root) if check.root else None,
            "facts": dict(check.facts),
            "rates": {str(au): rate(here) for au, (here, _) in check.rates.items()},
            "published_rates": {str(au): rate(there) for au, (_, there) in check.rates.items()},
            "problem": check.problem or None,
        }
        for check in checks
    }
    answer = {"versions": dict(machine.versions), "broken": list(machine.broken), "machine": dict(machine.facts)}
    return json.dumps(answer | {"data sets": sets}, indent=2)
