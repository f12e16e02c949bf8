"""From linear light to B pictures of 8 bits: `portrait.sensor.expose` for all at once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from ausynth.generators.portrait.batched.draws import streams
from ausynth.generators.portrait.batched.jpeg import compressed
from ausynth.generators.portrait.sensor import CURVE, Exposure, Sensor, grain
from ausynth.labels import Floats

__all__ = ["Camera"]


class Camera:
    """Takes pictures of `size` pixels, drawn at `factor` x `factor` points a pixel."""

    def __init__(self, sensor: Sensor, size: int, factor: int, device: torch.device) -> None:
        self._sensor, self._size, self._factor, self._device = sensor, size, factor, device
        self._curve = torch.from_numpy(CURVE).to(device)
        self._grain = torch.from_numpy(np.array(grain())).to(device)
        scale = sensor.blur * max(1.0, size / 128) ** 0.8
        self._widths = (0.3 * scale, 0.6 * scale)
        self._radius = _radius(np.array([0.9 * scale]))[0]

    def expose(self, light_BPP3: Tensor, noise_B: NDArray[np.int64]) -> Tensor:
        """Return (B, H, W, 3) uint8 pictures of linear light."""
        drawn = np.array([Exposure.drawn(draw) for draw in streams("sensor", noise_B)], np.float64).reshape(-1, 6)
        sigma_B, shot_B, read_B, quality_B = drawn[:, :4].T
        light_BHW3 = light_BPP3
        if self._factor > 1:
            shape = (len(drawn), self._size, self._factor, self._size, self._factor, 3)
            light_BHW3 = light_BPP3.clamp(max=1).reshape(shape).mean((2, 4))
        if self._sensor.blur > 0:
            light_BHW3 = self._blurred(light_BHW3, self._widths[0] + self._widths[1] * sigma_B**1.5)
        value_BHW3 = light_BHW3.clamp(0, 1)
        if self._sensor.grain > 0:
            strengths = (self._sensor.grain * np.exp(np.stack([shot_B, read_B]))).astype(np.float32)
            shot, read = torch.from_numpy(strengths).to(self._device)[:, :, None, None, None].unbind(0)
            # Photons come one by one: the noise grows with the root of their number. And the amplifier's own.
            spread_BHW3 = (shot * value_BHW3).sqrt() + read * 0.35
            value_BHW3 = (value_BHW3 + spread_BHW3 * self._noise(drawn[:, 4:].astype(np.int64))).clamp(0, 1)
        place_BHW3 = value_BHW3 * (len(self._curve) - 1)
        low_BHW3 = place_BHW3.long().clamp(max=len(self._curve) - 2)
        first = self._curve[low_BHW3]
        value_BHW3 = first + (place_BHW3 - low_BHW3) * (self._curve[low_BHW3 + 1] - first)
        images_BHW3 = (value_BHW3 + 0.5).to(torch.uint8)
        if self._sensor.jpeg is None:
            return images_BHW3
        least, most = self._sensor.jpeg
        return compressed(images_BHW3, np.rint(least + (most - least) * quality_B).astype(np.int64))

    def _blurred(self, light_BHW3: Tensor, sigma_B: NDArray[np.float64]) -> Tensor:
        weights_BK = torch.from_numpy(_taps(sigma_B, self._radius)).to(self._device)[:, :, None, None, None]
        for dim in (2, 1):
            radius, size = self._radius, light_BHW3.shape[dim]
            wide = pad(
                light_BHW3.movedim(3, 1), (radius, radius, 0, 0) if dim == 2 else (0, 0, radius, radius), "replicate"
            )
            wide = wide.movedim(1, 3)
            light_BHW3 = torch.zeros_like(light_BHW3)
            for k in range(2 * radius + 1):
                light_BHW3 = light_BHW3 + weights_BK[:, k] * wide.narrow(dim, k, size)
        return light_BHW3

    def _noise(self, corner_B2: NDArray[np.int64]) -> Tensor:
        """Return (B, H, W, 3) of the tile of noise, each picture's from its own (column, row) on."""
        tile = self._grain.shape[0]
        at_N = torch.arange(self._size, device=self._device)
        column_BN, row_BN = (torch.from_numpy(start)[:, None].to(self._device) + at_N for start in corner_B2.T)
        return self._grain.reshape(-1, 3)[(row_BN % tile)[:, :, None] * tile + (column_BN % tile)[:, None]]


def _radius(sigma_B: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many pixels OpenCV's Gaussian of 32-bit pictures reaches to either side."""
    return (np.rint(sigma_B * 8 + 1).astype(np.int64) | 1) // 2


def _taps(sigma_B: NDArray[np.float64], radius: int) -> Floats:
    """Return (B, 2 radius + 1) weights of Gaussians."""
    step_K = np.arange(-radius, radius + 1)
    weights_BK = np.exp(-(step_K**2) / (2 * sigma_B[:, None] ** 2))
    weights_BK[np.abs(step_K) > _radius(sigma_B)[:, None]] = 0
    return np.asarray(weights_BK / weights_BK.sum(1, keepdims=True), np.float32)
