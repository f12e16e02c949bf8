"""Pictures as arrays: blurring, halving, sRGB to linear light and back."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.labels import Floats

__all__ = ["LINEAR", "Pixels", "blurred", "encoded", "halved", "lab_of", "linear", "rgb_of"]

Pixels = NDArray[np.uint8]


def linear(colours: Any) -> Floats:
    """Return the linear light, 0-1, of sRGB colours of 8 bits (IEC 61966-2-1)."""
    share = np.asarray(colours, np.float64) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encoded(light: Any) -> Floats:
    """Return the sRGB colours, 0-255 and not rounded, of linear light."""
    share = np.clip(np.asarray(light, np.float64), 0, 1)
    return (255 * np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)).astype(np.float32)


LINEAR: Final = linear(np.arange(256))
"""`linear` of each of the 256 values."""


def blurred(image: NDArray[Any], sigma: float, *, border: int = cv2.BORDER_REFLECT) -> Floats:
    """Return an image, Gaussian-blurred by `sigma` pixels, in 32 bits."""
    return np.asarray(cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), sigma, borderType=border), np.float32)


def halved(image: Pixels, times: int = 1) -> Pixels:
    """Return an image at half its height and width, that many times."""
    for _ in range(times):
        image = np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(image)


def lab_of(image: Pixels) -> Floats:
    """Return an sRGB picture's CIE L*a*b* colours: L 0-100."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab), np.float32)


def rgb_of(lab: Floats) -> Floats:
    """Return the sRGB colours, 0-1, of CIE L*a*b* ones."""
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.float32)
