"""The beginning of a shard file: what the shard is, where its parts lie, and checksums of all of it.

Checked before anything else of the file is believed: from it follow the size of the file, where each column and the
pixels lie, and what the bytes outside the pixels must hash to. Those of the pixels are checked sample by sample.

Layout: 8 bytes magic, 16 bytes xxh3_128 of all that follows in the block, 8 bytes its size, 8 bytes the length of the
JSON (both little-endian), the JSON, zeros. HDF5 skips this "user block" and finds its own beginning after it.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ausynth.errors import StoreError
from ausynth.store.files import as_json, read_whole
from ausynth.store.recipe import SCHEMA, Recipe

__all__ = ["DamageError", "Header", "read_arrays", "read_header"]

_MAGIC: Final = b"AUSYNTH\n"
_LENGTHS: Final = struct.Struct("<8s16sQQ")
_LEAST: Final = 4096
_MOST: Final = 1 << 26


class DamageError(Exception):
    """Bytes of a shard are not those that were written; the message is the reason, without the file's name."""


@dataclass(frozen=True)
class Header:
    """What the user block of a shard says.

    Attributes:
        recipe: of the store.
        plan: what the samples' numbers are numbers of.
        configuration: what that plan is, as JSON.
        samples: how many.
        size: of the file in bytes.
        pixels: where the bytes of the pictures begin and end.
        arrays: path of each column in the file -> where it begins, its type, its shape.
        body: xxh3_128 of all bytes outside the user block and the pixels.
        block: size of the user block in bytes.
        head: xxh3_128 of the user block: it stands for the whole content of the shard.
    """

    recipe: Recipe
    plan: str
    configuration: Mapping[str, Any]
    samples: int
    size: int
    pixels: tuple[int, int]
    arrays: Mapping[str, tuple[int, str, tuple[int, ...]]]
    body: str
    block: int
    head: str = ""

    @staticmethod
    def room(recipe: Recipe, plan: str, configuration: Mapping[str, Any]) -> int:
        """Return the size of a user block that holds all this: a power of two, as HDF5 has it."""
        known = len(as_json({"recipe": recipe.to_json(), "plan": plan, "configuration": dict(configuration)}))
        block = _LEAST
        while block < known + _LEAST // 2:
            block *= 2
        if block > _MOST:
            raise StoreError(f"a configuration of {known:,} bytes", expected=f"less than {_MOST:,} bytes")
        return block

    def pack(self) -> bytes:
        """Return the user block."""
        facts = {"schema": SCHEMA, **{name: getattr(self, name) for name in _FACTS}}
        facts |= {
            "recipe": self.recipe.to_json(),
            "configuration": dict(self.configuration),
            "arrays": dict(self.arrays),
        }
        text = as_json(facts).encode()
        packed = _LENGTHS.pack(_MAGIC, bytes(16), self.block, len(text)) + text
        packed += bytes(self.block - len(packed))
        return b"".join([_MAGIC, xxhash.xxh3_128_digest(packed[24:]), packed[24:]])

    def with_head(self, packed: bytes) -> Header:
        """Return the header with the hash of the user block that `pack` returned."""
        return replace(self, head=packed[8:24].hex())


_FACTS: Final = ("plan", "samples", "size", "pixels", "body", "block")


def read_header(descriptor: int) -> Header:
    """Return what the user block of an open shard file says.

    Raises:
        DamageError: it is not a user block, or not as it was written, or the file has another size than it says.
        StoreError: another schema.
        OSError: the file cannot be read.
    """
    start = read_whole(descriptor, 0, _LEAST)
    if len(start) < _LENGTHS.size or start[: len(_MAGIC)] != _MAGIC:
        raise DamageError("it does not begin like a shard")
    _, digest, block, length = _LENGTHS.unpack_from(start)
    if not _LEAST <= block <= _MOST or length > block - _LENGTHS.size:
        raise DamageError("the checksum of its user block does not match")
    data = start if block == _LEAST else read_whole(descriptor, 0, block)
    if len(data) != block or xxhash.xxh3_128_digest(data[24:]) != digest:
        raise DamageError("the checksum of its user block does not match")
    facts = json.loads(data[_LENGTHS.size : _LENGTHS.size + length])
    if facts["schema"] != SCHEMA:
        raise StoreError(
            f"a shard of schema {facts['schema']!r}",
            expected=f"schema {SCHEMA}, which this version of ausynth reads and writes",
            do="use the version of ausynth that wrote it, or choose a new folder",
        )
    size = os.fstat(descriptor).st_size
    if size != facts["size"]:
        raise DamageError(f"it has {size:,} bytes and was written with {facts['size']:,}")
    known: dict[str, Any] = {name: facts[name] for name in (*_FACTS, "configuration")}
    known["recipe"] = Recipe.from_json(facts["recipe"])
    known["arrays"] = {path: (begin, dtype, tuple(shape)) for path, (begin, dtype, shape) in facts["arrays"].items()}
    return Header(**{**known, "pixels": tuple(facts["pixels"]), "head": digest.hex()})


def read_arrays(descriptor: int, header: Header) -> dict[str, NDArray[Any]]:
    """Return all columns of an open shard file, by their path in it, as read-only views of one buffer.

    Raises:
        DamageError: a byte outside the pixels is not as it was written.
        OSError: the file cannot be read.
    """
    start, end = header.pixels
    before = read_whole(descriptor, header.block, start - header.block)
    data = before + read_whole(descriptor, end, header.size - end)
    if xxhash.xxh3_128_hexdigest(data) != header.body:
        raise DamageError("the checksum of its columns and HDF5 structures does not match")
    arrays: dict[str, NDArray[Any]] = {}
    for path, (offset, dtype, shape) in header.arrays.items():
        place = offset - header.block if offset < start else len(before) + offset - end
        count = int(np.prod(shape))
        values = np.frombuffer(data, dtype, count, place) if count else np.empty(0, dtype)
        arrays[path] = values.reshape(shape)
    return arrays
