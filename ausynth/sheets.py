"""Contact sheets: labelled pictures laid out so that a person sees at a glance what a batch or a generator holds.

Legend of the shapes: B pictures, A action units, H x W pixels, C = 3 colours in the order red, green, blue;
V intensities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import DEFAULT_THRESHOLD, Labels

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["au_sheet", "batch_sheet"]

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

_PAPER: Final = (250, 250, 248)
_INK: Final = (28, 30, 34)
_FAINT: Final = (150, 152, 156)
_ABSENT: Final = (233, 234, 236)
_UNKNOWN: Final = (255, 255, 255)
_REAL: Final = (31, 104, 172)
_SYNTHETIC: Final = (214, 96, 20)
_WARNING: Final = (190, 30, 45)
# From trace to maximum; white figures stay legible from the second on.
_STRENGTH: Final[tuple[Colour, ...]] = (
    _ABSENT,
    (193, 225, 205),
    (72, 161, 104),
    (36, 128, 76),
    (13, 92, 51),
    (3, 56, 31),
)
_MARGIN, _GAP, _BORDER, _CAPTION, _CHIP = 20, 16, 6, 24, 38


def batch_sheet(
    images: Pixels,
    labels: Labels,
    synthetic: ArrayLike,
    captions: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
    real: str = "real",
    columns: int = 8,
    picture: int = 180,
    threshold: float = DEFAULT_THRESHOLD,
) -> Pixels:
    """Return a sheet of labelled pictures, real and synthetic ones told apart by colour and word.

    >>> import numpy as np
    >>> labels = Labels.from_intensity((1, 12), [[0, 3]])
    >>> sheet = batch_sheet(np.zeros((1, 8, 8, 3), np.uint8), labels, [True], ["person 7"], title="one picture")
    >>> sheet.dtype, sheet.ndim
    (dtype('uint8'), 3)

    Under each picture stands one chip for each AU: its number, and its intensity ("+" where only the occurrence is
    known, "?" where nothing is). The darker the green, the stronger; grey is absent.

    Args:
        images: (B, H, W, 3) uint8.
        labels: B rows.
        synthetic: (B,) bool.
        captions: B short texts, such as the source and the person.
        title: the sheet's first line.
        subtitle: its second line.
        real: the word for pictures that are not synthetic.
        columns: pictures in a row.
        picture: edge of a picture on the sheet, in pixels.
        threshold: the intensity from which the legend calls an AU present.

    Returns:
        (H', W', 3) uint8.

    Raises:
        ConfigurationError: no picture, or arrays of different lengths.
    """
    from PIL import Image, ImageDraw

    synthetic_B = np.asarray(synthetic, dtype=bool)
    _require_pictures(images)
    if not len(images) == len(labels) == len(synthetic_B) == len(captions):
        raise ConfigurationError(
            f"{len(images)} pictures, {len(labels)} label rows, {len(synthetic_B)} flags, {len(captions)} captions",
            expected="equally many",
        )
    count, chips = len(images), len(labels.aus)
    lines = math.ceil(chips / (8 if chips <= 8 else 6))
    per_line = math.ceil(chips / lines)
    cell_width = picture + 2 * _BORDER
    cell_height = _CAPTION + cell_width + 6 + lines * _CHIP
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    # The title and the legend want some width, even over a single picture.
    width = max(2 * _MARGIN + columns * (cell_width + _GAP) - _GAP, 1060)
    top = 128
    sheet = Image.new("RGB", (width, top + rows * (cell_height + _GAP) - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _text(draw, (_MARGIN, 14), title, 28, bold=True)
    _text(draw, (_MARGIN, 51), subtitle, 18, colour=(90, 92, 96))
    _batch_legend(draw, (_MARGIN, 82), real, threshold)
    for i in range(count):
        left = _MARGIN + (i % columns) * (cell_width + _GAP)
        y = top + (i // columns) * (cell_height + _GAP)
        colour = _SYNTHETIC if synthetic_B[i] else _REAL
        draw.rectangle((left, y, left + cell_width - 1, y + _CAPTION + cell_width - 1), fill=colour)
        caption = f"{'SYNTHETIC' if synthetic_B[i] else real.upper()}  {captions[i]}"
        _text(draw, (left + 8, y + 4), _fit(draw, caption, 15, cell_width - 14), 15, colour=(255, 255, 255), bold=True)
        sheet.paste(_resized(images[i], picture), (left + _BORDER, y + _CAPTION + _BORDER))
        chip_width = cell_width / per_line
        for a, au in enumerate(labels.aus):
            x = left + (a % per_line) * chip_width
            box = (x + 1, y + _CAPTION + cell_width + 6 + (a // per_line) * _CHIP)
            intensity, occurrence = float(labels.intensity[i, a]), float(labels.occurrence[i, a])
            _chip(draw, box, chip_width - 2, au=au, intensity=intensity, occurrence=occurrence)
    return np.asarray(sheet, dtype=np.uint8).copy()


def au_sheet(
    images: Mapping[int, Pixels],
    shown: Mapping[int, Labels],
    *,
    title: str,
    subtitle: str = "",
    picture: int = 150,
) -> Pixels:
    """Return a sheet with a row an AU and a column an intensity: each AU by itself, from absent to maximum.

    Under each picture stands what the generator says it shows, in red where that is not just what was asked.

    Args:
        images: for each AU, V pictures (V, H, W, 3) uint8, asked at the intensities 0, 1, ..., V - 1.
        shown: for each AU, the V labels that came with them.
        title: the sheet's first line.
        subtitle: its second line.
        picture: edge of a picture on the sheet, in pixels.

    Returns:
        (H', W', 3) uint8.

    Raises:
        ConfigurationError: no AU, or pictures and labels that do not belong together.
    """
    from PIL import Image, ImageDraw

    if not images or set(images) != set(shown):
        raise ConfigurationError(
            f"pictures of AUs {sorted(images)}, labels of {sorted(shown)}", expected="the same AUs, at least one"
        )
    for au, pictures in images.items():
        _require_pictures(pictures)
        if len(pictures) != len(shown[au]) or au not in shown[au].aus:
            raise ConfigurationError(
                f"AU{au}: {len(pictures)} pictures, {len(shown[au])} labels of {shown[au].aus}",
                expected="as many labels as pictures, over a space that has the AU",
            )
    aus = list(images)
    levels = max(len(pictures) for pictures in images.values())
    name_width, caption, gap = 176, 24, 6
    block_width = name_width + levels * (picture + gap)
    row_height = picture + caption + 8
    # Two blocks side by side keep seventeen rows on one screen.
    blocks = 2 if len(aus) > 4 else 1
    rows = math.ceil(len(aus) / blocks)
    top, heading = 88, 34
    width = max(2 * _MARGIN + blocks * block_width + (blocks - 1) * 36, 760)
    sheet = Image.new("RGB", (width, top + heading + rows * row_height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _text(draw, (_MARGIN, 14), title, 28, bold=True)
    _text(draw, (_MARGIN, 51), subtitle, 18, colour=(90, 92, 96))
    for block in range(blocks):
        left = _MARGIN + block * (block_width + 36)
        for level in range(levels):
            x = left + name_width + level * (picture + gap)
            name = facs.INTENSITY_LETTERS[level] if level < len(facs.INTENSITY_LETTERS) else ""
            draw.rectangle((x, top, x + picture - 1, top + heading - 8), fill=_STRENGTH[min(level, 5)])
            _text(draw, (x + 7, top + 4), f"{level}  {name}", 16, colour=_on(level), bold=True)
        for row, au in enumerate(aus[block * rows : (block + 1) * rows]):
            y = top + heading + row * row_height
            _text(draw, (left, y + 24), f"AU{au}", 26, bold=True)
            unit = facs.ACTION_UNITS[au]
            _text(draw, (left, y + 58), _wrap(draw, unit.name, 17, name_width - 12), 17, colour=(70, 72, 76))
            for level in range(len(images[au])):
                x = left + name_width + level * (picture + gap)
                sheet.paste(_resized(images[au][level], picture), (x, y))
                says, as_asked = _shown(shown[au], level, au)
                text = _fit(draw, says, 16, picture)
                _text(draw, (x + 1, y + picture + 2), text, 16, colour=(90, 92, 96) if as_asked else _WARNING)
    return np.asarray(sheet, dtype=np.uint8).copy()


def _shown(labels: Labels, level: int, asked: int) -> tuple[str, bool]:
    """Return the row's AUs as text, and whether it is just the one that was asked at the intensity `level`."""
    present = {au: value for au, value in zip(labels.aus, labels.intensity[level], strict=True) if value > 0}
    wanted = {asked: float(level)} if level else {}
    as_asked = set(present) == set(wanted) and all(abs(present[au] - wanted[au]) < 0.5 for au in wanted)
    order = sorted(present, key=lambda au: (au != asked, au))
    return "  ".join(f"AU{au} {present[au]:.2g}" for au in order) or "no AU", as_asked


def _batch_legend(draw: ImageDraw, at: tuple[int, int], real: str, threshold: float) -> None:
    x, y = at
    for colour, text in ((_REAL, real), (_SYNTHETIC, "synthetic")):
        draw.rectangle((x, y + 8, x + 21, y + 29), fill=colour)
        _text(draw, (x + 29, y + 8), text, 18)
        x += 29 + int(draw.textlength(text, font=_font(18))) + 22
    x += 12
    samples = [(0.0, 0.0), *((float(level), float(level >= threshold)) for level in range(1, 6))]
    for intensity, occurrence in samples:
        _chip(draw, (x, y), 28, au=12, intensity=intensity, occurrence=occurrence)
        x += 31
    x += 6
    text = f"AU number over intensity: 0 absent, 1 trace, 5 maximum; present from {threshold:g}"
    _text(draw, (x, y + 8), text, 18)
    x += int(draw.textlength(text, font=_font(18))) + 24
    for intensity, occurrence, text in ((np.nan, 1.0, "present, not graded"), (np.nan, np.nan, "unknown")):
        _chip(draw, (x, y), 28, au=12, intensity=intensity, occurrence=occurrence)
        _text(draw, (x + 36, y + 8), text, 18)
        x += 36 + int(draw.textlength(text, font=_font(18))) + 22


def _chip(
    draw: ImageDraw, at: tuple[float, float], width: float, *, au: int, intensity: float, occurrence: float
) -> None:
    """Draw one AU: its number over its intensity, "+" or "0" where only the occurrence is known, or "?"."""
    x, y = at
    box = (x, y, x + width - 1, y + _CHIP - 4)
    if math.isnan(intensity) and math.isnan(occurrence):
        draw.rectangle(box, fill=_UNKNOWN, outline=_FAINT)
        ink, value = _FAINT, "?"
    elif math.isnan(intensity):
        draw.rectangle(box, fill=_STRENGTH[3] if occurrence else _ABSENT)
        ink, value = ((255, 255, 255), "+") if occurrence else (_FAINT, "0")
    else:
        intensity = round(intensity, 1)  # what is read off a picture is seldom exactly 0
        level = min(5, math.ceil(intensity) if intensity < 1 else round(intensity))
        draw.rectangle(box, fill=_STRENGTH[level])
        ink, value = _on(level) if level else _FAINT, f"{intensity:g}"
    centre = x + width / 2
    draw.text((centre, y + 2), str(au), font=_font(14), fill=ink, anchor="ma")
    bold = 0.6 if value not in {"0", "?"} else 0
    draw.text(
        (centre, y + 15),
        value,
        font=_font(17 if len(value) == 1 else 14),
        fill=ink,
        anchor="ma",
        stroke_width=bold,
        stroke_fill=ink,
    )


def _on(level: int) -> Colour:
    return (255, 255, 255) if level >= 2 else _INK


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _text(
    draw: ImageDraw, at: tuple[float, float], text: str, size: int, *, colour: Colour = _INK, bold: bool = False
) -> None:
    draw.text(at, text, font=_font(size), fill=colour, stroke_width=0.5 if bold else 0, stroke_fill=colour)


def _fit(draw: ImageDraw, text: str, size: int, width: float) -> str:
    """Return the text, cut with an ellipsis where it is wider than `width`."""
    if draw.textlength(text, font=_font(size)) <= width:
        return text
    while text and draw.textlength(text + "…", font=_font(size)) > width:
        text = text[:-1]
    return text + "…"


def _wrap(draw: ImageDraw, text: str, size: int, width: float) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=_font(size)) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(line for line in lines if line)


def _resized(image: Pixels, edge: int) -> Image:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = edge / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    square = Image.new("RGB", (edge, edge), _PAPER)
    square.paste(picture.resize(size, Image.Resampling.LANCZOS), ((edge - size[0]) // 2, (edge - size[1]) // 2))
    return square


def _require_pictures(images: Pixels) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise ConfigurationError(
            f"pictures of shape {images.shape} and type {images.dtype}", expected="uint8 (B, H, W, 3), at least one"
        )
