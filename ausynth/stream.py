"""MixedStream: real and synthetic faces at an exact ratio, without end, sample k a pure function of the plan and k."""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from ausynth.assembly import IDENTITY_SPAN, Assembler, Batch
from ausynth.balancing import Wanted
from ausynth.errors import ConfigurationError, require_whole
from ausynth.gates.judges import Gate
from ausynth.generators.automatic import asked_for, is_auto, resolve_auto
from ausynth.generators.base import Generator
from ausynth.guarding import Guard, HeldOut, open_guard, open_people, refuse_trained_on
from ausynth.prefetch import prefetch
from ausynth.progress import Progress
from ausynth.ranks import place_among_ranks
from ausynth.samplers.balance import Balance
from ausynth.samplers.base import LabelSampler
from ausynth.samplers.identity_bank import IdentityBank
from ausynth.samplers.leakage import LeakageGuard
from ausynth.schedule import Interleave, as_share
from ausynth.sides import open_sides
from ausynth.sources.attempts import Reject
from ausynth.sources.base import Source
from ausynth.sources.crop import Align
from ausynth.sources.opening import People, Root, distinct_names, open_real, resolve_aus
from ausynth.sources.opening_prepared import use_prepared
from ausynth.sources.opening_synthetic import CacheMode, OpenFaces, open_chosen, open_faces
from ausynth.sources.real import OnError
from ausynth.sources.side import SyntheticSide
from ausynth.sources.synthetic import Exhausted, SyntheticSource
from ausynth.sources.thinning import Thin
from ausynth.stats import stage
from ausynth.transfer import resolve_device, to_device
from ausynth.transforms import Transform

__all__ = ["Batch", "MixedStream"]

CHUNK = 64
"""Samples that single-sample mode makes at a time, and that one worker takes in a row."""

_ITERATION_SPAN = 1 << 40
"""Samples between the starts of two iterations of a stream without `steps_per_epoch`: more than anyone consumes."""

_MAX_WORKERS = 128


class MixedStream(IterableDataset[Any]):
    """An endless stream of AU-labelled faces, of which exactly the share `ratio` is synthetic in every stretch.

    >>> stream = ausynth.MixedStream(real="disfa", ratio=0.5, hold_out="P1", batch_size=64)  # doctest: +SKIP
    >>> for batch in DataLoader(stream, batch_size=None):  # doctest: +SKIP
    ...     loss = criterion(model(batch["image"]), batch["occurrence"], batch["mask"])

    With `batch_size` the stream makes whole batches (the fast lane: give `DataLoader` `batch_size=None`); without, it
    yields single samples for `DataLoader(stream, batch_size=64)`. Sample k depends on the arguments and k alone, so
    any number of workers sees the same sequence and `batch(k)` can be asked for at any time. Iterating again never
    replays: with `steps_per_epoch` the next epoch goes on where the last one ended, without it elsewhere in the
    sequence.

    A batch is a dict: `image` uint8 (B, 3, H, W) red-green-blue, or what `transform` returns; `occurrence` and
    `intensity` float32 (B, A), 0/1 and 0-5, NaN where unknown; `mask` bool (B, A), True where the occurrence is known;
    `confidence` float32 (B, A); `synthetic` bool (B,); `identity` int64 (B,), equal for the same person (see
    `identity_name`); `source` int64 (B,), a row of `source_names`; `key` int64 (B,), the k of each sample; `step` int,
    the number of the batch.

    Args:
        real: "disfa", "bp4d", a `Source`, several of these, or None for a purely synthetic stream (`ratio=1`).
        ratio: share of synthetic samples, 0 to 1: any n consecutive samples hold n * ratio of them, within 1.
        root: the real set's folder, or {"disfa": folder, "bp4d": folder}; default AUSYNTH_DISFA_ROOT and so on.
        weights: how often each of several real sources is chosen; default in proportion to their sizes.
        generator: a name for `load_generator`, its options ({"look": "portrait", "bank": FOLDER}), a `Generator`, or
            None: show what is in `cache`, and make nothing. "auto" is the MAUGen that comes with the package where it
            has passed its gate with a judge and knows all AUs of `aus`, else the renderer; or what has filled the cache
            (`ausynth.generators.resolve_auto`). `stats()` says which, and why; the plan is that of what it stands for.
        balance: what the labels of the mixture aim at: "soft" (rare AUs often enough, real frames nearly as they are),
            "hard" (rates of .3 to .5, AUs independent), "natural", "uniform", a `samplers.Target`, a `samplers.Balance`
            of `samplers.calibrate`; None: real frames once each before any comes again, and synthetic label vectors of
            `samplers.CombinationSampler`. See `balance` for what was reached.
        sampler: which label vectors to ask the generator for, instead of a balance.
        hold_out: whom the stream never shows: a part ("P1"), a list of parts or subjects, or {"disfa": ...}.
        keep: the only ones it shows, in the same spelling.
        fold: a fold by another code base's name ("megraph:1"): holds out the part that it tests on.
        aus: the label space: "benchmark" (the AUs that papers report on the real set), "union" or "intersection" of
            what the real sources code, a name of `facs.LABEL_SPACES`, or a list.
        threshold: the intensity from which an AU occurs, on both sides; default 2 for synthetic samples and as each
            real source has it: 2 for DISFA, occurrence as coded for BP4D.
        image_size: height and width in pixels.
        match_resolution: bring real frames to the generator's resolution before `image_size`, so that sharpness does
            not tell a detector what is synthetic.
        align: how faces are cut out of real frames: "none" (centre square), "landmarks", or a callable; see
            `ausynth.sources.crop`.
        thin: which of a real video's nearly equal frames are kept: "runs", those at which the labels change; 10, those
            and every tenth; default all.
        batch_size: samples of a batch, or None for single samples.
        steps_per_epoch: batches that one iteration yields on each rank; default no end. Needs `batch_size`.
        seed: of everything.
        transform: albumentations (on uint8 (H, W, 3)) or any callable on a uint8 (3, H, W) tensor; seeded by k.
        on_error: at an unreadable frame "raise", or "skip": take another and count it in `skipped`.
        as_tuple: yield `(image, occurrence)`, and `(image, occurrence, mask)` where anything is uncoded.
        identities: how many synthetic people there are, or an `IdentityBank`, which says who, how often each is shown
            and where they come from; default 10,000, or all whom the generator has that are not held out.
        reject: `(images (B, H, W, 3) uint8, Labels) -> (B,) bool`: True where a synthetic picture must not be shown. It
            is drawn again with another person, pose and light and the same label vector, 16 times at most. A named
            function: its name is part of the plan.
        guard: True keeps whoever looks like a held-out person out: each synthetic face is compared with frames of those
            who are held out (`hold_out`, `keep` or `fold` say who), and drawn again where it is too like one of them,
            or where no face is found in it. The threshold is found on pairs of different people of the real set (see
            `guard.calibration.report()`), with dlib's network (the extra `identity`); also the path of an ArcFace
            .onnx file, an `IdentityEncoder`, or a `samplers.LeakageGuard` of your own. Threshold, gallery and encoder
            are part of the plan. Embedding takes longer than drawing: with `cache`, embeddings are stored beside the
            faces, and another hold-out needs none.
        gates: what synthetic pictures pass through before anything else: "jaccard:0.5", "facs:0.7", "consensus",
            "relabel" (see `ausynth.gates.open_gate`), or gates of `ausynth.gates`, which reject pictures that are not
            what was asked for, or correct and mask their labels.
        cache: a folder in which generated faces are remembered: what it holds is read, what it lacks is generated and,
            with cache_mode="readwrite", stored, 64 MB of pictures at a time. The samples are the same either way. Any
            number of processes and ranks may share it. "read" never writes.
        cache_limit: bytes, or "20GB": nothing more is stored beyond; what is there stays.
        cache_codec: how a new cache keeps pictures: "raw", or "jpeg" and "jpeg:90", smaller and with JPEG's loss in
            what the stream shows, stored or not; default "raw".
        on_exhausted: after the last face of the cache, "generate" goes on, "repeat" begins again at its first, "stop"
            ends every iteration, on all ranks at the same batch; default "generate", "repeat" with generator=None.
        synthetic: a finished store of generated faces (`ausynth warmup`) that is the synthetic side as it is, whatever
            plan made it, instead of `generator`.
        device: where batches go; a CUDA device gets them from pinned memory, one batch ahead of the loop.
        threads: how many threads make batches, each a whole one; default one for each core, up to 8; 0: none, as in
            `DataLoader` workers.
        prefetch: how many batches are ready ahead of the loop, beside those that the threads are making.
        rank, world_size: this process's place among those that share the stream; default from torch.distributed, or
            from RANK and WORLD_SIZE.

    Raises:
        ConfigurationError: an argument that cannot be right, before anything is read; a generator that was trained on
            somebody who is held out.
        LayoutError, LabelFileError: the real set's tree is not as it should be.
        StoreError: the cache or pool is damaged, or not of this generator.
    """

    def __init__(
        self,
        real: str | Source | Sequence[str | Source] | None = "disfa",
        ratio: float = 0.5,
        *,
        root: Root | Mapping[str, Root] | None = None,
        weights: Sequence[float] | None = None,
        generator: str | Mapping[str, Any] | Generator | None = "auto",
        balance: Wanted = "soft",
        sampler: LabelSampler | None = None,
        hold_out: People | None = None,
        keep: People | None = None,
        fold: str | Mapping[str, str] | None = None,
        aus: str | Iterable[int] = "benchmark",
        threshold: float | None = None,
        image_size: int = 112,
        match_resolution: bool = True,
        align: Align = "none",
        thin: Thin | None = None,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        seed: int = 0,
        transform: Transform | None = None,
        on_error: OnError = "raise",
        as_tuple: bool = False,
        identities: int | IdentityBank | None = None,
        reject: Reject | None = None,
        guard: Guard = False,
        gates: Sequence[str | Gate] = (),
        cache: Root | None = None,
        cache_mode: CacheMode = "readwrite",
        cache_limit: int | str | None = None,
        cache_codec: str | None = None,
        on_exhausted: Exhausted | None = None,
        synthetic: Root | None = None,
        device: str | torch.device | None = None,
        threads: int | None = None,
        prefetch: int = 8,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        share = as_share(ratio)
        require_whole("image_size", image_size, 16)
        require_whole("seed", seed, 0)
        if batch_size is not None:
            require_whole("batch_size", batch_size, 1)
        if steps_per_epoch is not None:
            require_whole("steps_per_epoch", steps_per_epoch, 1)
            if batch_size is None:
                raise ConfigurationError(
                    "steps_per_epoch without batch_size", expected="both", do="DataLoader(stream, batch_size=None)"
                )
        if on_error not in get_args(OnError):
            raise ConfigurationError(f"on_error={on_error!r}", expected="'raise' or 'skip'")
        if real is None and share < 1:
            raise ConfigurationError(f"real=None with ratio={ratio}", expected="a real source, or ratio=1")
        self.device = resolve_device(device)
        self.threads = min(8, os.cpu_count() or 1) if threads is None else threads
        self.prefetch = prefetch
        require_whole("threads", self.threads, 0)
        require_whole("prefetch", prefetch, 0)
        self.rank, self.world_size = place_among_ranks(rank, world_size)
        self.batch_size, self.steps_per_epoch, self.as_tuple = batch_size, steps_per_epoch, as_tuple

        given: dict[str, Any] = {"cache": cache, "mode": cache_mode, "codec": cache_codec, "gates": gates}
        # What "auto" stands for depends on the AUs that are asked for; all else is refused before anything is read.
        waits = is_auto(generator) and synthetic is None
        faces = OpenFaces()
        if share > 0 and not waits:
            faces = open_faces(generator, image_size, synthetic=synthetic, **given)
        opened = open_real(
            real, root=root, hold_out=hold_out, keep=keep, fold=fold, threshold=threshold, align=align, thin=thin
        )
        if share > 0 and waits:
            faces = open_chosen(resolve_auto(asked_for(aus, opened), cache=cache), image_size, **given)
        self.generator, self._why = faces.generator, faces.why
        held_out = HeldOut.of(real, opened, hold_out=hold_out, keep=keep, fold=fold)
        refuse_trained_on(faces, held_out)
        self.guard: LeakageGuard | None = None
        if share > 0:
            self.guard = open_guard(guard, held_out, opened, root=root, align=align)
        self.aus = resolve_aus(aus, opened, faces.aus)
        real_size = faces.image_size if match_resolution and faces.image_size else image_size
        self.real = tuple(use_prepared(source, real_size) for source in opened)
        self.source_names = distinct_names([*(source.name for source in self.real), "synthetic"])
        sides = open_sides(
            self.real,
            faces,
            share=share,
            seed=seed,
            aus=self.aus,
            threshold=threshold,
            weights=weights,
            balance=balance,
            sampler=sampler,
            identities=open_people(identities, faces, held_out),
            reject=reject,
            guard=self.guard,
            on_error=on_error,
            writes=cache_mode == "readwrite",
            limit=cache_limit,
            exhausted=on_exhausted,
        )
        self.balance = sides.balance
        self._generated_aus = faces.aus
        self._assembler = Assembler(
            hand=Interleave(share),
            real=sides.real,
            synthetic=sides.synthetic,
            aus=self.aus,
            threshold=threshold,
            image_size=image_size,
            match_resolution=match_resolution,
            seed=seed,
            transform=transform,
            source_names=self.source_names,
            pinned=self.device is not None and self.device.type == "cuda",
        )
        self._with_mask = self._anything_unknown()
        self._start = 0
        self._delivered = 0
        self._progress: Progress | None = None
        self._resumed: Progress | None = None
        self._said_end = False
        # How often each worker (column) of a loader with so many workers (row) has begun to iterate. In shared memory,
        # so that persistent workers hear of set_epoch and new ones know what went before; row 0 is this process.
        self._begun = torch.zeros((_MAX_WORKERS + 1, _MAX_WORKERS), dtype=torch.int64)
        self._begun.share_memory_()  # type: ignore[no-untyped-call]

    def __iter__(self) -> Iterator[Any]:
        """Yield batches (or samples) from where `load_state_dict` put the stream, else from the start."""
        worker = get_worker_info()
        row, lane, lanes = (worker.num_workers, worker.id, worker.num_workers) if worker else (0, 0, 1)
        if row > _MAX_WORKERS:
            raise ConfigurationError(f"{row} workers", expected=f"at most {_MAX_WORKERS}")
        if worker and self.device is not None:
            raise ConfigurationError(
                f"device={str(self.device)!r} in a DataLoader worker process",
                expected="batches on the CPU there",
                do="leave num_workers out (threads do the work), or leave device out and copy in the training loop",
            )
        if worker and str(getattr(self.generator, "device", None)).startswith("cuda"):
            raise ConfigurationError(
                f"generator {getattr(self.generator, 'name', '')!r} on CUDA in a DataLoader worker process",
                expected="a generator on CUDA in the process that trains",
                do="leave num_workers out: the stream's own threads run ahead",
            )
        epoch = int(self._begun[row, lane])
        self._begun[row, lane] += 1
        if self.steps_per_epoch is None and self._assembler.ends:
            base = self._start if epoch == 0 else 0  # it has an end: again from the first
        elif self.steps_per_epoch is None:
            base = self._start + epoch * (_ITERATION_SPAN // self._round * self._round)
        else:
            span = self.steps_per_epoch * self._round
            base = epoch * span + (self._start % span if epoch == self._start // span else 0)
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            return self._from(Progress(epoch, base, lane, lanes, number=lane, row=0))
        if (resumed.lane, resumed.lanes) != (lane, lanes):
            raise ConfigurationError(
                f"the state of worker {resumed.lane} of {resumed.lanes} in worker {lane} of {lanes}",
                expected="as many workers as when it was saved",
                do="use stream.state_dict(after=batch) in the training loop, which fits any number of workers",
            )
        self._begun[row, lane] = resumed.epoch + 1
        return self._from(resumed)

    def _from(self, start: Progress) -> Iterator[Any]:
        numbers: Iterable[int] = itertools.count(start.number, start.lanes)
        if self.steps_per_epoch is not None:
            span = self.steps_per_epoch * self._round
            numbers = range(start.number, (span - start.base % span) // self._round, start.lanes)
        rounds = self._assembler.last_round(start.base, self._round)
        if rounds is not None:
            numbers = self._until(rounds, numbers)
        assembler, size = self._assembler, self._size
        firsts = (start.base + (number * self.world_size + self.rank) * size for number in numbers)
        tasks = (assembler.begin(np.arange(first, first + size), first // size) for first in firsts)
        # Worker processes are parallel already, and a fork in the middle of threads is best avoided.
        threads = self.threads if get_worker_info() is None else 0
        with assembler.running(threads):
            made = prefetch(_call, tasks, threads=threads, ahead=threads + self.prefetch)
            with contextlib.closing(made):
                batches: Iterator[Batch] = map(assembler.deliver, self._waiting(made))
                if self.device is not None:
                    batches = to_device(batches, self.device)
                progress = start
                for batch in batches:
                    first = progress.base + (progress.number * self.world_size + self.rank) * size
                    for row in range(progress.row, size) if self.batch_size is None else (size - 1,):
                        progress = progress.after(row, size)
                        self._progress, self._delivered = progress, first + row + 1
                        if self.batch_size is not None:
                            yield self._present(batch)
                        else:
                            yield self._present({k: v if k == "step" else v[row] for k, v in batch.items()})

    def _until(self, rounds: int, numbers: Iterable[int]) -> Iterator[int]:
        """Yield the batches for which there are stored faces, and say once that there are no more."""
        for number in numbers:
            if number >= rounds:
                if not self._said_end:
                    self._said_end = True
                    warnings.warn("The stored faces are used up: the iteration ends here.", UserWarning, stacklevel=2)
                return
            yield number

    def _waiting(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            with self._assembler.stats.collect(), stage("wait"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def __len__(self) -> int:
        """Return `steps_per_epoch`; a stream without it has no length (TypeError)."""
        if self.steps_per_epoch is None:
            raise TypeError("an endless stream has no length; give it steps_per_epoch=")
        return self.steps_per_epoch

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration epoch `epoch`. Epochs count by themselves: this is for going to another one."""
        require_whole("epoch", epoch, 0)
        if self.steps_per_epoch is None:
            raise ConfigurationError("set_epoch on an endless stream", expected="a stream with steps_per_epoch")
        self._begun.fill_(epoch)

    def batch(self, k: int) -> Any:
        """Return batch `k`: the same whoever asks, and when; in single-sample mode, the k-th chunk of 64 samples."""
        require_whole("batch number", k, 0)
        return self._present(self._assembler.make(np.arange(k * self._size, (k + 1) * self._size), k))

    @property
    def block_size(self) -> int:
        """Return how many synthetic samples the generator always makes together."""
        return self._remembering.generator.block_size

    def stored(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return which of the synthetic ordinals start, start + 1, ... stop - 1 the cache holds; see `warm`."""
        return self._remembering.stored(start, stop)

    def warm(self, start: int, stop: int, progress: Callable[[int], None] | None = None) -> int:
        """Generate those of the stream's synthetic samples that the cache lacks, and store them as one shard.

        The j-th synthetic sample of the stream has the ordinal j. `ausynth warmup` calls this in several processes.

        Args:
            start, stop: ordinals start, start + 1, ... stop - 1; blocks of the generator that they cut are made whole.
            progress: called with how many more were made.

        Returns:
            How many were made: 0 where all were there.

        Raises:
            ConfigurationError: the stream has no cache that it may write.
            StoreError: the disk, or the cache's limit, is full; nothing of this call is stored then.
        """
        return self._remembering.warm(start, stop, progress)

    def pos_weight(self) -> torch.Tensor:
        """Return (A,) float32 for `BCEWithLogitsLoss(pos_weight=)`, of the rates that the stream *emits*.

        Formula, source and the warning against correcting twice: `samplers.Balance.pos_weight`.

        Raises:
            ConfigurationError: the stream is not balanced (`sampler=`, `balance=None`), so nothing says what it emits.
        """
        return torch.from_numpy(self._emitted.pos_weight()).float()

    def loss_weights(self) -> torch.Tensor:
        """Return (A,) float32 weights of the AUs in a loss; see `samplers.Balance.loss_weights`, and `pos_weight`."""
        return torch.from_numpy(self._emitted.loss_weights()).float()

    def logit_offsets(self) -> torch.Tensor:
        """Return (A,) float32 to add to a trained detector's logits; see `samplers.Balance.logit_offsets`."""
        return torch.from_numpy(self._emitted.logit_offsets()).float()

    @property
    def _emitted(self) -> Balance:
        if self.balance is None:
            raise ConfigurationError(
                "weights of a stream that is not balanced",
                expected='balance="soft", "hard", "natural", ...: then it is known which rates the stream emits',
                do='make the stream without sampler= and balance=None; "natural" changes the real frames least',
            )
        return self.balance

    def to_hf(self, n: int, out: str | os.PathLike[str] | None = None) -> Any:
        """Write the stream's first `n` synthetic samples as a Hugging Face data set, and return that, loaded.

            stream = MixedStream(real=None, ratio=1)
            stream.to_hf(10_000, "faces")[0]["AU12_intensity"]

        Args:
            n: how many.
            out: a new folder for the parquet files and the card; default one in the cache folder. Pictures are PNG.

        Returns:
            `datasets.Dataset`; `ausynth.jobs.parquet.COLUMNS` says what its columns are.

        Raises:
            ConfigurationError: the stream shows real frames, which are licensed recordings and are never exported.
        """
        from ausynth.jobs.to_hf import to_hf

        return to_hf(self._assembler.hand.share, self._assembler.synthetic, n, out)

    @property
    def synthetic_side(self) -> SyntheticSide:
        """Return the synthetic samples by their ordinals, with all that is known of them.

        Raises:
            ConfigurationError: the stream has none.
        """
        side = self._assembler.synthetic
        if side is None:
            raise ConfigurationError("a stream without synthetic samples", expected="a ratio above 0")
        return side

    @property
    def _remembering(self) -> SyntheticSource:
        side = self._assembler.synthetic
        if not isinstance(side, SyntheticSource):
            raise ConfigurationError(
                "a stream that generates nothing", expected="a ratio above 0, a generator, and cache=FOLDER"
            )
        return side

    @cached_property
    def plan(self) -> str:
        """Return the hash of all that decides what sample k is, before `transform`."""
        return self._assembler.plan

    def stats(self) -> dict[str, Any]:
        """Return what this process has done so far: seconds a stage (summed over threads) and counts by source.

        Stages: `wait` (the loop waited for a batch), `read` (files), `decode`, `cache` (stored faces), `generate`,
        `transform`, `assemble` (the rest of making a batch: labels, crops, copies). `rejected` counts synthetic
        pictures that were drawn again, `gates` what gates and readers of labels did, `generator` what makes the
        synthetic faces, and why where that was left to "auto". With a guard, `guard` says how many faces were checked
        and rejected, in how many none was found, and quantiles of the nearest cosines. In `DataLoader` workers each
        process has its own.
        """
        made = self.generator
        who = None if made is None else {"name": made.name, "fingerprint": made.fingerprint, "why": self._why}
        return {**self._assembler.report(), "generator": who}

    @property
    def skipped(self) -> dict[str, int]:
        """Return the unreadable files that this process passed over, and how often it met each."""
        skipped: dict[str, int] = self._assembler.report()["skipped"]
        return skipped

    def identity_name(self, identity: int) -> str:
        """Return who an `identity` of a batch is: "disfa:SN001", "synthetic:42"."""
        source, local = divmod(int(identity), IDENTITY_SPAN)
        if source >= len(self.source_names):
            raise ConfigurationError(
                f"identity {identity}", expected=f"one of this stream's sources {self.source_names}"
            )
        return f"{self.source_names[source]}:{self.real[source].subjects[local] if source < len(self.real) else local}"

    def state_dict(self, after: Batch | None = None) -> dict[str, Any]:
        """Return where to resume: the number of samples that all ranks together have consumed, and the plan.

        In a `DataLoader` worker (torchdata's `StatefulDataLoader` asks there) it is where that worker stands, and fits
        the same number of workers only.

        Args:
            after: the last batch that was trained on. Needed with `DataLoader` workers, whose progress the stream in
                this process cannot see; without it, what this object has yielded counts.
        """
        if after is None and get_worker_info() is not None:
            return {"plan": self.plan, "worker": self._progress and asdict(self._progress)}
        if after is None:
            done = self._delivered
        elif "key" not in after:
            raise ConfigurationError("state_dict(after=...) got no batch", expected="a batch of this stream, as a dict")
        else:
            done = int(torch.as_tensor(after["key"]).max()) + 1
        # All ranks stand at the same step, so the round that this batch belongs to is done by all of them.
        unit = self._round if self.world_size > 1 else 1
        units = -(-(done - self._start) // unit) if done else 0
        return {"samples": self._start + units * unit, "plan": self.plan}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken: no sample of the sequence is lost, none comes twice.

        Raises:
            ConfigurationError: the state is of a stream with other arguments or data.
        """
        if state.get("plan") != self.plan:
            raise ConfigurationError(
                f"a state of plan {state.get('plan')}",
                expected=f"this stream's plan {self.plan}",
                do="make the stream with the same arguments and the same data as when the state was saved",
            )
        if "worker" in state:
            self._resumed = Progress(**state["worker"]) if state["worker"] else None
            return
        self._start = self._delivered = int(state["samples"])
        epoch_size = (self.steps_per_epoch or 0) * self._round
        self._begun.fill_(self._start // epoch_size if epoch_size else 0)

    @property
    def _size(self) -> int:
        return self.batch_size or CHUNK

    @property
    def _round(self) -> int:
        """Return the samples of one batch on every rank."""
        return self._size * self.world_size

    def _present(self, batch: Batch) -> Any:
        if not self.as_tuple:
            return batch
        names = ("image", "occurrence", "mask") if self._with_mask else ("image", "occurrence")
        return tuple(batch[name] for name in names)

    def _anything_unknown(self) -> bool:
        real_unknown = any(not source.labels.project(self.aus).mask.all() for source in self.real)
        return real_unknown or bool(self._generated_aus and not set(self.aus) <= set(self._generated_aus))


def _call(task: Callable[[], Batch]) -> Batch:
    return task()
