"""JPEG compression and decompression of B pictures, each at its own quality, as tensors.

What a picture loses is what libjpeg's encoder and decoder take from it (ITU-T T.81; chroma at half the resolution,
tables of Annex K scaled by quality), to the bit: the accurate integer transform is, pass by pass, a product with a
matrix of whole numbers and one rounding (Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11
multiplications", ICASSP 1989, with 13 bits behind the point), which 64-bit floats hold exactly.

Legend of the shapes: H x W pixels, Y x X blocks of 8 x 8.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["compressed"]

_BITS: Final = 13
_LUMA: Final = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA: Final = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, *[99] * 32,
)  # fmt: skip


def compressed(images_BHW3: Tensor, quality_B: NDArray[np.int64]) -> Tensor:
    """Return (B, H, W, 3) uint8 pictures as a JPEG file of quality 1-100 gives them back."""
    height, width = images_BHW3.shape[1:3]
    device = images_BHW3.device
    red, green, blue = images_BHW3.to(torch.int32).unbind(3)
    luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    chroma = (
        (-11059 * red - 21709 * green + 32768 * blue + (128 << 16) + 32767) >> 16,
        (32768 * red - 27439 * green - 5329 * blue + (128 << 16) + 32767) >> 16,
    )
    luma_tables, chroma_tables = (torch.from_numpy(_tables(base, quality_B)).to(device) for base in (_LUMA, _CHROMA))
    luma = _coded(_padded(luma, -(-height // 8) * 8, -(-width // 8) * 8), luma_tables)[:, :height, :width]
    blue_part, red_part = (_grown(_coded(_halved(part), chroma_tables), height, width) - 128 for part in chroma)
    decoded = (
        luma + ((91881 * red_part + 32768) >> 16),
        luma + ((-22554 * blue_part - 46802 * red_part + 32768) >> 16),
        luma + ((116130 * blue_part + 32768) >> 16),
    )
    return torch.stack(decoded, 3).clamp(0, 255).to(torch.uint8)


def _tables(base: tuple[int, ...], quality_B: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (B, 8, 8) steps of quantisation."""
    scale_B = np.where(quality_B < 50, 5000 // np.maximum(quality_B, 1), 200 - 2 * quality_B)
    steps = (np.array(base).reshape(8, 8) * scale_B[:, None, None] + 50) // 100
    return np.asarray(np.clip(steps, 1, 255), np.float64)


def _padded(plane_BHW: Tensor, height: int, width: int) -> Tensor:
    """Return the plane with its last row and column repeated up to a size."""
    more = (0, width - plane_BHW.shape[2], 0, height - plane_BHW.shape[1])
    return pad(plane_BHW.double()[:, None], more, mode="replicate")[:, 0].to(torch.int32)


def _halved(plane_BHW: Tensor) -> Tensor:
    """Return the plane at half its size, filled up to whole blocks; halves are rounded down and up in turn."""
    height, width = plane_BHW.shape[1:]
    even = _padded(plane_BHW, height + height % 2, -(-width // 16) * 16)
    sums = even[:, ::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, ::2] + even[:, 1::2, 1::2]
    bias = 1 + torch.arange(sums.shape[2], dtype=torch.int32, device=sums.device) % 2
    half = (sums + bias) >> 2
    return _padded(half, -(-half.shape[1] // 8) * 8, half.shape[2])


def _grown(plane_BHW: Tensor, height: int, width: int) -> Tensor:
    """Return a halved plane at its full size: three parts of the nearer, one of the farther neighbour, both ways."""
    plane = plane_BHW[:, : (height + 1) // 2, : (width + 1) // 2]
    above = torch.cat([plane[:, :1], plane[:, :-1]], 1)
    below = torch.cat([plane[:, 1:], plane[:, -1:]], 1)
    rows = torch.stack([3 * plane + above, 3 * plane + below], 2).flatten(1, 2)
    before = torch.cat([rows[..., :1], rows[..., :-1]], 2)
    after = torch.cat([rows[..., 1:], rows[..., -1:]], 2)
    columns = torch.stack([(3 * rows + before + 8) >> 4, (3 * rows + after + 7) >> 4], 3).flatten(2, 3)
    return columns[:, :height, :width]


def _coded(plane_BHW: Tensor, tables_B88: Tensor) -> Tensor:
    """Return a plane of whole blocks, transformed, quantised, and transformed back."""
    count, height, width = plane_BHW.shape
    forward, back = (torch.from_numpy(matrix).to(plane_BHW.device) for matrix in _matrices())
    blocks = (plane_BHW - 128).double().reshape(count, height // 8, 8, width // 8, 8).transpose(2, 3)
    rows = _rounded(blocks @ forward.T, _BITS - 2)
    coefficients = _rounded(forward @ rows, _BITS + 2)
    steps = tables_B88[:, None, None]
    levels = torch.floor((coefficients.abs() + (4 * steps)) / (8 * steps)) * coefficients.sign()
    columns = _rounded(back @ (levels * steps), _BITS - 2)
    samples = _rounded(columns @ back.T, _BITS + 5)
    plane = (samples + 128).clamp(0, 255).transpose(2, 3).reshape(count, height, width)
    return plane.to(torch.int32)


def _rounded(value: Tensor, bits: int) -> Tensor:
    return torch.floor(value / (1 << bits) + 0.5)


@functools.cache
def _matrices() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (8, 8) whole numbers: one pass of the forward transform, and one of the inverse, times 2^13."""
    one = np.eye(8, dtype=np.int64)

    def fixed(value: float) -> int:
        return round(value * (1 << _BITS))

    def even(odd_one: NDArray[np.int64], odd_two: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        shared = (odd_one + odd_two) * fixed(0.541196100)
        return shared + odd_one * fixed(0.765366865), shared - odd_two * fixed(1.847759065)

    def odd(t: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        shared = (t[0] + t[2] + t[1] + t[3]) * fixed(1.175875602)
        outer, inner = -(t[0] + t[3]) * fixed(0.899976223), -(t[1] + t[2]) * fixed(2.562915447)
        first = shared - (t[0] + t[2]) * fixed(1.961570560)
        second = shared - (t[1] + t[3]) * fixed(0.390180644)
        return [
            t[0] * fixed(0.298631336) + outer + first,
            t[1] * fixed(2.053119869) + inner + second,
            t[2] * fixed(3.072711026) + inner + first,
            t[3] * fixed(1.501321110) + outer + second,
        ]

    sums = [one[i] + one[7 - i] for i in range(4)]
    two, six = even(sums[0] - sums[3], sums[1] - sums[2])
    four = sums[0] + sums[3] - sums[1] - sums[2]
    seven, five, three, first = odd([one[3] - one[4], one[2] - one[5], one[1] - one[6], one[0] - one[7]])
    forward = np.stack([sum(sums) << _BITS, first, two, three, four << _BITS, five, six, seven])
    high, low = even(one[2], one[6])
    plus, minus = (one[0] + one[4]) << _BITS, (one[0] - one[4]) << _BITS
    evens = [plus + high, minus + low, minus - low, plus - high]
    odds = odd([one[7], one[5], one[3], one[1]])[::-1]
    pairs = list(zip(evens, odds, strict=True))
    back = np.stack([e + o for e, o in pairs] + [e - o for e, o in reversed(pairs)])
    return forward.astype(np.float64), back.astype(np.float64)
