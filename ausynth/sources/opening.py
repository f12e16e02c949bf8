"""Opens the real sources of a stream, tells each one whom to hold out, and settles label space, generator, names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators import load_generator
from ausynth.generators.base import Generator
from ausynth.sources import open_source
from ausynth.sources.base import Source
from ausynth.sources.crop import Align
from ausynth.sources.folds import PARTS, subject_order
from ausynth.sources.thinning import Thin
from ausynth.sources.thinning import thin as thinned

__all__ = [
    "People",
    "Root",
    "as_listed",
    "distinct_names",
    "open_generator",
    "open_real",
    "resolve_aus",
    "selections",
]

Root = str | os.PathLike[str]

Subjects = str | Sequence[str]
"""A part ("P1"), a subject, or several of either."""

People = Subjects | Mapping[str, Subjects]
"""The same for every data set that has them, or by data set."""


def open_real(
    real: str | Source | Sequence[str | Source] | None,
    *,
    root: Root | Mapping[str, Root] | None = None,
    hold_out: People | None = None,
    keep: People | None = None,
    fold: str | Mapping[str, str] | None = None,
    threshold: float | None = None,
    align: Align = "none",
    thin: Thin | None = None,
) -> tuple[Source, ...]:
    """Return the opened sources of `real`, in order.

    `hold_out`, `keep` and `fold` go to every named data set: a part ("P1") to each, a list of subjects to those that
    have them, a mapping by data set to each its own. A source that is already open was told when it was opened; `thin`
    thins it all the same.

    Raises:
        ConfigurationError: a subject that no named data set has, a root for several sets at once, options for a source
            that is open already, or nothing to open.
    """
    wanted = as_listed(real)
    if real is not None and not wanted:
        raise ConfigurationError("real=[] names no source", expected="'disfa', 'bp4d', a Source, or None")
    names = [entry for entry in wanted if isinstance(entry, str)]
    given = {"hold_out": hold_out, "keep": keep, "fold": fold}
    chosen = {option: _listed(option, value) for option, value in given.items() if value is not None}
    if chosen and len(names) < len(wanted):
        raise ConfigurationError(
            f"{', '.join(chosen)} with a source that is open already",
            expected="sources by name",
            do="open it with open_source(name, hold_out=...) instead, and leave the stream's option out",
        )
    if chosen and not names:
        raise ConfigurationError(f"{', '.join(chosen)} without real data", expected="real='disfa' or another source")
    if root is not None and not isinstance(root, Mapping) and len(names) != 1:
        raise ConfigurationError(
            f"one root for {len(names)} named sources {names}", expected="root={'disfa': FOLDER, 'bp4d': FOLDER}"
        )
    roots = dict(root) if isinstance(root, Mapping) else dict.fromkeys(names, root)
    _require_known(chosen, names)
    opened: list[Source] = []
    for entry in wanted:
        if not isinstance(entry, str):
            opened.append(entry if thin is None else thinned(entry, thin))
            continue
        options = _concerning(entry, chosen, names)
        if threshold is not None:
            options["threshold"] = threshold
        if thin is not None:
            options["thin"] = thin
        opened.append(open_source(entry, roots.get(entry), align=align, **options))
    empty = [source.name for source in opened if len(source) == 0]
    if empty:
        raise ConfigurationError(f"no pictures in {', '.join(empty)}", expected="at least one")
    return tuple(opened)


def as_listed(real: str | Source | Sequence[str | Source] | None) -> list[str | Source]:
    """Return what the argument `real` names, one or several or nothing, as a list."""
    return [real] if isinstance(real, str | Source) else list(real or ())


def selections(
    real: str | Source | Sequence[str | Source] | None, **given: People | str | Mapping[str, str] | None
) -> list[dict[str, Any]]:
    """Return for each source of `real` what of `hold_out`, `keep` and `fold` concerns it, as `open_real` gives it."""
    wanted = as_listed(real)
    names = [entry for entry in wanted if isinstance(entry, str)]
    chosen = {option: _listed(option, value) for option, value in given.items() if value is not None}
    return [_concerning(entry, chosen, names) if isinstance(entry, str) else {} for entry in wanted]


def _concerning(name: str, chosen: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    shares = {
        option: value if len(names) == 1 and not isinstance(value, Mapping) else _share(value, name)
        for option, value in chosen.items()
    }
    return {option: share for option, share in shares.items() if share is not None}


def resolve_aus(aus: str | Iterable[int], real: Sequence[Source], generated: Sequence[int] = ()) -> tuple[int, ...]:
    """Return the label space of a stream.

    Args:
        aus: "benchmark", "union" or "intersection" of the real sources, a name of `facs.LABEL_SPACES`, or AU numbers.
        real: the opened sources; without any, the three words mean the AUs that are generated.
        generated: the AUs that the generator controls.

    Raises:
        ConfigurationError: an unknown AU, or none that anything in the stream has labels for.
    """
    word = aus.lower() if isinstance(aus, str) else None
    if word in {"benchmark", "union", "intersection"} and not real:
        return facs.label_space(generated)
    if word == "benchmark":
        return real[0].benchmark if len(real) == 1 else facs.union(*(source.benchmark for source in real))
    if word == "union":
        return facs.union(*(source.labels.aus for source in real))
    if word == "intersection":
        return facs.intersection(*(source.labels.aus for source in real))
    space = facs.label_space(aus)
    coded = {au for source in real for au in source.labels.aus} | set(generated)
    if not coded & set(space):
        raise ConfigurationError(
            f"nothing in this stream has labels for {space}", expected=f"at least one of {sorted(coded)}"
        )
    return space


def _listed(option: str, value: Any) -> Any:
    """Return a lone subject as a list of one: a list goes to those that have its subjects, a part to every set."""
    parts = {part for dataset in PARTS.values() for part in dataset}
    alone = isinstance(value, str) and value and option != "fold" and value.upper() not in parts
    return [value] if alone else value


def _own_words(name: str) -> set[str]:
    return {word.upper() for word in (*subject_order(name), *PARTS[name])}


def _require_known(chosen: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse a subject or data set that none of the named sets has: a misspelt hold-out must not hold out nobody."""
    for option, value in chosen.items():
        if isinstance(value, Mapping):
            known = set(names)
            strange = [word for word in value if word not in known]
        elif option != "fold" and not isinstance(value, str) and len(names) > 1 and set(names) <= set(PARTS):
            known = set().union(*map(_own_words, names))
            strange = [word for word in value if str(word).upper() not in known]
        else:
            continue
        if strange:
            raise ConfigurationError(f"{option} names {strange}", expected=f"some of {', '.join(sorted(known))}")


def _share(value: Any, name: str) -> Any:
    """Return what of `value` concerns data set `name`."""
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, str) or name not in PARTS or not len(value):
        return value
    return [word for word in value if str(word).upper() in _own_words(name)] or None


def open_generator(generator: str | Mapping[str, Any] | Generator, image_size: int) -> Generator:
    """Return the generator that was named, described or given; one that draws at any size draws at `image_size`.

    A mapping holds `name`, "rendered" if left out, and options of `load_generator`.
    """
    if isinstance(generator, str):
        generator = {"name": generator}
    if isinstance(generator, Mapping):
        options = dict(generator)
        name = options.pop("name", "rendered")
        # The renderer draws at any size; a network's size is its own.
        return load_generator(name, **({"image_size": image_size} | options if name == "rendered" else options))
    if not isinstance(generator, Generator):
        raise ConfigurationError(
            f"generator {generator!r}", expected="a name for load_generator, a mapping of its options, or a Generator"
        )
    return generator


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with a number behind those that come again.

    >>> distinct_names(["folder", "folder", "synthetic"])
    ('folder', 'folder-2', 'synthetic')
    """
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(result)
