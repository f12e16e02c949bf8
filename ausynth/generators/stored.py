"""Stands in for a generator that is not here: everything it made that can be had lies in a store."""

from __future__ import annotations

from ausynth.errors import GenerationError
from ausynth.generators.base import Conditions, Generated
from ausynth.store import Recipe

__all__ = ["StoredGenerator"]


class StoredGenerator:
    """A generator by description, which makes nothing.

    Args:
        recipe: of a store of generated samples.
        folder: of that store, for messages.
    """

    def __init__(self, recipe: Recipe, folder: object) -> None:
        self.fingerprint, self.image_size, self.aus = recipe.fingerprint, recipe.image_size, recipe.aus
        self.name = str(recipe.about.get("generator", "unknown"))
        self.block_size = int(recipe.about.get("block_size", 1))
        self.trained_on = tuple(recipe.about.get("trained_on", ()))
        self.reads_prompts = bool(recipe.about.get("reads_prompts", False))
        self._folder = folder

    def generate(self, conditions: Conditions) -> Generated:
        """Raise GenerationError, whatever is asked."""
        raise GenerationError(
            f"{len(conditions)} faces that are not in the cache {self._folder}, and no generator to make them",
            expected="faces that were stored before",
            do=f"give the stream generator={self.name!r}, or fill the cache further with `ausynth warmup`",
        )
