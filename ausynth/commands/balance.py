"""`ausynth balance`: which label statistics a stream would have, how it gets there, and what it cannot reach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ausynth.commands.common import (
    BP4DRoot,
    DISFARoot,
    Ratio,
    RealSets,
    given_roots,
    label_space,
    png,
    real_sets,
    split_names,
    write_whole,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ausynth.generators.base import Conditions, Generated
    from ausynth.labels import Labels
    from ausynth.samplers.balance import Balance
    from ausynth.stream import MixedStream

__all__ = ["balance"]

_PAIRS = 8
_OFF = 0.02
"""From where a correlation counts as not reached, as in the report."""


def balance(
    *,
    real: RealSets = None,
    disfa_root: DISFARoot = None,
    bp4d_root: BP4DRoot = None,
    ratio: Ratio = 0.5,
    target: Annotated[str, typer.Option(metavar="soft|hard|natural|uniform", help="What is aimed at.")] = "soft",
    hold_out: Annotated[
        list[str] | None, typer.Option(metavar="P1|SN001|...", help="Parts or subjects that are never shown.")
    ] = None,
    fold: Annotated[str | None, typer.Option(help="A fold by another code base's name, such as megraph:1.")] = None,
    aus: Annotated[
        str, typer.Option(help="Label space: benchmark, union, intersection, a name such as disfa-12, or 1,2,4.")
    ] = "benchmark",
    threshold: Annotated[
        float | None, typer.Option(help="The intensity from which an AU occurs; 2 where a data set does not say.")
    ] = None,
    generator: Annotated[
        str,
        typer.Option(
            metavar="auto|rendered|maugen|FOLDER|none",
            help="What is asked for synthetic faces; none: one that shows any AU, exactly as asked.",
        ),
    ] = "auto",
    synthetic: Annotated[
        Path | None,
        typer.Option(metavar="POOL", help="A finished store of faces to weigh instead, by what they show."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the stream.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where balance.png goes.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="A file for all figures.")] = None,
) -> None:
    """Say what balancing would make of a mixture: rates, correlations, people, and what it costs.

    Solves what a stream of these arguments solves when it is opened, and leaves the solution where that stream finds
    it. Reads labels and draws no picture, unless a generator has to be measured by drawing.
    """
    import warnings

    from rich.console import Console

    from ausynth.errors import ConfigurationError
    from ausynth.samplers.targets import NAMES
    from ausynth.stream import MixedStream

    if target not in NAMES:
        raise ConfigurationError(f"--target {target}", expected=f"one of {', '.join(NAMES)}")
    held_out = split_names(hold_out)
    roots = given_roots(disfa_root, bp4d_root)
    console = Console(soft_wrap=True, highlight=False)
    with Console(stderr=True).status("reading labels and solving"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*ausynth prepare")  # no picture is read here
        stream = MixedStream(
            real_sets(real),
            ratio,
            root=roots or None,
            generator=_Faithful() if generator == "none" else generator,
            synthetic=synthetic,
            balance=target,
            hold_out=held_out[0] if len(held_out) == 1 else held_out or None,
            fold=fold,
            aus=label_space(aus),
            threshold=threshold,
            seed=seed,
        )
        solved = stream.balance
        assert solved is not None  # a named target always gives one
        compared = _baselines(stream, target, threshold, mixed=ratio > 0 and synthetic is None)
    report = solved.report()
    described = _described(stream, solved, synthetic)
    console.print(f"{described}; target {target}, {ratio:.0%} synthetic")
    _print_rates(console, report)
    _print_phi(console, solved, report)
    _print_cost(console, solved, report)
    if compared:
        _print_baselines(console, solved, compared)
    if out is not None:
        from ausynth.balance_sheet import balance_sheet

        title = f"AU balance: {target}, {ratio:.0%} synthetic"
        write_whole(out / "balance.png", png(balance_sheet(solved, title=title, subtitle=described)))
        console.print(f"{out / 'balance.png'}: rates and correlations before and after")
    if json is not None:
        write_whole(json, _json(report, solved, compared))
        console.print(f"{json}: all figures")


class _Faithful:
    """A generator that shows every AU, exactly as asked; it is never asked for a picture."""

    name, image_size, block_size, fingerprint = "none", 112, 1, "shows what is asked"

    @property
    def aus(self) -> tuple[int, ...]:
        from ausynth import facs

        return tuple(facs.ACTION_UNITS)

    def label(self, conditions: Conditions) -> Labels:
        from ausynth.labels import Labels

        return Labels.from_intensity(self.aus, conditions.intensity)

    def generate(self, conditions: Conditions) -> Generated:
        from ausynth.errors import GenerationError

        raise GenerationError(f"{len(conditions)} pictures of no generator", expected="labels, which are all it has")


def _described(stream: MixedStream, solved: Balance, pool: Path | None) -> str:
    frames = [
        f"{source.name} {len(source):,} frames{' (practice copy)' if _is_practice(source) else ''}"
        for source in stream.real
    ]
    made = []
    if pool is not None and len(solved.pool_weights):
        made = [f"{len(solved.pool_weights):,} faces of {pool}"]
    elif stream.generator is not None:
        made = [f"generator {stream.generator.name}"]
    return f"{' + '.join([*frames, *made])}; AUs {' '.join(map(str, stream.aus))}"


def _is_practice(source: Any) -> bool:
    """Return whether the frames of a source were made by `ausynth simulate`."""
    from ausynth.simulated.record import read_record

    root = getattr(source, "root", None)
    return root is not None and read_record(Path(root)) is not None


def _baselines(
    stream: MixedStream, target: str, threshold: float | None, *, mixed: bool
) -> dict[str, dict[str, Balance]]:
    """Return what is commonly done with the same real frames: alone, and beside synthetic AUs asked for one by one."""
    from ausynth.labels import DEFAULT_THRESHOLD
    from ausynth.samplers.baselines import BASELINES, baseline
    from ausynth.samplers.cooccurrence import table_of
    from ausynth.sources.joined import joined_labels

    solved = stream.balance
    if not stream.real or solved is None or solved.ratio == 1:
        return {}
    level = DEFAULT_THRESHOLD if threshold is None else threshold
    table = table_of(joined_labels(stream.real, stream.aus, threshold), None, threshold=level)
    kinds = {"alone": 0.0, **({"mixed": solved.ratio} if mixed else {})}
    return {
        method: {
            kind: baseline(table, method, ratio=share, target=target, threshold=level) for kind, share in kinds.items()
        }
        for method in BASELINES
    }


def _print_rates(console: Console, report: dict[str, Any]) -> None:
    people = "people" in report["aus"][0]
    headers = ["natural", "real\nside", "synthetic\nside", "reached", "asked", *(["people"] if people else [])]
    carried = ", and by how many people it is carried" if people else ""
    table = _table(f"How often each AU occurs (-: not known){carried}", "AU", headers)
    for row in report["aus"]:
        cells = [_percent(row[name]) for name in ("natural", "real", "synthetic", "reached", "asked")]
        if row["au"] in report["unreached_rates"]:
            cells[3] = f"[bold red]{cells[3]}[/]"
        if people:
            cells.append(f"{row['people_before']:.1f} > {row['people']:.1f}")
        table.add_row(f"{row['au']} {row['name']}", *cells)
    console.print(table)


def _table(title: str, first: str, headers: Sequence[str]) -> Table:
    """Return a table that is narrow enough for 80 columns: no lines."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _print_phi(console: Console, solved: Balance, report: dict[str, Any]) -> None:
    import numpy as np

    before, after = report["natural_mean_abs_phi"], report["mean_abs_phi"]
    console.print(
        f"Correlation between AUs, |phi|: mean {_number(before)} before, {_number(after)} after; largest "
        f"{_number(report['natural_max_abs_phi'])} before, {_number(report['max_abs_phi'])} after"
    )
    asked_AA, reached_AA, natural_AA = solved.asked_phi, solved.reached_phi, solved.natural_phi
    off_AA = np.abs(np.nan_to_num(reached_AA - asked_AA))
    strong_AA = natural_AA if not np.isnan(natural_AA).all() else reached_AA
    strong_AA = np.where(np.isnan(asked_AA), 0, np.abs(np.nan_to_num(strong_AA)))
    pairs = [(i, j) for i in range(len(solved.aus)) for j in range(i)]
    # The strongest before, and those that are furthest from what was asked.
    chosen = [p for p in sorted(pairs, key=lambda p: -strong_AA[p])[:_PAIRS] if strong_AA[p] > 0]
    chosen += [p for p in sorted(pairs, key=lambda p: -off_AA[p])[:_PAIRS] if off_AA[p] > _OFF and p not in chosen]
    if not chosen:
        return
    words = "The strongest correlations, and those furthest from what was asked"
    table = _table(words, "AUs", ("before", "after", "asked"))
    for i, j in chosen:
        first, second = sorted((solved.aus[i], solved.aus[j]))
        style = "bold red" if off_AA[i, j] > _OFF else ""
        table.add_row(
            f"{first} {second}", *(_signed(phi[i, j]) for phi in (natural_AA, reached_AA, asked_AA)), style=style
        )
    console.print(table)


def _print_cost(console: Console, solved: Balance, report: dict[str, Any]) -> None:
    weighed = len(solved.real_weights) or len(solved.pool_weights)
    if weighed:
        what = "real frames" if len(solved.real_weights) else "faces of the pool"
        share, most = report["effective_share"], report["largest_weight"]
        console.print(
            f"Effective sample size: {share * weighed:,.0f} of {weighed:,} {what} ({share:.3f}); "
            f"largest weight {most:.2f}"
        )
    console.print(
        f"Off by at most: rates {report['marginal_error']:.4f}, phi {report['phi_error']:.3f}, "
        f"levels {report['level_error']:.4f}"
    )
    for note in report["notes"]:
        console.print(f"- {note}", markup=False)


def _print_baselines(console: Console, solved: Balance, compared: dict[str, dict[str, Balance]]) -> None:
    kinds = [kind for kind in ("alone", "mixed") if any(kind in each for each in compared.values())]
    heads = {"alone": "real alone:", "mixed": "mixed:"}
    headers = [f"{heads[kind]}\n{what}" for kind in kinds for what in ("rates off", "|phi| up to")]
    words = "What is commonly done, on real frames alone"
    if "mixed" in kinds:
        words += ", and with synthetic AUs asked one by one"
    table = _table(words, "method", [*headers, "effective\nshare"])
    for method, each in compared.items():
        figures = [f"{value:.3f}" for kind in kinds for value in (each[kind].marginal_error, each[kind].max_abs_phi)]
        table.add_row(method, *figures, f"{each['alone'].effective_share:.3f}")
    own = [f"{solved.marginal_error:.3f}", f"{solved.max_abs_phi:.3f}"]
    blank = ["", ""] if solved.ratio else []
    room = [] if solved.ratio and "mixed" not in kinds else blank
    table.add_row("this balance", *room, *own, f"{solved.effective_share:.3f}", style="bold")
    console.print(table)
    if "mixed" in kinds:
        console.print("Mixed: each AU at a rate of 40% on the synthetic side, taken to show just what is asked.")


def _json(report: dict[str, Any], solved: Balance, compared: dict[str, dict[str, Balance]]) -> bytes:
    import json

    import numpy as np

    def matrix(phi_AA: Any) -> list[list[float | None]]:
        return [[None if np.isnan(phi) else round(float(phi), 5) for phi in row] for row in phi_AA]

    names = ("marginal_error", "mean_abs_phi", "max_abs_phi", "effective_share", "largest_weight")
    whole = {
        **report,
        "phi": {
            "before": matrix(solved.natural_phi),
            "after": matrix(solved.reached_phi),
            "asked": matrix(solved.asked_phi),
        },
        "baselines": {
            method: {kind: {name: round(getattr(each, name), 5) for name in names} for kind, each in kinds.items()}
            for method, kinds in compared.items()
        },
    }
    return (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode()


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _signed(value: float) -> str:
    return "-" if value != value else f"{value:+.3f}"  # noqa: PLR0124 (NaN)
