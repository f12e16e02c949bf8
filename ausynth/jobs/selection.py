"""Which samples of a store are exported, in which order, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError

if TYPE_CHECKING:
    from ausynth.store import Samples, Store

__all__ = ["Images", "PlannedBatch", "at_once", "choose", "digest", "read", "require_enough"]

Images = NDArray[np.uint8] | Sequence[bytes]
PlannedBatch = tuple["Samples", Images, str]
Places = NDArray[np.int64]

_AT_ONCE: Final = 512
_BYTES: Final = 64 << 20


def at_once(edge: int) -> int:
    """Return how many pictures are read and encoded at a time: enough for all cores, little memory.

    >>> at_once(112), at_once(1024)
    (512, 21)
    """
    return max(1, min(_AT_ONCE, _BYTES // (3 * edge * edge)))


def require_enough(samples: int, count: int | None) -> None:
    """Raise ConfigurationError where there are no samples, or fewer than `count`."""
    if not samples:
        raise ConfigurationError("no samples to export", expected="one or more")
    if count is not None and samples < count:
        raise ConfigurationError(
            f"{samples:,} samples, and {count:,} are asked for", expected=f"a count of {samples:,} or less"
        )


def choose(store: Store, plan: str | None, count: int | None) -> list[tuple[str, Places]]:
    """Return the places of the samples to export, plan by plan, ascending by ordinal; each sample once."""
    plans = store.plans()
    wanted = [name for name in plans if plan is None or name.startswith(plan)]
    if plan in plans:
        wanted = [plan]
    if plan is not None and len(wanted) != 1:
        raise ConfigurationError(
            f"{len(wanted) or 'no'} plan{'s' if len(wanted) > 1 else ''} of {store.folder} begin with {plan!r}",
            expected=f"one of {', '.join(repr(name) for name in plans) or 'none: the store is empty'}",
        )
    chosen, left = [], np.sort(store.places())
    for name in sorted(wanted):
        places = store.find(name, store.numbers(name))
        if plan is None:  # what several plans ask for is the first one's
            places = places[np.isin(places, left)]
            left = np.setdiff1d(left, places, assume_unique=True)
        chosen.append((name, places))
    total = sum(places.size for _, places in chosen)
    require_enough(total, count)
    for row, (name, places) in enumerate(chosen if count is not None else []):
        chosen[row] = (name, places[:count])
        count = (count or 0) - chosen[row][1].size
    return [(name, places) for name, places in chosen if places.size]


def read(store: Store, chosen: list[tuple[str, Places]], verbatim: bool) -> Iterator[PlannedBatch]:
    """Return the samples in batches, with pixels that are used again, or with the stored JPEG data if `verbatim`."""
    edge = store.recipe.image_size
    some = at_once(edge)
    pixels = np.empty((0 if verbatim else some, edge, edge, 3), np.uint8)
    for plan, places in chosen:
        for start in range(0, places.size, some):
            part = places[start : start + some]
            if verbatim:
                yield store.samples(part), [store.encoded(place) for place in part.tolist()], plan
            else:
                store.read(part, pixels[: part.size])
                yield store.samples(part), pixels[: part.size], plan


def digest(store: Store, chosen: list[tuple[str, Places]]) -> str:
    """Return a hash of which samples these are: under one plan, an ordinal is one sample."""
    import xxhash

    digest = xxhash.xxh3_128()
    for plan, places in chosen:
        numbers = store.numbers(plan)
        numbers = numbers[np.isin(store.find(plan, numbers), places)]
        digest.update(f"{plan}:{numbers.size}:".encode())
        digest.update(numbers.astype("<i8").tobytes())
    return digest.hexdigest()
