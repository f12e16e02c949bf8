"""A contact sheet of people: a row a person, a column an expression, under each picture what it says it shows.

Legend of the shapes: P people, K expressions, H x W pixels, C = 3 colours in the order red, green, blue.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators.base import Generator
from ausynth.labels import DEFAULT_THRESHOLD, Floats, Labels

__all__ = ["combinations_of", "expressions_of", "people_sheet", "said_of"]

_PAPER, _INK, _WRONG = (250, 250, 248), (28, 30, 34), (190, 30, 45)
_MARGIN, _GAP, _HEAD, _NOTE, _NAME = 20, 6, 96, 18, 64


def expressions_of(generator: Generator, level: float = 4) -> tuple[list[str], Floats]:
    """Return the neutral face and each AU alone: headings, and requests (1 + A, A) over the generator's AUs."""
    aus = generator.aus
    wanted = np.concatenate([np.zeros((1, len(aus))), level * np.eye(len(aus))]).astype(np.float32)
    return ["neutral", *(f"AU{au}\n{facs.ACTION_UNITS[au].name.replace(' ', chr(10))}" for au in aus)], wanted


def combinations_of(aus: Sequence[int], count: int, level: float = 4) -> tuple[list[str], Floats]:
    """Return up to `count` combinations that a face can make: headings, and requests (K, A).

    Emotions come first, by what their prototypes require, then the combinations that the text processor has words for,
    then pairs.

    Raises:
        ConfigurationError: the label space has none.
    """
    from ausynth.text.phrases import book

    named = {**facs.PROTOTYPES, **facs.COMPOUND_PROTOTYPES}
    found = [(name, tuple(prototype.required)) for name, prototype in named.items()]
    found += [("", entry.aus) for entry in book().entries if len(entry.aus) > 1]
    found += [("", pair) for pair in combinations(sorted(aus), 2)]
    headings: dict[tuple[int, ...], str] = {}
    rows: list[Floats] = []
    for name, active in found:
        row = np.array([level if au in active else 0.0 for au in aus], np.float32)
        known = len(active) > 1 and set(active) <= set(aus) and active not in headings
        if known and facs.is_possible(row[None], aus)[0] and len(rows) < count:
            headings[active] = "\n".join(filter(None, [name.replace(" ", "\n"), "+".join(map(str, active))]))
            rows.append(row)
    if not rows:
        raise ConfigurationError(f"no combination of {tuple(aus)}", expected="a label space with some")
    return list(headings.values()), np.stack(rows)


def said_of(asked: Floats, labels: Labels) -> list[tuple[str, bool]]:
    """Return, for each of N pictures, what it says of the AUs that were asked for, and whether it is just those.

    Args:
        asked: (N, A) over the labels' AUs.
        labels: N rows.
    """
    said = []
    for row in range(len(labels)):
        wanted_A, there_A = asked[row] >= DEFAULT_THRESHOLD, labels.occurrence[row]
        words = []
        for column in np.flatnonzero(wanted_A | (there_A == 1)):
            strong = labels.intensity[row, column]
            words.append(f"{labels.aus[column]}:{'?' if np.isnan(strong) else f'{strong:.1f}'}")
        known_A = ~np.isnan(there_A)
        said.append((" ".join(words) or "-", bool((there_A[known_A] == wanted_A[known_A]).all())))
    return said


def people_sheet(
    images: NDArray[np.uint8],
    columns: Sequence[str],
    rows: Sequence[str],
    notes: Sequence[tuple[str, bool]],
    *,
    title: str,
    subtitle: str = "",
    picture: int = 96,
) -> NDArray[np.uint8]:
    """Return the sheet, (H', W', 3) uint8.

    Args:
        images: (P, K, H, W, 3) uint8.
        columns: K headings, of several lines.
        rows: P names.
        notes: P * K texts that stand under the pictures, red where their flag is False.
        title, subtitle: above.
        picture: edge of a picture on the sheet in pixels.

    Raises:
        ConfigurationError: as many headings, names or notes as do not fit.
    """
    from PIL import Image, ImageDraw, ImageFont

    people, count = images.shape[:2]
    if len(columns) != count or len(rows) != people or len(notes) != people * count:
        raise ConfigurationError(
            f"{len(columns)} headings, {len(rows)} names and {len(notes)} notes for {people} x {count} pictures",
            expected=f"{count}, {people} and {people * count}",
        )
    cell, tall = picture + _GAP, picture + _NOTE + _GAP
    top = 64 + _HEAD
    width = max(2 * _MARGIN + _NAME + count * cell, 900)
    sheet = Image.new("RGB", (width, top + people * tall + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = {size: ImageFont.load_default(size) for size in (11, 13, 16, 24)}
    draw.text((_MARGIN, 10), title, font=font[24], fill=_INK)
    draw.text((_MARGIN, 42), subtitle, font=font[16], fill=_INK)
    for k, heading in enumerate(columns):
        draw.multiline_text((_MARGIN + _NAME + k * cell, 68), heading, font=font[13], fill=_INK, spacing=1)
    for p, name in enumerate(rows):
        y = top + p * tall
        draw.multiline_text((_MARGIN, y + picture // 2 - 8), name, font=font[13], fill=_INK)
        for k in range(count):
            x = _MARGIN + _NAME + k * cell
            drawn = Image.fromarray(np.ascontiguousarray(images[p, k]))
            sheet.paste(drawn.resize((picture, picture), Image.Resampling.LANCZOS), (x, y))
            text, as_asked = notes[p * count + k]
            while draw.textlength(text, font=font[11]) > picture and len(text) > 1:
                text = text[:-2] + "…"
            draw.text((x, y + picture + 2), text, font=font[11], fill=_INK if as_asked else _WRONG)
    return np.asarray(sheet, dtype=np.uint8).copy()
