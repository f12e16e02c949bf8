"""How a face is cut out of a picture: the centre square, from landmarks, or as a user's function says."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CentreSquare", "Crop", "resize_into"]

Pixels = NDArray[np.uint8]


class Crop(Protocol):
    """Cuts the face of picture `index` out of `image` (H0, W0, 3) and resizes it into `out` (H, W, 3). Pickles."""

    @property
    def fingerprint(self) -> str:
        """Return what the crop is, as text: it enters the plan's hash."""
        ...

    def apply(self, image: Pixels, index: int, out: Pixels) -> None:
        """Write the crop into `out`."""
        ...


class CentreSquare:
    """The largest square in the middle of the picture: right for pictures that were cropped to the face already."""

    fingerprint = "none"

    def apply(self, image: Pixels, index: int, out: Pixels) -> None:  # noqa: ARG002 (the protocol's signature)
        """Write the centre square of `image`, resized to the size of `out`, into `out`."""
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        resize_into(image[top : top + side, left : left + side], out)


def resize_into(image: Pixels, out: Pixels) -> None:
    """Resize `image` into `out`: by area when it shrinks (no aliasing), linearly when it grows."""
    height, width = out.shape[:2]
    if image.shape[:2] == (height, width):
        out[:] = image
        return
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    out[:] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
