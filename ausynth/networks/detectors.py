"""Networks as gates take them: uint8 pictures in, probabilities out, with a fingerprint."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ausynth.errors import ConfigurationError
from ausynth.labels import DEFAULT_THRESHOLD, Floats
from ausynth.networks.au import AUNet
from ausynth.networks.calibration import JUST_ABSENT, Calibration
from ausynth.networks.files import fingerprint
from ausynth.networks.heads import RealismNet
from ausynth.networks.scores import read

__all__ = ["CalibratedNet", "NetDetector", "NetRealism", "hash_of", "require_space"]


class NetDetector:
    """An `AUNet` as a detector for gates; see `ausynth.gates.Detector`.

    Args:
        network: reads intensities.
        calibration: turns them into probabilities; over the network's AUs.

    Attributes:
        aus, fingerprint: see `ausynth.gates.Detector`.

    Raises:
        ConfigurationError: another label space.
    """

    def __init__(self, network: AUNet, calibration: Calibration) -> None:
        require_space(network, calibration)
        self.network, self.calibration, self.aus = network.eval(), calibration, network.aus
        self.fingerprint = hash_of(fingerprint(network), calibration)

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """Return (B, A) probabilities of intensity >= 2 in pictures (B, H, W, 3)."""
        if not len(images):
            return np.zeros((0, len(self.aus)), np.float32)
        return self.calibration.judge(read(self.network, images)[None])[1].astype(np.float32)


class CalibratedNet(nn.Module):
    """An `AUNet` whose intensities are calibrated: 2 or more where an AU is more probably there than not.

    For losses on generated pictures, which take what detectors see in tensors. Where an intensity ends (at 0, 2 and 5)
    its gradient is 0: a loss that is to lead a picture somewhere takes the network itself.

    Args:
        network: reads intensities.
        calibration: over the network's AUs.

    Attributes:
        network, aus: as given.

    Raises:
        ConfigurationError: another label space.
    """

    def __init__(self, network: AUNet, calibration: Calibration) -> None:
        super().__init__()
        require_space(network, calibration)
        self.network, self.aus = network, network.aus
        lines = np.concatenate([calibration.cut[None], calibration.below, calibration.above])
        self.register_buffer("lines_5A", torch.from_numpy(lines).float())

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return (B, A) intensities in 0-5 of pictures (B, 3, H, W) in [-1, 1]."""
        read_BA = self.network(images_BCHW)
        cut_A, *lines = self.get_buffer("lines_5A")
        below_BA = (lines[0] * read_BA + lines[1]).clamp(0, JUST_ABSENT)
        above_BA = (lines[2] * read_BA + lines[3]).clamp(DEFAULT_THRESHOLD, 5)
        return torch.where(read_BA >= cut_A, above_BA, below_BA)


class NetRealism:
    """A `RealismNet` as a score for `ausynth.gates.Realism`.

    Args:
        network: says what is real.

    Attributes:
        fingerprint: a hash of the network.
    """

    def __init__(self, network: RealismNet) -> None:
        self.network = network.eval()
        self.fingerprint = fingerprint(network)

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """Return (B,) probabilities that pictures (B, H, W, 3) are real."""
        if not len(images):
            return np.zeros(0, np.float32)
        scores: Floats = (1 / (1 + np.exp(-read(self.network, images).clip(-80, 80)))).astype(np.float32)
        return scores


def require_space(network: AUNet, calibration: Calibration, networks: int = 1) -> None:
    """Raise ConfigurationError unless a network and its calibration are of one label space, and of so many networks."""
    if calibration.networks != networks:
        raise ConfigurationError(
            f"a calibration of {calibration.networks} networks for {networks}", expected="as many of both"
        )
    if network.aus != calibration.aus:
        raise ConfigurationError(
            f"a network of the AUs {network.aus}, calibrated for {calibration.aus}", expected="one label space"
        )


def hash_of(*parts: object) -> str:
    """Return the hash of calibrations and of what has a telling repr."""
    told = [json.dumps(part.to_json()) if isinstance(part, Calibration) else repr(part) for part in parts]
    return hashlib.sha256("|".join(told).encode()).hexdigest()[:16]
