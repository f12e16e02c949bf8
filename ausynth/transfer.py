"""Batches on their way to the device, one ahead of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ausynth.errors import ConfigurationError

__all__ = ["resolve_device", "to_device"]

Batch = dict[str, Any]


def resolve_device(device: str | torch.device | None) -> torch.device | None:
    """Return the device that batches go to; None: they stay where they are made.

    Raises:
        ConfigurationError: no such device here.
    """
    if device is None:
        return None
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ConfigurationError(f"device {device!r}", expected="'cpu', 'cuda', 'cuda:1', ...") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"device {device!r} without CUDA on this machine", expected="'cpu' or None")
    return resolved


def to_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches with their tensors on `device`.

    To CUDA they are copied from pinned memory on a stream of their own while the loop is at the batch before, and the
    loop's stream waits for the copy where it first uses it.
    """
    if device.type != "cuda":
        for batch in batches:
            yield {name: value.to(device) if _is_tensor(value) else value for name, value in batch.items()}
        return
    side: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    waiting: tuple[Batch, Any] | None = None
    for batch in batches:
        coming = _send(batch, device, side)
        if waiting is not None:
            yield _receive(*waiting)
        waiting = coming
    if waiting is not None:
        yield _receive(*waiting)


def _send(batch: Batch, device: torch.device, side: Any) -> tuple[Batch, Any]:
    with torch.cuda.stream(side):
        moved = {name: v.to(device, non_blocking=True) if _is_tensor(v) else v for name, v in batch.items()}
        done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(side)
    # The pinned originals must live until the copy is done.
    moved["_pinned"] = batch
    return moved, done


def _receive(moved: Batch, done: Any) -> Batch:
    current: Any = torch.cuda.current_stream()
    current.wait_event(done)
    originals = moved.pop("_pinned")
    for value in moved.values():
        if _is_tensor(value):
            value.record_stream(current)  # its memory was allocated on the other stream
    # Pinned memory that PyTorch handed out is not used again before the copies recorded on it are done.
    del originals
    return moved


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
