"""Generators turn label vectors into labelled faces: each folder one generator, all behind one protocol."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, Final

from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated, Generator

__all__ = ["GENERATORS", "Conditions", "Generated", "Generator", "load_generator"]

GENERATORS: Final = ("rendered", "maugen")
"""The names that `load_generator` knows; "maugen" needs the path of a checkpoint."""


def load_generator(name_or_path: str | os.PathLike[str], device: str | None = None, **options: Any) -> Generator:
    """Return a generator, ready to run.

    >>> load_generator("rendered", image_size=64).image_size
    64

    Args:
        name_or_path: a name in `GENERATORS`, or the folder of a checkpoint that `ausynth train` made.
        device: where it runs: "cpu", "cuda", "cuda:1", or None for the best there is. "rendered" runs on the CPU.
        options: of the generator's class: those of "rendered" are those of `rendered.RenderedGenerator`, those of
            "maugen" (path=FOLDER among them) and of a folder those of `maugen.generator.MAUGenGenerator`.

    Raises:
        ConfigurationError: unknown name, unknown option, a value out of its range, a device it cannot run on, no
            checkpoint in the folder.
        StoreError: the checkpoint is damaged.
    """
    if name_or_path == "rendered":
        if device not in (None, "auto", "cpu"):
            raise ConfigurationError(
                f"generator 'rendered' on device {device!r}", expected="'cpu' or None", do="leave device out"
            )
        from ausynth.generators.rendered.generator import RenderedGenerator

        _require_known("rendered", RenderedGenerator, options)
        return RenderedGenerator(**options)
    if name_or_path != "maugen":
        if not Path(name_or_path).expanduser().is_dir():
            raise ConfigurationError(
                f"unknown generator {str(name_or_path)!r}",
                expected=f"one of {list(GENERATORS)}, or the folder of a checkpoint",
            )
        options = {"path": name_or_path, **options}
    elif "path" not in options:
        raise ConfigurationError(
            "generator 'maugen' without a checkpoint",
            expected="path=FOLDER, or that folder instead of the name",
            do="train one with `ausynth train maugen`; none comes with this version",
        )
    from ausynth.generators.maugen.generator import MAUGenGenerator

    _require_known("maugen", MAUGenGenerator, options)
    return MAUGenGenerator(device=device, **options)


def _require_known(name: str, kind: type, options: dict[str, Any]) -> None:
    known = [each for each in inspect.signature(kind).parameters if each != "device"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigurationError(f"generator {name!r} has no option {', '.join(unknown)}", expected=f"some of {known}")
