"""Cuts a person out of a photograph: face, hair, neck and clothes, with soft edges at the hair."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.labels import Floats

__all__ = ["person_matte"]

Pixels = NDArray[np.uint8]
Flags = NDArray[np.bool_]

_ROUNDS: Final = 3
_PLAIN_SHARE: Final = 0.06
"""A background is plain where this share of the picture's rim is smooth, and of one shaded colour."""

_STEPS: Final = 5
"""How often the wall's colour is followed into shadows."""

_LEAST_GAP: Final = 2e-4
"""Of the picture: smaller patches of the background's colour may be glints on hair."""

_LIKELY: Final = 5.0
"""Distance from the background's colour, in its noise, from which a place near the face is likely the person."""

_SMOOTH: Final = 0.012
"""Standard deviation (of 0-1) around a pixel of a plain background: less than in hair and clothes."""


def person_matte(photo_HW3: Pixels, face_HW: Pixels) -> Pixels:
    """Return (H, W) uint8, 255 where the photograph shows the person.

    A plain background is recognised by the picture's rim. GrabCut (Rother, Kolmogorov and Blake, 2004) tells person
    from background; near the border between them a pixel's share is where its colour lies between the colours of
    background and person nearby, smoothed along the photograph's edges (guided filter: He, Sun and Tang, 2010). On a
    plain background that also finds single locks of hair.

    Args:
        photo_HW3: (H, W, 3) uint8 sRGB.
        face_HW: (H, W) uint8, not 0 where the fitted head's face is: certainly the person.
    """
    import cv2

    image = np.asarray(photo_HW3, np.float32) / np.float32(255)
    face_HW = _filled(face_HW)
    skin = _skin(face_HW)
    plain, away = _plain_background(image)
    if plain is not None:
        plain, away = _followed(image, plain, away, skin)
    labels = _first_guess(face_HW, away, skin)
    bgr = cv2.cvtColor(photo_HW3, cv2.COLOR_RGB2BGR)
    cv2.setRNGSeed(0)
    cv2.grabCut(bgr, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = _largest(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)))
    return _softened(image, person, plain, away, skin)


def _plain_background(image: Floats) -> tuple[Floats | None, Floats]:
    """Return the background's colour at every pixel, and how far each pixel is from it, in its own noise.

    A plain background shades off evenly: each colour is a plane over the picture, through those pixels of the rim that
    agree with one another; where a shadow falls on one side there are two such planes, of one tint. Where too few agree
    there is none: None, and the same distance everywhere, which says nothing.
    """
    rows, columns, share = _rim(image)
    colours = image[rows, columns]
    left = np.ones(len(rows), bool)
    first: Floats | None = None
    shades: list[Floats] = []
    distances: list[Floats] = []
    for _ in range(2):
        found = _largest_shade(image, rows[left], columns[left])
        if found is None or found[2].sum() / len(rows) * share < _PLAIN_SHARE:
            break
        shade, noise, agreeing = found
        mean = colours[left][agreeing].mean(0)
        if first is not None and not _same_tint(mean, first):
            break
        first = mean
        shades.append(shade)
        distances.append(np.sqrt((((image - shade) / noise) ** 2).mean(-1)))
        left[np.flatnonzero(left)[agreeing]] = False
    if not shades:
        return None, np.full(image.shape[:2], _LIKELY, np.float32)
    nearest = np.argmin(distances, axis=0)[None]
    away = np.take_along_axis(np.stack(distances), nearest, 0)[0].astype(np.float32)
    plain = np.take_along_axis(np.stack(shades), nearest[..., None], 0)[0].astype(np.float32)
    return plain, away


def _followed(image: Floats, plain: Floats, away: Floats, skin: Flags) -> tuple[Floats, Floats]:
    """Return the background's colour and the distances from it after it has followed soft shadows and vignettes.

    Where a place is surely the wall its own colour says what the wall is like around it, and so on from place to place.
    """
    import cv2

    reach = 0.03 * image.shape[1]
    for _ in range(_STEPS):
        wall = ((away < 3) & ~skin).astype(np.float32)
        near = cv2.GaussianBlur(wall, (0, 0), reach)
        local = cv2.GaussianBlur(image * wall[..., None], (0, 0), reach) / np.maximum(near, 1e-6)[..., None]
        trust = np.clip(near * 4, 0, 1)[..., None]
        plain = np.asarray(local * trust + plain * (1 - trust), np.float32)
        noise = max(float(np.median(np.abs(image - plain)[wall > 0])) * 1.48, 0.006) if wall.any() else 0.006
        away = np.minimum(away, np.sqrt((((image - plain) / noise) ** 2).mean(-1))).astype(np.float32)
    return plain, away


def _rim(image: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], float]:
    """Return rows and columns of the smooth pixels at the picture's edge where background may be, and their share."""
    import cv2

    height, width = image.shape[:2]
    rim = np.zeros((height, width), bool)
    edge = max(2, width // 50)
    rim[:, :edge] = rim[:, -edge:] = True
    rim[:edge, : width // 3] = rim[:edge, -(width // 3) :] = True
    around = cv2.blur(image, (5, 5))
    rough = np.sqrt(np.maximum(cv2.blur(image * image, (5, 5)) - around * around, 0).mean(-1))
    smooth = rim & (rough < _SMOOTH)
    rows, columns = np.nonzero(smooth)
    return rows, columns, len(rows) / rim.sum()


def _largest_shade(
    image: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[Floats, Floats, Flags] | None:
    """Return the colours (H, W, 3) that most of the given pixels agree on, their noise, and which pixels those are."""
    if len(rows) < 12:
        return None
    height, width = image.shape[:2]
    design = np.column_stack([np.ones(len(rows)), columns / width - 0.5, rows / height - 0.5])
    colours = image[rows, columns].astype(np.float64)
    best: Flags = np.zeros(len(rows), bool)
    for start in colours[:: max(1, len(colours) // 60)]:
        near = np.abs(colours - start).max(1) < 0.07
        if near.sum() > best.sum():
            best = near
    for _ in range(4):
        # What all lies in one corner says nothing of how the colour goes on: a little ridge keeps the plane level.
        ridge = np.diag([0, 0.02, 0.02]) * best.sum()
        planes = np.linalg.solve(design[best].T @ design[best] + ridge, design[best].T @ colours[best])
        agreeing = np.abs(colours - design @ planes).max(1) < 0.06
        if agreeing.sum() < 12:
            break
        best = agreeing
    noise = np.maximum(1.48 * np.median(np.abs(colours[best] - design[best] @ planes), axis=0), 0.006)
    down, across = np.mgrid[:height, :width]
    shade = planes[0] + planes[1] * (across / width - 0.5)[..., None] + planes[2] * (down / height - 0.5)[..., None]
    return shade.astype(np.float32), noise.astype(np.float32), best


def _same_tint(colour: Floats, other: Floats) -> bool:
    """Return whether two colours may be one wall in light and in shadow."""
    dim, bright = sorted((float(colour.mean()), float(other.mean())))
    return dim > 0.55 * bright and float(np.abs(colour / colour.sum() - other / other.sum()).max()) < 0.03


def _first_guess(face_HW: Pixels, away: Floats, skin: Flags) -> Pixels:
    """Return GrabCut's labels: the face is the person, hair around it and what stands out probably are."""
    import cv2

    height, width = face_HW.shape
    rows, columns = np.nonzero(face_HW)
    middle, top, bottom = columns.mean(), rows.min(), rows.max()
    half = (columns.max() - columns.min()) / 2
    labels = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    down, across = np.mgrid[:height, :width]
    around = ((across - middle) / (1.7 * half)) ** 2 + ((down - (top + bottom) / 2) / (0.9 * (bottom - top))) ** 2 < 1
    below = (down > bottom) & (np.abs(across - middle) < 0.8 * half)
    labels[(around | below) & (away >= _LIKELY)] = cv2.GC_PR_FGD
    labels[away > 12] = cv2.GC_PR_FGD
    # Background shows in one piece with the picture's rim, or between locks of hair; pale skin may have its colour, but
    # lies within the face or the neck.
    like = (away < 3).astype(np.uint8)
    count, pieces, sizes, _ = cv2.connectedComponentsWithStats(like, connectivity=4)
    outside = np.zeros(count, bool)
    outside[np.unique(np.concatenate([pieces[0], pieces[:, 0], pieces[:, -1]]))] = True
    area = np.asarray(sizes)[:, cv2.CC_STAT_AREA]
    within = np.bincount(pieces[skin], minlength=count)
    between = (area > _LEAST_GAP * height * width) & (within < 0.3 * area)
    wall = outside | between
    wall[0] = False
    labels[wall[pieces]] = cv2.GC_BGD
    edge = max(2, width // 64)
    if not like.any():
        labels[: height // 3, :edge] = labels[: height // 3, -edge:] = cv2.GC_BGD
    labels[cv2.erode(face_HW, np.ones((9, 9), np.uint8)) > 0] = cv2.GC_FGD
    return labels


def _skin(face_HW: Pixels) -> Flags:
    """Return where skin may have the wall's colour and yet is no wall: the face and the neck below it."""
    import cv2

    height, width = face_HW.shape
    rows, columns = np.nonzero(face_HW)
    down, across = np.mgrid[:height, :width]
    neck = down > rows.max() - 0.1 * np.ptp(rows)
    neck &= np.abs(across - columns.mean()) < 0.375 * np.ptp(columns)
    return np.asarray(neck | (cv2.dilate(face_HW, np.ones((7, 7), np.uint8)) > 0))


def _filled(face_HW: Pixels) -> Pixels:
    """Return the face without the holes of its eyes and mouth."""
    import cv2

    outlines, _ = cv2.findContours((face_HW > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(face_HW), outlines, -1, 255, cv2.FILLED), np.uint8)


def _largest(person: Flags) -> Pixels:
    """Return the largest piece of the person, without holes of no size."""
    import cv2

    closed = cv2.morphologyEx(person.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, pieces, sizes, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    return np.asarray(pieces == 1 + int(np.argmax(sizes[1:, cv2.CC_STAT_AREA])), np.uint8)


def _softened(image: Floats, person: Pixels, plain: Floats | None, away: Floats, skin: Flags) -> Pixels:
    """Return the matte of a hard cut."""
    import cv2

    width = person.shape[1]
    band = max(3, width // 50) | 1
    sure = cv2.erode(person, np.ones((band, band), np.uint8), borderType=cv2.BORDER_REPLICATE)
    if plain is not None:
        # The wall between locks of hair, where GrabCut has taken all for hair.
        wall = (cv2.blur(away, (3, 3)) < _LIKELY) & ~skin
        near = max(3, width // 36) | 1
        sure[(cv2.dilate(wall.astype(np.uint8), np.ones((near, near), np.uint8)) > 0) & ~skin] = 0
    reach = band if plain is None else (width // 5) | 1
    sure_not = cv2.erode(1 - person, np.ones((reach, reach), np.uint8), borderType=cv2.BORDER_REPLICATE)
    colour = _nearby(image, (sure > 0) & (away > 3 * _LIKELY) if plain is not None else sure > 0)
    background = plain if plain is not None else _nearby(image, sure_not > 0)
    line = colour - background
    along = ((image - background) * line).sum(2) / np.maximum((line**2).sum(2), 2e-3)
    if plain is not None:
        # What cannot be told from the background's noise is the background.
        along = along * np.clip((away - 2.5) / 3, 0, 1)
    alpha = np.where(sure > 0, 1, np.where(sure_not > 0, 0, np.clip(along * 1.08 - 0.04, 0, 1))).astype(np.float32)
    alpha = _guided(image.mean(2), alpha, radius=max(1, width // 128), smooth=1e-4)
    return np.asarray(np.rint(np.clip(alpha * 1.06 - 0.03, 0, 1) * 255), np.uint8)


def _nearby(image: Floats, chosen: Flags) -> Floats:
    """Return the mean colour of chosen pixels around every pixel, from as near as there are some."""
    import cv2

    share = chosen.astype(np.float32)
    colour, weight = np.zeros_like(image), np.zeros_like(share)
    for spread in (3.0, 9.0, 27.0, 81.0):
        mean = cv2.GaussianBlur(image * share[..., None], (0, 0), spread * image.shape[1] / 256)
        there = cv2.GaussianBlur(share, (0, 0), spread * image.shape[1] / 256)
        take = np.minimum(there, np.maximum(0.05 - weight, 0))
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
