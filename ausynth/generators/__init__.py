"""Generators turn label vectors into labelled faces: each folder one generator, all behind one protocol."""

from __future__ import annotations

import inspect
from typing import Any, Final

from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated, Generator

__all__ = ["GENERATORS", "Conditions", "Generated", "Generator", "load_generator"]

GENERATORS: Final = ("rendered",)
"""The names that `load_generator` knows."""


def load_generator(name_or_path: str, device: str | None = None, **options: Any) -> Generator:
    """Return a generator, ready to run.

    >>> load_generator("rendered", image_size=64).image_size
    64

    Args:
        name_or_path: a name in `GENERATORS`.
        device: where it runs: "cpu", "cuda", "cuda:1", or None for the best there is. "rendered" runs on the CPU.
        options: of the generator's class: those of "rendered" are those of `rendered.RenderedGenerator`.

    Raises:
        ConfigurationError: unknown name, unknown option, a value out of its range, a device it cannot run on.
    """
    if name_or_path != "rendered":
        raise ConfigurationError(f"unknown generator {name_or_path!r}", expected=f"one of {list(GENERATORS)}")
    if device not in (None, "auto", "cpu"):
        raise ConfigurationError(
            f"generator 'rendered' on device {device!r}", expected="'cpu' or None", do="leave device out"
        )
    from ausynth.generators.rendered.generator import RenderedGenerator

    known = list(inspect.signature(RenderedGenerator).parameters)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigurationError(
            f"generator 'rendered' has no option {', '.join(unknown)}", expected=f"some of {known}"
        )
    return RenderedGenerator(**options)
