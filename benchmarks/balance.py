"""What balancing achieves and costs, beside what is commonly done about rare AUs.

    python benchmarks/balance.py [--quick] [--json PATH]

The labels are DISFA's patterns where AUSYNTH_TEST_DATA has their counts, else patterns drawn from DISFA's published
rates and correlations. Each method's figures are those of the mixture it makes, against the rates clip(m, .3, .5) and
no correlation (against its own target for "soft"); ms is the time of weighing or solving once labels and prior are
there, the median of interleaved rounds and the fastest. Then how even the order is: the worst rate in windows of 1,000
real frames, and of 1,000 synthetic label vectors, against independent draws from the same distribution.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import arguments, machine, write_keys
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ausynth import facs
from ausynth.samplers import Balance, BalancedSampler, SpacedFrames, baseline, calibrate, fit_prior
from ausynth.samplers.cooccurrence import table_of
from ausynth.samplers.problem import synthetic_prior

LIMIT_MS = 20.0
"""Solving is to take no longer than this once labels and prior are loaded."""

WINDOW = 1000


def main() -> None:
    options = arguments(__doc__)
    patterns, counts, source = labels()
    table = table_of((patterns, counts), facs.DISFA_12)
    assert table is not None
    prior = synthetic_prior(table, table.aus)
    methods: dict[str, Callable[[], Balance]] = {
        "natural": lambda: baseline(table, "natural"),
        "WeightedRandomSampler, inverse frequency": lambda: baseline(table, "inverse frequency"),
        "repeat factor, t = .3": lambda: baseline(table, "repeat factor"),
        "class-aware": lambda: baseline(table, "class-aware"),
        "natural + independent AUs": lambda: baseline(table, "natural", ratio=0.5),
        "max-ent hard, real frames only": lambda: calibrate(table, ratio=0, target="hard"),
        "max-ent hard": lambda: calibrate(table, ratio=0.5, target="hard", prior=prior),
        "max-ent hard, r = .75": lambda: calibrate(table, ratio=0.75, target="hard", prior=prior),
        "max-ent soft": lambda: calibrate(table, ratio=0.5, target="soft", prior=prior),
    }
    rounds = 3 if options.quick else 15
    spent: dict[str, list[float]] = defaultdict(list)
    found: dict[str, Balance] = {}
    for turn in range(rounds + 1):
        for name, solve in methods.items():
            start = time.perf_counter()
            found[name] = solve()
            if turn:  # the first loads scipy
                spent[name].append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
        synthetic_prior(table, table.aus)
        spent["prior"].append(1000 * (time.perf_counter() - start))
    figures = methods_table(found, spent, f"{source}; {machine()}; medians of {rounds} rounds")
    figures |= evenness(found["max-ent hard"], patterns, counts, blocks=5 if options.quick else 20)
    write_keys(figures, options.json)


def labels() -> tuple[NDArray[np.float64], NDArray[np.int64], str]:
    """Return patterns (M, 12), counts (M,), and where they are from."""
    path = Path(os.environ.get("AUSYNTH_TEST_DATA", "")) / "label_statistics.json"
    if path.is_file():
        stored = json.loads(path.read_text())["disfa12"]["pattern_counts"]
        return np.array([[float(c) for c in p] for p in stored]), np.array(list(stored.values())), "DISFA's patterns"
    natural = fit_prior(facs.DISFA_12, temperature=1, prototypes=0, penalties={}, most=12)
    counts = np.random.default_rng(0).multinomial(130_000, np.exp(natural.log_probability))
    return natural.patterns[counts > 0].astype(float), counts[counts > 0], "patterns from DISFA's published rates"


def methods_table(found: dict[str, Balance], spent: dict[str, list[float]], caption: str) -> dict[str, float]:
    """Print and return what each method reaches and costs."""
    table = Table(
        "method", "r", "rate error", "mean |phi|", "max |phi|", "effective share", "ms", "fastest", caption=caption
    )
    figures: dict[str, float] = {}
    for name, balance in found.items():
        ms = statistics.median(spent[name])
        row = (balance.marginal_error, balance.mean_abs_phi, balance.max_abs_phi, balance.effective_share)
        table.add_row(
            name, f"{balance.ratio:g}", *(f"{value:.4f}" for value in row), f"{ms:.1f}", f"{min(spent[name]):.1f}"
        )
        key = slug(name)
        for what, value in zip(("rate_error", "mean_abs_phi", "max_abs_phi", "effective_share"), row, strict=True):
            figures[f"{what}_{key}"] = round(value, 5)
        figures[f"ms_{key}"], figures[f"ms_fastest_{key}"] = round(ms, 2), round(min(spent[name]), 2)
    Console(width=130).print(table)
    slowest = max(figures["ms_max_ent_hard"], figures["ms_max_ent_soft"])
    figures["ms_prior"] = round(statistics.median(spent["prior"]), 2)
    figures["ratio_to_solve_limit"] = round(slowest / LIMIT_MS, 3)
    print(
        f"the prior, fitted once: {figures['ms_prior']:.1f} ms; slowest solve at r = .5: {slowest:.1f} of {LIMIT_MS} ms"
    )
    return figures


def slug(name: str) -> str:
    """Return a name as part of a key."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def evenness(
    balance: Balance, patterns: NDArray[np.float64], counts: NDArray[np.int64], blocks: int
) -> dict[str, float]:
    """Print and return how far windows of 1,000 are from the rates, spaced or herded and drawn independently."""
    frames = np.repeat(np.arange(len(counts)), counts)
    weights = balance.real_weights[frames]
    start = time.perf_counter()
    order = SpacedFrames(weights, balance.real_groups[frames], seed=0)
    spaced = order.at(np.arange(blocks * WINDOW))
    ms_order = 1000 * (time.perf_counter() - start)
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(frames), blocks * WINDOW, p=weights / weights.sum())
    sampler = BalancedSampler(balance)
    start = time.perf_counter()
    herded = sampler.sample(np.arange(blocks * WINDOW), 0) >= balance.first_level
    ms_block = 1000 * (time.perf_counter() - start) / blocks
    vectors = balance.patterns[rng.choice(len(balance.patterns), blocks * WINDOW, p=balance.probabilities)]
    table = Table("windows of 1,000", "mean of worst AU", "worst", title="how even")
    figures = {"ms_order_of_an_epoch": round(ms_order, 1), "ms_block_of_1000_vectors": round(ms_block, 1)}
    for name, shown, rates in (
        ("real frames, spaced", patterns[frames][spaced], balance.real_rates),
        ("real frames, WeightedRandomSampler", patterns[frames][drawn], balance.real_rates),
        ("label vectors, herded", herded, balance.synthetic_rates),
        ("label vectors, independent", vectors, balance.synthetic_rates),
    ):
        starts = range(0, len(shown) - WINDOW + 1, WINDOW // 4)
        off = [float(np.abs(shown[a : a + WINDOW].mean(axis=0) - rates).max()) for a in starts]
        table.add_row(name, f"{np.mean(off):.4f}", f"{max(off):.4f}")
        key = slug(name)
        figures[f"window_mean_{key}"], figures[f"window_worst_{key}"] = (
            round(float(np.mean(off)), 5),
            round(max(off), 5),
        )
    Console(width=130).print(table)
    print(
        f"order of an epoch of {len(frames):,} frames: {ms_order:.0f} ms; a block of 1,000 vectors: {ms_block:.1f} ms"
    )
    return figures


if __name__ == "__main__":
    main()
