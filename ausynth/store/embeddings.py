"""Embeddings of stored pictures, by content key: computed once, whichever plan, hold-out or pool asks for them next.

They lie beside the shards, in `embeddings/ENCODER/`, not in them: a shard never changes, and a picture may be stored
long before anybody asks who is in it. Layout of a file: magic, length of the JSON (8 bytes, little-endian), the JSON,
the keys (N, 16), the vectors (N, D) float32, xxh3_128 of all before. A vector of zeros says that no face was found.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.util
import os
import re
import struct
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ausynth.durable import write_aside
from ausynth.errors import ConfigurationError
from ausynth.store.handles import ForkLock
from ausynth.store.keys import KeyIndex
from ausynth.store.samples import KEY_BYTES

__all__ = ["FOLDER", "Remembered", "copy_embeddings"]

FOLDER: Final = "embeddings"
"""Under the folder of a store."""

_MAGIC: Final = b"AUSYNTHE\x01"
_LENGTH: Final = struct.Struct("<Q")
_DIGEST: Final = 16
_BITS: Final = 32
_BUFFER: Final = 4096
"""Vectors that are collected before they are written."""

Keys = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Remembered:
    """The vectors of one encoder in one folder. Thread-safe, safe after a fork; several processes may share the folder.

    What is collected and not yet written belongs to this process; a pickled copy begins without it.

    Args:
        folder: of a store; files lie in `embeddings/ENCODER` under it.
        encoder: fingerprint of what makes the vectors.
        dimension: D.
        writes: whether anything is written.
    """

    def __init__(self, folder: str | os.PathLike[str], encoder: str, dimension: int, *, writes: bool = True) -> None:
        self.folder = Path(folder) / FOLDER / re.sub(r"[^\w.-]", "_", encoder)
        self._root, self.encoder, self.dimension, self.writes = Path(folder), encoder, dimension, writes
        self._lock = ForkLock()
        self._index = KeyIndex()
        self._files: dict[str, int] = {}
        self._tables: list[Vectors] = []
        self._stamp = -1
        self._new: tuple[list[Keys], list[Vectors], int] = ([], [], os.getpid())
        self._failed = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (self._root, self.encoder, self.dimension, self.writes))

    def __len__(self) -> int:
        """Return how many vectors were found on the disk."""
        self._refresh()
        return sum(map(len, self._tables))

    def find(self, keys: Keys) -> tuple[Vectors, NDArray[np.bool_]]:
        """Return (B, D) float32 the vectors of the content keys (B, 16), and (B,) bool which of them are known."""
        vectors = np.zeros((len(keys), self.dimension), np.float32)
        places = self._places(keys)
        if (places < 0).any() and self._refresh():
            places = self._places(keys)
        known = places >= 0
        for number in np.unique(places[known] >> _BITS).tolist():
            rows = np.flatnonzero(known & (places >> _BITS == number))
            vectors[rows] = self._tables[number][places[rows] & ((1 << _BITS) - 1)]
        self._find_new(keys, vectors, known)
        return vectors, known

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Remember the vectors (B, D) of the content keys (B, 16); they are written in time."""
        if not len(keys):
            return
        with self._lock:
            if self._new[2] != os.getpid():  # forked: what was collected is the parent's to write
                self._new = ([], [], os.getpid())
                if multiprocessing.parent_process() is not None:  # a worker ends without exit handlers of Python
                    multiprocessing.util.Finalize(None, self.flush, exitpriority=10)
            new_keys, new_vectors, process = self._new
            self._new = ([*new_keys, keys.copy()], [*new_vectors, vectors.copy()], process)
            full = sum(map(len, self._new[0])) >= _BUFFER
        if full:
            self.flush()

    def flush(self) -> None:
        """Write what was collected; where that fails, say so once and go on without."""
        with self._lock:
            keys, vectors, process = self._new
            if process != os.getpid() or not keys or not self.writes or self._failed:
                return
            self._new = ([], [], process)
        try:
            self._write(np.concatenate(keys), np.concatenate(vectors))
        except OSError as error:
            self._failed = True
            warnings.warn(
                f"{self.folder} cannot be written ({error.strerror}): embeddings of faces are not remembered.",
                UserWarning,
                stacklevel=2,
            )
        with self._lock:
            if self._failed:  # at least this process is to know them
                self._new = ([*keys, *self._new[0]], [*vectors, *self._new[1]], process)

    def _write(self, keys: Keys, vectors: Vectors) -> None:
        if vectors.shape != (len(keys), self.dimension) or keys.shape[1:] != (KEY_BYTES,):
            raise ConfigurationError(
                f"embeddings {vectors.shape} for keys {keys.shape}", expected=f"(N, {self.dimension}) and (N, 16)"
            )
        _, first = np.unique(np.ascontiguousarray(keys).view(f"V{KEY_BYTES}"), return_index=True)
        keys, vectors = keys[first], np.ascontiguousarray(vectors[first], "<f4")
        text = json.dumps({"encoder": self.encoder, "dimension": self.dimension, "count": len(keys)}).encode()
        body = b"".join([_MAGIC, _LENGTH.pack(len(text)), text, keys.tobytes(), vectors.tobytes()])
        digest = xxhash.xxh3_128(body)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{digest.hexdigest()}.emb"
        if not path.exists():
            write_aside(path, body + digest.digest())
        self._refresh()

    def _places(self, keys: Keys) -> NDArray[np.int64]:
        if self._stamp < 0:
            self._refresh()
        return self._index.find(keys)

    def _find_new(self, keys: Keys, vectors: Vectors, known: NDArray[np.bool_]) -> None:
        new_keys, new_vectors, _ = self._new
        if not new_keys or known.all():
            return
        index = KeyIndex().extended(0, np.concatenate(new_keys), 0)
        places = index.find(keys)
        rows = np.flatnonzero(~known & (places >= 0))
        if rows.size:
            vectors[rows] = np.concatenate(new_vectors)[places[rows]]
            known[rows] = True

    def _refresh(self) -> bool:
        """Take notice of files that have come since, and return whether there were any."""
        try:
            stamp = self.folder.stat().st_mtime_ns
        except OSError:
            self._stamp = 0
            return False
        if stamp == self._stamp:
            return False
        with self._lock:
            before = len(self._files)
            for path in sorted(self.folder.glob("*.emb")):
                if path.name not in self._files:
                    self._take(path)
            self._stamp = stamp
        return len(self._files) > before

    def _take(self, path: Path) -> None:
        number = self._files[path.name] = len(self._tables)
        keys, vectors = np.empty((0, KEY_BYTES), np.uint8), np.empty((0, self.dimension), np.float32)
        try:
            size = path.stat().st_size
            data = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)
            start = len(_MAGIC) + _LENGTH.size
            if size < start + _DIGEST or data[: len(_MAGIC)].tobytes() != _MAGIC:
                raise ValueError("no file of embeddings")
            if xxhash.xxh3_128_digest(memoryview(data[:-_DIGEST].data)) != data[-_DIGEST:].tobytes():
                raise ValueError("its checksum does not match")
            (length,) = _LENGTH.unpack(data[len(_MAGIC) : start].tobytes())
            facts = json.loads(data[start : start + length].tobytes())
            if (facts["encoder"], facts["dimension"]) != (self.encoder, self.dimension):
                raise ValueError(f"it is of encoder {facts['encoder']}")
            edge = start + length + facts["count"] * KEY_BYTES
            keys = np.array(data[start + length : edge]).reshape(-1, KEY_BYTES)
            vectors = data[edge:-_DIGEST].view("<f4").reshape(-1, self.dimension)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            warnings.warn(f"{path}: {error}. The faces in it are embedded anew.", UserWarning, stacklevel=3)
        self._tables.append(vectors)
        if len(keys):
            self._index = self._index.extended(number, keys, number << _BITS)


def copy_embeddings(source: Path, target: Path) -> None:
    """Bring the embeddings beside one store to another, of the same samples; what cannot be read is made anew later."""
    if source.resolve() == target.resolve():
        return
    for path in sorted((source / FOLDER).glob("*/*.emb")):
        copy = target / FOLDER / path.parent.name / path.name
        if not copy.exists():  # a file's name follows from what is in it
            with contextlib.suppress(OSError):
                copy.parent.mkdir(parents=True, exist_ok=True)
                write_aside(copy, path.read_bytes())


def _rebuilt(folder: Path, encoder: str, dimension: int, writes: bool) -> Remembered:
    return Remembered(folder, encoder, dimension, writes=writes)
