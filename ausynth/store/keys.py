"""Where the sample of a content key lies: sorted tables, of which a large one is seldom sorted again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ausynth.store.samples import KEY_BYTES

__all__ = ["KeyIndex"]

Integers = NDArray[np.int64]
Keys = NDArray[np.bytes_]


@dataclass(frozen=True, eq=False)
class KeyIndex:
    """The keys of some shards and their places: it does not change; `extended` returns the next one.

    Attributes:
        shards: numbers of the shards that were looked at.
        unreadable: those among them whose keys are not here because they cannot be read.
        tables: sorted keys and their places, older samples first, each table a good deal larger than the next.
    """

    shards: frozenset[int] = frozenset()
    unreadable: frozenset[int] = frozenset()
    tables: tuple[tuple[Keys, Integers], ...] = ()

    def find(self, keys: NDArray[np.uint8]) -> Integers:
        """Return the place of each key (B, 16), that of the oldest sample which has it, or -1."""
        wanted = _as_strings(keys)
        places = np.full(len(wanted), -1, np.int64)
        for table, table_places in self.tables:
            row = np.minimum(table.searchsorted(wanted), len(table) - 1)
            new = (places < 0) & (table[row] == wanted)
            places[new] = table_places[row[new]]
        return places

    def places(self) -> Integers:
        """Return the place of each key once, ascending."""
        if not self.tables:
            return np.empty(0, np.int64)
        keys, places = _merged(list(self.tables))
        first = np.append(True, keys[1:] != keys[:-1])
        return np.sort(places[first])

    def extended(self, shard: int, keys: NDArray[np.uint8], first: int) -> KeyIndex:
        """Return the index with one more shard: its keys (N, 16), and the place of its first row."""
        table = _merged([(_as_strings(keys), first + np.arange(len(keys)))])
        tables = [*self.tables, table]
        # As in counting: what was added last is merged with its elder when it has grown as large.
        while len(tables) > 1 and len(tables[-2][0]) <= 2 * len(tables[-1][0]):
            tables[-2:] = [_merged(tables[-2:])]
        return KeyIndex(self.shards | {shard}, self.unreadable, tuple(tables))

    def without(self, shard: int) -> KeyIndex:
        """Return the index after one shard was passed over because it cannot be read."""
        return KeyIndex(self.shards | {shard}, self.unreadable | {shard}, self.tables)


def _merged(tables: list[tuple[Keys, Integers]]) -> tuple[Keys, Integers]:
    keys = np.concatenate([table for table, _ in tables])
    places = np.concatenate([places for _, places in tables])
    order = np.argsort(keys, kind="stable")  # older samples stay before younger ones of the same key
    return keys[order], places[order]


def _as_strings(keys: NDArray[np.uint8]) -> Keys:
    # numpy compares strings of one length as bytes; that it drops zeros at the end makes no difference among equals.
    return np.ascontiguousarray(keys, np.uint8).view(f"S{KEY_BYTES}").reshape(-1)
