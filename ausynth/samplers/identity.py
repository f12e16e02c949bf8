"""Who is in a picture, as a vector: what every encoder of faces promises, and the checks that hold it to it.

Legend of the shapes: B pictures of a batch, N vectors of a set, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, GenerationError, require_whole
from ausynth.forks import is_forked
from ausynth.naming import fingerprint_of

__all__ = ["Embeddings", "FunctionEncoder", "IdentityEncoder", "checked", "embed", "open_encoder", "require_faces"]

Pixels = NDArray[np.uint8]
Embeddings = NDArray[np.float32]

_UNIT: Final = 1e-3
"""How far from 1 the length of a unit vector may be: half precision leaves about so much."""


@runtime_checkable
class IdentityEncoder(Protocol):
    """Turns pictures of faces into vectors, so that pictures of one person have a high cosine.

    The vector of a picture depends on that picture alone: not on its companions in a batch, nor on how many they are.
    Safe to call from several threads at once; pickles, so that spawned workers can have it.

    One member is optional. `fork_safe`, True: `embed` may be called in a forked process whose parent has used it;
    without, that is refused there, since it might wait for ever for threads that a fork does not copy.
    """

    @property
    def name(self) -> str:
        """Return a short name, for messages."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of the weights and of all that is done to a picture before them."""
        ...

    @property
    def dimension(self) -> int:
        """Return D."""
        ...

    def embed(self, images: Pixels) -> Embeddings:
        """Return (B, D) float32 for (B, H, W, 3) uint8 RGB: unit vectors, and zeros where no face was found."""
        ...


class FunctionEncoder:
    """An encoder made of any function from pictures to vectors.

    >>> def mean_colour(images):
    ...     return images.reshape(len(images), -1, 3).mean(axis=1)
    >>> encoder = FunctionEncoder(mean_colour, dimension=3)
    >>> encoder.embed(np.full((2, 8, 8, 3), 255, np.uint8)).round(3).tolist()[0]
    [0.5770000219345093, 0.5770000219345093, 0.5770000219345093]

    Args:
        function: (B, H, W, 3) uint8 RGB -> (B, D) numbers, of any length: they are normalised here. A row of zeros says
            that there is no face. It must be a named function, or have a `fingerprint`.
        dimension: D.
        batch: the function always gets so many pictures, padded with black ones: a network's rounding depends on how
            many there are, and a vector may not.
        fork_safe: whether it may be called in a forked worker; see `IdentityEncoder`.
        name: a short name.

    Raises:
        ConfigurationError: a function without a name, a dimension or batch below 1.
    """

    def __init__(
        self,
        function: Callable[[Pixels], NDArray[np.floating]],
        *,
        dimension: int,
        batch: int = 1,
        fork_safe: bool = False,
        name: str = "function",
    ) -> None:
        require_whole("dimension", dimension, 1)
        require_whole("batch", batch, 1)
        self.function, self.dimension, self.batch, self.fork_safe, self.name = (
            function,
            dimension,
            batch,
            fork_safe,
            name,
        )
        self.fingerprint = f"{name} {fingerprint_of(function, 'function')} {dimension} {batch}"

    def embed(self, images: Pixels) -> Embeddings:
        """Return (B, D) for (B, H, W, 3); see `IdentityEncoder.embed`."""
        rows = [np.zeros((0, self.dimension), np.float32)]
        for first in range(0, len(images), self.batch):
            some = images[first : first + self.batch]
            short = self.batch - len(some)
            if short:
                some = np.concatenate([some, np.zeros((short, *images.shape[1:]), np.uint8)])
            found = np.asarray(self.function(some), dtype=np.float32)
            if found.ndim != 2 or len(found) != self.batch:
                raise GenerationError(
                    f"encoder {self.name!r} returned shape {found.shape} for {self.batch} pictures",
                    expected=f"({self.batch}, {self.dimension})",
                )
            rows.append(found[: self.batch - short])
        vectors = np.concatenate(rows)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Embeddings = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths != 0)
        return unit


def embed(encoder: IdentityEncoder, images: Pixels) -> Embeddings:
    """Return what the encoder makes of (B, H, W, 3) uint8 pictures, (B, D) float32, held to its promise.

    Raises:
        ConfigurationError: pictures of another shape or type, or a forked worker in which this encoder may not run.
        GenerationError: the encoder returned NaN, vectors that are not unit vectors, or too few.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3:] != (3,):
        raise ConfigurationError(
            f"pictures {images.dtype} {images.shape} for an encoder of faces", expected="uint8 (B, H, W, 3), RGB"
        )
    if not len(images):
        return np.zeros((0, encoder.dimension), np.float32)
    if is_forked() and not getattr(encoder, "fork_safe", False):
        raise ConfigurationError(
            f"encoder {encoder.name!r} in a forked worker, where it may wait for ever for threads that are not there",
            expected="the process that trains, or workers that were spawned",
            do="leave num_workers out, or give DataLoader multiprocessing_context='spawn', or fill the cache before "
            "with `ausynth warmup`: the embeddings of what it holds are stored",
        )
    try:
        return checked(encoder.embed(images), encoder.dimension, count=len(images), what=f"encoder {encoder.name!r}")
    except ConfigurationError as error:
        raise GenerationError(error.what, expected=error.expected, do=error.do) from None


def checked(vectors: object, dimension: int, *, count: int | None = None, what: str = "embeddings") -> Embeddings:
    """Return `vectors` (N, D) as contiguous float32: rows of unit length, or of zeros ("no face was found").

    Raises:
        ConfigurationError: another shape or dimension, NaN, or rows that are no unit vectors.
    """
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != dimension:
        raise ConfigurationError(
            f"{what}: shape {array.shape}", expected=f"(N, {dimension}), since vectors here have {dimension} numbers"
        )
    if count is not None and len(array) != count:
        raise ConfigurationError(f"{what}: {len(array)} rows", expected=f"{count}, one a picture")
    # A sum is finite only if all its parts are; most rows are looked at once.
    squares_N = np.einsum("nd,nd->n", array, array)
    if not np.isfinite(squares_N).all():
        row = int(np.flatnonzero(~np.isfinite(squares_N))[0])
        raise ConfigurationError(
            f"{what}: row {row} holds NaN or infinity", expected="finite numbers", do="look into the network's output"
        )
    wrong_N = (np.abs(np.sqrt(squares_N) - 1) > _UNIT) & (squares_N != 0)
    if wrong_N.any():
        row = int(np.flatnonzero(wrong_N)[0])
        raise ConfigurationError(
            f"{what}: row {row} has length {np.sqrt(squares_N[row]):.4g}",
            expected="unit vectors (or zeros, where no face was found)",
            do="divide each row by its length",
        )
    return array


def require_faces(vectors: Embeddings, what: str) -> None:
    """Raise ConfigurationError where a row of (N, D) is zeros: no face was found, so there is nothing to compare."""
    empty_N = ~vectors.any(axis=1)
    if empty_N.any():
        raise ConfigurationError(
            f"{what}: no face was found in {int(empty_N.sum())} of {len(vectors)} pictures (row "
            f"{int(np.flatnonzero(empty_N)[0])})",
            expected="an embedding of a face in every row",
            do="leave those pictures out, or cut the face out of them first (align=)",
        )


def open_encoder(name: str = "dlib") -> IdentityEncoder:
    """Return an encoder by name: "dlib" (the extra `identity`), or the path of an ArcFace network, "w600k_r50.onnx".

    Raises:
        ConfigurationError: an unknown name, packages that are not installed, or a file that is no such network.
    """
    if name.lower() == "dlib":
        from ausynth.samplers.identity_dlib import DlibEncoder

        return DlibEncoder()
    if name.lower().endswith(".onnx"):
        from ausynth.samplers.identity_onnx import ArcFaceEncoder

        return ArcFaceEncoder(name)
    raise ConfigurationError(f"encoder {name!r}", expected="'dlib', or the path of an .onnx file")
