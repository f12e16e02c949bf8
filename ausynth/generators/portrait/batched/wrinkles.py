"""The grooves that AUs make in B faces: `portrait.wrinkles.grooves` for all at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ausynth.generators.portrait.table import AUS, load_table
from ausynth.generators.portrait.wrinkles import COLUMNS, DEEPEST, ROWS, channels, groove_maps
from ausynth.labels import Floats

__all__ = ["Engraver"]


class Engraver:
    """Lays the grooves of the channels over each other."""

    def __init__(self, device: torch.device) -> None:
        table, names = load_table(), channels()
        self._device = device
        self._depth_AC = np.zeros((len(AUS), len(names)), np.float32)
        for a, au in enumerate(AUS):
            for channel, depth in table.wrinkles.get(au, {}).items():
                self._depth_AC[a, names.index(channel)] += depth
        self._maps = torch.from_numpy(np.array(groove_maps())).to(device)

    def grooves(self, intensity_BA: Floats, strength_B: Floats) -> Tensor:
        """Return the (B, ROWS, COLUMNS) maps of faces' grooves, for AU intensities and each person's strength."""
        moved_BA = load_table().moved(intensity_BA)
        depth_BC = np.zeros((len(moved_BA), len(self._maps)), np.float32)
        for a in range(moved_BA.shape[1]):
            depth_BC += self._depth_AC[a] * strength_B[:, None] * moved_BA[:, a, None]
        depth_BC = np.minimum(depth_BC, np.float32(DEEPEST))
        total_BRC = torch.zeros((len(depth_BC), ROWS, COLUMNS), dtype=torch.float32, device=self._device)
        depths = torch.from_numpy(depth_BC).to(self._device)
        for c in np.flatnonzero(depth_BC.any(0)).tolist():
            total_BRC += depths[:, c, None, None] * self._maps[c]
        return total_BRC
