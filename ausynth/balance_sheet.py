"""A balance as a picture: how often each AU occurs before and after, and which AUs go together before and after.

Legend of the shapes: A action units, H x W pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.samplers.balance import Balance

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["balance_sheet"]

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

_PAPER: Final = (250, 250, 248)
_INK: Final = (28, 30, 34)
_SOFT: Final = (90, 92, 96)
_LINE: Final = (222, 223, 226)
_BEFORE: Final = (160, 163, 168)
_AFTER: Final = (36, 128, 76)
_UNKNOWN: Final = (228, 229, 231)
_NEGATIVE: Final = (31, 104, 172)
_POSITIVE: Final = (190, 30, 45)
_MARGIN: Final = 24
_AXIS, _CHART = 46, 250
_MATRIX_TOP, _GAP = 88, 40
_FULL: Final = 0.7
"""The correlation at which the colour is full: few pairs of AUs go beyond."""


def balance_sheet(balance: Balance, *, title: str, subtitle: str = "") -> Pixels:
    """Return a sheet with each AU's rate before, after and as asked, and the correlations before and after.

    >>> from ausynth.samplers import calibrate
    >>> sheet = balance_sheet(calibrate((["00", "11"], [9, 1]), aus=(12, 25), ratio=0.5), title="two AUs")
    >>> sheet.dtype, sheet.ndim
    (dtype('uint8'), 3)

    Over each bar stands its height in percent; under the AU's number, by how many people it is carried, before and
    after, where that is known. In the heatmaps red AUs go together and blue ones keep apart; grey is unknown.

    Args:
        balance: of A AUs.
        title: the sheet's first line.
        subtitle: its second line.

    Returns:
        (H, W, 3) uint8.
    """
    from PIL import Image, ImageDraw

    aus = len(balance.aus)
    people = bool(balance.natural_people.any())
    width = max(2 * _MARGIN + _AXIS + aus * (80 if people else 62), 1060)
    cell = min(46, ((width - 2 * _MARGIN - _GAP) // 2 - _AXIS) // aus)
    matrix = _AXIS + aus * cell
    chart_top = 150
    matrix_top = chart_top + _CHART + (82 if people else 56) + _MATRIX_TOP
    sheet = Image.new("RGB", (width, matrix_top + aus * cell + 64 + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _text(draw, (_MARGIN, 14), title, 28, bold=True, most=width - 2 * _MARGIN)
    _text(draw, (_MARGIN, 51), subtitle, 18, colour=_SOFT, most=width - 2 * _MARGIN)
    _text(draw, (_MARGIN, 76), _figures(balance), 18, colour=_SOFT, most=width - 2 * _MARGIN)
    _bars(draw, balance, (_MARGIN + _AXIS, chart_top, width - _MARGIN, chart_top + _CHART), people=people)
    known = bool((~np.isnan(balance.natural_phi)).any())
    before_AA = balance.natural_phi if known else balance.asked_phi
    for left, phi_AA, words in (
        (_MARGIN, before_AA, f"Correlation (phi) {'before' if known else 'asked'}"),
        (max(_MARGIN + matrix + _GAP, width // 2), balance.reached_phi, "Correlation (phi) after"),
    ):
        # As in the report: pairs that FACS decides are shown, and do not count.
        counted_AA = np.where(np.isnan(balance.asked_phi), np.nan, np.abs(phi_AA))
        sizes = counted_AA[~np.isnan(counted_AA)]
        figures = f"mean size {sizes.mean():.3f}, largest {sizes.max():.3f}" if sizes.size else "none is known"
        _text(draw, (left + _AXIS, matrix_top - 80), words, 20, bold=True)
        _text(draw, (left + _AXIS, matrix_top - 55), figures, 16, colour=_SOFT)
        _heatmap(draw, (left + _AXIS, matrix_top), balance.aus, phi_AA, cell=cell)
    _scale(draw, (_MARGIN + _AXIS, matrix_top + aus * cell + 22))
    return np.asarray(sheet, dtype=np.uint8).copy()


def _figures(balance: Balance) -> str:
    what = "real frames" if len(balance.real_weights) else "pool"
    weighed = (
        f"effective share of the {what} {balance.effective_share:.3f}, largest weight {balance.largest_weight:.2f}"
    )
    off = f"rates off by {balance.marginal_error:.4f} at most"
    return f"{off}; {weighed}" if len(balance.real_weights) or len(balance.pool_weights) else off


def _bars(draw: ImageDraw, balance: Balance, box: tuple[int, int, int, int], *, people: bool) -> None:
    left, top, right, bottom = box
    series = (balance.natural_rates, balance.reached_rates, balance.asked_rates)
    highest = max(0.05, *(float(np.nan_to_num(rates_A).max()) for rates_A in series))
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if highest / step <= 6 or step == 0.2)
    top_rate = math.ceil(highest * 1.02 / step) * step

    def height(rate: float) -> int:
        return round(bottom - rate / top_rate * (bottom - top))

    for number in range(round(top_rate / step) + 1):
        y = height(number * step)
        draw.line((left, y, right, y), fill=_LINE if number else _SOFT)
        _text(draw, (left - 8, y), f"{number * step:.0%}", 14, colour=_SOFT, anchor="rm")
    x = left
    for colour, outline, words in (
        (_BEFORE, _BEFORE, "rate before"),
        (_AFTER, _AFTER, "after"),
        (_PAPER, _INK, "asked"),
    ):
        draw.rectangle((x, top - 40, x + 17, top - 23), fill=colour, outline=outline, width=2)
        _text(draw, (x + 25, top - 32), words, 17, anchor="lm")
        x += 25 + int(draw.textlength(words, font=_font(17))) + 26
    slot = (right - left) / len(balance.aus)
    bar = min(30, int(slot * 0.28))
    for column, au in enumerate(balance.aus):
        middle = left + (column + 0.5) * slot
        styles = ((_BEFORE, _BEFORE), (_AFTER, _AFTER), (_PAPER, _INK))
        for place, (rates_A, (fill, outline)) in enumerate(zip(series, styles, strict=True)):
            rate = float(rates_A[column])
            start = round(middle + (place - 1.5) * (bar + 1))
            if math.isnan(rate):
                _text(draw, (start + bar / 2, bottom - 4), "?", 13, colour=_SOFT, anchor="ms")
                continue
            draw.rectangle((start, min(height(rate), bottom - 1), start + bar - 1, bottom), fill=fill, outline=outline)
            words = f"{100 * rate:.0f}" if rate >= 0.095 else f"{100 * rate:.1f}"
            _text(draw, (start + bar / 2, height(rate) - 3), words, 11, colour=_SOFT, anchor="ms")
        _text(draw, (middle, bottom + 7), f"AU{au}", 16, bold=True, anchor="ma")
        if people:
            words = f"{balance.natural_people[column]:.1f} > {balance.reached_people[column]:.1f}"
            _text(draw, (middle, bottom + 29), words, 13, colour=_SOFT, anchor="ma")
    if people:
        words = "Under each AU: how many people carry it on the real side, before > after"
        _text(draw, (left, bottom + 52), words, 14, colour=_SOFT)


def _heatmap(
    draw: ImageDraw,
    at: tuple[int, int],
    aus: tuple[int, ...],
    phi_AA: NDArray[np.float64],
    *,
    cell: int,
) -> None:
    left, top = at
    size = 15 if cell >= 30 else 12
    for row, au in enumerate(aus):
        _text(draw, (left - 8, top + (row + 0.5) * cell), str(au), size, anchor="rm")
        _text(draw, (left + (row + 0.5) * cell, top - 8), str(au), size, anchor="ms")
        for column in range(len(aus)):
            x, y = left + column * cell, top + row * cell
            phi = float(phi_AA[row, column])
            colour = _tone(phi)
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), fill=colour)
            if cell >= 30 and not math.isnan(phi):
                ink = (255, 255, 255) if sum(colour) < 400 else _INK
                number = f"{phi:.2f}".replace("0.", ".")
                number = "0" if number in {".00", "-.00"} else number
                _text(draw, (x + cell / 2 - 1, y + cell / 2 - 1), number, 13, colour=ink, anchor="mm")


def _scale(draw: ImageDraw, at: tuple[int, int]) -> None:
    x, y = at
    for step, value in enumerate(np.linspace(-_FULL, _FULL, 15)):
        draw.rectangle((x + step * 22, y, x + step * 22 + 21, y + 15), fill=_tone(float(value)))
    for step, value in ((0, -_FULL), (7, 0.0), (14, _FULL)):
        words = f"{value:g}" if value <= 0 else f"{value:g} and more"
        _text(draw, (x + step * 22 + 11, y + 20), words, 14, colour=_SOFT, anchor="ma" if step < 14 else "la")


def _tone(phi: float) -> Colour:
    if math.isnan(phi):
        return _UNKNOWN
    full = _POSITIVE if phi > 0 else _NEGATIVE
    # The root keeps a small correlation apart from none.
    share = min(1.0, abs(phi) / _FULL) ** 0.75
    red, green, blue = (round(255 + (part - 255) * share) for part in full)
    return (red, green, blue)


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _text(
    draw: ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    *,
    colour: Colour = _INK,
    anchor: str = "la",
    bold: bool = False,
    most: float = math.inf,
) -> None:
    """Write a line; where it is wider than `most` pixels, smaller, and in the end cut with an ellipsis."""
    font = _font(size)
    while size > 12 and draw.textlength(text, font=font) > most:
        size -= 1
        font = _font(size)
    while len(text) > 1 and draw.textlength(text, font=font) > most:
        text = text[:-2] + "…"
    draw.text(at, text, font=font, fill=colour, anchor=anchor, stroke_width=0.5 if bold else 0, stroke_fill=colour)
