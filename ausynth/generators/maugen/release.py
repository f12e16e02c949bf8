"""A checkpoint without what only training needs, in half precision: what is passed on, or comes with the package."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ausynth.durable import sync_folder
from ausynth.errors import ConfigurationError
from ausynth.generators.maugen import checkpoint
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.generators.maugen.shipped import FIGURES, VERIFIER

__all__ = ["release"]


def release(source: Path, out: Path, *, verifier: Path | None = None, figures: Mapping[str, Any] | None = None) -> Path:
    """Write a checkpoint's averaged weights as float16, with its people and its record, into a new folder.

    Args:
        source: a training folder or a checkpoint.
        out: the new folder; it appears when it is complete.
        verifier: networks that read labels, to go with it; default those of the checkpoint, if it has any.
        figures: what a judge said of it.

    Returns:
        `out`.

    Raises:
        ConfigurationError: no checkpoint in `source`, or `out` is not empty.
        StoreError: a file of the checkpoint is damaged.
    """
    folder = checkpoint.newest(source)
    if folder is None:
        raise ConfigurationError(
            f"{source} holds no MAUGen checkpoint", expected="a folder that `ausynth train maugen --out` has filled"
        )
    if out.exists() and any(out.iterdir()):
        raise ConfigurationError(f"{out} is not empty", expected="a new folder", do="choose another, or empty it")
    pipeline = MAUGenPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.to(torch.float16)
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        pipeline.save_pretrained(aside, safe_serialization=True)
        record = checkpoint.load_record(folder)
        (aside / checkpoint.RECORD).write_text(json.dumps(record, indent=1) + "\n")
        reader = verifier if verifier is not None else folder / VERIFIER
        if verifier is not None or reader.is_dir():
            shutil.copytree(reader, aside / VERIFIER)
        if figures is not None:
            (aside / FIGURES).write_text(json.dumps(dict(figures), indent=1, sort_keys=True) + "\n")
        for path in sorted(aside.rglob("*"), reverse=True):
            checkpoint.sync(path)
        if out.exists():
            out.rmdir()
        aside.rename(out)
        sync_folder(out.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return out
