"""Makes shard files: aside, under a lock that says their writer lives, whole on the disk before anybody sees them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, FrameError
from ausynth.sources.images import decode_image
from ausynth.store.columns import as_arrays
from ausynth.store.files import as_json, read_whole
from ausynth.store.hdf5 import lay_out
from ausynth.store.manifest import Entry, ranges_of
from ausynth.store.recipe import SCHEMA, Recipe
from ausynth.store.samples import Samples
from ausynth.store.shard import checksums_of
from ausynth.store.userblock import Header

__all__ = ["MOST_SAMPLES", "SUFFIX", "Part", "PreparedShard", "remove_dead_parts"]

Pixels = NDArray[np.uint8]

SUFFIX: Final = ".h5"
MOST_SAMPLES: Final = (1 << 20) - 1
"""A row has 20 bits of a place; the last one is left free, so that no two shards have neighbouring places."""

_SUFFIX: Final = ".part"
_BUFFERS: Final = 1024
_FOREIGN_AGE: Final = 86_400.0
"""Seconds after which a part of another machine, where a lock may not be seen from here, counts as left behind."""
_PART: Final = re.compile(r".+\.h5\.(?P<host>[\w-]+)\.(?P<process>\d+)\.[0-9a-f]+\.part")


class PreparedShard:
    """Samples and pictures in the order in which they are written, checked.

    Args:
        recipe: of the store.
        samples: N of them, in any order.
        images: (N, S, S, 3) uint8, or N byte strings of JPEG data.
        plan: what their numbers are numbers of.
        configuration: what that plan is, as JSON.

    Raises:
        ConfigurationError: they do not fit the recipe or each other, or a number occurs twice.
    """

    def __init__(
        self, recipe: Recipe, samples: Samples, images: Any, plan: str, configuration: Mapping[str, Any]
    ) -> None:
        _require_fit(recipe, samples, images)
        order = np.argsort(samples.number, kind="stable")
        self.recipe, self.plan, self.configuration = recipe, plan, dict(configuration)
        self.samples = samples.rows(order)
        self.pictures: Sequence[Any] = [images[row] for row in order.tolist()]
        if recipe.codec == "raw":
            self.pictures = [np.ascontiguousarray(picture) for picture in self.pictures]
        numbers = self.samples.number
        if (np.diff(numbers) == 0).any() or numbers[0] < 0:
            raise ConfigurationError(
                f"sample numbers from {numbers[0]} to {numbers[-1]} with one that occurs twice or is negative",
                expected="each number once, from 0",
            )

    @property
    def name(self) -> str:
        """Return the file's name: it follows from what is stored, so that storing it twice stores it once."""
        digest = xxhash.xxh3_128(repr((SCHEMA, self.plan, len(self.samples))).encode())
        digest.update(self.samples.number.tobytes())
        digest.update(self.samples.key.tobytes())
        return digest.hexdigest() + SUFFIX

    def write(self, descriptor: int) -> Header:
        """Write the file, and return what its user block says; raise OSError where that cannot be."""
        sizes = [len(picture) for picture in self.pictures]
        arrays = as_arrays(self.samples)
        arrays["images/checksums"] = checksums_of(self.pictures)
        if self.recipe.codec == "raw":
            shape: tuple[int, ...] = (len(sizes), *self.pictures[0].shape)
        else:
            arrays["images/offsets"] = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
            shape = (sum(sizes),)
        block = Header.room(self.recipe, self.plan, self.configuration)
        places, pixels = lay_out(descriptor, block, self._attributes(), arrays, shape)
        _write_buffers(descriptor, self.pictures, pixels[0])
        size = max(os.fstat(descriptor).st_size, pixels[1])
        os.ftruncate(descriptor, size)
        body = read_whole(descriptor, block, pixels[0] - block) + read_whole(descriptor, pixels[1], size - pixels[1])
        header = Header(
            recipe=self.recipe,
            plan=self.plan,
            configuration=self.configuration,
            samples=len(sizes),
            size=size,
            pixels=pixels,
            arrays=places,
            body=xxhash.xxh3_128_hexdigest(body),
            block=block,
        )
        packed = header.pack()
        _write_buffers(descriptor, [packed], 0)
        return header.with_head(packed)

    def entry(self, header: Header) -> Entry:
        """Return the line that lists the shard."""
        ranges = ranges_of(self.samples.number)
        return Entry(self.name, header.samples, header.size, self.plan, ranges, header.head)

    def _attributes(self) -> dict[str, Any]:
        facts = {**self.recipe.to_json(), "schema": SCHEMA, "plan": self.plan, "samples": len(self.samples)}
        facts["configuration"] = as_json(self.configuration)
        about = facts.pop("about")
        facts["licence"] = _as_text(about.get("licence", ""))
        facts["about"] = as_json(about)
        if facts["quality"] is None:
            del facts["quality"]
        # HDF5's texts end at the first NUL. These are for other tools: what is read back lies in the user block.
        return {name: fact.replace("\0", "\\0") if isinstance(fact, str) else fact for name, fact in facts.items()}


class Part:
    """A file that is being written beside its final name, locked for as long as its writer lives.

    Args:
        folder: of the store.
        name: the file's final name.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, folder: Path, name: str) -> None:
        host = re.sub(r"[^\w-]", "-", socket.gethostname())
        self.descriptor = -1
        while True:
            self.path = folder / f"{name}.{host}.{os.getpid()}.{secrets.token_hex(4)}{_SUFFIX}"
            try:
                self._make()
            except BaseException:
                self._remove()
                raise
            # Between making and locking it another writer may have taken it for a dead one's.
            if os.fstat(self.descriptor).st_nlink:
                return
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)

    def _make(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        self.descriptor = os.open(self.path, flags, 0o666)
        with contextlib.suppress(OSError, ImportError):  # no locks here: then a part is never removed
            _lock(self.descriptor, wait=True)

    def _remove(self) -> None:
        try:
            if self.path.suffix == _SUFFIX:
                self.path.unlink(missing_ok=True)
        finally:
            if self.descriptor >= 0:
                os.close(self.descriptor)

    def publish(self, path: Path) -> None:
        """Give the file, which is on the disk, its name; raise OSError."""
        self.path.replace(path)
        self.path = path

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()


def remove_dead_parts(folder: Path) -> None:
    """Remove what writers that were killed left in `folder`; parts whose writers live are let alone."""
    here = re.sub(r"[^\w-]", "-", socket.gethostname())
    for path in folder.glob(f"*{_SUFFIX}"):
        match = _PART.fullmatch(path.name)
        if match is None:
            continue
        # Its writer lives, somebody else removes it, or it has been renamed.
        with contextlib.suppress(OSError, ImportError):
            descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
            try:
                if match["host"] != here and time.time() - os.fstat(descriptor).st_mtime < _FOREIGN_AGE:
                    continue
                _lock(descriptor, wait=False)
                # Its writer may have renamed it since the folder was listed: then this name is gone.
                path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> None:
    import fcntl  # POSIX only

    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _require_fit(recipe: Recipe, samples: Samples, images: Any) -> None:
    if samples.labels.aus != recipe.aus:
        raise ConfigurationError(f"samples with labels of AU {samples.labels.aus}", expected=f"{recipe.aus}")
    if not 0 < len(samples) <= MOST_SAMPLES or len(images) != len(samples):
        raise ConfigurationError(
            f"{len(images)} pictures for {len(samples)} samples", expected=f"equally many, 1 to {MOST_SAMPLES:,}"
        )
    side = recipe.image_size
    if recipe.codec == "raw":
        if getattr(images, "shape", None) != (len(samples), side, side, 3) or images.dtype != np.uint8:
            found = f"{getattr(images, 'dtype', type(images).__name__)} {getattr(images, 'shape', '')}"
            raise ConfigurationError(f"pictures {found}", expected=f"uint8 ({len(samples)}, {side}, {side}, 3)")
        return
    if not all(isinstance(image, bytes) for image in images):
        raise ConfigurationError("pictures that are not JPEG data", expected="a sequence of bytes")
    first = next(filter(None, images), b"")  # one tells whether the writer codes what it says it does
    try:
        shape = decode_image(first, "the first picture").shape if first else (side, side, 3)
    except FrameError as error:
        raise ConfigurationError("the first picture is not whole JPEG data", expected="JPEG data") from error
    if shape != (side, side, 3):
        raise ConfigurationError(f"JPEG data of a picture {shape}", expected=f"({side}, {side}, 3)")


def _write_buffers(descriptor: int, buffers: Sequence[Any], offset: int) -> None:
    """Write contiguous buffers one after the other from `offset` on."""
    for first in range(0, len(buffers), _BUFFERS):
        some = [memoryview(buffer).cast("B") for buffer in buffers[first : first + _BUFFERS] if len(buffer)]
        while some:
            count = os.pwritev(descriptor, some, offset)
            offset += count
            while some and count >= some[0].nbytes:
                count -= some.pop(0).nbytes
            if count:
                some[0] = some[0][count:]


def _as_text(notes: object) -> str:
    return notes if isinstance(notes, str) else as_json({"licence": notes})
