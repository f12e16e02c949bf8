"""What gates keep and what they let through: a simulation of requests that are not always obeyed, and of detectors.

    python benchmarks/gates.py [--quick] [--json PATH]

A request is obeyed where it asks for an AU with probability .75, where it asks for none with .95; three detectors have
sensitivity .8 and specificity .93, and err each by itself or, in the second table, together in six tenths of the
entries. 12 AUs, two fifths of the entries asked for. What the detectors are worth is measured on pictures of their own.
"""

from __future__ import annotations

import re
import time
from functools import partial

import numpy as np
from common import Report, arguments
from numpy.typing import NDArray

from ausynth import facs
from ausynth.gates import Reliability, calibration_error, facs_agreement, jaccard, vote

AUS = facs.DISFA_12
ASKED, OBEYED, KEPT_AWAY, SENSITIVITY, SPECIFICITY = 0.4, 0.75, 0.95, 0.8, 0.93

Reals = NDArray[np.float64]


def simulate(pictures: int, seed: int, shared: float) -> tuple[Reals, Reals, Reals]:
    draw = np.random.default_rng(seed)
    shape = (pictures, len(AUS))
    asked = draw.random(shape) < ASKED
    truth = np.where(asked, draw.random(shape) < OBEYED, draw.random(shape) >= KEPT_AWAY)
    luck = np.where(draw.random(shape) < shared, draw.random(shape), draw.random((3, *shape)))
    said = np.where(truth, luck < SENSITIVITY, luck >= SPECIFICITY)
    return asked.astype(float), truth.astype(float), said.astype(float)


def _add(  # noqa: PLR0917 (four of them given once)
    report: Report,
    rows: list[tuple[str, ...]],
    case: str,
    truth: Reals,
    name: str,
    found: Reals,
    shown: NDArray[np.bool_],
) -> None:
    known_BA = ~np.isnan(found) & shown[:, None]
    figures = {
        "pictures_kept": float(shown.mean()),
        "entries_labelled": float(known_BA.sum() / found.size),
        "wrong": float((found != truth)[known_BA].mean()),
    }
    rows.append((name, *(f"{value:.4f}" for value in figures.values())))
    for what, value in figures.items():
        report.key(f"{case}_{re.sub('[^a-z0-9]+', '_', name)}_{what}", value)


def main() -> None:
    options = arguments(__doc__)
    pictures, known = (2_000, 1_000) if options.quick else (100_000, 10_000)
    report = Report(f"Vectorised on {pictures:,} pictures of 12 AUs with 3 detectors")
    for shared, case in ((0.0, "independent"), (0.6, "sharing_errors")):
        asked, truth, said = simulate(pictures, 1, shared)
        known_asked, known_truth, known_said = simulate(known, 2, shared)
        rows: list[tuple[str, ...]] = []
        add = partial(_add, report, rows, case, truth)
        everything, majority = np.ones(pictures, bool), vote(said)
        add("request", asked, everything)
        for measure, name, least in (
            (jaccard, "jaccard", 0.5),
            (jaccard, "jaccard", 0.7),
            (facs_agreement, "facs", 0.7),
        ):
            add(f"request {name} >= {least:.1f}".replace("0.", "."), asked, measure(majority, asked) >= least)
        add("consensus 2 of 3", majority, everything)
        add("consensus 3 of 3", vote(said, at_least=3), everything)
        for calibrate in (False, True):
            reliability = Reliability.measure(AUS, "abc", known_said, known_asked, known_truth, calibrate=calibrate)
            present = reliability.probability(said, asked)
            found, sure = (present >= 0.5).astype(float), np.maximum(present, 1 - present)
            words = "bayes calibrated" if calibrate else "bayes"
            add(words, found, everything)
            add(f"{words} certain", np.where(sure >= 0.9, found, np.nan), everything)
            error = calibration_error(sure, found == truth)
            rows.append((f"{words}: calibration error", "", "", f"{error:.4f}"))
            report.key(f"{case}_{words.replace(' ', '_')}_calibration_error", error)
        print(f"\nDetectors that err {'by themselves' if not shared else 'together in six of ten entries'}:")
        report.words(("label of", "pictures kept", "entries labelled", "wrong among these"), rows)

    asked, _, said = simulate(pictures, 1, 0.0)
    slowest = 0.0
    for name, work in (
        ("jaccard", lambda: jaccard(said[0], asked)),
        ("consensus 2 of 3", lambda: vote(said)),
        ("naive bayes", lambda: reliability.probability(said, asked)),
    ):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        rate = pictures / float(np.median(times))
        slowest = slowest or rate
        report.add(f"{name} pictures a second", rate, rate / slowest)
    report.finish(options.json)


if __name__ == "__main__":
    main()
