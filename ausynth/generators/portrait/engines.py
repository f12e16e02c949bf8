"""Which engine draws, and where: compiled loops on the CPU, or torch by whole blocks."""

from __future__ import annotations

from typing import Final, NamedTuple

from ausynth.errors import ConfigurationError

__all__ = ["ENGINES", "Chosen", "chosen_engine"]

ENGINES: Final = ("compiled", "torch")


class Chosen(NamedTuple):
    """An engine's name, of `ENGINES`, and the device it runs on, as torch names it: "cpu", "cuda:0"."""

    name: str
    device: str


def chosen_engine(device: str | None, engine: str | None) -> Chosen:
    """Return the engine for a device; each may be None.

    The CPU is the default where there is CUDA, too: its pictures are the same on every machine and in every process, a
    cache made with them serves all, and the detector in training has the GPU to itself.

    >>> chosen_engine(None, None)
    Chosen(name='compiled', device='cpu')

    Raises:
        ConfigurationError: no such device or engine, or an engine that cannot run there.
    """
    if engine not in {None, *ENGINES}:
        raise ConfigurationError(f"engine={engine!r}", expected=f"one of {list(ENGINES)}, or None")
    if device in {None, "auto", "cpu"}:
        return Chosen(engine or "compiled", "cpu")
    import torch

    try:
        found = torch.device(str(device))
    except RuntimeError as error:
        raise ConfigurationError(f"device {device!r}", expected="'cpu', 'cuda', 'cuda:1' or None") from error
    if found.type not in {"cpu", "cuda"}:
        raise ConfigurationError(f"device {device!r}", expected="'cpu', 'cuda', 'cuda:1' or None")
    if found.type == "cpu":
        return Chosen(engine or "compiled", "cpu")
    if engine == "compiled":
        raise ConfigurationError(
            f"engine='compiled' on device {device!r}", expected="the CPU", do="leave out one of the two"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (found.index or 0) >= count:
        raise ConfigurationError(
            f"device {device!r}, and torch finds {count} CUDA devices here",
            expected="a device that is there",
            do="ask for device='cpu', or leave device out",
        )
    return Chosen("torch", f"cuda:{torch.cuda.current_device() if found.index is None else found.index}")
