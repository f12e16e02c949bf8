"""Checkpoints: whole folders that appear under their name when they are complete, and not before."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ausynth.durable import sync_folder
from ausynth.errors import ConfigurationError, StoreError
from ausynth.generators.maugen.config import MAUGenConfig

__all__ = [
    "RECORD",
    "Resumed",
    "load_record",
    "name_of",
    "newest",
    "optimizer_tensors",
    "save",
    "set_optimizer",
    "sync",
]

RECORD: Final = "training.json"
_WEIGHTS, _OPTIMIZER, _STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
_NAME: Final = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class Resumed:
    """What training goes on from.

    Attributes:
        step: steps that were done.
        weights: of the model in training, by name.
        averaged: their EMA, by name.
        optimizer: its tensors, see `optimizer_tensors`.
        state: everything else, as JSON.
    """

    step: int
    weights: dict[str, Tensor]
    averaged: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def name_of(step: int) -> str:
    """Return the name of the checkpoint of a step."""
    return f"step-{step:08d}"


def newest(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of a training folder, the folder itself if it is one, else None."""
    if (folder / "model_index.json").is_file():
        return folder
    found = sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name))
    return found[-1] if found else None


def save(
    folder: Path,
    step: int,
    pipeline: Any,
    *,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    record: Mapping[str, Any],
    state: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Write the checkpoint of a step, and drop all but the newest `keep`.

    Args:
        folder: of the training.
        step: steps that were done.
        pipeline: a MAUGenPipeline whose model holds the averaged weights, with its people.
        weights: those in training, by name.
        optimizer: what `optimizer_tensors` gives.
        record: what is to be known of the training, as JSON.
        state: what the training itself needs to go on, as JSON.
        keep: how many checkpoints stay, 1 or more.

    Raises:
        OSError: the disk is full, or the folder cannot be written; older checkpoints are untouched.
    """
    final = folder / name_of(step)
    aside = folder / f".{final.name}.{os.getpid()}.tmp"
    for left in folder.glob(".step-*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        pipeline.save_pretrained(aside, safe_serialization=True)
        (aside / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        training = aside / "training"
        training.mkdir()
        save_file({name: each.detach().cpu().contiguous() for name, each in weights.items()}, training / _WEIGHTS)
        save_file({name: each.detach().cpu().contiguous() for name, each in optimizer.items()}, training / _OPTIMIZER)
        (training / _STATE).write_text(json.dumps({"step": step, **state}))
        for path in sorted(aside.rglob("*"), reverse=True):
            sync(path)
        sync_folder(aside)
        if final.exists():
            shutil.rmtree(final)
        aside.rename(final)
        sync_folder(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    for old in sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name))[: -max(keep, 1)]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load(folder: Path, config: MAUGenConfig) -> Resumed | None:
    """Return what training goes on from in `folder`; None where nothing was trained there.

    Raises:
        ConfigurationError: the checkpoint is of another label space or architecture.
        StoreError: a file of it is missing or damaged.
    """
    path = newest(folder)
    if path is None:
        return None
    try:
        facts = json.loads((path / "model" / "config.json").read_text())["architecture"]
        require_same(MAUGenConfig.from_json(facts), config, path)
        state = json.loads((path / "training" / _STATE).read_text())
        return Resumed(
            step=int(state.pop("step")),
            weights=load_file(path / "training" / _WEIGHTS),
            averaged=load_file(path / "model" / "diffusion_pytorch_model.safetensors"),
            optimizer=load_file(path / "training" / _OPTIMIZER),
            state=state,
        )
    except ConfigurationError:
        raise
    except FileNotFoundError as error:
        raise StoreError(
            f"{error.filename or error} is missing from the checkpoint {path}",
            expected="all files that training wrote there",
            do=f"restore it, or delete {path} to go on from an older one",
        ) from error
    except Exception as error:
        raise StoreError(
            f"the checkpoint {path} cannot be read ({type(error).__name__}: {error})",
            expected="what training wrote there",
            do=f"delete {path} to go on from an older one",
        ) from error


def require_same(found: MAUGenConfig, wanted: MAUGenConfig, path: Path) -> None:
    """Raise ConfigurationError unless a checkpoint at `path` is of the wanted label space and architecture."""
    if found.aus != wanted.aus:
        raise ConfigurationError(
            f"the checkpoint {path} is of the label space {found.aus}",
            expected=f"{wanted.aus}",
            do="give it data of its label space (--aus), or train into another folder",
        )
    theirs, ours = found.to_json(), wanted.to_json()
    differences = [f"{name} is {theirs[name]!r}, not {ours[name]!r}" for name in ours if theirs[name] != ours[name]]
    if differences:
        raise ConfigurationError(
            f"the checkpoint {path} is of another architecture: {'; '.join(differences)}",
            expected="the same preset and options",
            do="train into another folder, or give the options that the checkpoint has",
        )


def load_record(folder: Path) -> dict[str, Any]:
    """Return what is known of a checkpoint's training; empty where nothing is."""
    path = folder / RECORD
    record: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return record


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return an optimizer's state as tensors: "NAME of the parameter|KEY of the state"."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        f"{names[id(parameter)]}|{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def set_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer the state that `optimizer_tensors` described."""
    parameters = dict(model.named_parameters())
    for full, value in tensors.items():
        name, key = full.rsplit("|", 1)
        parameter = parameters[name]
        # torch keeps Adam's step count on the CPU, and moments where the parameter is.
        optimizer.state[parameter][key] = value if key == "step" else value.to(parameter.device)


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    if path.is_dir():
        sync_folder(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
