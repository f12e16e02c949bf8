"""The card of an exported data set: what it holds, how often, under which terms, and how to load it.

Legend of the shapes: B samples, A action units, 6 intensities 0-5.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import ausynth
from ausynth import facs
from ausynth.jobs.parquet import COLUMNS, au_column, features
from ausynth.labels import Labels

if TYPE_CHECKING:
    from ausynth.jobs.parquet import ParquetFile
    from ausynth.store import Recipe, Samples

__all__ = ["SHEET", "Contents", "Tally", "called", "card", "licence_notes"]

SHEET: Final = "sheet.jpg"
"""Name of the picture of the first samples."""

_LICENCES: Final = frozenset(
    {
        *("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
        *("cc-by-nc-nd-4.0", "cc-by-nd-4.0", "odbl", "odc-by", "pddl", "unlicense"),
    }
)
"""Identifiers of the Hub. Notes that are none of them word for word are "other": what they amount to is not guessed."""

_SIZES: Final = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


class Tally:
    """Counts labels as samples go by.

    >>> import numpy as np
    >>> from ausynth.labels import Labels
    >>> tally = Tally((1, 12))
    >>> tally.add_labels(Labels.from_intensity((1, 12), [[0, 3], [2, np.nan]]), np.array([[0, 2], [2, 4]]))
    >>> tally.rates.tolist(), tally.levels[1].tolist(), tally.unknown.tolist()
    ([0.5, 1.0], [0, 0, 0, 1, 0, 0], [0, 1])
    """

    def __init__(self, aus: Sequence[int]) -> None:
        self.aus = tuple(aus)
        self.samples = self.texts = 0
        self.levels = np.zeros((len(self.aus), 6), np.int64)
        self._known, self._present = np.zeros((2, len(self.aus)), np.int64)
        self._off, self._compared = np.zeros(len(self.aus)), np.zeros(len(self.aus), np.int64)
        self._people: set[int] = set()

    def add(self, samples: Samples) -> None:
        """Count B samples."""
        self.add_labels(samples.labels, samples.asked)
        self._people.update(np.unique(samples.identity).tolist())
        self.texts += sum(map(bool, samples.text))

    def add_labels(self, labels: Labels, asked_BA: Any) -> None:
        """Count the labels of B samples, and how far they are from what was asked for."""
        self.samples += len(labels)
        self._known += labels.mask.sum(axis=0)
        self._present += np.nansum(labels.occurrence, axis=0).astype(np.int64)
        level_BA = np.rint(labels.intensity)
        self.levels += np.stack([(level_BA == level).sum(axis=0) for level in range(6)], axis=1)
        off_BA = np.abs(labels.intensity - np.asarray(asked_BA, dtype=np.float32))
        self._off += np.nansum(off_BA, axis=0)
        self._compared += (~np.isnan(off_BA)).sum(axis=0)

    @property
    def people(self) -> int:
        """Return how many identities are shown."""
        return len(self._people)

    @property
    def unknown(self) -> Any:
        """Return (A,) int64: in how many samples the occurrence is not known."""
        return self.samples - self._known

    @property
    def rates(self) -> Any:
        """Return (A,) float64: the share of samples in which each AU occurs, where it is known; NaN if nowhere."""
        with np.errstate(invalid="ignore"):
            return self._present / self._known

    @property
    def off(self) -> Any:
        """Return (A,) float64: mean distance between the intensity shown and the one asked for; NaN if nowhere."""
        with np.errstate(invalid="ignore"):
            return self._off / self._compared


def licence_notes(recipe: Recipe) -> str:
    """Return what the recipe says about licences, as text; empty where it says nothing."""
    notes = recipe.about.get("licence", "")
    return notes if isinstance(notes, str) else json.dumps(notes, ensure_ascii=False)


@dataclass(frozen=True)
class Contents:
    """What the card describes.

    Attributes:
        name: of its folder; a card on the Hub says USER/NAME instead, see `called`.
        recipe: of the store.
        tally: of all samples.
        files: of its one split.
        plans: the plans that the samples belong to.
        pictures: how they are stored, in words.
    """

    name: str
    recipe: Recipe
    tally: Tally
    files: Sequence[ParquetFile]
    plans: Sequence[str]
    pictures: str


def card(contents: Contents) -> str:
    """Return README.md: YAML for the Hub, then Markdown for people."""
    recipe, tally = contents.recipe, contents.tally
    generator = str(recipe.about.get("generator", "unknown"))
    title = f"{tally.samples:,} synthetic faces with action units"
    people = "No recording of a real person is among them."
    if recipe.about.get("look") == "portrait":
        people = "They are drawn from photographs of real people, see Licence, who never made these expressions."
    lines = [
        "---",
        _front_matter(contents, title).strip(),
        "---",
        "",
        f"# {title}",
        "",
        f"Pictures of {recipe.image_size} x {recipe.image_size} pixels ({contents.pictures}) of {tally.people:,} "
        f"synthetic people, made by the generator `{generator}` and exported by ausynth {ausynth.__version__}. "
        f"{people} A label says what the picture shows according to the generator; it "
        "need not be what the generator was asked for, and both are given.",
        "",
    ]
    lines += [
        f"![the first samples with their labels]({SHEET})",
        "",
        "## Load",
        "",
        *_how_to_load(contents),
        "",
        "## Labels",
        "",
        *_statistics(tally),
        "",
    ]
    lines += ["## Columns", "", "| column | what it holds |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in COLUMNS.items()]
    lines += ["", f"The lists are in the order of the AUs: {', '.join(map(str, recipe.aus))}.", ""]
    lines += ["## Where it comes from", "", *_provenance(contents, generator), "", "## Licence", ""]
    notes = licence_notes(recipe)
    lines += [notes or "The generator says nothing about its terms, nor about those of what it was trained on.", ""]
    return "\n".join(lines)


def called(text: str, name: str) -> str:
    """Return a card under which the data set is loaded by another name."""
    line = f"load_dataset({json.dumps(name, ensure_ascii=False)}, split="
    return re.sub(r'load_dataset\("(?:[^"\\]|\\.)*", split=', lambda _: line, text)


def _front_matter(contents: Contents, title: str) -> str:
    """Return the YAML that the Hub and `datasets` read.

    With the number of samples in it, `datasets` refuses a copy of which a file is missing.
    """
    import datasets
    import yaml
    from huggingface_hub import DatasetCardData

    tally, size = contents.tally, sum(file.bytes for file in contents.files)
    splits = datasets.SplitDict()
    splits.add(datasets.SplitInfo("train", num_bytes=size, num_examples=tally.samples))
    info = datasets.DatasetInfo(
        features=features(contents.recipe.aus), splits=splits, download_size=size, dataset_size=size
    )
    holder = DatasetCardData()
    datasets.info.DatasetInfosDict({"default": info}).to_dataset_card_data(holder)
    notes = licence_notes(contents.recipe)
    known = notes.strip().lower() in _LICENCES
    front = {
        "pretty_name": title,
        "license": notes.strip().lower() if known else "other" if notes else "unknown",
        **({"license_name": "see-licence-section"} if notes and not known else {}),
        "task_categories": ["image-classification"],
        "tags": ["action units", "FACS", "facial expression", "synthetic", "ausynth"],
        "size_categories": [next((word for limit, word in _SIZES if tally.samples < limit), "n>10M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
        "dataset_info": holder.get("dataset_info"),
    }
    return str(yaml.safe_dump(front, sort_keys=False, allow_unicode=True))


def _how_to_load(contents: Contents) -> list[str]:
    recipe = contents.recipe
    aus = ", ".join(map(str, recipe.aus)) + ("," if len(recipe.aus) == 1 else "")
    name, size = json.dumps(contents.name, ensure_ascii=False), recipe.image_size
    shown = au_column(recipe.aus[-1], "intensity")
    return f"""\
```python
import torch
from datasets import load_dataset

faces = load_dataset({name}, split="train")  # streaming=True: nothing is copied
face = next(iter(faces))
face["image"], face["{shown}"], face["prompt"]  # a picture; a number, or None where it is not known

AUS = ({aus})
batch = next(faces.with_format("torch").iter(batch_size=8))
images = torch.stack(list(batch["image"]))  # (8, 3, {size}, {size}) uint8
occurrence = torch.stack([batch[f"AU{{au:02}}_occurrence"] for au in AUS], dim=1)  # (8, A), NaN where unknown
intensity = torch.stack([batch[f"AU{{au:02}}_intensity"] for au in AUS], dim=1)
mask = batch["mask"]  # (8, A) bool: leave the rest out of the loss
```

Needs `datasets` 4 or newer.""".splitlines()


def _statistics(tally: Tally) -> list[str]:
    lines = [
        "| AU | | occurs | 0 | A | B | C | D | E | unknown | off by |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for number, au in enumerate(tally.aus):
        levels = " | ".join(f"{count:,}" for count in tally.levels[number].tolist())
        unit = facs.ACTION_UNITS.get(au)
        lines.append(
            f"| {au} | {unit.name if unit else ''} | {_percent(tally.rates[number])} | {levels} "
            f"| {tally.unknown[number]:,} | {_decimal(tally.off[number])} |"
        )
    lines += [
        "",
        "`occurs`: share of the samples in which the AU is present, among those where that is known. `0` to `E`: how "
        "many samples show it at which intensity, rounded. `off by`: mean distance between the intensity that was "
        "asked for and the one that is shown.",
    ]
    return lines


def _provenance(contents: Contents, generator: str) -> list[str]:
    about = {key: value for key, value in contents.recipe.about.items() if key not in {"generator", "licence"}}
    rows = {
        "generator": generator,
        "fingerprint": contents.recipe.fingerprint or "none",
        "plan": ", ".join(plan for plan in contents.plans if plan) or "none",
        "samples": f"{contents.tally.samples:,}",
        "people": f"{contents.tally.people:,}",
        "with a prompt": f"{contents.tally.texts:,}",
        "files": f"{len(contents.files)} of parquet, {sum(file.bytes for file in contents.files):,} bytes",
        **{
            key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in about.items()
        },
    }
    return ["| what | |", "|---|---|", *(f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items())]


def _cell(value: object) -> str:
    """Return text that stays within its cell of a Markdown table."""
    return " ".join(str(value).replace("|", "\\|").split())


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _decimal(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
