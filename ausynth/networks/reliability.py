"""Whether confidences are true: how often what was said with so much of it was right."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth.errors import ConfigurationError

__all__ = ["ReliabilityCurve", "reliability_plot"]

_COLOURS = ("#1f5fa8", "#c1432b", "#2c8a4b", "#8a4fa0", "#b07d1a", "#444444")


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Confidence against accuracy, in bins of equal width.

    >>> curve = ReliabilityCurve.of([0.9] * 10, [True] * 9 + [False], bins=10)
    >>> curve.error
    0.0

    Attributes:
        confidence: (M,) the mean confidence in each bin that is not empty.
        accuracy: (M,) the share that was right.
        count: (M,) how many entries it holds.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> ReliabilityCurve:
        """Return the curve of entries that were said with a confidence in [0, 1] and are right or not."""
        sure, right = np.ravel(np.asarray(confidence, np.float64)), np.ravel(np.asarray(correct, np.float64))
        if sure.shape != right.shape or not ((sure >= 0) & (sure <= 1)).all():
            raise ConfigurationError(
                f"{len(sure)} confidences and {len(right)} answers", expected="as many of each, confidences in [0, 1]"
            )
        place = np.minimum((sure * bins).astype(np.int64), bins - 1)
        count = np.bincount(place, minlength=bins)
        there = count > 0
        means = [np.bincount(place, values, bins)[there] / count[there] for values in (sure, right)]
        return cls(means[0], means[1], count[there])

    @property
    def error(self) -> float:
        """Return the expected calibration error (Guo et al., "On calibration of modern neural networks", 2017)."""
        gaps = np.abs(self.confidence - self.accuracy) * self.count
        return round(float(gaps.sum()) / max(int(self.count.sum()), 1), 12)


def reliability_plot(curves: dict[str, ReliabilityCurve], side: int = 480) -> bytes:
    """Return a diagram of up to six named curves as PNG data: probability said against share that is there."""
    from PIL import Image, ImageDraw, ImageFont

    edge = side // 8
    image = Image.new("RGB", (side + 2 * edge, side + 2 * edge), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(10, side // 34))

    def at(x: float, y: float) -> tuple[float, float]:
        return edge + x * side, edge + (1 - y) * side

    for tick in np.linspace(0, 1, 6).tolist():
        draw.line([at(tick, 0), at(tick, 1)], fill="#e4e4e4")
        draw.line([at(0, tick), at(1, tick)], fill="#e4e4e4")
        x, y = at(tick, 0)
        draw.text((x, y + 6), f"{tick:.1f}", fill="black", font=font, anchor="ma")
        x, y = at(0, tick)
        draw.text((x - 6, y), f"{tick:.1f}", fill="black", font=font, anchor="rm")
    draw.line([at(0, 0), at(1, 1)], fill="#999999")
    draw.text((edge + side / 2, edge + side + edge / 2), "probability said", fill="black", font=font, anchor="ma")
    draw.text((edge, edge / 2), "share that is there", fill="black", font=font, anchor="lm")
    for row, ((name, curve), colour) in enumerate(zip(curves.items(), _COLOURS, strict=False)):
        points = [at(x, y) for x, y in zip(curve.confidence.tolist(), curve.accuracy.tolist(), strict=True)]
        draw.line(points, fill=colour, width=2)
        for x, y in points:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        place = (edge + 8, edge + 8 + row * side // 24)
        draw.text(place, f"{name}, ECE {curve.error:.3f}", fill=colour, font=font)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
