"""Bakes a photograph into the texture of the fitted head's face, and finds the light it was taken in.

Legend of the shapes: V vertices, T triangles, H x W pixels of the photograph, S x S texels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ausynth.generators.portrait.bank import TEXTURE_SIZE, harmonics
from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.person import PhotoCamera
from ausynth.generators.portrait.raster import rasterised
from ausynth.generators.rendered.mesh import normals
from ausynth.labels import Floats

__all__ = ["SHADE", "Baked", "bake", "from_linear", "to_linear"]

Pixels = NDArray[np.uint8]

SHADE: Final = (0.5, 1.8)
"""Least and most of what the light is taken to do to a place of the face, as a share of the mean."""

_FACING: Final = (0.12, 0.4)
_DEPTH: Final = 0.25  # cm that a texel may lie behind what the picture shows at its place


@dataclass(frozen=True, eq=False)
class Baked:
    """What a photograph says of the face.

    Attributes:
        texture: (512, 512, 3) uint8 sRGB, light divided out.
        seen: (512, 512) float32, 0-1: how far the photograph itself, not a fill, speaks for a texel.
        light: (9, 3) float32, of `bank.harmonics` in the picture's axes.
    """

    texture: Pixels
    seen: Floats
    light: Floats


def bake(head: IctHead, neutral_V3: Floats, camera: PhotoCamera, photo_HW3: Pixels, matte_HW: Pixels) -> Baked:
    """Return texture and light of one photograph.

    A texel's weight is smoothstep(facing, .12, .4) x visibility x matte; what was not seen comes from the other half of
    the face, then from its surroundings.
    """
    import cv2

    triangles_T3, corners_SS, weights_SS3 = _unwrapped(head)
    inside_SS = corners_SS >= 0
    vertices = triangles_T3[np.maximum(corners_SS, 0)]
    weights = weights_SS3[..., None]
    places = (neutral_V3[vertices] * weights).sum(-2)
    normals_V3 = normals(neutral_V3, head.triangles)
    facing = camera.turn((normals_V3[vertices] * weights).sum(-2))
    facing /= np.maximum(np.linalg.norm(facing, axis=-1, keepdims=True), 1e-6)
    size = (TEXTURE_SIZE, TEXTURE_SIZE, 3)
    seen = camera.project(places.reshape(-1, 3)).reshape(size)
    column, row = seen[..., 0] - 0.5, seen[..., 1] - 0.5
    linear_HW3 = to_linear(photo_HW3)
    sampled = _values(cv2.remap(linear_HW3, column, row, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    height, width = photo_HW3.shape[:2]
    in_picture = (column >= 0) & (row >= 0) & (column <= width - 1) & (row <= height - 1)
    visible = cv2.remap(
        _visible_depth(head, neutral_V3, camera, max(height, width)), column * 2 + 0.5, row * 2 + 0.5, cv2.INTER_NEAREST
    )
    near = 1 / seen[..., 2] < visible + _DEPTH
    # At the very outline a pixel is mixed with what is behind it.
    within = cv2.erode(matte_HW, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REPLICATE)
    alpha = _values(cv2.remap(within.astype(np.float32) / 255, column, row, cv2.INTER_LINEAR))
    weight_SS = smoothstep(facing[..., 2], *_FACING) * near * in_picture * inside_SS * smoothstep(alpha, 0.5, 0.95)
    weight_SS = weight_SS.astype(np.float32)
    light_93 = _light(sampled, facing, weight_SS)
    shade = np.clip(harmonics(facing) @ light_93, *SHADE)
    albedo = np.clip(sampled / shade, 0, 1)
    height = (head.vertices[vertices, 1] * weights_SS3).sum(-1)
    weight_SS *= _skin_not_background(albedo, facing[..., 2], height, weight_SS)
    texture, filled = _mirrored(albedo, weight_SS)
    texture = _push_pull(texture, filled)
    return Baked(from_linear(texture), weight_SS, light_93)


def to_linear(image: Pixels) -> Floats:
    """Return linear light 0-1, float32, of sRGB pixels."""
    levels = np.arange(256, dtype=np.float64) / 255
    table = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return _values(table.astype(np.float32)[image])


def from_linear(linear: Floats) -> Pixels:
    """Return sRGB pixels of linear light 0-1."""
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(encoded * 255), np.uint8)


def smoothstep(value: Floats, low: float, high: float) -> Floats:
    """Return 0 below `low`, 1 above `high`, and a smooth rise between."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return _values(share * share * (3 - 2 * share))


def _values(values: object) -> Floats:
    return np.asarray(values, np.float32)


@functools.lru_cache(maxsize=2)
def _unwrapped(head: IctHead) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Return the face's triangles, and for each texel the triangle on it (-1: none) and its three corners' weights."""
    own = head.triangles_of("face")
    uv_T32 = head.uv[own] * [TEXTURE_SIZE, -TEXTURE_SIZE] + [0, TEXTURE_SIZE]
    flat = np.concatenate([uv_T32.reshape(-1, 2), np.ones((len(own) * 3, 1))], axis=1).astype(np.float32)
    corners = np.arange(len(own) * 3, dtype=np.int32).reshape(-1, 3)
    edge, other = uv_T32[:, 1] - uv_T32[:, 0], uv_T32[:, 2] - uv_T32[:, 0]
    turned = edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0] > 0
    corners[turned] = corners[turned][:, [0, 2, 1]]
    triangle_SS, weights_SS2 = rasterised(flat, corners, TEXTURE_SIZE)
    weights_SS2[triangle_SS < 0] = 1 / 3
    weights = np.stack([1 - weights_SS2.sum(-1), weights_SS2[..., 0], weights_SS2[..., 1]], axis=-1)
    triangles_T3 = head.triangles[own].copy()
    triangles_T3[turned] = triangles_T3[turned][:, [0, 2, 1]]
    return triangles_T3, triangle_SS, weights.astype(np.float32)


def _visible_depth(head: IctHead, neutral_V3: Floats, camera: PhotoCamera, size: int) -> Floats:
    """Return (2 size, 2 size): centimetres from camera to head at each half pixel, infinite beside the head."""
    seen_V3 = camera.resized(2).project(neutral_V3)
    shown_T3 = head.triangles[head.materials != head.material("lashes")]
    triangle, weights = rasterised(seen_V3, shown_T3, 2 * size)
    weights[triangle < 0] = 0
    near = seen_V3[shown_T3[np.maximum(triangle, 0)], 2]
    nearness = near[..., 0] * (1 - weights.sum(-1)) + near[..., 1] * weights[..., 0] + near[..., 2] * weights[..., 1]
    return np.where(triangle >= 0, 1 / nearness, np.inf).astype(np.float32)


def _light(sampled: Floats, facing: Floats, weight_SS: Floats) -> Floats:
    """Return (9, 3): the light that makes the skin's brightness most even, of one colour, mean 1 over what was seen.

    Brightness differs by place for other reasons too (lips, brows, beard): those are outweighed step by step.
    """
    chosen = (weight_SS > 0.3)[::2, ::2]
    bright = (sampled @ np.array([0.2126, 0.7152, 0.0722], np.float32))[::2, ::2][chosen].astype(np.float64)
    basis = harmonics(facing[::2, ::2][chosen]).astype(np.float64)
    trust = weight_SS[::2, ::2][chosen].astype(np.float64)
    bright /= np.median(bright)
    # The mean weighs nothing; of what a face's front hemisphere barely tells apart, little is believed.
    ridge = np.array([0, 1, 1, 1, 4, 4, 4, 4, 4]) * 0.02 * len(bright)
    light_9: NDArray[np.float64] = np.zeros(9)
    for _ in range(8):
        weighted = basis * trust[:, None]
        light_9 = np.asarray(np.linalg.solve(weighted.T @ basis + np.diag(ridge), weighted.T @ bright))
        missed = bright - basis @ light_9
        spread = 1.5 * np.median(np.abs(missed)) + 1e-6
        trust = weight_SS[::2, ::2][chosen].astype(np.float64) / (1 + (missed / spread) ** 2)
    light_9 = light_9 / (basis @ light_9).mean()
    return np.repeat(light_9[:, None], 3, axis=1).astype(np.float32)


def _skin_not_background(albedo: Floats, facing_z: Floats, height: Floats, weight_SS: Floats) -> Floats:
    """Return 0-1 for each texel: 0 where the side of the head is brighter than the face.

    A studio's bright wall shines through locks of hair, and round the ears of whoever's ears are smaller than the
    head's; along the jaw skin mirrors it.

    Args:
        albedo: (S, S, 3) linear colour.
        facing_z: (S, S) how far the place faces the camera.
        height: (S, S) centimetres above the mean head's origin: below the eyes no fair hair is taken for glare.
        weight_SS: (S, S) how well the photograph shows the place.
    """
    bright = albedo.mean(-1)
    front = (weight_SS > 0.9) & (facing_z > 0.7)
    usual = float(np.median(bright[front])) if front.any() else 1.0
    excess = bright / max(usual, 1e-3)
    upper = smoothstep(height, 0.0, 3.0)
    glare = upper * smoothstep(excess, 1.4, 2.0) + (1 - upper) * smoothstep(excess, 1.1, 1.5)
    return np.asarray(1 - (1 - smoothstep(facing_z, 0.5, 0.75)) * glare, np.float32)


def _mirrored(albedo: Floats, weight_SS: Floats) -> tuple[Floats, Floats]:
    """Return the texture and its weight after the other half of the face has filled what was seen there only."""
    other, other_weight = albedo[:, ::-1], weight_SS[:, ::-1]
    own = weight_SS
    borrowed = (1 - own) * other_weight
    total = own + borrowed
    mixed = (albedo * own[..., None] + other * borrowed[..., None]) / np.maximum(total, 1e-6)[..., None]
    return mixed.astype(np.float32), np.clip(total, 0, 1).astype(np.float32)


def _push_pull(texture: Floats, weight: Floats) -> Floats:
    """Return the texture with what has no weight filled from its surroundings: a pyramid of weighted means and back."""
    import cv2

    levels = [(texture * weight[..., None], weight)]
    while levels[-1][1].shape[0] > 1:
        colour, share = levels[-1]
        half = (share.shape[1] // 2, share.shape[0] // 2)
        smaller = (cv2.resize(values, half, interpolation=cv2.INTER_AREA) for values in (colour, share))
        levels.append((_values(next(smaller)), _values(next(smaller))))
    filled = levels[-1][0].reshape(1, 1, 3) / max(float(levels[-1][1].max()), 1e-9)
    for level, (colour, share) in reversed(list(enumerate(levels[:-1]))):
        wide = cv2.resize(filled, share.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(*share.shape, 3)
        sure = (share if level == 0 else np.clip(share * 4, 0, 1))[..., None]
        own = colour / np.maximum(share, 1e-6)[..., None]
        filled = own * sure + wide * (1 - sure)
    return np.asarray(filled, np.float32)
