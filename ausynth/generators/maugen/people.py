"""The people that a checkpoint can paint: a number is a mixture of the identity tokens of its bank."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from ausynth.errors import ConfigurationError
from ausynth.schedule import random_bits, uniform

__all__ = ["BANK_FILE", "People"]

BANK_FILE: Final = "bank.safetensors"
_MIXED: Final = 3
_LEAST_SHARE: Final = 0.1


class People:
    """Any number of people, mixed from those of a bank.

    Who is mixed, and in which shares, follows from the person's number. [C] Three of the bank, each counting for at
    least a tenth: nobody of the bank is shown as they are.

    Args:
        bank: (P, T, D) identity tokens of P people, 2 or more.

    Raises:
        ConfigurationError: a bank of one person or none: all people would be the same.
    """

    def __init__(self, bank: Tensor) -> None:
        if bank.ndim != 3 or len(bank) < 2:
            raise ConfigurationError(
                f"a bank of identities of shape {tuple(bank.shape)}",
                expected="(people, tokens, width), two people or more",
                do="train on more people",
            )
        self.bank = bank

    @classmethod
    def load(cls, folder: Path) -> People | None:
        """Return the people of a checkpoint, None where it has no bank."""
        path = folder / BANK_FILE
        return cls(load_file(path)["tokens"]) if path.is_file() else None

    def save(self, folder: Path) -> None:
        """Write the bank into a checkpoint's folder."""
        save_file({"tokens": self.bank.detach().float().cpu().contiguous()}, folder / BANK_FILE)

    def tokens(self, numbers: NDArray[np.int64]) -> Tensor:
        """Return C_ID (B, T, D) of the people with these numbers (B,), 0 or more, on the CPU."""
        size = len(self.bank)
        mixed = min(_MIXED, size)
        # The bank's people in an order of the number's own: the first few of it, none twice.
        order_BP = random_bits(0, "maugen who", numbers[:, None], np.arange(size)).argsort(axis=1, kind="stable")
        # Exponential numbers, normalised, are uniform over all mixtures.
        drawn_BM = -np.log(1 - uniform(0, "maugen share", numbers[:, None], np.arange(mixed)))
        shares_BM = _LEAST_SHARE + (1 - mixed * _LEAST_SHARE) * drawn_BM / drawn_BM.sum(1, keepdims=True)
        tokens_BMTD = self.bank[torch.from_numpy(order_BP[:, :mixed])]
        return (tokens_BMTD * torch.from_numpy(shares_BM.astype(np.float32))[..., None, None]).sum(1)
