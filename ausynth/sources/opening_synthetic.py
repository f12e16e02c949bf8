"""Opens the synthetic side of a stream: a generator, one with a cache, a cache alone, or a pool."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ausynth.errors import ConfigurationError, StoreError
from ausynth.gates.judges import Gate
from ausynth.gates.named import through_gates
from ausynth.generators.automatic import Chosen, warn_if_slow
from ausynth.generators.base import Generator
from ausynth.generators.stored import StoredGenerator
from ausynth.samplers.base import LabelSampler
from ausynth.samplers.identity_bank import IdentityBank
from ausynth.sources.attempts import Reject
from ausynth.sources.made import recipe_of
from ausynth.sources.opening import open_generator
from ausynth.sources.pool import PoolSource
from ausynth.sources.side import SyntheticSide
from ausynth.sources.synthetic import Exhausted, SyntheticSource
from ausynth.store import Store

if TYPE_CHECKING:
    from ausynth.samplers.leakage import LeakageGuard

__all__ = ["CacheMode", "OpenFaces", "as_bytes", "open_chosen", "open_faces"]

CacheMode = Literal["read", "readwrite"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class OpenFaces:
    """Where synthetic faces come from: nowhere, a generator, one with a store, or a pool.

    Attributes:
        generator: what makes them, or stands in for what made them.
        store: the cache.
        pool: a finished store, shown as it is.
        why: this generator, where the choice was left to the library.
    """

    generator: Generator | None = None
    store: Store | None = None
    pool: Store | None = None
    why: str = ""

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the action units of the faces; none where there are no faces."""
        if self.pool is not None:
            return self.pool.recipe.aus
        return self.generator.aus if self.generator is not None else ()

    @property
    def image_size(self) -> int | None:
        """Return the height and width of the faces."""
        if self.pool is not None:
            return self.pool.recipe.image_size
        return self.generator.image_size if self.generator is not None else None

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Return the subjects of data sets on whom what makes, or made, the faces was trained: "disfa:SN001"."""
        if self.pool is not None:
            return tuple(self.pool.recipe.about.get("trained_on", ()))
        return tuple(getattr(self.generator, "trained_on", ()) or ())

    def side(
        self,
        sampler: LabelSampler | None,
        *,
        seed: int,
        identities: int | IdentityBank,
        reject: Reject | None,
        guard: LeakageGuard | None,
        writes: bool,
        limit: int | str | None,
        exhausted: Exhausted | None,
    ) -> SyntheticSide | None:
        """Return the synthetic side of a stream; None where there are no faces, or nothing that says which."""
        if exhausted is not None and exhausted not in get_args(Exhausted):
            raise ConfigurationError(f"on_exhausted={exhausted!r}", expected="'generate', 'repeat' or 'stop'")
        if self.pool is not None:
            if sampler is not None or exhausted is not None:
                raise ConfigurationError(
                    "sampler or on_exhausted with synthetic=, a pool that is shown as it is",
                    expected="one or the other",
                    do="leave synthetic= out to generate what a sampler asks for",
                )
            return PoolSource(self.pool, seed=seed, reject=reject, guard=guard)
        if self.generator is None or sampler is None:
            return None
        nothing_made = isinstance(self.generator, StoredGenerator)
        if nothing_made and exhausted == "generate":
            raise ConfigurationError(
                "on_exhausted='generate' with generator=None", expected="a generator, or 'repeat' or 'stop'"
            )
        return SyntheticSource(
            self.generator,
            sampler,
            seed=seed,
            identities=identities,
            reject=reject,
            guard=guard,
            store=self.store,
            writes=writes and not nothing_made,
            limit=as_bytes(limit),
            exhausted=exhausted or ("repeat" if nothing_made else "generate"),
        )


def open_faces(
    generator: str | Mapping[str, Any] | Generator | None,
    image_size: int,
    *,
    cache: str | os.PathLike[str] | None = None,
    mode: str = "readwrite",
    codec: str | None = None,
    synthetic: str | os.PathLike[str] | None = None,
    gates: Sequence[str | Gate] = (),
) -> OpenFaces:
    """Return the generator, its cache, or the pool that a stream's arguments name.

    Args:
        generator: a name, a `Generator`, or None for a stand-in that knows what the cache holds and makes nothing.
        image_size: at which a generator of any size draws.
        cache: its folder, or None.
        mode: "readwrite" makes the store where there is none; "read" wants one.
        codec: of a store that is made now: "raw", "jpeg", "jpeg:90"; None: raw, or as the store has it.
        synthetic: the folder of a pool.
        gates: what the generator's pictures pass through.

    Raises:
        ConfigurationError: neither a generator nor a cache, a cache beside a pool, a wrong mode or codec, gates where
            nothing is generated.
        StoreError: the folder is no store of this generator's faces.
    """
    if mode not in get_args(CacheMode):
        raise ConfigurationError(f"cache_mode={mode!r}", expected="'read' or 'readwrite'")
    if gates and (synthetic is not None or generator is None):
        raise ConfigurationError(
            "gates where nothing is generated (synthetic=, or generator=None)",
            expected="a generator, whose pictures pass through them",
            do="leave gates out: stored faces have passed through those of the stream or job that made them",
        )
    if synthetic is not None:
        if cache is not None or not (generator is None or isinstance(generator, str)):
            raise ConfigurationError(
                "cache or generator with synthetic=, a pool that is shown as it is", expected="one or the other"
            )
        return OpenFaces(pool=_synthetic_store(Path(synthetic).expanduser()))
    if cache is None:
        if generator is None:
            raise ConfigurationError(
                "generator=None without a cache", expected="a generator, cache=FOLDER, or synthetic=FOLDER"
            )
        return OpenFaces(through_gates(open_generator(generator, image_size), gates))
    folder = Path(cache).expanduser()
    if generator is None:
        store = _synthetic_store(folder)
        return OpenFaces(StoredGenerator(store.recipe, folder), store)
    opened = through_gates(open_generator(generator, image_size), gates)
    wanted = recipe_of(opened, *_codec(codec or "raw"))
    if mode == "read" or (folder / "store.json").exists():
        there = _synthetic_store(folder).recipe
        if codec is None:  # a store says how it keeps pictures; all else must agree
            wanted = recipe_of(opened, there.codec, there.quality)
    return OpenFaces(opened, Store.create(folder, wanted))


def open_chosen(chosen: Chosen, image_size: int, **given: Any) -> OpenFaces:
    """Return what `open_faces` gives for the generator that "auto" stands for; warn where training will wait for it."""
    faces = replace(open_faces(chosen.name, image_size, **given), why=chosen.why)
    warn_if_slow(faces.generator, cached=given.get("cache") is not None)
    return faces


def as_bytes(limit: int | str | None) -> int | None:
    """Return a size such as "20GB", "500 M" or 10**9 in bytes.

    >>> as_bytes("1.5GB")
    1500000000
    """
    if limit is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", str(limit).upper())
    if match is None or isinstance(limit, bool):
        raise ConfigurationError(f"cache_limit={limit!r}", expected="bytes, or a size such as '20GB'")
    return int(float(match[1]) * _UNITS[match[2]])


def _codec(text: str) -> tuple[Literal["raw", "jpeg"], int | None]:
    """Return codec and quality of "raw", "jpeg" or "jpeg:90"."""
    match = re.fullmatch(r"raw|jpeg(?::(\d{1,3}))?", str(text))
    quality = int(match[1] or 95) if match else 0
    if match is None or not 1 <= quality <= 100:
        raise ConfigurationError(f"cache_codec={text!r}", expected="'raw', 'jpeg', or 'jpeg:QUALITY' with 1 to 100")
    return ("raw", None) if text == "raw" else ("jpeg", quality)


def _synthetic_store(folder: Path) -> Store:
    store = Store(folder)
    if store.recipe.kind != "synthetic":
        raise StoreError(
            f"{folder} holds real frames",
            expected="a store of generated samples",
            do="give prepared real frames as root=, and another folder as cache= or synthetic=",
        )
    return store
