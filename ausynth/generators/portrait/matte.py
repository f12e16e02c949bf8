"""Cuts a person out of a photograph: face, hair, neck and clothes, with soft edges at the hair."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.labels import Floats

__all__ = ["person_matte"]

Pixels = NDArray[np.uint8]

_ROUNDS: Final = 4


def person_matte(photo_HW3: Pixels, face_HW: Pixels) -> Pixels:
    """Return (H, W) uint8, 255 where the photograph shows the person.

    GrabCut (Rother, Kolmogorov and Blake, 2004) tells person from background; in the band between, a pixel's share is
    where its colour lies between the colours of background and person nearby, smoothed along the photograph's edges
    (guided filter: He, Sun and Tang, 2010).

    Args:
        photo_HW3: (H, W, 3) uint8 sRGB.
        face_HW: (H, W) uint8, not 0 where the fitted head's face is: certainly the person.
    """
    import cv2

    height, width = face_HW.shape
    bgr = cv2.cvtColor(photo_HW3, cv2.COLOR_RGB2BGR)
    rows, columns = np.nonzero(face_HW)
    middle, top, bottom = columns.mean(), rows.min(), rows.max()
    half = (columns.max() - columns.min()) / 2
    labels = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    down, across = np.mgrid[:height, :width]
    # Hair around the face, neck and shoulders below it: probably.
    head_HW = ((across - middle) / (1.35 * half)) ** 2 + ((down - (top + bottom) / 2) / (0.75 * (bottom - top))) ** 2 < 1
    labels[head_HW] = cv2.GC_PR_FGD
    labels[(down > bottom) & (np.abs(across - middle) < 0.8 * half)] = cv2.GC_PR_FGD
    labels[cv2.erode(face_HW, np.ones((5, 5), np.uint8)) > 0] = cv2.GC_FGD
    edge = max(2, width // 64)
    labels[: height // 3, :edge] = labels[: height // 3, -edge:] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(bgr, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    person_HW = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return _softened(photo_HW3, person_HW)


def _softened(photo_HW3: Pixels, person_HW: Pixels) -> Pixels:
    import cv2

    width = person_HW.shape[1]
    band = max(3, width // 40) | 1
    sure = cv2.erode(person_HW, np.ones((band, band), np.uint8))
    sure_not = cv2.erode(1 - person_HW, np.ones((band, band), np.uint8), borderType=cv2.BORDER_REPLICATE)
    image = photo_HW3.astype(np.float32) / 255
    person, background = _nearby(image, sure), _nearby(image, sure_not)
    line = person - background
    along = ((image - background) * line).sum(2) / np.maximum((line**2).sum(2), 2e-3)
    alpha = np.where(sure > 0, 1, np.where(sure_not > 0, 0, np.clip(along, 0, 1))).astype(np.float32)
    alpha = _guided(image.mean(2), alpha, radius=max(2, width // 100), smooth=1e-4)
    return np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8)


def _nearby(image: Floats, chosen: Pixels) -> Floats:
    """Return the mean colour of chosen pixels around every pixel, from as near as there are some."""
    import cv2

    share = chosen.astype(np.float32)
    colour, weight = np.zeros_like(image), np.zeros_like(share)
    for spread in (3.0, 9.0, 27.0, 81.0):
        mean = cv2.GaussianBlur(image * share[..., None], (0, 0), spread * image.shape[1] / 256)
        there = cv2.GaussianBlur(share, (0, 0), spread * image.shape[1] / 256)
        left = np.maximum(0.05 - weight, 0)
        take = np.minimum(there, left)
        colour += mean / np.maximum(there, 1e-6)[..., None] * take[..., None]
        weight += take
    return np.asarray(colour / np.maximum(weight, 1e-6)[..., None], np.float32)


def _guided(guide: Floats, alpha: Floats, *, radius: int, smooth: float) -> Floats:
    """Return the guided filter of `alpha` with a grey guide, both (H, W) float32 in 0-1."""
    import cv2

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, (2 * radius + 1, 2 * radius + 1)), np.float32)

    mean_guide, mean_alpha = mean(guide), mean(alpha)
    slope = (mean(guide * alpha) - mean_guide * mean_alpha) / (mean(guide * guide) - mean_guide**2 + smooth)
    return np.asarray(mean(slope) * guide + mean(mean_alpha - slope * mean_guide), np.float32)
