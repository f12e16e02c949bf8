"""A head of about 5,400 vertices, drawn by code: exact labels, any number of people, no weights to download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ausynth.generators.rendered.generator import RenderedGenerator as RenderedGenerator

__all__ = ["RenderedGenerator"]


def __getattr__(name: str) -> Any:
    if name == "RenderedGenerator":  # numba takes a second to import: only who renders pays for it
        from ausynth.generators.rendered.generator import RenderedGenerator

        return RenderedGenerator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
