"""What is behind B people: the scenes of `portrait.backdrop`, drawn from the same numbers, painted for all at once.

Legend of the shapes: Q points of the small scene along either side, T things in it.
"""

from __future__ import annotations

import bisect
import math
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ausynth.generators.portrait.backdrop import KINDS, PLAIN, POINTS, brightness
from ausynth.generators.portrait.batched.draws import streams
from ausynth.labels import Floats

__all__ = ["Backdrops", "Plans"]

_BOXES, _DISCS = 6, 13
_NOWHERE: Final = (9.0, 9.0, 9.0, 9.0)
_BLOBS: Final = (1.5, 3.0, 6.0)
_FULL, _MOST = 1.0, 0.8


class Plans:
    """What is drawn of the scenes behind B people: numbers, not yet pictures.

    Attributes:
        gradient: (B, 8): angle, slope, the spot's strength, column and row, and the wall's colour.
        boxes: (B, 6, 8): left, top, right, bottom, opacity and colour of things before the wall, in their order.
        discs: (B, 13, 6): radius, column, row and colour of lights.
        leaves: (B,) bool: whether it is a garden.
        garden: (B, 7): colours of leaves and sky, and the horizon; 0 elsewhere.
        blobs: (N, 3, Q, Q) float32 noise of the N gardens.
        blur: (B,) sigma in points, 0 is sharp.
    """

    def __init__(self, noise_B: NDArray[np.int64]) -> None:
        count = len(noise_B)
        self.gradient = np.zeros((count, 8), np.float32)
        self.boxes = np.zeros((count, _BOXES, 8), np.float32)
        self.boxes[:, :, :4] = _NOWHERE
        self.discs = np.zeros((count, _DISCS, 6), np.float32)
        self.leaves = np.zeros(count, bool)
        self.garden = np.zeros((count, 7), np.float32)
        self.blur = np.zeros(count)
        blobs: list[Floats] = []
        painters = (self._wall, self._room, self._garden, self._window, self._bokeh)
        self._colours: list[tuple[Floats, tuple[float, ...]]] = []
        bounds_4 = (np.cumsum(KINDS) / np.sum(KINDS)).tolist()[:-1]
        for b, draw in enumerate(streams("background", noise_B)):
            made = painters[bisect.bisect_right(bounds_4, draw.random())](b, draw)  # as `Generator.choice` does
            if made is not None:
                blobs.append(made)
        self._mix()
        self.blobs = np.stack(blobs) if blobs else np.zeros((0, len(_BLOBS), POINTS, POINTS), np.float32)

    def _colour(self, out_3: Floats, draw: np.random.Generator, bright: float, most: float = 0.22) -> None:
        """Draw a linear colour of little saturation, to be written to `out_3` when all are drawn."""
        hue, saturation = draw.uniform(0, 2 * np.pi), most * draw.beta(1.3, 2.2)
        self._colours.append((out_3, (bright, hue, saturation, *draw.standard_normal(3))))

    def _mix(self) -> None:
        if not self._colours:
            return
        bright, hue, saturation, *shift = np.array([numbers for _, numbers in self._colours]).T
        way_3N = np.stack([np.cos(hue), 0.35 * np.sin(hue), -np.cos(hue)])
        colours_N3 = (bright * np.clip(1 + saturation * way_3N + 0.03 * np.stack(shift), 0.3, 2)).T
        for (out_3, _), colour_3 in zip(self._colours, colours_N3, strict=True):
            out_3[:] = colour_3
        self._colours.clear()

    def _spread(self, b: int, draw: np.random.Generator, bright: float) -> None:
        angle, slope = draw.uniform(0, 2 * np.pi), draw.uniform(0.05, 0.5)
        spot, column, row = draw.uniform(0, 0.6), draw.uniform(0, 1), draw.uniform(0, 1)
        self.gradient[b, :5] = angle, slope, spot, column, row
        self._colour(self.gradient[b, 5:], draw, bright)

    def _wall(self, b: int, draw: np.random.Generator) -> None:
        self._spread(b, draw, brightness(draw))

    def _room(self, b: int, draw: np.random.Generator) -> None:
        bright = brightness(draw)
        self._spread(b, draw, bright)
        for thing in range(int(draw.integers(2, 7))):
            left, top = draw.uniform(-0.2, 1, 2)
            width, height = draw.uniform(0.08, 0.5), draw.uniform(0.1, 0.9)
            own = min(max(bright * math.exp(draw.normal(0, 0.7)), 0.01), 1.0)
            self.boxes[b, thing, :5] = left, top, left + width, top + height, _MOST
            self._colour(self.boxes[b, thing, 5:], draw, own, 0.3)
        self.blur[b] = draw.uniform(1.2, 4.5)

    def _garden(self, b: int, draw: np.random.Generator) -> Floats:
        green_3 = (
            np.array([0.16, 0.21, 0.09], np.float32) * draw.uniform(0.4, 1.6) * (1 + 0.15 * draw.standard_normal(3))
        )
        sky_3 = np.array([0.62, 0.70, 0.78], np.float32) * draw.uniform(0.5, 1.1)
        blobs = np.stack([draw.standard_normal((POINTS, POINTS)).astype(np.float32) for _ in _BLOBS])
        self.leaves[b] = True
        self.garden[b] = (*green_3, *sky_3, draw.uniform(-0.2, 0.7))
        self.blur[b] = draw.uniform(1.0, 2.5)
        return blobs

    def _window(self, b: int, draw: np.random.Generator) -> None:
        self._spread(b, draw, float(draw.uniform(0.05, 0.25)))
        left, top, width = draw.uniform(-0.3, 0.8), draw.uniform(-0.3, 0.3), draw.uniform(0.25, 0.7)
        bottom = top + draw.uniform(0.5, 1.0)
        bar = left + width / 2
        self.boxes[b, 0, :5] = left, top, bar - 0.02, bottom, _FULL
        self.boxes[b, 1, :5] = bar + 0.02, top, left + width, bottom, _FULL
        self._colour(self.boxes[b, :2, 5:], draw, float(draw.uniform(0.6, 1.0)), 0.12)
        self.blur[b] = draw.uniform(1.0, 3.5)

    def _bokeh(self, b: int, draw: np.random.Generator) -> None:
        self._spread(b, draw, float(draw.uniform(0.02, 0.10)))
        for disc in range(int(draw.integers(4, 14))):
            radius, column, row = draw.uniform(0.03, 0.11), draw.uniform(0, 1), draw.uniform(0, 1)
            self.discs[b, disc, :3] = radius, column, row
            self._colour(self.discs[b, disc, 3:], draw, float(draw.uniform(0.05, 0.4)), 0.45)
        self.blur[b] = 0.7


class Backdrops:
    """Paints the backgrounds of pictures of `size` points."""

    def __init__(self, amount: float, size: int, device: torch.device) -> None:
        self._amount, self._size, self._device = amount, size, device
        self._plain = torch.from_numpy(PLAIN).to(device)
        if amount == 0:
            return
        row, column = (np.mgrid[:POINTS, :POINTS].astype(np.float32) / (POINTS - 1)).astype(np.float32)
        self._x, self._y = (torch.from_numpy(part).to(device) for part in (column, row))
        # A cubic interpolation's weights: what each point of the scene gives to each of the picture.
        once = np.asarray(cv2.resize(np.eye(POINTS, dtype=np.float32), (POINTS, size), interpolation=cv2.INTER_CUBIC))
        self._grown = torch.from_numpy(once.astype(np.float64)).to(device)
        self._leafy = list(_blurs(torch.from_numpy(np.array(_BLOBS)).to(device)))

    def paint(self, noise_B: NDArray[np.int64]) -> Tensor:
        """Return (B, size, size, 3) float32 linear colours."""
        if self._amount == 0:
            return self._plain.expand(len(noise_B), self._size, self._size, 3).clone()
        plans = Plans(noise_B)
        scene_BQQ3 = self._spread(plans)
        scene_BQQ3 = self._with_boxes(scene_BQQ3, plans)
        scene_BQQ3 = self._with_discs(scene_BQQ3, plans)
        if plans.leaves.any():
            scene_BQQ3[torch.from_numpy(np.flatnonzero(plans.leaves)).to(self._device)] = self._gardens(plans)
        blur_BQQ = _blurs(torch.from_numpy(plans.blur).to(self._device))
        scene_B3QQ = blur_BQQ[:, None] @ scene_BQQ3.permute(0, 3, 1, 2).double() @ blur_BQQ.transpose(1, 2)[:, None]
        plain_311 = self._plain.double()[:, None, None]
        scene_B3QQ = plain_311 + self._amount * (scene_B3QQ - plain_311)
        large_B3PP = self._grown @ scene_B3QQ @ self._grown.T
        return large_B3PP.clamp(0.002, 1.2).float().permute(0, 2, 3, 1).contiguous()

    def _spread(self, plans: Plans) -> Tensor:
        numbers_B811 = torch.from_numpy(plans.gradient).to(self._device)[:, :, None, None]
        angle, slope, spot, column, row = numbers_B811[:, :5].unbind(1)
        ramp = 1 + slope * (angle.cos() * (self._x - 0.5) + angle.sin() * (self._y - 0.5))
        lit = 1 + spot * (-((self._x - column) ** 2 + (self._y - row) ** 2) / 0.25).exp()
        return (ramp * lit)[..., None] * numbers_B811[:, 5:, 0, 0][:, None, None]

    def _with_boxes(self, scene_BQQ3: Tensor, plans: Plans) -> Tensor:
        for left, top, right, bottom, part, *colour in _columns(plans.boxes, self._device):
            inside = (self._x > left) & (self._x < right) & (self._y > top) & (self._y < bottom)
            share = (inside * part)[..., None]
            scene_BQQ3 = scene_BQQ3 * (1 - share) + share * torch.stack(colour, -1)
        return scene_BQQ3

    def _with_discs(self, scene_BQQ3: Tensor, plans: Plans) -> Tensor:
        for radius, column, row, *colour in _columns(plans.discs, self._device):
            distance = ((self._x - column) ** 2 + (self._y - row) ** 2).sqrt()
            disc = ((radius - distance) / 0.02).clamp(0, 1)
            scene_BQQ3 = scene_BQQ3 + disc[..., None] * torch.stack(colour, -1)
        return scene_BQQ3

    def _gardens(self, plans: Plans) -> Tensor:
        noise_N3QQ = torch.from_numpy(plans.blobs).to(self._device)
        blobs_NQQ = torch.zeros_like(noise_N3QQ[:, 0])
        for blurred_QQ, sigma, noise_NQQ in zip(self._leafy, _BLOBS, noise_N3QQ.unbind(1), strict=True):
            blobs_NQQ = blobs_NQQ + (blurred_QQ @ noise_NQQ.double() @ blurred_QQ.T).float() * sigma
        numbers_N7 = torch.from_numpy(plans.garden[plans.leaves]).to(self._device)[:, None, None]
        green, sky, horizon = numbers_N7[..., :3], numbers_N7[..., 3:6], numbers_N7[..., 6]
        share = ((self._y - horizon) / 0.3 + 0.5 + 0.5 * blobs_NQQ).clamp(0, 1)[..., None]
        return share * green * (0.35 * blobs_NQQ).exp()[..., None] + (1 - share) * sky


def _columns(things_BTN: Floats, device: torch.device) -> list[tuple[Tensor, ...]]:
    """Return for each thing that any picture has its numbers, each (B, 1, 1)."""
    used = np.flatnonzero((things_BTN[:, :, -3:] != 0).any((0, 2)))
    tensor = torch.from_numpy(things_BTN).to(device)[..., None, None]
    return [tensor[:, thing].unbind(1) for thing in used.tolist()]


def _blurs(sigma_B: Tensor) -> Tensor:
    """Return (B, Q, Q) float64 matrices that blur a line of points, mirrored at its ends, as OpenCV does."""
    radius_B11 = (((sigma_B * 8 + 1).round().long() | 1) // 2)[:, None, None]
    at = torch.arange(POINTS, device=sigma_B.device)
    from_QQ, to_QQ = at[None, :], at[:, None]
    mirrored = torch.stack([from_QQ - to_QQ, -1 - from_QQ - to_QQ, 2 * POINTS - 1 - from_QQ - to_QQ])
    step_B3QQ = mirrored[None]
    width_B111 = torch.where(sigma_B > 0, sigma_B, 1)[:, None, None, None]
    weight = (-step_B3QQ.double().square() / (2 * width_B111.square())).exp()
    weight = torch.where(step_B3QQ.abs() <= radius_B11[:, None], weight, 0).sum(1)
    blur_BQQ = weight / weight.sum(2, keepdim=True)
    return torch.where(sigma_B[:, None, None] > 0, blur_BQQ, torch.eye(POINTS, dtype=blur_BQQ.dtype, device=at.device))
