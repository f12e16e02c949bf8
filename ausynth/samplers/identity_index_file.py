"""An index of faces as one file: written aside and renamed, believed only when its checksum is right.

Layout: magic, length of the JSON (8 bytes, little-endian), the JSON (what the index is, how large each group is), the
centroids where there are some, then group by group the ids (int64) and vectors (float32), then xxh3_128 of all before.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ausynth.durable import sync_folder
from ausynth.errors import StoreError

__all__ = ["read", "write"]

_MAGIC: Final = b"AUSYNTHI\x01"
_LENGTH: Final = struct.Struct("<Q")
_DIGEST: Final = 16
_STEP: Final = 1 << 24

Group = tuple[NDArray[np.int64], NDArray[np.float32]]


def write(path: Path, about: Mapping[str, Any], centroids: NDArray[np.float32] | None, groups: Iterable[Group]) -> None:
    """Write an index; `about` is JSON. Raise OSError where that cannot be: then the file is as it was before."""
    kept = list(groups)  # views: nothing is copied
    facts = {
        **about,
        "centroids": None if centroids is None else len(centroids),
        "groups": [len(ids) for ids, _ in kept],
    }
    text = json.dumps(facts).encode()
    aside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    digest = xxhash.xxh3_128()
    try:
        with aside.open("wb") as file:
            parts = [_MAGIC, _LENGTH.pack(len(text)), text]
            for part in (*parts, *([] if centroids is None else [centroids])):
                _put(file, part, digest)
            for ids, vectors in kept:
                _put(file, ids, digest)
                _put(file, vectors, digest)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read(path: Path) -> tuple[dict[str, Any], NDArray[np.float32] | None, list[Group]]:
    """Return what `write` wrote.

    Raises:
        StoreError: no such file, another kind or version, or bytes that are not those that were written.
    """
    try:
        with path.open("rb") as file:
            _verify(file, path)
            file.seek(len(_MAGIC))
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            facts = json.loads(file.read(length))
            dimension = facts["dimension"]
            rows = facts.pop("centroids")
            centroids = None if rows is None else _vectors(file, rows, dimension)
            groups = [
                (np.fromfile(file, "<i8", count), _vectors(file, count, dimension)) for count in facts.pop("groups")
            ]
            return facts, centroids, groups
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror})", expected="an index that was saved") from error


def _put(file: BinaryIO, part: Any, digest: Any) -> None:
    view = memoryview(part).cast("B") if len(part) else b""
    digest.update(view)
    file.write(view)


def _vectors(file: BinaryIO, rows: int, dimension: int) -> NDArray[np.float32]:
    return np.fromfile(file, "<f4", rows * dimension).reshape(rows, dimension)


def _verify(file: BinaryIO, path: Path) -> None:
    size = os.fstat(file.fileno()).st_size
    if file.read(len(_MAGIC)) != _MAGIC:
        raise StoreError(f"{path} is no index of faces", expected="a file that IdentityIndex.save has written")
    file.seek(0)
    digest = xxhash.xxh3_128()
    for piece in _pieces(file, size - _DIGEST):
        digest.update(piece)
    if file.read(_DIGEST) != digest.digest():
        raise StoreError(
            f"{path} is damaged: its checksum does not match", expected="what was written", do="make the index anew"
        )


def _pieces(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0:
        piece = file.read(min(_STEP, length))
        if not piece:
            return
        length -= len(piece)
        yield piece
