"""The checkpoint that comes with the package, and whether it is good enough to be the default. No torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

from ausynth.errors import StoreError

__all__ = ["FIGURES", "SHIPPED", "VERIFIER", "figures_of", "label_space_of", "shipped", "verdict"]

SHIPPED: Final = Path(__file__).parent / "weights" / "mini"
"""The checkpoint that comes with the package."""

FIGURES: Final = "figures.json"
"""What a judge said of it, as `benchmarks/maugen.py --json` writes it: flat keys."""

VERIFIER: Final = "verifier"
"""The folder in a checkpoint of the networks that read its labels, see `ausynth.networks.Verifier`."""

LEAST_F1: Final = 0.70
"""[C] F1 of the judge's reading against the request, from which on the checkpoint is the default."""


def shipped() -> Path | None:
    """Return the folder of the checkpoint that comes with the package, None where it was left out."""
    return SHIPPED if (SHIPPED / "model_index.json").is_file() else None


def figures_of(folder: Path) -> dict[str, float]:
    """Return the figures of a checkpoint that are numbers; none where nobody has measured it.

    Raises:
        StoreError: the file is no JSON object.
    """
    path = folder / FIGURES
    if not path.is_file():
        return {}
    found = _object(path)
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def label_space_of(folder: Path) -> tuple[int, ...]:
    """Return the action units that a checkpoint controls.

    Raises:
        StoreError: its configuration cannot be read.
    """
    path = folder / "model" / "config.json"
    try:
        return tuple(int(au) for au in _object(path)["architecture"]["aus"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path} names no action units ({type(error).__name__}: {error})", expected="what training wrote there"
        ) from error


def verdict(figures: dict[str, float]) -> tuple[bool, str]:
    """Return whether a judge's figures let a checkpoint be the default, and why in words.

    Both must hold: F1 of what the judge reads in its pictures against what was asked of at least `LEAST_F1`, and a mean
    absolute error below that of answering 0 always.

    >>> verdict({"judge_f1_request": 0.74, "judge_mae_request": 0.5, "zeros_mae": 0.7, "judge_f1_ceiling": 0.85})
    (True, "a judge reads F1 0.740 in its pictures against the request (at least 0.70; its own ceiling 0.850), mean \
error 0.500 against all zeros' 0.700")

    Args:
        figures: flat, as `benchmarks/maugen.py` measures them: judge_f1_request, judge_mae_request, zeros_mae,
            judge_f1_ceiling.
    """
    f1, error, zeros = (figures.get(name, math.nan) for name in ("judge_f1_request", "judge_mae_request", "zeros_mae"))
    if math.isnan(f1) or math.isnan(error) or math.isnan(zeros):
        return False, "no judge has measured it"
    passed = f1 >= LEAST_F1 and error < zeros
    ceiling = figures.get("judge_f1_ceiling", math.nan)
    of = "" if math.isnan(ceiling) else f"; its own ceiling {ceiling:.3f}"
    return passed, (
        f"a judge reads F1 {f1:.3f} in its pictures against the request (at least {LEAST_F1:.2f}{of}), "
        f"mean error {error:.3f} against all zeros' {zeros:.3f}"
    )


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"a {type(found).__name__}")
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}", expected="a JSON object", do="restore the folder"
        ) from error
    return found
