"""Keeps samples on the disk: immutable HDF5 shards in a folder, which many processes read and write at once."""

from __future__ import annotations

from ausynth.store.recipe import Recipe
from ausynth.store.samples import Samples
from ausynth.store.store import Store

__all__ = ["Recipe", "Samples", "Store"]
