"""One optimiser step: losses weighed, gradients clipped, what is no number skipped, what does not fit explained."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from ausynth.errors import AusynthError, GenerationError
from ausynth.generators.maugen.checkpoint import Resumed, optimizer_tensors, set_optimizer
from ausynth.generators.maugen.model import MAUGenModel
from ausynth.generators.maugen.objective import Draws, Objective
from ausynth.generators.maugen.options import TrainOptions
from ausynth.generators.maugen.weighting import adaptive_weights, gradient_norms
from ausynth.schedule import random_bits

__all__ = ["Stepper"]

_WINDOW: Final = 100


class Stepper:
    """The optimiser, the averaged weights, and what has become of recent steps.

    Args:
        objective: gives the losses; its model is on its device.
        options: of the training.
        accelerator: of the package accelerate.
        resumed: what training goes on from, if anything.

    Attributes:
        skipped: steps that were skipped, in all.
        ema: the averaged weights, diffusers' EMAModel: its decay begins at (1 + n) / (10 + n).
    """

    def __init__(
        self, objective: Objective, options: TrainOptions, accelerator: Any, resumed: Resumed | None = None
    ) -> None:
        from diffusers.training_utils import EMAModel

        self.model: MAUGenModel = objective.model
        self.options, self.accelerator = options, accelerator
        state = resumed.state if resumed is not None else {}
        self.skipped = int(state.get("skipped", 0))
        self._recent = deque([bool(each) for each in state.get("recent", [])], maxlen=_WINDOW)
        self._weights: dict[str, float] = dict(state.get("weights", {}))
        self._bare = torch.optim.AdamW(self.model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        self.ema = EMAModel(self.model.parameters(), decay=options.ema_decay)
        if resumed is not None:
            set_optimizer(self._bare, self.model, resumed.optimizer)
            for shadow, (name, _) in zip(self.ema.shadow_params, self.model.named_parameters(), strict=True):
                shadow.copy_(resumed.averaged[name])
            self.ema.optimization_step = resumed.step - self.skipped
        self.ema.to(self.model.device)
        self._objective, self._optimizer = accelerator.prepare(objective, self._bare)

    @property
    def state(self) -> dict[str, Any]:
        """Return what a later training needs to go on, as JSON."""
        recent = [int(each) for each in self._recent]
        return {"skipped": self.skipped, "recent": recent, "weights": self._weights}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Return the optimiser's state."""
        return optimizer_tensors(self._bare, self.model)

    def step(self, number: int, batch: dict[str, Tensor]) -> dict[str, float]:
        """Take one step, or skip it where something is no number; return the losses.

        Args:
            number: of the step, from 0.
            batch: as `Objective` takes it.

        Raises:
            GenerationError: too many of the last steps were skipped, or the batch does not fit into memory.
        """
        for group in self._bare.param_groups:
            group["lr"] = self.options.rate(number)
        try:
            return self._update(number, batch)
        except RuntimeError as error:
            if not _is_memory(error):
                raise
        # Outside the handler: the error's traceback holds the step's tensors.
        self._optimizer.zero_grad(set_to_none=True)
        raise _too_large(len(batch["images"]), self._fitting(number, batch))

    def _update(self, number: int, batch: dict[str, Tensor]) -> dict[str, float]:
        accelerator = self.accelerator
        losses: dict[str, Tensor] = self._objective(batch, self._draws(number, len(batch["images"])))
        weights = self._weigh(number, losses)
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        fine = self.agreed(bool(torch.isfinite(total)))
        if fine:
            accelerator.backward(total)
            norm = accelerator.clip_grad_norm_(self.model.parameters(), self.options.clip)
            fine = bool(torch.isfinite(norm))
        if fine:
            self._optimizer.step()
            self.ema.step(self.model.parameters())
        self._optimizer.zero_grad(set_to_none=True)
        self._count(number, skipped=not fine)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _draws(self, number: int, count: int) -> Draws:
        config = self.model.maugen
        word = random_bits(self.options.seed, "maugen step", number, self.accelerator.process_index)
        shape = (count, config.latent_channels, config.latent_size, config.latent_size)
        return Draws.of(int(word >> np.uint64(1)), shape, self.accelerator.device, share=self.options.first_passes)

    def agreed(self, mine: bool) -> bool:
        """Return whether all processes say so: what one does and another does not would leave them waiting for ever."""
        if self.accelerator.num_processes == 1:
            return mine
        said = torch.tensor([mine], device=self.accelerator.device)
        return bool(self.accelerator.gather(said).all())

    def _weigh(self, number: int, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """Return what each loss is multiplied by now (eq. 11)."""
        options = self.options
        given = {name: float(options.weights.get(name, 1.0)) for name in losses}
        if options.adaptive == "none":
            return given
        if number % options.adaptive_every == 0 or set(losses) - set(self._weights):
            norms = gradient_norms(losses, self.model.last_mrl_weight)
            stacked = self.accelerator.reduce(torch.stack(list(norms.values())), reduction="mean")
            measured = dict(zip(norms, stacked.tolist(), strict=True))
            if _finite(measured.values()):
                self._weights = {**self._weights, **adaptive_weights(measured, options.adaptive)}
        return {name: given[name] * self._weights.get(name, 1 / len(losses)) for name in losses}

    def _count(self, number: int, *, skipped: bool) -> None:
        self._recent.append(skipped)
        self.skipped += skipped
        if sum(self._recent) > self.options.nan_budget:
            raise GenerationError(
                f"{sum(self._recent)} of the last {len(self._recent)} steps, up to step {number}, had a loss or "
                "gradient that is no number, and were skipped",
                expected=f"{self.options.nan_budget} at most (nan_budget)",
                do="go on from the last checkpoint with a lower learning rate than "
                f"{self.options.lr:g}, or precision='no'",
            )

    def _fitting(self, number: int, batch: dict[str, Tensor]) -> int:
        """Return the largest half, quarter, ... of a batch that a step fits into memory with; 0 where none does."""
        count = len(batch["images"]) // 2
        while count:
            if self.accelerator.device.type == "cuda":
                torch.cuda.empty_cache()
            try:
                part = {name: each[:count] for name, each in batch.items()}
                losses = self._objective(part, self._draws(number, count))
                self.accelerator.backward(torch.stack(list(losses.values())).sum())
            except RuntimeError as error:
                if not _is_memory(error):
                    raise
                count //= 2
            else:
                return count
            finally:
                self._optimizer.zero_grad(set_to_none=True)
        return 0


def _finite(values: Iterable[float]) -> bool:
    return all(map(math.isfinite, values))


def _is_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _too_large(size: int, fits: int) -> AusynthError:
    return GenerationError(
        f"a step with a batch of {size} does not fit into memory",
        expected=f"a batch of {fits}, which does" if fits else "more memory: not even one sample fits",
        do=f"give batch_size={fits} (--batch-size {fits}); a folder that has checkpoints keeps to their batch size"
        if fits
        else "choose a smaller preset or image size",
    )
