"""A folder of immutable shards, which many processes read and write at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.durable import sync_folder
from ausynth.errors import ConfigurationError, DamagedError, StoreError
from ausynth.store.adoption import tidy
from ausynth.store.catalogue import ROW_BITS, Catalogue
from ausynth.store.files import storage_error
from ausynth.store.handles import ForkLock
from ausynth.store.keys import KeyIndex
from ausynth.store.manifest import append, locked
from ausynth.store.reading import Reader, Verify
from ausynth.store.recipe import Recipe, load_recipe, save_recipe
from ausynth.store.samples import Samples
from ausynth.store.writing import Part, PreparedShard

__all__ = ["Store"]

Integers = NDArray[np.int64]
Pixels = NDArray[np.uint8]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Store:
    """A folder of immutable HDF5 shards.

    Safe in threads and after a fork; a pickled copy opens the folder anew. A place is one int64 that says where a
    sample lies: it holds for as long as this store is open, and is another in another process.

    Args:
        folder: where the shards lie.
        verify: when a picture's checksum is compared: each time it is "read", for all of a shard when it is "open"ed,
            or "never". Everything else of a shard is checked whenever it is opened.

    Attributes:
        folder: where the shards lie.
        recipe: what all samples have in common.

    Raises:
        StoreError: there is no store, it is of another schema, or its description is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str], *, verify: Verify = "read") -> None:
        if verify not in ("read", "open", "never"):
            raise ConfigurationError(f"verify={verify!r}", expected="'read', 'open' or 'never'")
        self.folder, self.verify = Path(folder), verify
        recipe = load_recipe(self.folder)
        if recipe is None:
            raise StoreError(f"{self.folder} holds no store", expected="a folder that ausynth has filled")
        self.recipe = recipe
        self._lock = ForkLock()
        self._reader = Reader(self.folder, recipe, verify)
        self._catalogue = Catalogue()
        self._keys = KeyIndex()
        self._is_tidy = False
        self.refresh()

    @classmethod
    def create(cls, folder: str | os.PathLike[str], recipe: Recipe, *, verify: Verify = "read") -> Store:
        """Return the store in `folder`, which is made where there is none, ready to be written.

        What writers that were killed left there is cleared up. Several processes may do this at once.

        Raises:
            StoreError: the store there has another recipe (the message names each difference), or the folder cannot
                be written.
        """
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if load_recipe(path) is None:
                with locked(path):
                    if load_recipe(path) is None:
                        save_recipe(path, recipe)
        except OSError as error:
            raise storage_error(error, path) from error
        store = cls(path, verify=verify)
        differences = store.recipe.differences(recipe)
        if differences:
            raise StoreError(
                f"the store {path} was made for other samples: its {', its '.join(differences)}",
                expected="a store of the same recipe",
                do="choose another folder for these samples",
            )
        store._tidy()
        return store

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, verify={self.verify!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self.folder, self.verify))

    def __len__(self) -> int:
        """Return how many samples are listed; a number that a plan has twice counts once."""
        return len(self._catalogue)

    @property
    def bytes_on_disk(self) -> int:
        """Return the size of all listed shards in bytes."""
        return self._catalogue.bytes

    def plans(self) -> dict[str, int]:
        """Return how many samples are stored of each plan."""
        return {plan: runs.count for plan, runs in self._catalogue.plans.items()}

    def refresh(self) -> bool:
        """Take notice of what other processes have listed since, and return whether there was anything.

        Costs one look at the manifest's size where there was nothing.

        Raises:
            StoreError: the manifest cannot be read.
        """
        with self._lock:
            before, after = self._catalogue, self._catalogue.advanced(self.folder)
            if after is before:
                return False
            if after.reread != before.reread:
                self._reader.forget()
            self._catalogue = after
        return True

    def write(
        self, samples: Samples, images: Any, *, plan: str = "", configuration: Mapping[str, Any] = _NOTHING
    ) -> str:
        """Store samples as one shard, and return its name; when this returns, they are on the disk and listed.

        The name follows from plan, numbers and keys: what is stored already is not stored again.

        Args:
            samples: N of them, in any order.
            images: their pictures: (N, S, S, 3) uint8 or, for the codec "jpeg", N byte strings of JPEG data.
            plan: what the samples' numbers are numbers of.
            configuration: what that plan is, as JSON, for whoever looks into the file.

        Raises:
            ConfigurationError: the samples do not fit the recipe or each other.
            StoreError: the disk is full, or the folder cannot be written; nothing is left behind.
        """
        prepared = PreparedShard(self.recipe, samples, images, plan, configuration)
        name = prepared.name
        try:
            self._tidy()
            self.refresh()
            if name in self._catalogue.live:
                return name
            with Part(self.folder, name) as part:
                header = prepared.write(part.descriptor)
                os.fsync(part.descriptor)
                with locked(self.folder):
                    self.refresh()
                    if name not in self._catalogue.live:
                        self._publish(part, prepared, header)
            self.refresh()
        except OSError as error:
            raise storage_error(error, self.folder) from error
        return name

    def find(self, plan: str, numbers: Integers) -> Integers:
        """Return the place of each number (B,) of a plan, -1 where it is not stored."""
        return self._catalogue.find(plan, numbers)

    def find_keys(self, keys: NDArray[np.uint8]) -> Integers:
        """Return the place of each content key (B, 16), whatever plan it was stored under, -1 where it is not stored.

        The first call reads the keys of all shards; a shard that cannot be read counts as not stored.
        """
        return self._key_index().find(keys)

    def places(self) -> Integers:
        """Return the place of every stored sample, once per content key, ascending.

        Raises:
            DamagedError: a shard cannot be read.
        """
        index, catalogue = self._key_index(), self._catalogue
        for number in index.unreadable & set(catalogue.live.values()):
            self._reader.columns(catalogue, number)  # raises what is wrong with it, unless it was put right since
        return index.places()

    def numbers(self, plan: str) -> Integers:
        """Return the stored numbers of a plan, ascending."""
        return self._catalogue.numbers(plan)

    def read(self, places: Integers, out: Pixels) -> None:
        """Read the pictures at `places` into `out`.

        Args:
            places: (B,) in any order, also several times the same.
            out: (B, S, S, 3) uint8. Its rows may lie apart, each must be contiguous. Where an error is raised, it
                holds anything.

        Raises:
            DamagedError: stored bytes are not those that were written.
        """
        self._reader.read(self._catalogue, places, out)

    def samples(self, places: Integers) -> Samples:
        """Return everything but the pictures of the samples at `places` (B,), in that order.

        Raises:
            DamagedError: stored bytes are not those that were written.
        """
        return self._reader.samples(self._catalogue, places)

    def columns(self) -> Samples:
        """Return everything but the pictures of all samples, in the order of `places`: some 300 bytes a sample."""
        return self.samples(self.places())

    def encoded(self, place: int) -> bytes:
        """Return the bytes of one picture as they are stored, JPEG data or pixels; raise DamagedError."""
        return self._reader.encoded(self._catalogue, int(place))

    def _tidy(self) -> None:
        if self._is_tidy:
            return
        try:
            tidy(self.folder, self.recipe, self._catalogue)
        except OSError as error:
            raise storage_error(error, self.folder) from error
        self._is_tidy = True
        self.refresh()

    def _publish(self, part: Part, prepared: PreparedShard, header: Any) -> None:
        path = self.folder / prepared.name
        part.publish(path)
        try:
            sync_folder(self.folder)
            append(self.folder, [prepared.entry(header)])
        except BaseException:
            # An interruption may come when the line is on the disk already: then the shard has to stay.
            with contextlib.suppress(StoreError):
                self.refresh()
                if prepared.name not in self._catalogue.live:
                    path.unlink(missing_ok=True)
            raise

    def _key_index(self) -> KeyIndex:
        with self._lock:
            index, catalogue = self._keys, self._catalogue
            live = catalogue.live.values()
            if not index.shards <= set(live):
                index = KeyIndex()  # some were dropped
            for number in live:
                if number not in index.shards:
                    try:
                        columns = self._reader.columns(catalogue, number)
                        index = index.extended(number, columns.samples().key, number << ROW_BITS)
                    except DamagedError:
                        index = index.without(number)
            self._keys = index
        return index


def _reopen(folder: Path, verify: Verify) -> Store:
    return Store(folder, verify=verify)
