"""What `generator="auto"` stands for: the MAUGen that comes with the package if it is good enough, else the renderer.

[C] Quality decides, and not speed: on a CPU MAUGen paints some pictures a second, where the renderer draws hundreds.
Whoever wants speed there names the renderer, or fills a cache ahead of training (`ausynth warmup`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ausynth import facs
from ausynth.errors import ConfigurationError, StoreError
from ausynth.generators.maugen import shipped
from ausynth.store.recipe import load_recipe

if TYPE_CHECKING:
    from ausynth.generators.base import Generator
    from ausynth.sources.base import Source

__all__ = ["AUTO", "Chosen", "asked_for", "is_auto", "resolve_auto", "warn_if_slow"]

AUTO: Final = "auto"
VARIABLE: Final = "AUSYNTH_GENERATOR"
"""The environment variable that says what "auto" stands for on a machine."""

_NAMES: Final = ("rendered", "maugen")


class Chosen(NamedTuple):
    """Which generator, and why, in words that follow "generator X: "."""

    name: str
    why: str


def resolve_auto(aus: Sequence[int] | None = None, *, cache: str | os.PathLike[str] | None = None) -> Chosen:
    """Return which generator "auto" stands for: "maugen" (its shipped weights) or "rendered".

    In this order: what the environment variable AUSYNTH_GENERATOR names; what has filled the cache; the shipped
    MAUGen where it is there, knows all AUs that are asked for, and has passed its gate with a judge
    (`maugen.shipped.verdict`); else the renderer. The answer follows from the installation alone, not from its device.

    >>> resolve_auto((4, 7, 10)).name  # MAUGen's mini knows those of DISFA
    'rendered'

    Args:
        aus: the label space that is asked for; None: whatever the generator knows.
        cache: a folder in which faces may lie already: they are of its generator.

    Raises:
        ConfigurationError: AUSYNTH_GENERATOR names no generator.
        StoreError: the cache is damaged.
    """
    wanted = os.environ.get(VARIABLE, "").strip()
    if wanted and wanted != AUTO:
        if wanted not in _NAMES:
            raise ConfigurationError(f"{VARIABLE}={wanted!r}", expected=f"one of {list(_NAMES)}, or {AUTO!r}")
        return Chosen(wanted, f"{VARIABLE} says so")
    there = _of_cache(cache)
    if there is not None:
        return Chosen(there, f"the cache {cache} holds its faces")
    refused = _refused(aus)
    if refused is not None:
        return Chosen("rendered", refused)
    _, said = shipped.verdict(shipped.figures_of(shipped.SHIPPED))
    return Chosen("maugen", f"it has passed its gate: {said}")


def is_auto(generator: object) -> bool:
    """Return whether a stream's `generator` leaves the choice to the library."""
    return generator == AUTO or (isinstance(generator, Mapping) and dict(generator) == {"name": AUTO})


def asked_for(aus: str | Iterable[int], real: Sequence[Source]) -> tuple[int, ...] | None:
    """Return the label space that a stream asks for, None where that is whatever its generator knows."""
    from ausynth.sources.opening import resolve_aus

    if not real and isinstance(aus, str) and aus.lower() in ("benchmark", "union", "intersection"):
        return None
    return resolve_aus(aus, real, tuple(facs.ACTION_UNITS))


def warn_if_slow(generator: Generator | None, *, cached: bool) -> None:
    """Warn that a network was chosen for a stream on the CPU, where it is what training waits for."""
    if not cached and getattr(generator, "device", None) == "cpu":
        warnings.warn(
            "MAUGen paints the synthetic faces on the CPU: some a second, where generator='rendered' draws hundreds. "
            "Fill a cache ahead of training (ausynth warmup), or name the renderer.",
            UserWarning,
            stacklevel=4,
        )


def _refused(aus: Sequence[int] | None) -> str | None:
    """Return what speaks against the MAUGen that comes with the package, None where nothing does."""
    folder = shipped.shipped()
    if folder is None:
        return "no MAUGen weights came with this installation"
    which = "the MAUGen that came with this installation"
    try:
        lacking = sorted(set(aus or ()) - set(shipped.label_space_of(folder)))
        passed, said = shipped.verdict(shipped.figures_of(folder))
    except StoreError as error:
        return f"{which} is damaged: {error}"
    if lacking:
        return f"{which} does not know {', '.join(f'AU{au}' for au in lacking)}"
    return None if passed else f"{which} has not passed its gate: {said}"


def _of_cache(cache: str | os.PathLike[str] | None) -> str | None:
    """Return the name of the generator that has filled a cache, None where there is none or it is another."""
    if cache is None:
        return None
    recipe = load_recipe(Path(cache).expanduser())
    name = None if recipe is None else recipe.about.get("generator")
    return str(name) if name in _NAMES else None
