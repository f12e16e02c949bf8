"""Has a stream read prepared pictures where there are some, and says once how to get them where there are none."""

from __future__ import annotations

import warnings

from ausynth.errors import ConfigurationError
from ausynth.sources.base import Source
from ausynth.sources.prepared_lookup import hint, prepared_for

__all__ = ["use_prepared"]

_WORTH_IT = 2_000
"""Pictures of a set so small that nobody waits for it are not worth a word."""

_said: set[str] = set()


def use_prepared(source: Source, size: int) -> Source:
    """Return the source, or one of the same samples that reads them from a prepared store.

    Args:
        source: an open source.
        size: height and width in pixels at which the stream reads it.

    Raises:
        ConfigurationError: it is a prepared store of another size, which would give other pictures than its files do.
    """
    native = getattr(source, "native_size", None)
    if native is not None and native != size:
        raise ConfigurationError(
            f"{source.name} was prepared at {native} pixels, and this stream reads it at {size}",
            expected=f"image_size={native} (with match_resolution, the size of the synthetic faces)",
            do=f"run `ausynth prepare {source.name}` with --size {size}, or give the data set's own folder as root",
        )
    found = prepared_for(source, size)
    if found is not None:
        return found
    text = hint(source, size) if len(source) >= _WORTH_IT else None
    if text is not None and text not in _said:
        _said.add(text)
        warnings.warn(text, UserWarning, stacklevel=2)
    return source
