"""From linear light at many points to a picture of 8 bits: averaging, grain, and the display's curve."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.kernels import kernel
from ausynth.labels import Floats

__all__ = ["develop"]

_STEPS: Final = 4096
_LINEAR = np.linspace(0, 1, _STEPS + 1)
# sRGB's transfer function (IEC 61966-2-1), as 8-bit values times 1.
_CURVE: Final = np.where(
    _LINEAR <= 0.0031308, 12.92 * _LINEAR, 1.055 * np.maximum(_LINEAR, 1e-9) ** (1 / 2.4) - 0.055
).astype(np.float32) * np.float32(255)  # fmt: skip


def develop(light_HW3: Floats, factor: int, grain_HW3: Floats | None, out_HW3: NDArray[np.uint8]) -> None:
    """Average `factor` x `factor` points a pixel, add the grain (in 8-bit steps), and write the picture."""
    none = np.zeros((0, 0, 3), np.float32)
    _develop(light_HW3, factor, none if grain_HW3 is None else grain_HW3, _CURVE, out_HW3)


@kernel
def _develop(light_HW3: Floats, factor: int, grain_HW3: Floats, curve: Floats, out_HW3: NDArray[np.uint8]) -> None:
    share = np.float32(1) / np.float32(factor * factor)
    steps = np.float32(len(curve) - 1)
    has_grain = grain_HW3.shape[0] > 0
    for row in range(out_HW3.shape[0]):
        for column in range(out_HW3.shape[1]):
            for j in range(3):
                total = np.float32(0)
                for i in range(factor):
                    for k in range(factor):
                        # Highlights roll off before they are averaged, else one glint whitens a whole pixel.
                        value = light_HW3[row * factor + i, column * factor + k, j]
                        total += min(value, np.float32(1.0))
                place = min(max(total * share, np.float32(0)), np.float32(1)) * steps
                low = min(int(place), len(curve) - 2)
                value = curve[low] + (place - np.float32(low)) * (curve[low + 1] - curve[low])
                if has_grain:
                    value += grain_HW3[row, column, j]
                out_HW3[row, column, j] = np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))
