"""The table of AUs, read from `assets/actions.toml`: which facial actions and lines make which AU, and how strongly."""

from __future__ import annotations

import functools
import hashlib
import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ausynth import facs
from ausynth.errors import ConfigurationError

__all__ = ["AUS", "Line", "Table", "load_table", "read_table"]

AUS: Final = facs.UNION_17
_LETTERS: Final = 6
_DEEPEST: Final = 3.0
_HEAVIEST: Final = 4.0


class Line(NamedTuple):
    """A groove: where it runs on the base head (x, y in centimetres), half its width, and how deep; below 0 a ridge."""

    points: tuple[tuple[float, float], ...]
    width: float
    strength: float


@dataclass(frozen=True, eq=False)
class Table:
    """What makes the AUs.

    Attributes:
        gain: the share of the maximal movement at intensities 0-5, from 0 to 1 and rising.
        shapes: AU -> facial action -> weight at 5; an action that ends in `*` stands for its left and its right half.
        wrinkles: AU -> channel of lines -> depth at 5.
        at_rest: channel -> depth that age leaves on a resting face.
        lines: channel -> its grooves on the left half.
        fingerprint: hash of the text.
    """

    gain: tuple[float, ...]
    shapes: Mapping[int, Mapping[str, float]]
    wrinkles: Mapping[int, Mapping[str, float]]
    at_rest: Mapping[str, float]
    lines: Mapping[str, tuple[Line, ...]]
    fingerprint: str


@functools.cache
def load_table() -> Table:
    """Return the package's table."""
    return read_table(resources.files("ausynth.generators.rendered").joinpath("assets/actions.toml").read_text("utf-8"))


def read_table(text: str, *, where: str = "assets/actions.toml") -> Table:
    """Return the table that a TOML text holds.

    Args:
        text: see assets/actions.toml.
        where: what errors call it.

    Raises:
        ConfigurationError: it is no TOML, lacks a part, names an AU or a channel that is not there, or has a number out
            of its range.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where}: {error}", expected="TOML") from error
    parts = ("gain", "shapes", "wrinkles", "at_rest", "lines")
    if set(data) != set(parts):
        raise ConfigurationError(f"{where} holds {sorted(data)}", expected=f"just {sorted(parts)}")
    lines = {
        name: tuple(_line(entry, f"{where}, line of {name}") for entry in entries)
        for name, entries in data["lines"].items()
    }
    gain = tuple(_number(value, 0, 1, f"{where}, gain") for value in data["gain"])
    if len(gain) != _LETTERS or gain[0] != 0 or gain[-1] != 1 or list(gain) != sorted(set(gain)):
        raise ConfigurationError(f"{where}: gain {gain}", expected="six numbers that rise from 0 to 1")
    shapes = _by_au(data["shapes"], None, -_HEAVIEST, _HEAVIEST, f"{where}, shapes")
    if set(shapes) != set(AUS):
        raise ConfigurationError(f"{where}: shapes of AUs {sorted(shapes)}", expected=f"all of {AUS}")
    return Table(
        gain=gain,
        shapes=shapes,
        wrinkles=_by_au(data["wrinkles"], lines, 0, _DEEPEST, f"{where}, wrinkles"),
        at_rest=_row(data["at_rest"], lines, 0, _DEEPEST, f"{where}, at_rest"),
        lines=MappingProxyType(lines),
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def _by_au(
    data: Mapping[str, Any], names: Collection[str] | None, least: float, most: float, where: str
) -> Mapping[int, Mapping[str, float]]:
    rows = {}
    for au, row in data.items():
        if not au.isdecimal() or int(au) not in AUS:
            raise ConfigurationError(f"{where}: AU {au!r}", expected=f"one of {AUS}")
        rows[int(au)] = _row(row, names, least, most, f"{where}, AU{au}")
    return MappingProxyType(rows)


def _row(
    row: Mapping[str, Any], names: Collection[str] | None, least: float, most: float, where: str
) -> Mapping[str, float]:
    if names is not None and not set(row) <= set(names):
        raise ConfigurationError(
            f"{where}: no lines of channel {sorted(set(row) - set(names))}", expected=f"some of {sorted(names)}"
        )
    return MappingProxyType({name: _number(value, least, most, f"{where}, {name}") for name, value in row.items()})


def _line(entry: Mapping[str, Any], where: str) -> Line:
    if set(entry) != {"points", "width", "strength"} or len(entry["points"]) < 2:
        raise ConfigurationError(f"{where}: {entry}", expected="points (two or more), width and strength")
    points = tuple((_number(x, -9, 9, where), _number(y, 55, 90, where)) for x, y in entry["points"])
    return Line(points, _number(entry["width"], 0.05, 2, where), _number(entry["strength"], -2, 2, where))


def _number(value: object, least: float, most: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"{where}: {value!r}", expected="a number")
    if not least <= value <= most:
        raise ConfigurationError(f"{where}: {value!r}", expected=f"{least:g} to {most:g}")
    return float(value)
