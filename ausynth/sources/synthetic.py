"""The synthetic side of a stream: ordinal j -> conditions -> a generator's picture and the labels of what it shows."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError, DamagedError, StoreError
from ausynth.generators.asking import ask, reads_prompts
from ausynth.generators.base import Conditions, Generator
from ausynth.generators.stored import StoredGenerator
from ausynth.labels import Floats, Labels
from ausynth.samplers.base import LabelSampler
from ausynth.samplers.identity_bank import IdentityBank
from ausynth.schedule import Integers, random_bits
from ausynth.sources.attempts import Attempts, Reject
from ausynth.sources.blocks import BlockRunner
from ausynth.sources.made import Made, recipe_of
from ausynth.sources.memo import Memo
from ausynth.sources.people import people_of
from ausynth.sources.screening import Screen
from ausynth.sources.side import Fill
from ausynth.stats import stage
from ausynth.store import Recipe, Samples, Store
from ausynth.tables import ByBlocks

if TYPE_CHECKING:
    from ausynth.samplers.leakage import LeakageGuard

__all__ = ["Exhausted", "SyntheticSource", "make_conditions"]

Exhausted = Literal["generate", "repeat", "stop"]

_AT_ONCE = 32
"""Independent pictures that a warmup asks for at a time, so that progress shows."""


class SyntheticSource:
    """An endless sequence of generated faces in which ordinal j is the same picture whoever asks for it, and when.

    Args:
        generator: makes the pictures.
        sampler: says which label vector each ordinal asks for; over the generator's AUs.
        seed: of labels, identities and noise.
        identities: how many people are shown, each once before any appears again; or a bank that says who.
        reject: (images (B, H, W, 3) uint8, labels) -> (B,) bool, True where a picture must not be shown. Such a sample
            is drawn again with another person and noise, and the same label vector, 16 times at most.
        guard: rejects likewise where a picture may show a person who is held out.
        store: where generated samples are remembered: what it holds is read, never generated.
        writes: whether generated samples are stored there.
        limit: bytes of the store beyond which nothing more is written.
        exhausted: what follows the last stored sample: "generate" goes on, "repeat" begins again at the first one,
            "stop" ends the sequence. The last two count what is stored now, from ordinal 0 without a gap.
    """

    def __init__(
        self,
        generator: Generator,
        sampler: LabelSampler,
        *,
        seed: int,
        identities: int | IdentityBank = 10_000,
        reject: Reject | None = None,
        guard: LeakageGuard | None = None,
        store: Store | None = None,
        writes: bool = True,
        limit: int | None = None,
        exhausted: Exhausted = "generate",
    ) -> None:
        if sampler.aus != generator.aus:
            raise ConfigurationError(
                f"the label sampler draws over {sampler.aus}", expected=f"the generator's AUs {generator.aus}"
            )
        self.generator, self.sampler, self.seed = generator, sampler, seed
        self.screen = Screen(reject, guard, store, writes=writes)
        self.people = people_of(identities, seed)
        device = getattr(generator, "device", None)
        self.blocks = BlockRunner(self._make_block, device=None if device is None else str(device))
        self._asked = ByBlocks(self._ask)
        self.memo = (
            Memo(store, self.base, self._configuration(), writes=writes, limit=limit) if store is not None else None
        )
        self._attempts = Attempts(generator, self.conditions, self.screen, self.memo)
        self.exhausted = exhausted
        self._end = self._count_stored() if exhausted != "generate" else None

    @property
    def base(self) -> str:
        """Return a hash of generator, sampler, seed, people, prompts where it reads them, `reject`, guard, JPEG's loss.

        It names the plan under which samples are stored; `fingerprint` is what a stream that ends or repeats shows.
        """
        parts: tuple[Any, ...] = (self.generator.fingerprint, self.sampler.fingerprint, self.seed, self.people.key)
        parts += self.screen.fingerprints
        if reads_prompts(self.generator):  # other words are another request
            from ausynth import text

            parts += (text.fingerprint(),)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        """Return a hash of all that decides what ordinal j is; see `SyntheticSide.fingerprint`."""
        parts: list[Any] = [self.base]
        recipe = self.memo.store.recipe if self.memo else None
        if recipe is not None and recipe.codec != "raw":
            parts.append((recipe.codec, recipe.quality))
        if self.exhausted == "repeat":
            parts.append(("repeat", self._end))
        return self.base if len(parts) == 1 else hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def image_size(self) -> int:
        """Return the height and width of the pictures in pixels."""
        return self.generator.image_size

    @property
    def aus(self) -> tuple[int, ...]:
        """Return the generator's action units."""
        return self.generator.aus

    @property
    def recipe(self) -> Recipe:
        """Return that of the store, or what it would be."""
        return self.memo.store.recipe if self.memo is not None else recipe_of(self.generator)

    @property
    def store(self) -> Store | None:
        """Return where samples are remembered."""
        return self.memo.store if self.memo is not None else None

    @property
    def rejected(self) -> int:
        """Return how many pictures this process has rejected."""
        return self._attempts.rejected

    @property
    def length(self) -> int | None:
        """Return where the sequence stops, if it does."""
        return self._end if self.exhausted == "stop" else None

    @contextlib.contextmanager
    def running(self, threads: int) -> Any:
        """Give a generator of blocks a thread of its own meanwhile; then write what is to be remembered."""
        alone = threads == 0 or self.generator.block_size == 1
        try:
            with contextlib.nullcontext() if alone else self.blocks.thread():
                yield
        finally:
            if self.memo is not None:
                self.memo.flush()
            self.screen.flush()

    def conditions(self, ordinals: Integers, attempt: int = 0) -> Conditions:
        """Return what each ordinal (B,) asks of the generator, at the first attempt or a later one."""
        j_B = np.asarray(ordinals, dtype=np.int64)
        intensity_BA, identity_B, noise_B = self._asked.at(j_B)
        if attempt:
            noise_B = _noise(self.seed, j_B, attempt)
            identity_B = self.people.again(j_B, attempt)
        return ask(self.generator, intensity_BA, identity_B, noise_B)

    def _ask(self, j_B: Integers) -> tuple[Floats, Integers, Integers]:
        return self.sampler.sample(j_B, self.seed), self.people.first(j_B), _noise(self.seed, j_B, 0)

    def begin(self, ordinals: Integers) -> Fill:
        """Ask for the ordinals (B,) and return the function that waits for them; see `SyntheticSide.begin`.

        A generator of blocks starts on them now; one whose pictures are independent makes them in the waiting thread.
        """
        j_B = self._within(np.asarray(ordinals, dtype=np.int64))
        places_B = self.memo.find(j_B) if self.memo else np.full(len(j_B), -1)
        missing = np.flatnonzero(places_B < 0)
        if missing.size and self.memo is not None and not self.memo.writes:
            self._attempts.say(
                "not stored",
                f"The cache {self.memo.store.folder} lacks faces that this stream asks for, synthetic sample "
                f"{j_B[missing[0]]} and others: they are generated, and with cache_mode='read' not stored.",
            )
        wait = self._start(j_B[missing]) if missing.size else None

        def fill(out: NDArray[np.uint8]) -> tuple[Labels, Integers]:
            if wait is None:
                return self._read(j_B, places_B, out)
            with stage("generate"):
                made = wait()
            if missing.size == len(j_B):
                out[:] = made.images
                return made.labels, made.conditions.identity
            found = np.flatnonzero(places_B >= 0)
            pixels = np.empty((found.size, *out.shape[1:]), np.uint8)
            labels, identities = self._read(j_B[found], places_B[found], pixels)
            out[missing], out[found] = made.images, pixels
            order = np.argsort(np.concatenate([missing, found]))
            return (
                Labels.concatenate([made.labels, labels])[order],
                np.concatenate([made.conditions.identity, identities])[order],
            )

        return fill

    def _read(self, j_B: Integers, places_B: Integers, out: NDArray[np.uint8]) -> tuple[Labels, Integers]:
        assert self.memo is not None  # something was found in it
        try:
            with stage("cache"):
                return self.memo.read(places_B, out)
        except DamagedError as error:
            if isinstance(self.generator, StoredGenerator):
                raise
            self._attempts.say("damage", f"{error} It is generated anew.")
            return self.begin(j_B)(out)

    def _start(self, j_B: Integers) -> Callable[[], Made]:
        """Start on ordinals that are to be made."""
        if self.generator.block_size == 1:
            return lambda: self._make(j_B)
        blocks_B, rows_B = np.divmod(j_B, self.generator.block_size)
        asked = [(self.blocks.ask(int(block)), rows_B[blocks_B == block]) for block in np.unique(blocks_B)]
        # np.unique sorts: back to the order that was asked for.
        order_B = np.argsort(np.argsort(blocks_B, kind="stable"), kind="stable")

        def wait() -> Made:
            made = [future.result().rows(rows) for future, rows in asked]
            return Made.join(made).rows(order_B)

        return wait

    def stored(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return which of the ordinals start, start + 1, ... stop - 1 are stored."""
        j_N = np.arange(start, stop)
        if self.memo is None:
            return np.zeros(len(j_N), bool)
        found_N = self.memo.find(j_N) >= 0
        if self.screen.reject is None and not self.memo.alone and not found_N.all():
            # What another plan stored counts, unless it is yet to be looked at.
            blocks = self._whole(start, stop)
            keys = self._attempts.keys(self.conditions(blocks))
            content_N = self.memo.find_content(keys) >= 0
            if self.screen:
                content_N &= self.screen.known(keys)
            found_N |= content_N[start - blocks[0] :][: len(j_N)]
        return found_N

    def samples(self, start: int, stop: int) -> Iterator[tuple[Samples, NDArray[np.uint8]]]:
        """Yield the ordinals start, start + 1, ... stop - 1 in batches; see `SyntheticSide.samples`."""
        self._attempts.keyed = True
        step = max(self.generator.block_size, _AT_ONCE)
        for first in range(start // step * step, stop, step):
            j_B = self._within(np.arange(first, first + step))
            rows = np.arange(max(start - first, 0), min(stop - first, step))
            places_B = self.memo.find(j_B[rows]) if self.memo is not None else np.full(rows.size, -1)
            if self.memo is not None and (places_B >= 0).all():
                images = np.empty((rows.size, self.image_size, self.image_size, 3), np.uint8)
                self.memo.read(places_B, images)
                yield self.memo.store.samples(places_B), images
            else:
                made = self._make(j_B).rows(rows)
                yield made.samples(j_B[rows]), made.images

    def warm(self, start: int, stop: int, progress: Callable[[int], None] | None = None) -> int:
        """Make the ordinals start, start + 1, ... stop - 1 that are not stored, and store them as one shard.

        Args:
            start, stop: whole blocks are made where they cut one.
            progress: called with how many were made, in steps.

        Returns:
            How many were made; 0 where all were there.

        Raises:
            ConfigurationError: there is no store, or it is only read.
            StoreError: the disk or the store is full; nothing of this call is stored then.
        """
        if self.memo is None or not self.memo.writes:
            raise ConfigurationError(
                "a warmup without a cache to write", expected="cache=FOLDER, cache_mode='readwrite'"
            )
        j_N = self._whole(start, stop)
        step = self.generator.block_size if self.generator.block_size > 1 else _AT_ONCE
        missing_N = self.memo.find(j_N) < 0
        parts: list[tuple[Integers, Made]] = []
        for first in range(0, len(j_N), step):
            wanted = np.flatnonzero(missing_N[first : first + step])
            if not wanted.size:
                continue
            whole = self.generator.block_size > 1
            made = self._make(j_N[first : first + step] if whole else j_N[first + wanted], record=False)
            kept = made.rows(wanted) if whole else made
            new = np.arange(len(kept)) if kept.stored is None else np.flatnonzero(~kept.stored)
            parts.append((j_N[first + wanted[new]], kept.rows(new)))
            if progress is not None:
                progress(int(new.size))
        count = sum(len(part) for part, _ in parts)
        if count:
            self.memo.write(np.concatenate([part for part, _ in parts]), Made.join([made for _, made in parts]))
        self.screen.flush()
        return count

    def _whole(self, start: int, stop: int) -> Integers:
        size = self.generator.block_size
        return np.arange(start // size * size, -(-stop // size) * size)

    def _make_block(self, number: int) -> Made:
        size = self.generator.block_size
        return self._make(np.arange(number * size, (number + 1) * size))

    def _make(self, j_B: Integers, *, record: bool = True) -> Made:
        made = self._attempts.make(j_B)
        if record and self.memo is not None:
            self.memo.record(j_B, made)
        return made

    def _count_stored(self) -> int:
        """Return how many ordinals, from 0 without a gap, are stored."""
        if self.memo is None:
            raise ConfigurationError(f"on_exhausted={self.exhausted!r} without a cache", expected="cache=FOLDER")
        end = self.memo.prefix()
        while (there := self.stored(end, end + 1024)).all():
            end += 1024
        end += int(np.argmin(there))
        if not end:
            plans = ", ".join(f"{plan} ({count:,} samples)" for plan, count in self.memo.store.plans().items())
            raise StoreError(
                f"the cache {self.memo.store.folder} has no sample 0 of plan {self.base}",
                expected=f"one of this stream's plan; it holds {plans or 'nothing'}",
                do="give the stream the arguments of the stream that filled the cache (seed, aus, sampler, identities, "
                "reject, guard), fill it with `ausynth warmup`, or take any finished store as it is: synthetic=FOLDER",
            )
        return end

    def _within(self, j_B: Integers) -> Integers:
        """Return the ordinals as they are stored, where the stored ones repeat."""
        if self._end is None or self.exhausted != "repeat":
            return j_B
        if (j_B >= self._end).any():
            self._attempts.say("end", f"The {self._end:,} stored faces are used up: from here on they come again.")
        return j_B % self._end

    def _configuration(self) -> dict[str, Any]:
        return {
            "generator": self.generator.name,
            "generator_fingerprint": self.generator.fingerprint,
            "sampler": self.sampler.fingerprint,
            "seed": self.seed,
            "identities": self.people.key,
            "reject": self.screen.reject_name,
            **({} if self.screen.guard is None else {"guard": self.screen.guard.fingerprint}),
        }


def make_conditions(
    generator: Generator, sampler: LabelSampler, ordinals: Integers, seed: int, identities: int | IdentityBank
) -> Conditions:
    """Return what each ordinal (B,) asks of the generator at the first attempt, with the arguments of the source."""
    people_B = people_of(identities, seed).first(ordinals)
    return ask(generator, sampler.sample(ordinals, seed), people_B, _noise(seed, ordinals, 0))


def _noise(seed: int, j_B: Integers, attempt: int) -> Integers:
    bits_B = random_bits(seed, "synthetic noise", j_B, attempt) >> np.uint64(1)
    return bits_B.astype(np.int64)
