"""What several networks see in pictures, as labels that the pictures can carry."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, StoreError
from ausynth.labels import DEFAULT_THRESHOLD, Floats, Labels
from ausynth.networks.au import AUNet
from ausynth.networks.calibration import Calibration
from ausynth.networks.detectors import CalibratedNet, NetDetector, hash_of, require_space
from ausynth.networks.files import fingerprint, load, load_record, save
from ausynth.networks.scores import read

__all__ = ["Verifier"]

_CALIBRATION: Final = "calibration.json"
_LEAST: Final = 0.6


class Verifier:
    """Several networks that read action units together, and know how far they are to be believed.

    >>> labels = Verifier.load("verifier").read(images)  # doctest: +SKIP

    Args:
        networks: one or more, of one label space; better of different architectures.
        calibration: of their readings together.
        detectors: the calibration of each alone, for `detectors()` and `readers()`.
        least: the confidence, from which on an entry is known; below, it is masked. Above .5 (nothing below is ever
            certain) or 0 (mask nothing), and below 1.

    Attributes:
        networks, calibration, least: as given.
        alone: `detectors` as given.
        aus: the label space.
        fingerprint: a hash of all that decides a label.

    Raises:
        ConfigurationError: no network, different label spaces, or a number out of its range.
    """

    def __init__(
        self,
        networks: Sequence[AUNet],
        calibration: Calibration,
        detectors: Sequence[Calibration] = (),
        *,
        least: float = _LEAST,
    ) -> None:
        if not networks:
            raise ConfigurationError("a verifier of no networks", expected="one or more")
        for network in networks:
            require_space(network, calibration, len(networks))
        if not 0 <= least < 1:
            raise ConfigurationError(f"least={least!r}", expected="0 to below 1, such as .6")
        if detectors and len(detectors) != len(networks):
            raise ConfigurationError(f"{len(detectors)} calibrations of {len(networks)} networks", expected="one each")
        self.networks = tuple(network.eval() for network in networks)
        self.calibration, self.least = calibration, least
        self.alone = tuple(detectors)
        self.aus = networks[0].aus
        self.fingerprint = hash_of([fingerprint(network) for network in networks], calibration, least)

    def readings(self, images: NDArray[np.uint8]) -> Floats:
        """Return (K, B, A) what each network reads of (B, H, W, 3) uint8 pictures, not clipped."""
        if not len(images):
            return np.zeros((len(self.networks), 0, len(self.aus)), np.float32)
        return np.stack([read(network, images) for network in self.networks])

    def read(self, images: NDArray[np.uint8]) -> Labels:
        """Return labels of what (B, H, W, 3) uint8 pictures show.

        They are to show as much of the face as what the networks learned from; of whatever size they are.

        Intensity and confidence are what the calibration makes of the networks' readings, see `Calibration`; an AU
        occurs where the intensity is 2 or more, and the confidence is the probability of what the label says. Entries
        of less confidence than `least` are unknown.
        """
        return self.label(self.readings(images))

    def label(self, readings_KBA: NDArray[np.floating]) -> Labels:
        """Return the labels that readings (K, B, A) come to; see `read`."""
        intensity_BA, probability_BA = self.calibration.judge(readings_KBA)
        there_BA = intensity_BA >= DEFAULT_THRESHOLD
        confidence_BA = np.where(there_BA, probability_BA, 1 - probability_BA)
        known_BA = confidence_BA >= self.least
        nothing = np.float32(np.nan)
        return Labels(
            self.aus,
            np.where(known_BA, intensity_BA, nothing).astype(np.float32),
            np.where(known_BA, there_BA, nothing).astype(np.float32),
            np.where(known_BA, confidence_BA, 0).astype(np.float32),
        )

    def detectors(self) -> tuple[NetDetector, ...]:
        """Return the networks as detectors for gates; raise ConfigurationError where they are not calibrated alone."""
        return tuple(NetDetector(network, alone) for network, alone in self._pairs())

    def readers(self) -> tuple[CalibratedNet, ...]:
        """Return the networks with calibrated intensities, for losses; raise ConfigurationError as `detectors` does."""
        return tuple(CalibratedNet(network, alone) for network, alone in self._pairs())

    def _pairs(self) -> list[tuple[AUNet, Calibration]]:
        if not self.alone:
            raise ConfigurationError(
                "a verifier whose networks are not calibrated one by one",
                expected="the calibration of each",
                do="make it with `ausynth train verifier`",
            )
        return list(zip(self.networks, self.alone, strict=True))

    def to(self, device: torch.device | str) -> Verifier:
        """Move the networks to a device, and return this verifier."""
        for network in self.networks:
            network.to(device)
        return self

    def save(self, folder: Path | str, records: Sequence[dict[str, object]] = ()) -> None:
        """Write it as a folder: a network each in 0, 1, ..., and calibration.json, last.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / _CALIBRATION).unlink(missing_ok=True)
        for old in path.iterdir():
            if old.name.isdecimal():
                shutil.rmtree(old)
        for number, network in enumerate(self.networks):
            save(network, path / str(number), records[number] if records else {})
            if self.alone:
                self.alone[number].save(path / str(number) / _CALIBRATION)
        # Without this file there is no verifier: it comes when everything else is there.
        self.calibration.save(path / _CALIBRATION)

    @classmethod
    def load(cls, folder: Path | str, *, least: float = _LEAST) -> Verifier:
        """Return what `save` wrote, on the CPU.

        Raises:
            StoreError: no verifier is there, or a file of it is missing or damaged.
        """
        path = Path(folder)
        if not (path / _CALIBRATION).is_file():
            raise StoreError(
                f"no verifier in {path}",
                expected=f"a folder with {_CALIBRATION} and networks in 0, 1, ...",
                do="make it with `ausynth train verifier`",
            )
        try:
            parts = sorted((each for each in path.iterdir() if each.name.isdecimal()), key=lambda each: int(each.name))
            alone = [Calibration.load(each / _CALIBRATION) for each in parts if (each / _CALIBRATION).is_file()]
            whole = Calibration.load(path / _CALIBRATION)
            return cls([load(each, kind="au") for each in parts], whole, alone, least=least)
        except ConfigurationError as error:
            raise StoreError(f"the verifier {path} is damaged: {error}", expected="what was written") from error


def records_of(folders: Sequence[Path]) -> list[dict[str, object]]:
    """Return the records of networks in folders."""
    return [dict(load_record(folder)) for folder in folders]
