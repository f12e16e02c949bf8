"""Generators turn label vectors into labelled faces: each folder one generator, all behind one protocol."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators.automatic import AUTO, Chosen, resolve_auto
from ausynth.generators.base import Conditions, Generated, Generator

__all__ = [
    "GENERATORS",
    "LOOKS",
    "Chosen",
    "Conditions",
    "Generated",
    "Generator",
    "load_generator",
    "resolve_auto",
]

GENERATORS: Final = (AUTO, "rendered", "maugen")
"""The names that `load_generator` knows; "auto" is one of the others, see `resolve_auto`."""

LOOKS: Final = ("procedural", "portrait")
"""What the generator "rendered" draws: a head painted by code, or people of a face bank."""


def load_generator(name_or_path: str | os.PathLike[str], device: str | None = None, **options: Any) -> Generator:
    """Return a generator, ready to run.

    >>> load_generator("rendered", image_size=64).image_size
    64

    Args:
        name_or_path: a name in `GENERATORS`, or the folder of a checkpoint that `ausynth train` made.
        device: where it runs: "cpu", "cuda", "cuda:1". None is for "maugen" the best there is, for "rendered" the CPU:
            its look "portrait" runs on CUDA where that is asked for, "procedural" on the CPU alone.
        options: of the generator. "auto" takes image_size, for a generator that draws at any size, and aus, the label
            space that it must know. Those of "rendered" are `look`, one of `LOOKS`, and what that look's class takes:
            `rendered.RenderedGenerator` for "procedural" (the default), `portrait.PortraitGenerator` for "portrait",
            which needs `bank`, the folder of a face bank. Those of "maugen" (path=FOLDER among them; without it, it is
            the weights that come with the package) and of a folder are those of `maugen.generator.MAUGenGenerator`.

    Raises:
        ConfigurationError: unknown name, unknown option, a value out of its range, a device it cannot run on, no
            checkpoint in the folder.
        BankError: no face bank where `bank` says.
        MissingAssetError: the portrait look's head model was never imported.
        StoreError: the checkpoint is damaged.
    """
    if name_or_path == AUTO:
        return _automatic(device, options)
    if name_or_path == "rendered":
        return _rendered(device, options)
    if name_or_path != "maugen":
        if not Path(name_or_path).expanduser().is_dir():
            raise ConfigurationError(
                f"unknown generator {str(name_or_path)!r}",
                expected=f"one of {list(GENERATORS)}, or the folder of a checkpoint",
            )
        options = {"path": name_or_path, **options}
    elif "path" not in options:
        from ausynth.generators.maugen.shipped import shipped

        folder = shipped()
        if folder is None:
            raise ConfigurationError(
                "generator 'maugen' without a checkpoint, and none came with this installation",
                expected="path=FOLDER, or that folder instead of the name",
                do="train one with `ausynth train maugen`",
            )
        options = {"path": folder, **options}
    from ausynth.generators.maugen.generator import MAUGenGenerator

    _require_known("generator 'maugen'", MAUGenGenerator, options)
    return MAUGenGenerator(device=device, **options)


def _automatic(device: str | None, options: dict[str, Any]) -> Generator:
    unknown = sorted(set(options) - {"image_size", "aus"})
    if unknown:
        raise ConfigurationError(
            f"generator 'auto' with {', '.join(unknown)}",
            expected="image_size and aus: whatever else there is belongs to one of the generators",
            do="name the generator: 'rendered' or 'maugen'",
        )
    aus = options.pop("aus", None)
    chosen = resolve_auto(None if aus is None else facs.label_space(aus))
    if chosen.name == "rendered":
        return load_generator(chosen.name, **options)
    return load_generator(chosen.name, device)


def _rendered(device: str | None, options: dict[str, Any]) -> Generator:
    look = options.pop("look", "procedural")
    if look not in LOOKS:
        raise ConfigurationError(f"generator 'rendered' with look={look!r}", expected=f"one of {list(LOOKS)}")
    made = _class_of(look)
    if look == "procedural" and device not in {None, "auto", "cpu"}:
        raise ConfigurationError(
            f"the look 'procedural' on device {device!r}: it runs on the CPU",
            expected="'cpu' or None",
            do="leave device out; the look 'portrait' runs on CUDA",
        )
    of_look = "" if look == "procedural" else f" with the look {look!r}"
    _require_known(f"generator 'rendered'{of_look}", made, options)
    if look == "portrait" and options.get("bank") is None:
        raise ConfigurationError(
            "the look 'portrait' without a face bank",
            expected="bank=FOLDER",
            do="make one with `ausynth faces build PHOTOS --out FOLDER`",
        )
    return made(**options, **({} if look == "procedural" else {"device": device}))


def _class_of(look: str) -> Callable[..., Generator]:
    if look == "portrait":
        from ausynth.generators.portrait.generator import PortraitGenerator

        return PortraitGenerator
    from ausynth.generators.rendered.generator import RenderedGenerator

    return RenderedGenerator


def _require_known(name: str, made: Callable[..., Generator], options: dict[str, Any]) -> None:
    known = [each for each in inspect.signature(made).parameters if each != "device"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigurationError(
            f"{name} has no option {', '.join(unknown)}",
            expected=f"some of {known}",
            do="add look='portrait'" if unknown == ["bank"] else "correct the spelling",
        )
