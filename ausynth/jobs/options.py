"""Which stream a job is about: arguments of `MixedStream`, from a file or from flags, that open it in any process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.generators.automatic import is_auto

__all__ = ["OpenStream", "StreamOptions", "WarmStream", "read_options"]

_OBJECTS: Final = ("sampler", "reject", "transform")
"""Arguments that are Python objects: no file can spell them."""

_OF_TRAINING: Final = (
    "device",
    "on_exhausted",
    "prefetch",
    "rank",
    "steps_per_epoch",
    "threads",
    "transform",
    "world_size",
)
"""Arguments that change no synthetic sample, and may not fit the machine or the moment of a warmup."""


class WarmStream(Protocol):
    """What a job asks of a stream; `MixedStream` with a cache has it."""

    @property
    def plan(self) -> str:
        """Return the hash of all that decides what its samples are."""
        ...

    @property
    def block_size(self) -> int:
        """Return how many synthetic samples are always made together."""
        ...

    def stored(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return which of the synthetic ordinals start, ... stop - 1 the cache holds."""
        ...

    def warm(self, start: int, stop: int, progress: Callable[[int], None] | None = None) -> int:
        """Make and store the ordinals that are missing, and return how many; `progress` hears of every few."""
        ...


OpenStream = Callable[[], WarmStream]
"""Opens the stream, in each worker anew; it pickles."""


@dataclass(frozen=True)
class StreamOptions:
    """Opens `MixedStream(**options)` for filling its cache.

    >>> options = StreamOptions({"real": None, "ratio": 1, "cache": "faces"})

    What concerns training alone (device, threads, transform, ranks, what follows the last stored sample) is left out.

    Raises:
        ConfigurationError: no cache to fill, one that may not be written, or nothing that generates.
    """

    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.options.get("cache") is None:
            raise ConfigurationError(
                "a stream without a cache", expected="a folder to fill", do="give --cache FOLDER, or cache= in Python"
            )
        if self.options.get("cache_mode", "readwrite") != "readwrite":
            raise ConfigurationError(
                f"cache_mode {self.options['cache_mode']!r}",
                expected="'readwrite', or nothing: the cache is to be filled",
            )
        if self.options.get("synthetic") is not None or self.options.get("generator", "") is None:
            raise ConfigurationError(
                "a stream that shows finished faces (synthetic=, or generator=None)",
                expected="a generator that makes them",
                do="leave synthetic out, and name a generator",
            )

    def __call__(self) -> WarmStream:
        """Return the stream."""
        from ausynth.stream import MixedStream

        chosen = {name: value for name, value in self.options.items() if name not in _OF_TRAINING}
        return MixedStream(**chosen | {"rank": 0, "world_size": 1})

    def resolved(self, stream: WarmStream) -> StreamOptions:
        """Return the options with a generator that was left to the library ("auto") as it came out in `stream`."""
        if not is_auto(self.options.get("generator", "auto")):
            return self
        name: str = stream.generator.name  # type: ignore[attr-defined]  # a MixedStream, which `__call__` opened
        return StreamOptions({**self.options, "generator": name})


def read_options(path: Path) -> dict[str, Any]:
    """Return the arguments of `MixedStream` that a YAML file holds.

    Raises:
        ConfigurationError: no such file, no YAML, no mapping, or a key that is no argument of `MixedStream`, or is one
            that only Python can give.
    """
    import yaml

    try:
        given = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", expected="a YAML file of stream options") from error
    except yaml.YAMLError as error:
        text = " ".join(str(error).split())
        raise ConfigurationError(f"{path} is no YAML: {text}", expected="lines such as `ratio: 0.5`") from error
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ConfigurationError(f"{path} holds a {type(given).__name__}", expected="lines such as `ratio: 0.5`")
    return _checked(given, path)


def _checked(given: dict[Any, Any], path: Path) -> dict[str, Any]:
    from ausynth.stream import MixedStream

    allowed = [name for name in inspect.signature(MixedStream).parameters if name not in _OBJECTS]
    unknown = sorted(str(name) for name in given if name not in allowed)
    if not unknown:
        # "none" is how the flag says it, and so what people write; YAML's own word is null.
        return given | {name: None for name in ("real", "balance") if given.get(name) == "none"}
    only_python = set(unknown) & set(_OBJECTS)
    raise ConfigurationError(
        f"{path} has {'keys' if len(unknown) > 1 else 'the key'} {', '.join(unknown)}",
        expected=f"arguments of MixedStream that a file can spell: {', '.join(allowed)}",
        do="use ausynth.jobs.warmup in Python for a stream with such objects"
        if only_python
        else "correct the spelling",
    )
