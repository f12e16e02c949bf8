"""What light reaches the camera from the points of B pictures: `portrait.shade`, for lists of points of all pictures.

Legend of the shapes: N points where the mesh (or the sheet) is seen, out of all pictures; V vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from ausynth.generators.portrait.batched.raster import Seen
from ausynth.generators.portrait.irises import EXTENT
from ausynth.generators.portrait.topology import EYE, GUMS, SKIN, TEETH
from ausynth.generators.portrait.wrinkles import COLUMNS, LEFT_EDGE, POINTS_PER_CM, ROWS, UPPER_EDGE

__all__ = ["MOUTH", "Front", "Sheet", "Surface", "shade"]

_SEEN: Final = 0.004  # a thinner layer is not seen
_HIDES: Final = 0.996
MOUTH: Final = ((0.52, 0.47, 0.38), (0.44, 0.18, 0.165), (0.16, 0.045, 0.04))
"""Linear colours of teeth, of gums and tongue, and of the mouth's wall."""


class Surface(NamedTuple):
    """What of the mesh is the same for all pictures, as in `portrait.shade.Front`.

    Attributes:
        triangles: (T, 3) int64.
        kinds: (T,) int64.
        uv: (T, 3, 2).
        fixed: (V, 7): cover, rim, x and y at rest, direction on the eyeball (x, y), 1 on the left half.
        mouth: (3, 3) `MOUTH`.
        linear: (256,) linear light of sRGB's values.
    """

    triangles: Tensor
    kinds: Tensor
    uv: Tensor
    fixed: Tensor
    mouth: Tensor
    linear: Tensor


@dataclass(frozen=True, eq=False)
class Front:
    """B faces before the camera.

    Attributes:
        seen: what of them is seen.
        own: (B, V, 7): light (red, green, blue), normal (x, y, z), how much light reaches the place.
        texture: (U, S, S, 3) uint8 of people, and `who` (B,) which of them each picture shows.
        eyes: (N, 2, P, P, 3) of people, and `eyes_of` (B,).
        grooves: (B, ROWS, COLUMNS).
        key, key_colour: (B, 3).
    """

    seen: Seen
    own: Tensor
    texture: Tensor
    who: Tensor
    eyes: Tensor
    eyes_of: Tensor
    grooves: Tensor
    key: Tensor
    key_colour: Tensor


@dataclass(frozen=True, eq=False)
class Sheet:
    """The photographs around B faces.

    Attributes:
        seen: what of them is seen, were there no face.
        triangles: (B, T, 3).
        places: (B, G, 2) column and row in the photograph.
        light: (B, G, 3) factor by which the light differs from the photograph's.
        picture: (N, H, W, 4) uint8 of people, and `base` (B,) whose each picture takes.
    """

    seen: Seen
    triangles: Tensor
    places: Tensor
    light: Tensor
    picture: Tensor
    base: Tensor


def shade(surface: Surface, front: Front, sheet: Sheet, out_BPP3: Tensor) -> None:
    """Write the light of every point over the backgrounds that `out_BPP3` holds."""
    out_N3 = out_BPP3.reshape(-1, 3)
    places_M = front.seen.places
    alpha_M, sent_M3 = _face(surface, front)
    alpha_N = torch.zeros(len(out_N3), dtype=alpha_M.dtype, device=alpha_M.device)
    alpha_N[places_M] = alpha_M
    _lay_sheet(sheet, surface.linear, alpha_N, out_N3)
    under_M3 = out_N3[places_M]
    over_M3 = under_M3 + alpha_M[:, None] * (sent_M3 - under_M3)
    out_N3[places_M] = torch.where(alpha_M[:, None] > _SEEN, over_M3, under_M3)


def _face(surface: Surface, front: Front) -> tuple[Tensor, Tensor]:
    """Return the opacity (N,) and the light (N, 3) of the mesh's points."""
    seen = front.seen
    picture_N = seen.pictures()
    triangle_N = seen.triangle.reshape(-1)[seen.places]
    corners_N3, kind_N = surface.triangles[triangle_N], surface.kinds[triangle_N]
    cover, rim, x, y, eye_x, eye_y, _ = _mixed(surface.fixed[corners_N3], seen.weights).unbind(1)
    vertices = front.own.shape[1]
    own_N7 = _mixed(front.own.reshape(-1, 7)[picture_N[:, None] * vertices + corners_N3], seen.weights)
    light_N3, normal_N3, inside_N1 = own_N7[:, :3], own_N7[:, 3:6], own_N7[:, 6:]
    # Where the face turns away its edge melts into the photograph's own.
    facing = ((normal_N3[:, 2] - 0.04) / 0.26).clamp(0, 1)
    alpha_N = torch.where(kind_N == SKIN, cover * (1 + rim * (facing - 1)), cover)
    sent_N3 = torch.zeros_like(light_N3)
    skin = torch.nonzero(kind_N == SKIN)[:, 0]
    uv_N2 = _mixed(surface.uv[triangle_N[skin]], seen.weights[skin])
    at = picture_N[skin]
    colour_N3 = _sampled(front.texture, front.who[at], uv_N2 * front.texture.shape[1] - 0.5, surface.linear)
    lines_N3 = _lines(x[skin], y[skin], at, front.grooves, front.key[at])
    sent_N3[skin] = colour_N3 * light_N3[skin] * lines_N3 * inside_N1[skin]
    eye = torch.nonzero(kind_N == EYE)[:, 0]
    at, left_N = picture_N[eye], surface.fixed[corners_N3[eye, 0], 6] > 0
    iris_N3 = _iris(eye_x[eye], eye_y[eye], front.eyes, front.eyes_of[at], (~left_N).long())
    glint_N1 = _glint(normal_N3[eye], front.key[at])[:, None]
    sent_N3[eye] = iris_N3 * light_N3[eye] + front.key_colour[at] * glint_N1 * inside_N1[eye]
    mouth = torch.nonzero(kind_N > EYE)[:, 0]
    sent_N3[mouth] = _mouth(kind_N[mouth], normal_N3[mouth, 2], surface.mouth) * (light_N3[mouth] * inside_N1[mouth])
    return alpha_N, sent_N3


def _mixed(corners_N3C: Tensor, weights_N3: Tensor) -> Tensor:
    """Return (N, C) the corners' values, mixed by their weights."""
    a, b, c = weights_N3[..., None].unbind(1)
    return a * corners_N3C[:, 0] + b * corners_N3C[:, 1] + c * corners_N3C[:, 2]


def _around(x_N: Tensor, y_N: Tensor, width: int, height: int) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """Return the column, the row and the weight of the four pixels around each place, kept inside."""
    x_N, y_N = x_N.clamp(0, width - 1), y_N.clamp(0, height - 1)
    i, j = x_N.long(), y_N.long()
    fx, fy = x_N - i, y_N - j
    i1, j1 = (i + 1).clamp(max=width - 1), (j + 1).clamp(max=height - 1)
    gx, gy = 1 - fx, 1 - fy
    return (i, j, gx * gy), (i1, j, fx * gy), (i, j1, gx * fy), (i1, j1, fx * fy)


def _sampled(pictures: Tensor, which_N: Tensor, places_N2: Tensor, linear: Tensor) -> Tensor:
    """Return the light, and for pictures with a fourth channel the opacity, of (U, H, W, 3 or 4) pictures at places."""
    height, width, channels = pictures.shape[1:]
    flat = pictures.reshape(-1, channels)
    total = torch.zeros((len(places_N2), channels), device=places_N2.device)
    for i, j, weight in _around(places_N2[:, 0], places_N2[:, 1], width, height):
        texel = flat[(which_N * height + j) * width + i]
        value = linear[texel[:, :3].long()]
        if channels > 3:
            value = torch.cat([value, texel[:, 3:].float()], 1)
        total = total + weight[:, None] * value
    return total


def _lines(x_N: Tensor, y_N: Tensor, picture_N: Tensor, grooves_BRC: Tensor, key_N3: Tensor) -> Tensor:
    """Return (N, 3) by how much lines in the skin darken or brighten it."""
    column, row = (x_N - LEFT_EDGE) * POINTS_PER_CM, (UPPER_EDGE - y_N) * POINTS_PER_CM
    inside = (column >= 1) & (column < COLUMNS - 2) & (row >= 1) & (row < ROWS - 2)
    i, j = torch.where(inside, column, 1).long(), torch.where(inside, row, 1).long()
    hx, hy = column - i, row - j
    first = (picture_N * ROWS + j) * COLUMNS + i
    flat = grooves_BRC.reshape(-1)
    a, b, c, d = flat[first], flat[first + 1], flat[first + COLUMNS], flat[first + COLUMNS + 1]
    upper, lower = a + (b - a) * hx, c + (d - c) * hx
    depth = torch.where(inside, upper + (lower - upper) * hy, 0)
    slope_x = (b - a) * (1 - hy) + (d - c) * hy
    slope_y = (a - c) * (1 - hx) + (b - d) * hx
    # A groove's wall that faces the lamp is brighter; the slopes are those of a depth of about a millimetre.
    tilt = 1.4 * (slope_x * key_N3[:, 0] + slope_y * (0.35 + key_N3[:, 1]))
    tilt = torch.where(inside, tilt.clamp(-0.35, 0.35), 0)
    keep = 1 - (0.44 * depth.clamp(min=0)).clamp(max=0.6) + 0.14 * (-depth).clamp(min=0)
    bright = keep * (1 + tilt)
    # Light that enters a fold comes out redder.
    red = torch.where(bright < 1, 0.35 + 0.65 * bright, bright)
    return torch.stack([red, bright, bright], 1)


def _iris(x_N: Tensor, y_N: Tensor, eyes: Tensor, person_N: Tensor, side_N: Tensor) -> Tensor:
    points = eyes.shape[2]
    column = (x_N / EXTENT + 1) * 0.5 * points - 0.5
    row = (1 - y_N / EXTENT) * 0.5 * points - 0.5
    flat = eyes.reshape(-1, 3)
    total = torch.zeros((len(x_N), 3), device=x_N.device)
    for i, j, weight in _around(column, row, points, points):
        total = total + weight[:, None] * flat[((person_N * 2 + side_N) * points + j) * points + i]
    return total


def _glint(normal_N3: Tensor, key_N3: Tensor) -> Tensor:
    """Return the lamp's mirror image on a wet ball, seen from the front."""
    half_N3 = torch.cat([key_N3[:, :2], key_N3[:, 2:] + 1], 1)
    length_N = half_N3.square().sum(1).sqrt() + 1e-6
    facing_N = (normal_N3 * half_N3).sum(1) / length_N
    return 0.8 * ((facing_N - 0.992) / 0.006).clamp(0, 1)


def _mouth(kind_N: Tensor, nz_N: Tensor, colours_33: Tensor) -> Tensor:
    """Return the colour of teeth, gums and tongue, or of the mouth's wall."""
    rounded_N1 = (0.62 + 0.38 * nz_N.clamp(0, 1))[:, None]
    teeth, gums, socket = colours_33.unbind(0)
    flesh_N3 = torch.where((kind_N == GUMS)[:, None], gums * rounded_N1, socket)
    return torch.where((kind_N == TEETH)[:, None], teeth * rounded_N1, flesh_N3)


def _lay_sheet(sheet: Sheet, linear: Tensor, alpha_N: Tensor, out_N3: Tensor) -> None:
    """Lay the photographs over the backgrounds, where the face does not hide them."""
    seen = sheet.seen
    shown = torch.nonzero(alpha_N[seen.places] < _HIDES)[:, 0]
    places_M, weights_M3 = seen.places[shown], seen.weights[shown]
    picture_M = seen.pictures()[shown]
    corners_M3 = sheet.triangles[picture_M, seen.triangle.reshape(-1)[places_M]]
    at_M3 = picture_M[:, None] * sheet.places.shape[1] + corners_M3
    place_M2 = _mixed(sheet.places.reshape(-1, 2)[at_M3], weights_M3) - 0.5
    light_M3 = _mixed(sheet.light.reshape(-1, 3)[at_M3], weights_M3)
    own_M4 = _sampled(sheet.picture, sheet.base[picture_M], place_M2, linear)
    under_M3 = out_N3[places_M]
    out_N3[places_M] = under_M3 + own_M4[:, 3:] / 255 * (own_M4[:, :3] * light_M3 - under_M3)
