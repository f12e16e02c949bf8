"""How well an outside judge sees each action unit in rendered faces: MediaPipe's blendshapes, on known labels.

    python benchmarks/au_visibility.py [--look procedural|portrait] [--bank BANK] [--people 30] [--quick] [--json PATH]

Every person shows each AU alone at 5, straight ahead and with pose, light and noise; the rise of the judge's scores
over the same person's neutral face says what was seen. The tables:

- **seen**: the AU's own rise, its rank among all AUs' rises (raw, and in units of the neutral faces' spread), the share
  of people for whom it ranks first or second, and whether the mean rises with every letter 0-5.
- **leaks**: other AUs whose score rises by a third of the asked one's. AUs that are read from the same blendshapes
  count as one (au_blendshapes.toml).
- **sides**: for people with uneven sides, how often the judge sees the stronger side rise more.
- **real**: rise of every blendshape from neutral to smiling on photographs of people of role `test`, beside the rise on
  rendered people who show the same intensities: correlation over people, and mean gap.

A judge is no coder: it is trained on other faces, and blind to some AUs. Those are named.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, machine, write_keys
from judge import Judge, Unit, model_file, read_map
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ausynth.generators import Conditions, load_generator

STRAIGHT: dict[str, Any] = {"yaw": 0, "pitch": 0, "roll": 0, "jitter": 0, "gaze": 0, "light": 0.3, "asymmetry": 0}
POSED: dict[str, Any] = {"asymmetry": 0}
ROWS_AT_ONCE = 64
BLIND = 0.02
"""A blendshape that no asked AU raises by more, on any look, is one the judge does not use."""

Array = NDArray[np.float64]
console = Console(width=150)


@dataclass
class Look:
    """A generator that can be made with options, and how it is asked."""

    make: Callable[..., Any]
    judge: Judge
    units: dict[int, Unit]
    size: int

    def scores(self, generator: Any, intensity_BA: Array, identity_B: Array, noise_B: Array) -> Array:
        """Return (B, 52) the judge's scores of what was asked, in whole blocks."""
        count, block = len(intensity_BA), generator.block_size
        parts = []
        step = max(1, ROWS_AT_ONCE // block) * block
        for start in range(0, count, step):
            stop = min(count, start + step)
            rows = np.minimum(np.arange(start, start + -(-(stop - start) // block) * block), count - 1)
            asked = Conditions(
                intensity_BA[rows].astype(np.float32), identity_B[rows].astype(int), noise_B[rows].astype(int)
            )
            parts.append(self.judge(generator.generate(asked).images[: stop - start]))
        return np.concatenate(parts)


def main() -> None:
    options = arguments(__doc__, more)
    people = 8 if options.quick else options.people
    console.print(f"{machine()}; look {options.look}, {people} people at {options.size} px")
    figures: dict[str, float] = {}
    with Judge(model_file(options.model)) as judge:

        def make(**values: Any) -> Any:
            if options.look == "procedural":
                return load_generator("rendered", image_size=options.size, **values)
            if options.bank is None:
                raise SystemExit("--look portrait needs --bank BANK (ausynth faces build)")
            return load_generator("rendered", look="portrait", image_size=options.size, bank=options.bank, **values)

        look = Look(make, judge, read_map(), options.size)
        for name, values in (("straight", STRAIGHT), ("posed", POSED)):
            figures |= seen(look, make(**values), people, name, monotone=name == "straight" and not options.quick)
        figures |= sides(look, people)
        figures |= real(look, options.photographs, 1 if options.quick else 4)
    write_keys({name: value for name, value in figures.items() if np.isfinite(value)}, options.json)


def more(parser: argparse.ArgumentParser) -> None:
    folder = os.environ.get("AUSYNTH_TEST_DATA")
    parser.add_argument("--look", choices=("procedural", "portrait"), default="procedural")
    parser.add_argument("--bank", type=Path, help="face bank of the portrait look")
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--size", type=int, default=256, help="height and width of the judged pictures")
    parser.add_argument("--model", type=Path, help="face_landmarker.task; else from AUSYNTH_TEST_DATA")
    parser.add_argument(
        "--photographs", type=Path, default=Path(folder) / "faces" if folder else None, help="folder with faces.csv"
    )


def seen(look: Look, generator: Any, people: int, name: str, *, monotone: bool) -> dict[str, float]:
    """Print and return what the judge sees of each AU alone at 5, and what else it sees."""
    aus = [au for au in look.units if au in generator.aus]
    levels = range(1, 6) if monotone else (5,)
    asked, who = [np.zeros((people, len(generator.aus)))], np.arange(people)
    for au in aus:
        for level in levels:
            asked.append(np.zeros((people, len(generator.aus))))
            asked[-1][:, generator.aus.index(au)] = level
    scores_BS = look.scores(generator, np.concatenate(asked), np.tile(who, len(asked)), np.tile(who, len(asked)))
    shapes_KPS = scores_BS.reshape(len(asked), people, -1)
    sided_BA2 = look.judge.units(scores_BS, look.units)
    units_KPA = sided_BA2.mean(2).reshape(len(asked), people, len(look.units))
    found_P = ~np.isnan(units_KPA).any((0, 2))
    spread_A = np.maximum(units_KPA[0, found_P].std(0), 0.03)
    column = {au: a for a, au in enumerate(look.units)}
    per = len(levels)
    rise_DPA = units_KPA[per::per] - units_KPA[:1]  # at 5
    figures = {f"{name}_found": float(np.mean(~np.isnan(units_KPA)))}
    table = Table(
        "AU", "rise", "rank", "rank, spread", "of people", "0-5", "leaks (rise)", title=f"{name}: each AU alone at 5"
    )
    good = 0
    for d, au in enumerate(aus):
        a, unit = column[au], look.units[au]
        rise_PA = rise_DPA[d][found_P]
        mean_A = rise_PA.mean(0)
        rank, scaled = rank_of(mean_A, a, unit, look.units), rank_of(mean_A / spread_A, a, unit, look.units)
        first_two = float(np.mean([rank_of(row / spread_A, a, unit, look.units) <= 2 for row in rise_PA]))
        leaks = {
            other: mean_A[column[other]]
            for other in column
            if other != au and not same(unit, look.units[other]) and mean_A[column[other]] > max(mean_A[a] / 3, BLIND)
        }
        steps = ""
        if monotone:
            means = [0.0, *((units_KPA[1 + d * per + i] - units_KPA[0])[found_P, a].mean() for i in range(per))]
            rises = bool((np.diff(means) > -0.01).all() and means[-1] > means[0])
            steps = " ".join(f"{value:.2f}" for value in means[1:]) + ("" if rises else " NOT MONOTONE")
            figures[f"{name}_au{au}_monotone"] = float(rises)
        good += min(rank, scaled) <= 2
        mark = "*" if unit.proxy else ""
        said = ", ".join(f"AU{other} ({rise:.2f})" for other, rise in sorted(leaks.items(), key=lambda kv: -kv[1]))
        table.add_row(f"{au}{mark}", f"{mean_A[a]:.2f}", f"{rank}", f"{scaled}", f"{first_two:.0%}", steps, said or "-")
        figures |= {
            f"{name}_au{au}_rise": float(mean_A[a]),
            f"{name}_au{au}_rank": rank,
            f"{name}_au{au}_rank_in_spreads": scaled,
            f"{name}_au{au}_leaks": len(leaks),
        }
    console.print(table)
    console.print(
        f"{good} of {len(aus)} AUs rise most or second most by one of the two measures.  * no blendshape of its own"
    )
    highest_S = (shapes_KPS[1:] - shapes_KPS[:1])[:, found_P].mean(1).max(0)
    used = {word for unit in look.units.values() for key in unit.weights for word in names_of(key)}
    blind = [word for word, most in zip(look.judge.names, highest_S, strict=True) if word in used and most < BLIND]
    if name == "straight":
        unseen = [f"AU{au}" for au in aus if figures[f"{name}_au{au}_rise"] < BLIND]
        console.print(f"No AU at 5 raises these blendshapes by {BLIND}: {', '.join(blind) or 'none'}")
        console.print(f"AUs whose own score rises by less, which the judge does not see: {', '.join(unseen) or 'none'}")
    console.print(f"A face was found in {figures[f'{name}_found']:.1%} of the pictures.\n")
    return figures | {f"{name}_in_first_two": good}


def names_of(key: str) -> list[str]:
    """Return the blendshapes behind a key of the map."""
    return [key.replace("*", side) for side in ("Left", "Right")] if key.endswith("*") else [key]


def same(unit: Unit, other: Unit) -> bool:
    """Return whether two AUs are read from the same blendshapes."""
    return bool(unit.group) and unit.group == other.group


def rank_of(rise_A: Array, a: int, unit: Unit, units: dict[int, Unit]) -> int:
    """Return the place (1 the first) of an AU among all, those that share its blendshapes left out."""
    others = [i for i, other in enumerate(units.values()) if i != a and not same(unit, other)]
    return 1 + int((rise_A[others] > rise_A[a]).sum())


def sides(look: Look, people: int) -> dict[str, float]:
    """Print and return how often the stronger side of an uneven face rises more, for AUs that have sides."""
    uneven = look.make(**(STRAIGHT | {"asymmetry": 0.3}))
    if not hasattr(uneven, "sides"):
        console.print("This generator does not tell its people's sides apart (no method `sides`).\n")
        return {}
    even = look.make(**STRAIGHT)
    aus = [au for au, unit in look.units.items() if au in uneven.aus and unit.is_sided]
    who = np.arange(people)
    strength_P2A = uneven.sides(who)
    rows = np.concatenate([np.eye(len(uneven.aus))[[uneven.aus.index(au)]].repeat(people, 0) * 5 for au in aus])
    tiled = np.tile(who, len(aus))
    tilt = []
    for generator in (uneven, even):
        units_BA2 = look.judge.units(look.scores(generator, rows, tiled, tiled), look.units)
        tilt.append(units_BA2[..., 0] - units_BA2[..., 1])
    # Against the same face with even sides: the judge itself may prefer a side.
    tilt_DPA = (tilt[0] - tilt[1]).reshape(len(aus), people, -1)
    table, figures = Table("AU", "right side", "correlation", title="sides: the stronger side rises more"), {}
    for d, au in enumerate(aus):
        column = uneven.aus.index(au)
        wanted_P = strength_P2A[:, 0, column] - strength_P2A[:, 1, column]
        tilt_P = tilt_DPA[d, :, list(look.units).index(au)]
        clear_P = (np.abs(wanted_P) > 0.15) & ~np.isnan(tilt_P)
        if not clear_P.any():
            continue  # an AU without sides, such as a jaw that drops
        share = float(np.mean(np.sign(wanted_P[clear_P]) == np.sign(tilt_P[clear_P])))
        correlation = correlate(wanted_P, tilt_P)
        table.add_row(str(au), f"{share:.0%} of {clear_P.sum()}", f"{correlation:.2f}")
        figures |= {f"sides_au{au}_right": share, f"sides_au{au}_correlation": correlation}
    console.print(table)
    return figures


def correlate(first: Array, second: Array) -> float:
    """Return Pearson's correlation where both are known and vary, else NaN."""
    known = ~np.isnan(first) & ~np.isnan(second)
    if known.sum() < 3 or first[known].std() < 1e-6 or second[known].std() < 1e-6:
        return float("nan")
    return float(np.corrcoef(first[known], second[known])[0, 1])


def real(look: Look, folder: Path | None, copies: int) -> dict[str, float]:
    """Print and return how the smiles of photographs and renders of the same intensities compare."""
    if folder is None or not (folder / "faces.csv").is_file():
        console.print("No photographs: give --photographs, or AUSYNTH_TEST_DATA, for the comparison with real smiles.")
        return {}
    with (folder / "faces.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["role"] == "test"]
    neutral = {row["identity"]: row for row in rows if row["expression"] == "neutral"}
    pairs = [
        (neutral[row["identity"]], row) for row in rows if row["expression"] == "smiling" and row["identity"] in neutral
    ]
    before_NS, after_NS = (photographs(look, folder, [pair[i]["file"] for pair in pairs]) for i in (0, 1))
    real_NS = after_NS - before_NS
    generator = look.make(**STRAIGHT)
    asked_NA = np.array([[float(smile.get(f"AU{au}") or 0) for au in generator.aus] for _, smile in pairs])
    count = len(pairs)
    people = np.arange(count * copies)
    smiling = look.scores(generator, np.tile(asked_NA, (copies, 1)), people, people)
    resting = look.scores(generator, np.zeros((count * copies, len(generator.aus))), people, people)
    rendered_NS = np.nanmean((smiling - resting).reshape(copies, count, -1), 0)
    table = Table(
        "blendshape", "real", "rendered", "gap", "correlation",
        title=f"smiles of {count} people of role test against renders of the same intensities ({copies} people each)",
    )  # fmt: skip
    figures: dict[str, float] = {}
    used = {word for unit in look.units.values() for key in unit.weights for word in names_of(key)}
    means = np.stack([np.nanmean(real_NS, 0), np.nanmean(rendered_NS, 0)])
    for s, word in enumerate(look.judge.names):
        if word not in used and np.abs(means[:, s]).max() < BLIND:
            continue
        correlation = correlate(real_NS[:, s], rendered_NS[:, s])
        table.add_row(
            word,
            f"{means[0, s]:+.2f}",
            f"{means[1, s]:+.2f}",
            f"{means[1, s] - means[0, s]:+.2f}",
            f"{correlation:.2f}",
        )
        figures |= {f"real_{word}": means[0, s], f"rendered_{word}": means[1, s], f"correlation_{word}": correlation}
    console.print(table)
    overall = correlate(*means)
    console.print(
        f"Correlation of the mean rises over the {means.shape[1]} blendshapes: {overall:.2f}; "
        f"mean absolute gap {np.abs(means[1] - means[0]).mean():.3f}"
    )
    return figures | {"real_correlation_of_means": overall, "real_mean_gap": float(np.abs(means[1] - means[0]).mean())}


def photographs(look: Look, folder: Path, files: list[str]) -> Array:
    """Return (N, 52) the judge's scores of photographs."""
    from PIL import Image

    return np.concatenate([look.judge(np.asarray(Image.open(folder / file).convert("RGB"))[None]) for file in files])


if __name__ == "__main__":
    main()
