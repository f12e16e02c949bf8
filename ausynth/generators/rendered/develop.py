"""From linear light to a picture of 8 bits: the sensor's noise, and the display's curve."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.rendered.kernels import Real, kernel
from ausynth.generators.rendered.noises import GRAIN_SIZE
from ausynth.labels import Floats

__all__ = ["develop"]

_STEPS: Final = 4096
_LAST: Final = GRAIN_SIZE - 1
_LINEAR = np.linspace(0, 1, _STEPS + 1)
# sRGB's transfer function (IEC 61966-2-1), as 8-bit values times 1.
_CURVE: Final = np.where(
    _LINEAR <= 0.0031308, 12.92 * _LINEAR, 1.055 * np.maximum(_LINEAR, 1e-9) ** (1 / 2.4) - 0.055
).astype(np.float32) * np.float32(255)  # fmt: skip


def develop(
    light_HW3: Floats, grain: float, tile: Floats, shift: tuple[int, int, int], out_HW3: NDArray[np.uint8]
) -> None:
    """Write the picture of the light (0-1, linear), with noise of `grain` steps of 8 bits.

    Args:
        light_HW3: (H, W, 3) linear.
        grain: standard deviation of the noise in mid-tones; in the dark the eye, and so the display, is finer.
        tile: independent normal numbers, see `noises.grain_tile`.
        shift: where in the tile the picture's noise begins: down, right, and by how much each colour's is apart.
        out_HW3: written.
    """
    _develop(light_HW3, np.float32(grain), tile, shift[0], shift[1], shift[2], _CURVE, out_HW3)


@kernel
def _develop(  # noqa: PLR0917
    light_HW3: Floats, grain: Real, tile: Floats, down: int, right: int, apart: int, curve: Floats,
    out_HW3: NDArray[np.uint8],
) -> None:  # fmt: skip
    steps = np.float32(len(curve) - 1)
    for row in range(out_HW3.shape[0]):
        for column in range(out_HW3.shape[1]):
            for j in range(3):
                place = min(max(light_HW3[row, column, j], np.float32(0)), np.float32(1)) * steps
                low = min(int(place), len(curve) - 2)
                value = curve[low] + (place - np.float32(low)) * (curve[low + 1] - curve[low])
                if grain > 0:
                    # The tile repeats; rows of repeats are moved so that a picture larger than it shows no pattern.
                    turn = (row // GRAIN_SIZE) * 97 + (column // GRAIN_SIZE) * 61
                    value += grain * tile[(row + down + j * apart) & _LAST, (column + right + turn) & _LAST, j]
                out_HW3[row, column, j] = np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))
