"""Training: steps that follow from (seed, step), so that what was interrupted goes on bit for bit."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

import ausynth
from ausynth.errors import ConfigurationError
from ausynth.generators.maugen import checkpoint
from ausynth.generators.maugen.codec import to_signed
from ausynth.generators.maugen.data import Faces, TrainingSet
from ausynth.generators.maugen.dropping import Dropping
from ausynth.generators.maugen.objective import Auxiliaries, Objective
from ausynth.generators.maugen.options import TrainOptions
from ausynth.generators.maugen.people import People
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.generators.maugen.stepping import Stepper
from ausynth.generators.maugen.wording import name_of

__all__ = ["Standing", "Trained", "train"]

_AVERAGED: Final = 50
_LOG: Final = "log.jsonl"
_SHOWN: Final = 8


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
        StoreError: the checkpoint in `out` is damaged.
    """
    if data.aus != pipeline.maugen.aus:
        raise ConfigurationError(
            f"data over the AUs {data.aus} for a model over {pipeline.maugen.aus}", expected="the same label space"
        )
    run = _Run(pipeline, data, out, options, dropping=dropping, auxiliaries=auxiliaries, device=device)
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
        *,
        dropping: Dropping | None,
        auxiliaries: Auxiliaries | None,
        device: str | None,
    ) -> None:
        self.pipeline, self.data, self.out, self.options = pipeline, data, out, options
        self.model, self.dropping = pipeline.model, dropping or Dropping()
        self.accelerator = _accelerator(options.precision, device)
        self.is_main = bool(self.accelerator.is_main_process)
        resumed = checkpoint.load(out, pipeline.maugen)
        self.step, self.losses = 0, dict[str, float]()
        if resumed is not None:
            self._require_same(resumed.state)
            self.model.load_state_dict(resumed.weights)
            self.step, self.losses = resumed.step, dict(resumed.state["losses"])
        for part in (self.model, pipeline.vae, pipeline.text_encoder):
            if part is not None:
                part.to(self.accelerator.device)
        self.model.train().requires_grad_(True)
        self.wired = pipeline.wired()
        self.auxiliaries = auxiliaries or Auxiliaries()
        objective = Objective(self.model, self.wired, dropping=self.dropping, auxiliaries=self.auxiliaries)
        self.stepper = Stepper(objective, options, self.accelerator, resumed)

    def _require_same(self, state: Mapping[str, Any]) -> None:
        for name, ours in (("seed", self.options.seed), ("batch_size", self.options.batch_size)):
            if state[name] != ours:
                raise ConfigurationError(
                    f"{self.out} was trained with {name}={state[name]}, and {ours} is asked for now",
                    expected=f"{name}={state[name]}: its steps go on from there",
                    do=f"give {name}={state[name]}, or another folder",
                )

    def go(self, show: Callable[[Standing], None], writer: Any) -> Trained:
        """Take all steps that are left."""
        options, began = self.options, time.monotonic()
        saved = checkpoint.newest(self.out)
        self.out.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(1, thread_name_prefix="maugen-data") as reader:
            ahead = reader.submit(self._faces, self.step)
            last = options.steps if options.stop is None else min(options.stop, options.steps)
            while self.step < last:
                faces = ahead.result()
                if self.step + 1 < last:
                    ahead = reader.submit(self._faces, self.step + 1)
                found = self.stepper.step(self.step, self._tensors(faces))
                self.step += 1
                self._note(found, writer)
                show(Standing(self.step, options.steps, dict(self.losses), self.stepper.skipped))
                late = options.minutes is not None and not self.stepper.agreed(
                    time.monotonic() - began <= 60 * options.minutes
                )
                ends = late or self.step == last
                if self.is_main and (ends or _due(self.step, options.sample_every)):
                    self._draw()
                if ends or _due(self.step, options.save_every):
                    saved = self._save()
                if late:
                    break
        assert saved is not None  # a step was taken, or a checkpoint had all of them
        self.stepper.ema.copy_to(self.model.parameters())
        self.model.eval()
        return Trained(saved, self.step, self.stepper.skipped, dict(self.losses))

    def _faces(self, step: int) -> Faces:
        part, parts = self.accelerator.process_index, self.accelerator.num_processes
        return self.data.batch(step, self.options.batch_size, part=part, parts=parts)

    def _tensors(self, faces: Faces) -> dict[str, Tensor]:
        arrays = {
            "images": faces.images,
            "exemplars": faces.exemplars,
            "has_exemplar": faces.has_exemplar,
            "intensity": faces.labels.intensity,
            "occurrence": faces.labels.occurrence,
        }
        place = self.accelerator.device
        batch = {name: torch.from_numpy(np.ascontiguousarray(array)).to(place) for name, array in arrays.items()}
        return batch | {"tokens": self.wired.text.tokenize(faces.prompts).to(place)}

    def _note(self, found: Mapping[str, float], writer: Any) -> None:
        share = max(1 / _AVERAGED, 1 / self.step)  # at first the plain mean, or the first step would outlast others
        for name, value in found.items():
            if math.isfinite(value):
                before = self.losses.get(name, value)
                self.losses[name] = (1 - share) * before + share * value
        if not self.is_main or self.step % self.options.log_every:
            return
        rate = self.options.rate(self.step - 1)
        line = {"step": self.step, "lr": rate, "skipped": self.stepper.skipped, **found}
        with (self.out / _LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
        if writer is not None:
            for name, value in {**found, "lr": rate}.items():
                writer.add_scalar(name if name == "lr" else f"loss/{name}", value, self.step)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged weights into the model meanwhile."""
        parameters = list(self.model.parameters())
        self.stepper.ema.store(parameters)
        self.stepper.ema.copy_to(parameters)
        self.model.eval()
        try:
            yield
        finally:
            self.stepper.ema.restore(parameters)
            self.model.train()

    def _draw(self) -> None:
        """Write a grid of pictures: above those of the data, below what is painted of the same labels and people."""
        from ausynth.commands.common import png, write_whole

        rows = np.linspace(0, len(self.data) - 1, min(_SHOWN, len(self.data))).round().astype(np.int64)
        faces = self.data.faces(rows)
        quiet = MAUGenPipeline(**self.pipeline.components)
        quiet.set_progress_bar_config(disable=True)
        with self._averaged(), self.accelerator.autocast():
            made = quiet(
                list(faces.prompts),
                intensities=faces.labels.intensity,
                identity=faces.exemplars if self.model.maugen.identity else None,
                generator=list(range(len(rows))),
                output_type="np",
            )
        grid = np.concatenate([np.concatenate(list(each), axis=1) for each in (faces.images, made.images)])
        write_whole(self.out / "samples" / f"step-{self.step:08d}.png", png(grid))

    def _save(self) -> Path:
        path = self.out / checkpoint.name_of(self.step)
        if self.is_main:
            weights = {name: each.detach().clone() for name, each in self.model.named_parameters()}
            options = {"seed": self.options.seed, "batch_size": self.options.batch_size, "losses": self.losses}
            with self._averaged():
                self.pipeline.people = self._people()
                path = checkpoint.save(
                    self.out,
                    self.step,
                    self.pipeline,
                    weights=weights,
                    optimizer=self.stepper.tensors,
                    record=self._record(),
                    state={**self.stepper.state, **options},
                    keep=self.options.keep,
                )
        self.accelerator.wait_for_everyone()
        return path

    @torch.no_grad()
    def _people(self) -> People | None:
        if not self.model.maugen.identity or not self.options.bank:
            return None
        portraits = torch.from_numpy(self.data.portraits(self.options.bank))
        tokens = [self.model.identify(to_signed(part).to(self.model.device)) for part in torch.split(portraits, 64)]
        return People(torch.cat(tokens).float().cpu()) if len(portraits) > 1 else None

    def _record(self) -> dict[str, Any]:
        return {
            "version": ausynth.__version__,
            "step": self.step,
            "skipped": self.stepper.skipped,
            "processes": self.accelerator.num_processes,
            "options": asdict(self.options),
            "dropping": asdict(self.dropping),
            "losses": dict(self.losses),
            "critics": len(self.auxiliaries.critics),
            "crop": self.data.crop,
            "data": self.data.record,
            "trained_on": list(self.data.trained_on),
            "held_out": list(self.data.hold_out),
            "wording": name_of(self.data.describe),
        }


def _due(step: int, every: int) -> bool:
    return bool(every) and step % every == 0


def _accelerator(precision: str, device: str | None) -> Any:
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ConfigurationError(
            "training needs the package accelerate, which is not installed",
            expected="accelerate 1.0 or newer",
            do="pip install accelerate",
        ) from error
    on_cuda = torch.cuda.is_available() and device != "cpu"
    mixed = {"auto": "bf16" if on_cuda else "no", "bf16": "bf16", "no": "no"}[precision]
    return Accelerator(mixed_precision=mixed, cpu=device == "cpu")


@contextlib.contextmanager
def _tensorboard(out: Path) -> Iterator[Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigurationError(
            "TensorBoard is asked for and not installed",
            expected="the package tensorboard",
            do="pip install tensorboard",
        ) from error
    writer: Any = SummaryWriter(str(out / "tensorboard"))
    try:
        yield writer
    finally:
        writer.close()
