"""The synthetic samples of a stream as a Hugging Face data set."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

from ausynth.errors import ConfigurationError, require_whole
from ausynth.jobs.export import export_samples
from ausynth.sources.prepared_lookup import prepared_folder
from ausynth.sources.side import SyntheticSide

__all__ = ["to_hf"]


def to_hf(share: Fraction, side: SyntheticSide | None, n: int, out: str | os.PathLike[str] | None) -> Any:
    """Write the first `n` samples of a synthetic side and load them; see `MixedStream.to_hf`."""
    require_whole("n", n, 1)
    if share < 1 or side is None:
        raise ConfigurationError(
            f"to_hf of a stream of which {float(1 - share):.0%} is real",
            expected="synthetic samples alone: recordings such as DISFA and BP4D are licensed, and never exported",
            do="make the stream with real=None, ratio=1 and, for the same faces, aus= and seed as they are",
        )
    import datasets

    folder = out if out is not None else prepared_folder().parent / "exports" / f"{side.fingerprint}-{n}"
    export_samples(
        side.samples(0, n), side.recipe, folder, plan=side.fingerprint, count=n, selection=f"{side.fingerprint} {n}"
    )
    return datasets.load_dataset(str(folder), split="train")
