"""Pictures that were cut out of their files before and lie in a store, ready to be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ausynth.buffers import BufferPool
from ausynth.errors import FrameError, StoreError
from ausynth.sources.crop import resize_into
from ausynth.stats import stage

if TYPE_CHECKING:
    from ausynth.store import Samples, Store

__all__ = ["ReadyCrop", "StoredPictures", "content_key"]

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]


def content_key(pixels: Pixels) -> NDArray[np.uint8]:
    """Return (16,) uint8: the xxh3_128 of a picture's pixels."""
    import xxhash

    digest = xxhash.xxh3_128_digest(np.ascontiguousarray(pixels).data)
    return np.frombuffer(digest, np.uint8)


class StoredPictures:
    """N pictures of a store of real frames, as the frames of a `PictureSource`, and whole batches of them.

    A picture that could not be read when the store was made has a key of zeros there: reading it raises what reading
    its file would have.

    Args:
        store: of real frames.
        places: (N,) where the pictures lie in it, see `Store.find`.
        names: N paths under the root that they come from.
        keys: (N, 16) content keys.
    """

    def __init__(self, store: Store, places: Integers, names: Sequence[str], keys: NDArray[np.uint8]) -> None:
        self.store, self.places, self.names, self.keys = store, places, tuple(names), keys
        self.native_size: int = store.recipe.image_size
        unreadable_N: NDArray[np.bool_] = np.logical_not(keys.any(axis=1))
        self._unreadable_N = unreadable_N if unreadable_N.any() else None
        self._scratch = BufferPool()

    @classmethod
    def of(cls, store: Store, places: Integers, samples: Samples) -> StoredPictures:
        """Return the pictures at `places`, whose columns are `samples`."""
        return cls(store, places, samples.text, samples.key)

    def __len__(self) -> int:
        return len(self.places)

    def rows(self, rows: Integers) -> StoredPictures:
        """Return some of the pictures."""
        return StoredPictures(self.store, self.places[rows], [self.names[row] for row in rows], self.keys[rows])

    def load(self, index: int) -> Pixels:
        """Return picture `index` as (S, S, 3) uint8 RGB; raise FrameError where it is damaged."""
        out: Pixels = np.empty((self.native_size, self.native_size, 3), np.uint8)
        self.read(np.array([index]), out[None])
        return out

    def describe(self, index: int) -> str:
        """Return the path of picture `index` under the root that it comes from."""
        return self.names[index]

    def read(self, indices: Integers, out: Pixels) -> None:
        """Read the pictures `indices` (B,) into `out` (B, H, W, 3), resized where that is not their size.

        Raises:
            FrameError: a stored picture is damaged, or was so when the store was made; `position` says which.
        """
        if self._unreadable_N is not None and self._unreadable_N[indices].any():
            position = int(np.argmax(self._unreadable_N[indices]))
            raise _at(position, self._unreadable(self.names[indices[position]]))
        side = self.native_size
        # The store reads into rows that lie apart, each of which is whole.
        if out.shape[1:] == (side, side, 3) and (not len(out) or out[0].flags.c_contiguous):
            self._read_ready(indices, out)
            return
        pixels_BHWC = self._scratch.take((len(indices), side, side, 3))
        self._read_ready(indices, pixels_BHWC)
        for pixels, row in zip(pixels_BHWC, out, strict=True):
            resize_into(pixels, row)

    def _read_ready(self, indices: Integers, out: Pixels) -> None:
        places = self.places[indices]
        try:
            with stage("read"):
                self.store.read(places, out)
        except (StoreError, FrameError) as error:
            position = getattr(error, "position", None)
            raise _at(self._first_bad(places) if position is None else position, self._damaged(error)) from error

    def _first_bad(self, places: Integers) -> int | None:
        out = np.empty((1, self.native_size, self.native_size, 3), np.uint8)
        for position in range(len(places)):
            try:
                self.store.read(places[position : position + 1], out)
            except (StoreError, FrameError):
                return position
        return None  # it has passed

    def _damaged(self, error: StoreError | FrameError) -> FrameError:
        path = getattr(error, "shard", "") or getattr(error, "path", "") or self.store.folder
        return FrameError.of(
            path,
            error.what.removeprefix(f"shard {path} is damaged: "),
            do=f"run `ausynth cache repair {self.store.folder}` and then the same `ausynth prepare` as before, which "
            "makes what is gone; or pass on_error='skip' to train without it",
        )

    def _unreadable(self, name: str) -> FrameError:
        root = self.store.recipe.about.get("root", "")
        return FrameError.of(
            f"{root}/{name}" if root else name,
            f"it could not be read when {self.store.folder} was prepared",
            do="restore the file and prepare the data set anew, or pass on_error='skip' to train without it",
        )


class ReadyCrop:
    """The crop of pictures that were cropped before: they are resized, and bear the fingerprint of what cropped them.

    Args:
        fingerprint: of the crop that was applied.
    """

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def apply(self, image: Pixels, index: int, out: Pixels) -> None:  # noqa: ARG002 (the protocol's signature)
        """Write `image` into `out`."""
        resize_into(image, out)


def _at(position: int | None, error: FrameError) -> FrameError:
    error.position = position
    return error
