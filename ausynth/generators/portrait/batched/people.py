"""Who sits for B pictures: people mixed from the bank, all at once; `portrait.sitter` and `portrait.mixing` on tensors.

Legend of the shapes: U people, each once; V vertices, S the texture's height and width.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ausynth.generators.portrait.batched.roster import Roster
from ausynth.generators.portrait.batched.shape import Builds, FaceMaker
from ausynth.generators.portrait.mixing import inner_box, inner_face
from ausynth.generators.portrait.shape import Shaper
from ausynth.generators.portrait.sitter import Mixture, Studio, Traits, wrinkles_at
from ausynth.labels import Floats

__all__ = ["Cast", "Casting"]

_OTHERS: Final = 3  # whom a person is mixed from beside the base, at most: the option `mixed` ends at 4
_REMEMBERED: Final = 1 << 16
# CIE L*a*b* of a D65 white, and the sRGB primaries, in OpenCV's numbers.
_WHITE: Final = (0.950456, 1.0, 1.088754)
_TO_RGB: Final = (
    (3.240479, -1.53715, -0.498535),
    (-0.969256, 1.875991, 0.041556),
    (0.055648, -0.204043, 1.057311),
)


@dataclass(frozen=True, eq=False)
class Cast:
    """The people of a batch.

    Attributes:
        who: (B,) which of the U people each picture shows.
        builds: their neutral faces.
        texture: (U, S, S, 3) uint8.
        base, eyes: (U,) rows of the roster: whose hair and neck, and whose eyes.
        lights: (U, 9, 3) the photographs' own light.
        wrinkles: (U,) how deep the lines are.
        asymmetry: (U, A).
    """

    who: NDArray[np.int64]
    builds: Builds
    texture: Tensor
    base: Tensor
    eyes: Tensor
    lights: Floats
    wrinkles: Floats
    asymmetry: Floats


class Casting:
    """Turns identity numbers into people."""

    def __init__(
        self, studio: Studio, shaper: Shaper, maker: FaceMaker, texture_size: int, device: torch.device
    ) -> None:
        self._studio, self._maker, self._device = studio, maker, device
        self.roster = Roster(studio, device)
        masks = inner_face(shaper.topology, texture_size)
        self._mask_V = torch.from_numpy(np.array(masks.vertices)).to(device)
        self._box = top, bottom, left, right = inner_box(masks.texture)
        self._mask_HW = torch.from_numpy(np.array(masks.texture[top:bottom, left:right])).to(device)
        self._inner = torch.from_numpy(shaper.topology.landmarks[17:]).long().to(device)
        self._facts = functools.lru_cache(maxsize=_REMEMBERED)(self._look_up)

    def cast(self, identity_B: NDArray[np.int64]) -> Cast:
        """Return the people of identity numbers."""
        identity_U, who_B = np.unique(identity_B, return_inverse=True)
        facts = [self._facts(identity) for identity in identity_U.tolist()]
        parts_U3 = np.zeros((len(facts), 1 + _OTHERS), np.int64)
        shares_U2 = np.zeros((len(facts), _OTHERS), np.float32)
        eyes_U, wrinkles_U = np.zeros(len(facts), np.int64), np.zeros(len(facts), np.float32)
        for u, (mixture, traits) in enumerate(facts):
            own = self.roster.slots([mixture.base, *mixture.others])
            parts_U3[u, : len(own)], parts_U3[u, len(own) :] = own, own[0]
            shares_U2[u, : len(own) - 1] = mixture.shares
            eyes_U[u] = own[traits.eyes]
            shares = (1 - sum(mixture.shares), *mixture.shares)
            age = sum(share * self.roster.ages[slot] for share, slot in zip(shares, own, strict=True))
            wrinkles_U[u] = wrinkles_at(age, traits.wrinkles)
        parts = torch.from_numpy(parts_U3).to(self._device)
        shares_on = torch.from_numpy(shares_U2).to(self._device)
        return Cast(
            who=np.asarray(who_B, np.int64).reshape(-1),
            builds=self._maker.build(self._vertices(parts, shares_on)),
            texture=self._textures(parts, shares_on),
            base=parts[:, 0],
            eyes=torch.from_numpy(eyes_U).to(self._device),
            lights=np.stack([self.roster.lights[slot] for slot in parts_U3[:, 0]]),
            wrinkles=wrinkles_U,
            asymmetry=np.stack([traits.asymmetry for _, traits in facts]),
        )

    def _look_up(self, identity: int) -> tuple[Mixture, Traits]:
        mixture = self._studio.mixture(identity)
        return mixture, self._studio.traits(identity, mixture)

    def _vertices(self, parts_U3: Tensor, shares_U2: Tensor) -> Tensor:
        vertices = self.roster.tables.vertices
        base_UV3 = vertices[parts_U3[:, 0]]
        mixed_UV3 = base_UV3.clone()
        for other in range(_OTHERS):
            offset_UV3 = vertices[parts_U3[:, 1 + other]] - base_UV3
            # Faces laid over each other at the eyes and the mouth.
            offset_UV3 = offset_UV3 - offset_UV3[:, self._inner].mean(1, keepdim=True)
            mixed_UV3 += (shares_U2[:, other, None] * self._mask_V)[..., None] * offset_UV3
        return mixed_UV3

    def _textures(self, parts_U3: Tensor, shares_U2: Tensor) -> Tensor:
        tables = self.roster.tables
        texture_USS3 = tables.texture[parts_U3[:, 0]]
        if not tables.lab.shape[1]:  # nobody is mixed
            return texture_USS3
        base_UHW3, mean_U3, spread_U3 = (table[parts_U3[:, 0]] for table in (tables.lab, tables.mean, tables.spread))
        mixed_UHW3 = base_UHW3.clone()
        for other in range(_OTHERS):
            own = parts_U3[:, 1 + other]
            scale_U3 = (spread_U3 / tables.spread[own].clamp(min=1e-3)).clamp(0.7, 1.3)
            shift_U3 = mean_U3 - tables.mean[own] * scale_U3
            matched_UHW3 = tables.lab[own] * scale_U3[:, None, None] + shift_U3[:, None, None]
            share_UHW1 = (shares_U2[:, other, None, None] * self._mask_HW)[..., None]
            mixed_UHW3 += share_UHW1 * (matched_UHW3 - base_UHW3)
        top, bottom, left, right = self._box
        inner_UHW3 = (_rgb_of(mixed_UHW3) * 255 + 0.5).clamp(0, 255).to(torch.uint8)
        is_mixed_U111 = (shares_U2.sum(1) > 0)[:, None, None, None]
        own_UHW3 = texture_USS3[:, top:bottom, left:right]
        texture_USS3[:, top:bottom, left:right] = torch.where(is_mixed_U111, inner_UHW3, own_UHW3)
        return texture_USS3


def _rgb_of(lab: Tensor) -> Tensor:
    """Return the sRGB colours, 0-1, of CIE L*a*b* ones (..., 3), as OpenCV gives them."""
    lightness, a, b = lab.unbind(-1)
    dark = lightness <= 8
    y = torch.where(dark, lightness / 903.3, ((lightness + 16) / 116) ** 3)
    fy = torch.where(dark, 7.787 * y + 16 / 116, (lightness + 16) / 116)
    xyz = [_cubed(fy + a / 500) * _WHITE[0], y, _cubed(fy - b / 200) * _WHITE[2]]
    channels = [(row[0] * xyz[0] + row[1] * xyz[1] + row[2] * xyz[2]).clamp(0, 1) for row in _TO_RGB]
    light = torch.stack(channels, -1)
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=1e-9) ** (1 / 2.4) - 0.055)


def _cubed(f: Tensor) -> Tensor:
    return torch.where(f <= 7.787 * 0.008856 + 16 / 116, (f - 16 / 116) / 7.787, f**3)
