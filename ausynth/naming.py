"""What a user's function is called, since plans and caches are told apart by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ausynth.errors import ConfigurationError

__all__ = ["fingerprint_of"]


def fingerprint_of(function: Callable[..., Any], option: str) -> str:
    """Return the fingerprint of a function given as `option`: its `fingerprint` attribute, else module and name.

    >>> fingerprint_of(max, "reject")
    'builtins.max'

    Raises:
        ConfigurationError: a lambda, or a callable object without `fingerprint`, has no name of its own.
    """
    own = getattr(function, "fingerprint", None)
    named = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '<lambda>')}"
    if own is None and "<lambda>" in named:
        raise ConfigurationError(
            f"{option}={function!r} has no name of its own",
            expected="a named function, or a callable with a `fingerprint`: plans and caches are told apart by it",
            do="write it as `def mine(...): ...`",
        )
    return str(own or named)
