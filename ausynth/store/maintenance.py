"""What can be done to a whole store: look at it, verify it, repair it, merge it with others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ausynth.errors import StoreError
from ausynth.store.catalogue import Catalogue
from ausynth.store.handles import Descriptor
from ausynth.store.look import Damage
from ausynth.store.merge import Merged, merge
from ausynth.store.recipe import Recipe, load_recipe
from ausynth.store.repair import Repair, repair
from ausynth.store.shard import DamageError
from ausynth.store.userblock import read_header
from ausynth.store.verify import Numbers, Verification, verify

__all__ = ["Damage", "Info", "Merged", "Repair", "Verification", "describe", "merge", "repair", "verify"]


@dataclass(frozen=True)
class Info:
    """What a store holds.

    Attributes:
        folder: of the store.
        recipe: what all samples have in common.
        shards, samples, bytes: how many, and the size of the shards; a number that a plan has twice counts once.
        plans: the numbers of each plan.
        configurations: what each plan is, in words, as far as a shard can be read that says it.
        lines: how many lines of the manifest cannot be read.
    """

    folder: Path
    recipe: Recipe
    shards: int
    samples: int
    bytes: int
    plans: Numbers
    configurations: Mapping[str, Mapping[str, Any]]
    lines: int


def describe(folder: str | os.PathLike[str]) -> Info:
    """Return what a store holds, from its list and the beginning of one shard of each plan.

    Raises:
        StoreError: there is no store, or what describes it is damaged.
    """
    path = Path(folder)
    recipe = load_recipe(path)
    if recipe is None:
        raise StoreError(f"{path} holds no store", expected="a folder that ausynth has filled")
    catalogue = Catalogue().advanced(path)
    configurations: dict[str, Mapping[str, Any]] = {}
    for number in catalogue.live.values():
        entry = catalogue.entries[number]
        if entry.plan not in configurations:
            with contextlib.suppress(DamageError, StoreError, OSError):
                file = Descriptor(path / entry.shard)
                configurations[entry.plan] = read_header(file.number).configuration
    plans = {plan: catalogue.numbers(plan) for plan in sorted(catalogue.plans)}
    return Info(
        folder=path,
        recipe=recipe,
        shards=len(catalogue.live),
        samples=len(catalogue),
        bytes=catalogue.bytes,
        plans=plans,
        configurations=configurations,
        lines=catalogue.damaged,
    )
