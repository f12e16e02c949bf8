"""The table of the portrait look, read from `actions.toml`: which shapes and lines make which AU, and how strongly."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np

from ausynth import facs
from ausynth.errors import AusynthError
from ausynth.generators.portrait.ict import IctHead
from ausynth.labels import Floats

__all__ = ["AUS", "SIDES", "Actions", "Line", "Table", "load_table"]

AUS: Final = facs.UNION_17
SIDES: Final = ("_L", "_R")


@dataclass(frozen=True)
class Line:
    """A groove in the skin.

    Attributes:
        points: where it runs on the front of the mean head: x, y in centimetres.
        width: half its width in centimetres.
        strength: how deep it is beside others; below 0 a ridge.
    """

    points: tuple[tuple[float, float], ...]
    width: float
    strength: float


@dataclass(frozen=True, eq=False)
class Table:
    """What `actions.toml` holds.

    Attributes:
        gain: (6,) share of the maximal movement at intensities 0-5.
        shapes: AU -> expression shape (`*`: both sides) -> weight at intensity 5.
        wrinkles: AU -> channel of lines -> depth at intensity 5.
        lines: channel -> its grooves on the left half of the face.
        regions: AU -> discs (x, y, radius) on the left half of the face where it shows.
    """

    gain: Floats
    shapes: Mapping[int, Mapping[str, float]]
    wrinkles: Mapping[int, Mapping[str, float]]
    lines: Mapping[str, tuple[Line, ...]]
    regions: Mapping[int, tuple[tuple[float, float, float], ...]]

    def moved(self, intensity: Floats) -> Floats:
        """Return the share of the maximal movement (0-1) at intensities 0-5, linear between FACS' letters."""
        return np.interp(intensity, range(len(self.gain)), self.gain).astype(np.float32)


@functools.cache
def load_table() -> Table:
    """Return the package's table.

    Raises:
        AusynthError: the file of this installation is damaged.
    """
    file = resources.files("ausynth.generators.portrait").joinpath("actions.toml")
    try:
        data: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        table = Table(
            gain=np.array(data["gain"], np.float32),
            shapes=_by_au(data["shapes"]),
            wrinkles=_by_au(data["wrinkles"]),
            lines={name: tuple(_line(**line) for line in lines) for name, lines in data["lines"].items()},
            regions={int(au): tuple((x, y, r) for x, y, r in discs) for au, discs in data["regions"].items()},
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise AusynthError(
            f"cannot read {file}: {error}", expected="the package's table", do="install it again"
        ) from error
    for name, known in (("shapes", table.shapes), ("regions", table.regions)):
        if set(known) != set(AUS):
            raise AusynthError(f"{file} has {name} for AUs {sorted(known)}", expected=f"{sorted(AUS)}")
    return table


def _by_au(data: Mapping[str, Mapping[str, float]]) -> dict[int, dict[str, float]]:
    return {int(au): {name: float(weight) for name, weight in row.items()} for au, row in data.items()}


def _line(points: list[list[float]], width: float, strength: float) -> Line:
    return Line(tuple((float(x), float(y)) for x, y in points), float(width), float(strength))


class Actions:
    """The table for one head, as matrices from AUs to its expression shapes."""

    def __init__(self, head: IctHead) -> None:
        self.table = load_table()
        # Left, right, and what has no side: jaw and lips as wholes, which no asymmetry weakens.
        self._matrix_3AE = np.zeros((3, len(AUS), len(head.shapes)), np.float32)
        for a, au in enumerate(AUS):
            for name, weight in self.table.shapes[au].items():
                if "*" not in name:
                    self._matrix_3AE[2, a] += head.weights({name: weight})
                    continue
                for side, suffix in enumerate(SIDES):
                    self._matrix_3AE[side, a] += head.weights({name.replace("*", suffix): weight})

    def weights(self, intensity_A: Floats, asymmetry_A: Floats) -> Floats:
        """Return the (E,) weights of the head's shapes for one face.

        Args:
            intensity_A: (A,) 0-5 over `AUS`.
            asymmetry_A: (A,) -1 to 1: how much weaker the right (above 0) or the left side (below 0) moves.
        """
        moved_A = self.table.moved(intensity_A)
        left_A, right_A = moved_A * (1 + np.minimum(asymmetry_A, 0)), moved_A * (1 - np.maximum(asymmetry_A, 0))
        # Sums in a fixed order: a BLAS product may add in another one on another machine or thread.
        weights_E = np.zeros(self._matrix_3AE.shape[2], np.float32)
        for a in np.flatnonzero(moved_A):
            weights_E += left_A[a] * self._matrix_3AE[0, a] + right_A[a] * self._matrix_3AE[1, a]
            weights_E += moved_A[a] * self._matrix_3AE[2, a]
        return weights_E

    def weights_of_many(self, intensity_BA: Floats, asymmetry_BA: Floats) -> Floats:
        """Return the (B, E) weights of B faces, which `weights` gives for one."""
        moved_BA = self.table.moved(intensity_BA)
        sides_3BA = (
            moved_BA * (1 + np.minimum(asymmetry_BA, 0)),
            moved_BA * (1 - np.maximum(asymmetry_BA, 0)),
            moved_BA,
        )
        weights_BE = np.zeros((len(moved_BA), self._matrix_3AE.shape[2]), np.float32)
        for a in range(moved_BA.shape[1]):
            weights_BE += (
                sides_3BA[0][:, a, None] * self._matrix_3AE[0, a] + sides_3BA[1][:, a, None] * self._matrix_3AE[1, a]
            )
            weights_BE += sides_3BA[2][:, a, None] * self._matrix_3AE[2, a]
        return weights_BE
