"""Checks of a generator's options, of both looks."""

from __future__ import annotations

from ausynth.errors import ConfigurationError

__all__ = ["flag", "quality", "span", "whole", "within"]


def within(name: str, value: object, least: float, most: float) -> float:
    """Return a number, or raise ConfigurationError where it leaves the range."""
    import numpy as np

    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value <= most:
        raise ConfigurationError(f"{name}={value!r}", expected=f"{least:g} to {most:g}")
    return float(value)


def whole(name: str, value: object, least: int, most: int) -> int:
    """Return a whole number, or raise ConfigurationError."""
    number = within(name, value, least, most)
    if number != int(number):
        raise ConfigurationError(f"{name}={value!r}", expected="a whole number")
    return int(number)


def span(name: str, value: object, least: float, most: float) -> tuple[float, float]:
    """Return (least, most), or raise ConfigurationError."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ConfigurationError(f"{name}={value!r}", expected=f"(least, most) within {least:g}-{most:g}")
    low, high = (within(name, number, least, most) for number in value)
    if low > high:
        raise ConfigurationError(f"{name}={value!r}", expected="the smaller number first")
    return low, high


def quality(name: str, value: object) -> tuple[int, int] | None:
    """Return (least, most) of JPEG's quality or None, or raise ConfigurationError."""
    if value is None:
        return None
    low, high = span(name, value, 1, 100)
    return whole(name, low, 1, 100), whole(name, high, 1, 100)


def flag(name: str, value: object) -> bool:
    """Return True or False, or raise ConfigurationError."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name}={value!r}", expected="True or False")
    return value
