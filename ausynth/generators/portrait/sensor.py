"""From linear light to a picture of 8 bits: the lens' blur, the sensor's noise, the display's curve, JPEG."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.kernels import Real, kernel
from ausynth.generators.portrait.pixels import blurred
from ausynth.generators.rendered.draws import stream
from ausynth.labels import Floats

__all__ = ["CURVE", "Exposure", "Sensor", "expose", "grain"]

_TILE: Final = 512
_STEPS: Final = 4096
_LINEAR = np.linspace(0, 1, _STEPS + 1)
CURVE: Final = np.where(
    _LINEAR <= 0.0031308, 12.92 * _LINEAR, 1.055 * np.maximum(_LINEAR, 1e-9) ** (1 / 2.4) - 0.055
).astype(np.float32) * np.float32(255)  # fmt: skip
"""sRGB's transfer function (IEC 61966-2-1), 0-255, of linear light from 0 to 1."""


@dataclass(frozen=True)
class Sensor:
    """How a picture is taken; every part can be off.

    Attributes:
        blur: 0 is sharp, 1 draws the lens' blur (a Gaussian's sigma of 0.3-0.9 pixels at 128 pixels).
        grain: 0 is none, 1 draws shot and read noise of a phone by day to one in the evening.
        jpeg: (least, most) quality of the JPEG compression, or None.
    """

    blur: float
    grain: float
    jpeg: tuple[int, int] | None


class Exposure(NamedTuple):
    """What is drawn of how one picture is taken.

    Attributes:
        sigma: 0-1, of the lens' blur.
        shot, read: logarithms of the noise's strengths.
        quality: 0-1, of JPEG.
        column, row: where in the tile of noise the picture begins.
    """

    sigma: float
    shot: float
    read: float
    quality: float
    column: int
    row: int

    @classmethod
    def drawn(cls, draw: np.random.Generator) -> Exposure:
        """Return it from the stream "sensor" of a noise seed."""
        sigma, shot, read = draw.random(), draw.uniform(-9.5, -7.4), draw.uniform(-6.8, -5.4)
        return cls(sigma, shot, read, draw.random(), int(draw.integers(_TILE)), int(draw.integers(_TILE)))


def expose(light_HW3: Floats, factor: int, sensor: Sensor, noise: int, out_HW3: NDArray[np.uint8]) -> None:
    """Write the picture of linear light at `factor` x `factor` points a pixel; `light_HW3` is changed."""
    exposure = Exposure.drawn(stream("sensor", noise))
    if factor > 1:
        size = out_HW3.shape[0]
        few = cv2.resize(np.minimum(light_HW3, 1), (size, size), interpolation=cv2.INTER_AREA)
        light_HW3 = np.asarray(few, np.float32)
    if sensor.blur > 0:
        # Sharpness belongs to the lens and the subject, not to the number of pixels.
        width = sensor.blur * (0.3 + 0.6 * exposure.sigma**1.5) * max(1.0, light_HW3.shape[0] / 128) ** 0.8
        light_HW3 = blurred(light_HW3, width, border=cv2.BORDER_REPLICATE)
    shot, read = (np.float32(sensor.grain * np.exp(log)) for log in (exposure.shot, exposure.read))
    _develop(light_HW3, grain(), exposure.column, exposure.row, shot, read, CURVE, out_HW3)
    if sensor.jpeg is not None:
        least, most = sensor.jpeg
        options = [cv2.IMWRITE_JPEG_QUALITY, round(least + (most - least) * exposure.quality)]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(out_HW3, cv2.COLOR_RGB2BGR), options)
        out_HW3[:] = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


@functools.cache
def grain() -> Floats:
    """Return (512, 512, 3) of normal noise, the same on every machine; each picture begins elsewhere in it."""
    draw = np.random.Generator(np.random.Philox(20021))
    tile = np.round(draw.standard_normal((_TILE, _TILE, 3), dtype=np.float32), 3)
    tile.flags.writeable = False
    return tile


@kernel
def _develop(  # noqa: PLR0917 (numba takes no keywords)
    light_HW3: Floats,
    grain: Floats,
    column0: int,
    row0: int,
    shot: Real,
    read: Real,
    curve: Floats,
    out_HW3: NDArray[np.uint8],
) -> None:
    steps, last = np.float32(len(curve) - 1), np.int64(len(curve) - 2)
    tile = grain.shape[0] - 1
    for row in range(out_HW3.shape[0]):
        for column in range(out_HW3.shape[1]):
            for j in range(3):
                value = min(max(light_HW3[row, column, j], np.float32(0)), np.float32(1))
                if read > 0:
                    # Photons come one by one: the noise grows with the root of their number. And the amplifier's own.
                    spread = np.sqrt(shot * value) + read * np.float32(0.35)
                    value += spread * grain[(row + row0) & tile, (column + column0) & tile, j]
                place = min(max(value, np.float32(0)), np.float32(1)) * steps
                low = min(np.int64(place), last)
                value = curve[low] + (place - np.float32(low)) * (curve[low + 1] - curve[low])
                out_HW3[row, column, j] = np.uint8(value + np.float32(0.5))
