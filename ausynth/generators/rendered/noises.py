"""Tiles of noise, made once: what makes surfaces uneven, and the grain of a sensor."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np

from ausynth.labels import Floats

__all__ = ["GRAIN_SIZE", "NOISE_SIZE", "grain_tile", "noise_tile"]

NOISE_SIZE: Final = 256
GRAIN_SIZE: Final = 256


@functools.cache
def noise_tile() -> Floats:
    """Return (256, 256, 3) smooth noise around 0 that repeats without a seam: coarse, middling, fine. Read-only."""
    draw = np.random.Generator(np.random.Philox(20020))
    frequency = np.hypot(np.fft.fftfreq(NOISE_SIZE)[:, None], np.fft.rfftfreq(NOISE_SIZE)[None]) * NOISE_SIZE
    bands = []
    for middle in (4.5, 18.0, 90.0):
        spectrum = np.fft.rfft2(draw.standard_normal((NOISE_SIZE, NOISE_SIZE)))
        band = np.fft.irfft2(spectrum * np.exp(-(((frequency - middle) / (0.45 * middle)) ** 2)), s=(NOISE_SIZE,) * 2)
        bands.append(band / band.std())
    # Rounded, so that the last bits of a machine's Fourier transform do not matter.
    tile = np.round(np.stack(bands, -1), 3).astype(np.float32)
    tile.flags.writeable = False
    return tile


@functools.cache
def grain_tile() -> Floats:
    """Return (256, 256, 3) independent normal numbers; a picture's grain is this, shifted by its seed. Read-only."""
    draw = np.random.Generator(np.random.Philox(20021))
    tile = draw.standard_normal((GRAIN_SIZE, GRAIN_SIZE, 3), dtype=np.float32)
    tile.flags.writeable = False
    return tile
