"""What a judge says of MAUGen's pictures: an AU regressor of its own that has never seen the generator."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from maugen_faces import FIRST_PERSON, Painted, Renders, paint, render_alone
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.table import Table

from ausynth.gates import Reliability, calibration_error
from ausynth.generators import Conditions
from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.labels import Floats, Labels
from ausynth.networks import AUNet, Verifier, load
from ausynth.networks.scores import read

console = Console(width=None if sys.stdout.isatty() else 112)

LEVELS = np.arange(6)


class Judge:
    """Reads intensities in pictures, over `aus`.

    Args:
        folder: of an `AUNet`, or of one with its calibration (a `Verifier`).
        aus: the columns that are wanted.
    """

    def __init__(self, folder: Path, aus: tuple[int, ...]) -> None:
        self.verifier = Verifier.load(folder, least=0) if (folder / "calibration.json").is_file() else None
        self.network: AUNet = self.verifier.networks[0] if self.verifier else load(folder, kind="au")
        known = self.network.aus
        lacking = [au for au in aus if au not in known]
        if lacking:
            raise SystemExit(f"the judge {folder} does not read the AUs {lacking}")
        self.aus, self._columns = aus, [known.index(au) for au in aus]

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """Return (B, A) intensities, 0-5."""
        if self.verifier is not None:
            return self.verifier.read(images).intensity[:, self._columns]
        return read(self.network, images)[:, self._columns].clip(0, 5)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (B, C) its last maps, averaged over the picture."""
        return pooled(self.network, images)


def pooled(network: AUNet, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (B, C) a network's last maps, averaged over the picture."""
    import torch

    from ausynth.networks.augment import to_signed

    with torch.inference_mode():
        parts = [
            network.features(to_signed(images[start : start + 128]))[-1].mean((2, 3)).double().numpy()
            for start in range(0, len(images), 128)
        ]
    return np.concatenate(parts)


def f1(found: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Return (A,) F1 at intensity 2; NaN where an AU is never there. What is NaN on either side is left out."""
    found_NA, truth_NA = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    known = ~np.isnan(found_NA) & ~np.isnan(truth_NA)
    says, there = (found_NA >= 2) & known, (truth_NA >= 2) & known
    with np.errstate(invalid="ignore", divide="ignore"):
        score = 2 * (says & there).sum(0) / (says.sum(0) + there.sum(0))
    return np.where(there.any(0), score, np.nan)


def macro(scores_A: NDArray[np.float64]) -> float:
    """Return the mean over AUs that are there; NaN where none is."""
    return float(np.nanmean(scores_A)) if not np.isnan(scores_A).all() else float("nan")


def mae(found: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean absolute error where both are known."""
    return float(np.nanmean(np.abs(np.asarray(found, np.float64) - np.asarray(truth, np.float64))))


def ceiling(judge: Judge, renders: Mapping[str, Renders]) -> dict[str, float]:
    """Print and return what the judge reaches on held-out renders, whose truth is known."""
    figures: dict[str, float] = {}
    table = Table(
        "vectors", "renders", "F1 (>= 2)", "MAE", "MAE of all zeros", title="the judge itself, on held-out renders"
    )
    for kind, parts in _kinds(renders).items():
        truth = np.concatenate([part.truth.intensity for part in parts])
        said = np.concatenate([judge(part.images) for part in parts])
        score, error, zeros = macro(f1(said, truth)), mae(said, truth), mae(np.zeros_like(truth), truth)
        table.add_row(kind or "both", f"{len(truth):,}", f"{score:.3f}", f"{error:.3f}", f"{zeros:.3f}")
        figures |= _named({"judge_f1_ceiling": score, "judge_mae_ceiling": error, "zeros_mae_renders": zeros}, kind)
    console.print(table)
    return figures


def agreement(judge: Judge, painted: Mapping[str, Painted], ceilings: Mapping[str, float]) -> dict[str, float]:
    """Print and return how pictures, requests and labels agree, by the judge's eyes; and what echoes."""
    figures: dict[str, float] = {}
    table = Table(
        "vectors", "what", "against", "F1 (>= 2)", "MAE", "of the ceiling", title="MAUGen's pictures and labels"
    )
    for kind, parts in _kinds(painted).items():
        asked = np.concatenate([part.asked for part in parts])
        said = np.concatenate([judge(part.images) for part in parts])
        carried = Labels.concatenate([part.carried for part in parts])
        top = ceilings[_name("judge_f1_ceiling", kind)]

        read_by = [
            ("judge", f"{name}'s reading, all", f"judge_{{}}_{name}", said, _of(parts, name))
            for name in parts[0].readings
            if name != "echo"
        ]
        heard = _of(parts, "echo")
        for what, against, key, found, truth in (
            ("judge", "request", "judge_{}_request", said, asked),
            ("judge", "carried label", "judge_{}_carried", said, carried.intensity),
            *read_by,
            ("carried label", "request", "carried_{}_request", carried.intensity, asked),
            ("decoder, which heard it", "request", "echo_{}_request", heard, asked),
            ("decoder, which heard it", "judge", "echo_{}_judge", heard, said),
            ("all zeros", "request", "zeros_{}", np.zeros_like(asked), asked),
        ):
            score, error = macro(f1(found, truth)), mae(found, truth)
            of = f"{score / top:.2f}" if what == "judge" else ""
            shown = "says none" if np.isnan(score) else f"{score:.3f}"
            table.add_row(kind or "both", what, against, shown, f"{error:.3f}", "" if np.isnan(score) else of)
            figures |= _named({key.format("f1"): score, key.format("mae"): error}, kind)
        sure, right = carried.confidence[carried.mask], (carried.occurrence == (said >= 2))[carried.mask]
        extra = {
            "carried_masked": float((~carried.mask).mean()),
            "carried_right": float(right.mean()) if right.size else float("nan"),
            "carried_ece": calibration_error(sure, right),
            "carried_confidence": float(sure.mean()) if sure.size else float("nan"),
        }
        figures |= _named(extra, kind)
        if not kind:
            _by_au(judge.aus, said, asked, carried, figures)
    console.print(table)
    console.print(
        f"Carried labels: {figures['carried_masked']:.1%} of the entries are masked; of the others the judge finds "
        f"{figures['carried_right']:.1%} right, their mean confidence is {figures['carried_confidence']:.1%}, the "
        f"expected calibration error {figures['carried_ece']:.3f}."
    )
    return figures


def _by_au(aus: tuple[int, ...], said: Floats, asked: Floats, carried: Labels, figures: dict[str, float]) -> None:
    table = Table("AU", "asked in", "F1, request", "F1, label", "MAE, request", "MAE, label", title="the judge, by AU")
    columns = f1(said, asked), f1(said, carried.intensity)
    for a, au in enumerate(aus):
        request, label = (float(column[a]) for column in columns)
        errors = mae(said[:, a], asked[:, a]), mae(said[:, a], carried.intensity[:, a])
        cells = (request, label, *errors)
        table.add_row(f"{au}", f"{(asked[:, a] >= 2).mean():.1%}", *(f"{cell:.3f}" for cell in cells))
        figures |= {f"judge_f1_request_au{au}": request, f"judge_f1_carried_au{au}": label}
        figures |= {f"judge_mae_request_au{au}": errors[0], f"judge_mae_carried_au{au}": errors[1]}
    console.print(table)


def curves(judge: Judge, generator: MAUGenGenerator, people: int, bank: Path | None) -> dict[str, float]:
    """Print and return what the judge reads where one AU alone is asked for at 0-5; renders beside it.

    The slope is of a line through the means; monotone is a curve that nowhere falls by more than a twentieth.
    """
    aus = generator.aus
    wanted = np.zeros((len(aus), len(LEVELS), people, len(aus)), np.float32)
    for a in range(len(aus)):
        wanted[a, ..., a] = LEVELS[:, None]
    asked = wanted.reshape(-1, len(aus))
    person = FIRST_PERSON + np.tile(np.arange(people, dtype=np.int64), len(aus) * len(LEVELS))
    made = paint(generator, None, asked, person, name="intensities").images
    drawn = render_alone(Conditions(asked, person, person), aus, generator.image_size, bank)
    shape = (len(aus), len(LEVELS), people, len(aus))
    curve_2AL = np.stack([np.einsum("alpa->al", judge(images).reshape(shape)) / people for images in (made, drawn)])
    slope_2A = np.polyfit(LEVELS, curve_2AL.reshape(-1, len(LEVELS)).T, 1)[0].reshape(2, -1)
    rises_A = (np.diff(curve_2AL[0], axis=1) > -0.05).all(1)
    table = Table("AU", "asked 0-5, judged", "slope", "", "renders, judged", "slope", title="one AU alone, 0-5")
    figures: dict[str, float] = {}
    for a, au in enumerate(aus):
        said = [" ".join(f"{value:.2f}" for value in curve_2AL[k, a]) for k in (0, 1)]
        word = "" if rises_A[a] else "NOT MONOTONE"
        table.add_row(f"{au}", said[0], f"{slope_2A[0, a]:.2f}", word, said[1], f"{slope_2A[1, a]:.2f}")
        figures |= {f"slope_au{au}": slope_2A[0, a], f"slope_renders_au{au}": slope_2A[1, a]}
    mean_2L = curve_2AL.mean(1)
    said = [" ".join(f"{value:.2f}" for value in row) for row in mean_2L]
    slopes = slope_2A.mean(1)
    table.add_row(
        "all", said[0], f"{slopes[0]:.2f}", f"{int(rises_A.sum())} of {len(aus)}", said[1], f"{slopes[1]:.2f}"
    )
    console.print(table)
    figures |= {"slope": slopes[0], "slope_renders": slopes[1], "monotone_aus": float(rises_A.sum())}
    figures |= {f"judged_at_{level}": float(mean_2L[0, level]) for level in LEVELS}
    figures["mean_curve_monotone"] = float((np.diff(mean_2L[0]) > 0).all())
    return {name: float(value) for name, value in figures.items()}


def measure_reliability(
    judge: Judge, verifier: Verifier, painted: Mapping[str, Painted], path: Path
) -> dict[str, float]:
    """Write what the verifier's detectors and the requests are worth by the judge's eyes, for the gate "relabel"."""
    images = np.concatenate([part.images for part in painted.values()])
    asked = np.concatenate([part.asked for part in painted.values()])
    claimed, truth = (Labels.from_intensity(judge.aus, values) for values in (asked, judge(images)))
    known = Reliability.of(verifier.detectors(), images, claimed, truth)
    known.save(path)
    obeyed = float(np.mean(known.if_claimed)), float(1 - np.mean(known.if_not))
    console.print(f"{path}: requests are obeyed in {obeyed[0]:.2f} of the AUs asked for, {obeyed[1]:.2f} of the others")
    return {"obeyed_present": obeyed[0], "obeyed_absent": obeyed[1]}


def _of(parts: list[Painted], name: str) -> Floats:
    return np.concatenate([part.readings[name].intensity for part in parts])


def _kinds(parts: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the parts of each kind, and all of them under the name ""."""
    return {kind: [part] for kind, part in parts.items()} | {"": list(parts.values())}


def _name(name: str, kind: str) -> str:
    return f"{name}_{kind}" if kind else name


def _named(figures: Mapping[str, float], kind: str) -> dict[str, float]:
    return {_name(name, kind): value for name, value in figures.items()}
