"""Training: steps that follow from (seed, step), so that what was interrupted goes on bit for bit."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor

import ausynth
from ausynth.errors import AusynthError, ConfigurationError, GenerationError
from ausynth.generators.maugen import checkpoint
from ausynth.generators.maugen.data import Faces, TrainingSet
from ausynth.generators.maugen.dropping import Dropping
from ausynth.generators.maugen.objective import Auxiliaries, Draws, Objective
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.generators.maugen.weighting import Adaptive, adaptive_weights, gradient_norms
from ausynth.schedule import random_bits

__all__ = ["Standing", "TrainOptions", "Trained", "train"]

_WINDOW: Final = 100
_LOG = "log.jsonl"


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        steps: in all, those of an interrupted training included.
        batch_size: of each process.
        lr: peak learning rate of AdamW, reached after `warmup` steps, then a cosine down to a tenth.
        warmup: steps.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        ema_decay: of the averaged weights; the n-th step's is at most (1 + n) / (10 + n).
        seed: of everything that is drawn.
        precision: "bf16" for automatic mixed precision, "no" for float32, "auto" for bf16 on CUDA.
        adaptive: how losses are weighed by their gradients (eq. 11); "none" leaves them at `weights`.
        adaptive_every: [C] steps between two weighings: each costs one more backward for each loss.
        weights: what each loss is multiplied by, 1 where it is not named.
        save_every, sample_every, log_every: steps; 0 never (the end is always saved).
        keep: checkpoints that stay.
        bank: people whose identity tokens a checkpoint carries.
        nan_budget: how many of the last 100 steps may be skipped for a loss or gradient that is no number.
        minutes: stop after so long, saved; None: when all steps are done.
    """

    steps: int = 20_000
    batch_size: int = 32
    lr: float = 8e-4
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema_decay: float = 0.9995
    seed: int = 0
    precision: Literal["auto", "bf16", "no"] = "auto"
    adaptive: Adaptive = "none"
    adaptive_every: int = 10
    weights: Mapping[str, float] = field(default_factory=lambda: {"intensity": 0.2, "occurrence": 0.2})
    save_every: int = 1000
    sample_every: int = 1000
    log_every: int = 10
    keep: int = 2
    bank: int = 256
    nan_budget: int = 20
    minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "adaptive_every", "log_every", "keep"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}", expected="a whole number, 1 or more")
        if not self.lr > 0 or not self.clip > 0 or not 0 <= self.ema_decay < 1:
            raise ConfigurationError(
                f"lr={self.lr}, clip={self.clip}, ema_decay={self.ema_decay}",
                expected="lr and clip above 0, ema_decay from 0 and below 1",
            )
        if self.adaptive not in ("paper", "inverse", "none") or self.precision not in ("auto", "bf16", "no"):
            raise ConfigurationError(
                f"adaptive={self.adaptive!r}, precision={self.precision!r}",
                expected="adaptive 'paper', 'inverse' or 'none'; precision 'auto', 'bf16' or 'no'",
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * min(done, 1.0))))


@dataclass(frozen=True)
class Standing:
    """How far training is: steps done and in all, losses (averaged over recent steps), steps skipped for NaN."""

    step: int
    steps: int
    losses: Mapping[str, float]
    skipped: int


@dataclass(frozen=True)
class Trained:
    """What came of it: the checkpoint, steps done, steps skipped for NaN, recent losses."""

    checkpoint: Path
    step: int
    skipped: int
    losses: Mapping[str, float]


def train(
    pipeline: MAUGenPipeline,
    data: TrainingSet,
    out: Path,
    options: TrainOptions,
    *,
    dropping: Dropping | None = None,
    auxiliaries: Auxiliaries | None = None,
    device: str | None = None,
    tensorboard: bool = False,
    show: Callable[[Standing], None] | None = None,
) -> Trained:
    """Train a pipeline's model, and go on where an earlier call in `out` stopped.

    Under `accelerate launch`, each process trains on its own part of each step's samples.

    Args:
        pipeline: with fresh or pretrained weights; it holds the averaged weights afterwards.
        data: what to train on.
        out: folder of checkpoints, `log.jsonl` and `samples/`.
        options: how.
        dropping: how often conditions are dropped.
        auxiliaries: networks for the losses on pictures.
        device: "cpu", or None for what accelerate finds.
        tensorboard: write event files to `out/tensorboard`.
        show: called after every step.

    Raises:
        ConfigurationError: the data's AUs are not the model's, `out` holds another model, or a package is missing.
        GenerationError: too many steps without a number, or out of memory; what was saved is kept.
    """
    if data.aus != pipeline.maugen.aus:
        raise ConfigurationError(
            f"data over the AUs {data.aus} for a model over {pipeline.maugen.aus}", expected="the same label space"
        )
    run = _Run(pipeline, data, out, options, dropping, auxiliaries, device)
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(_tensorboard(out)) if tensorboard and run.is_main else None
        return run.go(show or (lambda _: None), writer)


class _Run:
    """One call of `train`."""

    def __init__(
        self,
        pipeline: MAUGenPipeline,
        data: TrainingSet,
        out: Path,
        options: TrainOptions,
        dropping: Dropping | None,
        auxiliaries: Auxiliaries | None,
        device: str | None,
    ) -> None:
        self.pipeline, self.data, self.out, self.options = pipeline, data, out, options
        self.model = pipeline.model
        self.accelerator = _accelerator(options.precision, device)
        self.is_main = bool(self.accelerator.is_main_process)
        place = self.accelerator.device
        for frozen in (pipeline.vae, pipeline.text_encoder):
            if frozen is not None:
                frozen.to(place)
        self.model.train().requires_grad_(True)
        self.dropping = dropping or Dropping()
        resumed = checkpoint.load(out, pipeline.maugen)
        averaged = None
        self.step, self.state = 0, {"skipped": 0, "weights": {}, "losses": {}}
        if resumed is not None:
            self.model.load_state_dict(resumed.weights)
            self.step, averaged = resumed.step, resumed.averaged
            self.state |= resumed.state
            self._require_same_seed()
        self.model.to(place)
        self.wired = pipeline.wired()
        objective = Objective(self.model, self.wired, dropping=self.dropping, auxiliaries=auxiliaries)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        if resumed is not None:
            checkpoint.set_optimizer(optimizer, self.model, resumed.optimizer)
        self.ema = _averages(self.model, options.ema_decay, averaged, self.step - int(self.state["skipped"]))
        self.bare = optimizer
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        self.recent: deque[bool] = deque([bool(each) for each in self.state.get("recent", [])], maxlen=_WINDOW)

    def _require_same_seed(self) -> None:
        for name, ours in (("seed", self.options.seed), ("batch_size", self.options.batch_size)):
            theirs = self.state.get(name, ours)
            if theirs != ours:
                raise ConfigurationError(
                    f"{self.out} was trained with {name}={theirs}, and {ours} is asked for now",
                    expected=f"{name}={theirs}: its steps go on from there",
                    do=f"give {name}={theirs}, or another folder",
                )

    def go(self, show: Callable[[Standing], None], writer: Any) -> Trained:
        options, began = self.options, time.monotonic()
        saved: Path | None = None
        self.out.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(1, thread_name_prefix="maugen-data") as reader:
            ahead = reader.submit(self._faces, self.step)
            while self.step < options.steps:
                faces = ahead.result()
                if self.step + 1 < options.steps:
                    ahead = reader.submit(self._faces, self.step + 1)
                found = self._step(faces)
                self.step += 1
                self._note(found, writer)
                show(self._standing())
                late = options.minutes is not None and time.monotonic() - began > 60 * options.minutes
                ends = late or self.step == options.steps
                if ends or (options.sample_every and self.step % options.sample_every == 0):
                    self._draw()
                if ends or (options.save_every and self.step % options.save_every == 0):
                    saved = self._save()
                if late:
                    break
        if saved is None:  # nothing was left to do
            saved = checkpoint.newest(self.out)
            assert saved is not None
        self.ema.copy_to(self.model.parameters())
        self.model.eval()
        return Trained(saved, self.step, int(self.state["skipped"]), dict(self.state["losses"]))

    def _standing(self) -> Standing:
        return Standing(self.step, self.options.steps, dict(self.state["losses"]), int(self.state["skipped"]))

    def _faces(self, step: int) -> Faces:
        accelerator = self.accelerator
        return self.data.batch(
            step, self.options.batch_size, part=accelerator.process_index, parts=accelerator.num_processes
        )

    def _tensors(self, faces: Faces) -> dict[str, Tensor]:
        place = self.accelerator.device
        arrays = {
            "images": faces.images,
            "exemplars": faces.exemplars,
            "has_exemplar": faces.has_exemplar,
            "intensity": faces.labels.intensity,
            "occurrence": faces.labels.occurrence,
        }
        batch = {name: torch.from_numpy(np.ascontiguousarray(array)).to(place) for name, array in arrays.items()}
        return batch | {"tokens": self.wired.text.tokenize(faces.prompts).to(place)}

    def _draws(self, count: int) -> Draws:
        config = self.model.maugen
        word = random_bits(self.options.seed, "maugen step", self.step, self.accelerator.process_index)
        shape = (count, config.latent_channels, config.latent_size, config.latent_size)
        return Draws.of(int(word >> np.uint64(1)), shape, self.accelerator.device)

    def _step(self, faces: Faces) -> dict[str, float]:
        """Take one step, or skip it where something is no number; return the losses."""
        rate = self.options.rate(self.step)
        for group in self.bare.param_groups:
            group["lr"] = rate
        batch = self._tensors(faces)
        try:
            return self._update(batch)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            size = len(batch["images"])
        # Outside the handler: the error's traceback holds the step's tensors.
        self.optimizer.zero_grad(set_to_none=True)
        raise _too_large(size, self._fitting(batch))

    def _update(self, batch: dict[str, Tensor]) -> dict[str, float]:
        accelerator, options = self.accelerator, self.options
        losses = self.objective(batch, self._draws(len(batch["images"])))
        weights = self._weigh(losses)
        total = torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()
        fine = bool(torch.isfinite(total))
        if accelerator.num_processes > 1:  # all skip, or none does
            fine = bool(accelerator.gather(torch.tensor([fine], device=accelerator.device)).all())
        if fine:
            accelerator.backward(total)
            fine = bool(torch.isfinite(accelerator.clip_grad_norm_(self.model.parameters(), options.clip)))
        if fine:
            self.optimizer.step()
            self.ema.step(self.model.parameters())
        self.optimizer.zero_grad(set_to_none=True)
        self._count(skipped=not fine)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _weigh(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """Return what each loss is multiplied by now (eq. 11)."""
        options = self.options
        given = {name: float(options.weights.get(name, 1.0)) for name in losses}
        if options.adaptive == "none":
            return given
        known: dict[str, float] = self.state["weights"]
        if self.step % options.adaptive_every == 0 or set(losses) - set(known):
            norms = gradient_norms(losses, self.model.last_mrl_weight)
            stacked = self.accelerator.reduce(torch.stack(list(norms.values())), reduction="mean")
            measured = dict(zip(norms, stacked.tolist(), strict=True))
            if all(map(math.isfinite, measured.values())):
                known = adaptive_weights(measured, options.adaptive)
                self.state["weights"] = known
        return {name: given[name] * known.get(name, 1.0 / len(losses)) for name in losses}

    def _count(self, *, skipped: bool) -> None:
        self.recent.append(skipped)
        self.state["skipped"] = int(self.state["skipped"]) + skipped
        if sum(self.recent) > self.options.nan_budget:
            raise GenerationError(
                f"{sum(self.recent)} of the last {len(self.recent)} steps, up to step {self.step}, had a loss or "
                "gradient that is no number, and were skipped",
                expected=f"{self.options.nan_budget} at most (nan_budget)",
                do=f"go on from {checkpoint.newest(self.out) or 'the beginning'} with a lower learning rate than "
                f"{self.options.lr:g}, or precision='no'",
            )

    def _fitting(self, batch: dict[str, Tensor]) -> int:
        """Return the largest half, quarter, ... of a batch that a step fits into memory with; 0 where none does."""
        count = len(batch["images"]) // 2
        while count:
            self.optimizer.zero_grad(set_to_none=True)
            if self.accelerator.device.type == "cuda":
                torch.cuda.empty_cache()
            try:
                part = {name: each[:count] for name, each in batch.items()}
                losses = self.objective(part, self._draws(count))
                torch.stack(list(losses.values())).sum().backward()
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _is_memory(error):
                    raise
                count //= 2
            else:
                return count
        return 0

    def _note(self, found: Mapping[str, float], writer: Any) -> None:
        smooth: dict[str, float] = self.state["losses"]
        for name, value in found.items():
            if math.isfinite(value):
                smooth[name] = value if name not in smooth else 0.98 * smooth[name] + 0.02 * value
        if not self.is_main or self.step % self.options.log_every:
            return
        rate = self.options.rate(self.step - 1)
        line = {"step": self.step, "lr": rate, "skipped": self.state["skipped"], **found}
        with (self.out / _LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
        if writer is not None:
            for name, value in found.items():
                writer.add_scalar(f"loss/{name}", value, self.step)
            writer.add_scalar("lr", rate, self.step)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged weights into the model meanwhile."""
        parameters = list(self.model.parameters())
        self.ema.store(parameters)
        self.ema.copy_to(parameters)
        self.model.eval()
        try:
            yield
        finally:
            self.ema.restore(parameters)
            self.model.train()

    def _draw(self) -> None:
        """Write a grid of pictures: above what was photographed, below what is painted of the same labels."""
        if not self.is_main:
            return
        from ausynth.commands.common import png, write_whole

        count = min(8, len(self.data))
        rows = np.linspace(0, len(self.data) - 1, count).round().astype(np.int64)
        faces = self.data.faces(rows)
        with self._averaged(), self.accelerator.autocast():
            self.pipeline.set_progress_bar_config(disable=True)
            made = self.pipeline(
                list(faces.prompts),
                intensities=faces.labels.intensity,
                identity=faces.exemplars if self.model.maugen.identity else None,
                num_inference_steps=8,
                generator=list(range(count)),
                output_type="np",
            )
        grid = np.concatenate([np.concatenate(list(each), axis=1) for each in (faces.images, made.images)])
        write_whole(self.out / "samples" / f"step-{self.step:08d}.png", png(grid))

    def _save(self) -> Path:
        path = self.out / f"step-{self.step:08d}"
        if self.is_main:
            state = {
                **self.state,
                "recent": [int(each) for each in self.recent],
                "seed": self.options.seed,
                "batch_size": self.options.batch_size,
            }
            weights = {name: each.detach().clone() for name, each in self.model.state_dict().items()}
            with self._averaged():
                path = checkpoint.save(
                    self.out,
                    self.step,
                    self.pipeline,
                    weights=weights,
                    optimizer=checkpoint.optimizer_tensors(self.bare, self.model),
                    bank=self._bank(),
                    record=self._record(),
                    state=state,
                    keep=self.options.keep,
                )
        self.accelerator.wait_for_everyone()
        return path

    @torch.no_grad()
    def _bank(self) -> Tensor | None:
        from ausynth.generators.maugen.codec import to_signed

        if not self.model.maugen.identity or not self.options.bank:
            return None
        portraits = torch.from_numpy(self.data.portraits(self.options.bank))
        tokens = [self.model.identify(to_signed(part).to(self.model.device)) for part in portraits.split(64)]
        return torch.cat(tokens).float().cpu()

    def _record(self) -> dict[str, Any]:
        return {
            "version": ausynth.__version__,
            "step": self.step,
            "skipped": self.state["skipped"],
            "processes": self.accelerator.num_processes,
            "options": asdict(self.options),
            "dropping": asdict(self.dropping),
            "losses": dict(self.state["losses"]),
            "data": self.data.record,
            "trained_on": list(self.data.trained_on),
            "held_out": list(self.data.hold_out),
        }


def _accelerator(precision: str, device: str | None) -> Any:
    try:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs
    except ImportError as error:
        raise ConfigurationError(
            "training needs the package accelerate, which is not installed",
            expected="accelerate 1.0 or newer",
            do="pip install accelerate",
        ) from error
    on_cuda = torch.cuda.is_available() and device != "cpu"
    mixed = {"auto": "bf16" if on_cuda else "no", "bf16": "bf16", "no": "no"}[precision]
    # A dropped condition leaves parameters without a gradient.
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    return Accelerator(mixed_precision=mixed, cpu=device == "cpu", kwargs_handlers=handlers)


def _averages(model: Any, decay: float, averaged: Mapping[str, Tensor] | None, steps: int) -> Any:
    """Return the EMA of the weights: diffusers', whose decay begins at (1 + n) / (10 + n)."""
    from diffusers.training_utils import EMAModel

    ema = EMAModel(model.parameters(), decay=decay)
    if averaged is not None:
        names = [name for name, _ in model.named_parameters()]
        for shadow, name in zip(ema.shadow_params, names, strict=True):
            shadow.copy_(averaged[name])
        ema.optimization_step = steps
    ema.to(model.device)
    return ema


@contextlib.contextmanager
def _tensorboard(out: Path) -> Iterator[Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigurationError(
            "TensorBoard is asked for and not installed", expected="the package tensorboard", do="pip install tensorboard"
        ) from error
    writer = SummaryWriter(str(out / "tensorboard"))  # type: ignore[no-untyped-call]
    try:
        yield writer
    finally:
        writer.close()  # type: ignore[no-untyped-call]


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error).lower()


def _too_large(size: int, fits: int) -> AusynthError:
    return GenerationError(
        f"a step with a batch of {size} does not fit into memory",
        expected=f"a batch of {fits}, which does" if fits else "more memory: not even one sample fits",
        do=f"give batch_size={fits} (--batch-size {fits}), and a new folder" if fits else "choose a smaller preset",
    )
