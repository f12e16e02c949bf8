"""A simulated person in front of a camera: frames of a label sequence, smooth in time, rendered only where they change.

Legend of the shapes: T frames, K key frames, A action units, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.generators.asking import ask
from ausynth.generators.base import Generated, Generator
from ausynth.labels import Floats
from ausynth.schedule import random_bits
from ausynth.simulated.files import Frame

__all__ = ["ROOM", "STRETCH", "render_sequence"]

Pixels = NDArray[np.uint8]

STRETCH: Final = 8
"""Frames over which pose and light stay: a face is rendered once for them, and the camera drifts over it."""

ROOM: Final = 1.06
"""A rendered picture is this much larger than a frame, which leaves the camera room to drift."""


def render_sequence(
    generator: Generator, asked: Floats, aus: tuple[int, ...], person: int, size: int
) -> Iterator[Frame]:
    """Yield one person's frames (size, size, 3), with the labels of what they show over the generator's AUs.

    A face is rendered once for every few frames with equal labels; between these, camera and exposure drift slowly.

    Args:
        generator: what renders.
        asked: (T, A) intensities.
        aus: what the columns of `asked` stand for; what the generator lacks is not shown, and not in its labels.
        person: the identity.
        size: height and width of a frame.
    """
    wanted_TA = np.zeros((len(asked), len(generator.aus)), np.float32)
    for column, au in enumerate(aus):
        if au in generator.aus:
            wanted_TA[:, generator.aus.index(au)] = asked[:, column]
    stretch_T = np.arange(len(asked)) // STRETCH
    starts_T = np.ones(len(asked), dtype=bool)
    starts_T[1:] = (wanted_TA[1:] != wanted_TA[:-1]).any(axis=1) | (stretch_T[1:] != stretch_T[:-1])
    key_T = np.cumsum(starts_T) - 1
    first_K = np.flatnonzero(starts_T)
    camera = _Camera(np.random.default_rng(person), size)
    at_once = max(1, 32 // generator.block_size) * generator.block_size
    for begin in range(0, len(first_K), at_once):
        chunk = first_K[begin : begin + at_once]
        noise = (random_bits(person, "pose and light of a stretch", stretch_T[chunk]) >> np.uint64(2)).astype(np.int64)
        generated = _generate(generator, wanted_TA[chunk], person, noise)
        labels_KA = np.rint(generated.labels.intensity)
        for t in np.flatnonzero((key_T >= begin) & (key_T < begin + len(chunk))):
            k = key_T[t] - begin
            yield Frame(camera.see(generated.images[k], int(t)), labels_KA[k])


def _generate(generator: Generator, wanted_KA: Floats, person: int, noise: NDArray[np.int64]) -> Generated:
    """Return K pictures, asked for in whole blocks."""
    count, block = len(wanted_KA), generator.block_size
    rows = np.minimum(np.arange(-(-count // block) * block), count - 1)
    return generator.generate(ask(generator, wanted_KA[rows], np.full(len(rows), person), noise[rows]))


class _Camera:
    """Looks at a rendered picture through a window that drifts, with an exposure that drifts: smooth in time."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._size = size
        self._period = rng.uniform(60, 200, (3, 2))
        self._phase = rng.uniform(0, 2 * np.pi, (3, 2))

    def see(self, image: Pixels, t: int) -> Pixels:
        """Return the (size, size, 3) view of `image` at frame `t`."""
        # Two sines of unrelated periods each for x, y and exposure: within -1 and 1, and never quite repeating.
        x, y, exposure = np.sin(2 * np.pi * t / self._period + self._phase).mean(axis=1)
        edge = min(image.shape[:2])
        window = edge / ROOM
        scale, slack = self._size / window, (edge - window) / 2
        left, top = (image.shape[1] - window) / 2 + slack * x, (image.shape[0] - window) / 2 + slack * y
        # Pixel centres, not corners, are what warpAffine maps.
        shift = [0.5 * scale - 0.5 - left * scale, 0.5 * scale - 0.5 - top * scale]
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        view = cv2.warpAffine(
            image, matrix, (self._size, self._size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(cv2.convertScaleAbs(view, alpha=1 + 0.04 * exposure), dtype=np.uint8)
