"""Who reads the labels of what MAUGen painted, and which entries are too uncertain to be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ausynth.errors import ConfigurationError
from ausynth.generators.maugen.shipped import VERIFIER
from ausynth.labels import Labels

if TYPE_CHECKING:
    from ausynth.networks import Verifier

__all__ = ["Reader", "masked", "open_verifier"]

Reader = Literal["auto", "verifier", "decoder"]


def open_verifier(folder: Path, labels: Reader, aus: tuple[int, ...], least: float) -> Verifier | None:
    """Return what reads the labels of a checkpoint's pictures; None where its own decoder does.

    Args:
        folder: of the checkpoint.
        labels: who is to read them.
        aus: what the checkpoint controls.
        least: the confidence from which on an entry is known.

    Raises:
        ConfigurationError: a verifier is asked for and not there, or does not read all these AUs.
        StoreError: it is damaged.
    """
    if labels == "decoder" or (labels == "auto" and not (folder / VERIFIER).is_dir()):
        return None
    if not (folder / VERIFIER).is_dir():
        raise ConfigurationError(
            f"labels='verifier' and the checkpoint {folder} has none",
            expected=f"a folder {VERIFIER} in it, as `ausynth train verifier` makes it",
            do="put one there, or leave labels out: its own decoder reads them then",
        )
    from ausynth.networks import Verifier

    verifier = Verifier.load(folder / VERIFIER, least=least)
    lacking = [au for au in aus if au not in verifier.aus]
    if lacking:
        raise ConfigurationError(
            f"the verifier of {folder} does not read the AUs {lacking}",
            expected=f"all that the checkpoint controls: {aus}",
            do="train one for them, or give labels='decoder'",
        )
    return verifier


def masked(labels: Labels, least: float) -> Labels:
    """Return labels without the entries of less confidence."""
    unsure_BA = labels.confidence < least
    nothing = np.float32(np.nan)
    return Labels(
        labels.aus,
        np.where(unsure_BA, nothing, labels.intensity),
        np.where(unsure_BA, nothing, labels.occurrence),
        np.where(unsure_BA, np.float32(0), labels.confidence),
    )
