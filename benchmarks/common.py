"""What the benchmarks share: their two options, the machine they ran on, a table, and flat keys as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def arguments(doc: str | None, add: Callable[[argparse.ArgumentParser], object] | None = None) -> argparse.Namespace:
    """Return the parsed options --quick and --json, and those that `add` adds."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, as flat keys")
    if add is not None:
        add(parser)
    return parser.parse_args()


def machine() -> str:
    """Return the machine and its load, for beside the figures."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load}"


def write_keys(figures: Mapping[str, float], path: Path | None) -> None:
    """Write the figures, and the machine they are of, as one flat JSON object, where --json asks for it."""
    if path:
        path.write_text(json.dumps({"machine": machine(), **figures}, indent=1) + "\n")


class Report:
    """Collects figures, prints them, writes them."""

    def __init__(self, title: str) -> None:
        self._table = Table("what", "figure", "to the first row", title=title, caption=machine())
        self._keys: dict[str, float] = {}

    def add(self, name: str, value: float, ratio: float | None = None) -> None:
        """Add a row and its key."""
        self._table.add_row(name.replace("_", " "), f"{value:,.1f}", "" if ratio is None else f"{ratio:.2f}")
        self.key(re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"), value)

    def words(self, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        """Print a table of words beside the figures."""
        table = Table(*header)
        for row in rows:
            table.add_row(*row)
        Console().print(table)

    def key(self, name: str, value: float) -> None:
        """Add a key without a row."""
        self._keys[name] = round(value, 4)

    def finish(self, path: Path | None) -> None:
        """Print the table; write the keys if asked."""
        Console().print(self._table)
        write_keys(self._keys, path)


def rate(batches: Iterator[Any], count: int, size: int) -> float:
    """Return images a second over `count` batches of `size`, after some that fill the buffers."""
    for _ in islice(batches, 12):
        pass
    start = time.perf_counter()
    for _ in islice(batches, count):
        pass
    return count * size / (time.perf_counter() - start)


def conditions(count: int, start: int) -> Any:
    """Return `count` random possible-looking conditions with people `start`, `start` + 1, ..."""
    import numpy as np

    from ausynth import facs
    from ausynth.generators import Conditions

    draw = np.random.default_rng(start)
    shape = (count, len(facs.UNION_17))
    intensity = (draw.integers(1, 6, shape) * (draw.random(shape) < 0.18)).astype(np.float32)
    people = np.arange(start, start + count)
    return Conditions(intensity, people, people)
