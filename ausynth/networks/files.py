"""Networks on the disk: a folder with weights (safetensors) and what they are weights of (JSON)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from ausynth.durable import sync_folder
from ausynth.errors import AusynthError, ConfigurationError, StoreError
from ausynth.networks.au import AUNet
from ausynth.networks.heads import IdentityNet, RealismNet

__all__ = ["fingerprint", "load", "load_record", "save"]

_WEIGHTS, _CONFIG = "weights.safetensors", "config.json"
_SCHEMA: Final = 1


def save(network: nn.Module, folder: Path | str, record: Mapping[str, Any], *, half: bool = True) -> None:
    """Write a network as a folder that appears when it is complete; one of that name is replaced.

    Args:
        network: an `AUNet`, `IdentityNet` or `RealismNet`.
        folder: where to.
        record: what is to be known of its training, as JSON.
        half: whether weights are kept as float16, half the size; what is loaded is what was rounded.

    Raises:
        ConfigurationError: another module.
        OSError: the disk is full, or the folder cannot be written.
    """
    from safetensors.torch import save as to_bytes

    if getattr(network, "kind", None) not in _kinds():
        raise ConfigurationError(f"{type(network).__name__} to save", expected=f"one of {sorted(_kinds())}")
    final = Path(folder)
    aside = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    config = {"schema": _SCHEMA, "kind": network.kind, "options": network.options, "record": dict(record)}
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        tensors = {name: _stored(each, half) for name, each in network.state_dict().items()}
        for name, data in ((_WEIGHTS, to_bytes(tensors)), (_CONFIG, (json.dumps(config, indent=1) + "\n").encode())):
            with (aside / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(aside)
        if final.exists():
            shutil.rmtree(final)
        aside.rename(final)
        sync_folder(final.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def load(folder: Path | str, *, kind: str | None = None) -> Any:
    """Return the network that `save` wrote, on the CPU, for use and not for training: in eval(), without gradients.

    Args:
        folder: its folder.
        kind: "au", "identity" or "realism": what it must be.

    Raises:
        StoreError: no network is there, or a file of it is damaged.
        ConfigurationError: it is of another kind.
    """
    from safetensors.torch import load_file

    path = Path(folder)
    config = _config(path)
    found = config.get("kind")
    if kind is not None and found != kind:
        raise ConfigurationError(f"the network {path} is of kind {found!r}", expected=f"one of kind {kind!r}")
    try:
        network: nn.Module = _kinds()[str(found)](**config["options"])
        tensors = load_file(path / _WEIGHTS)
        like = network.state_dict()
        network.load_state_dict(
            {name: each.to(like[name].dtype) if name in like else each for name, each in tensors.items()}
        )
    except ConfigurationError:
        raise
    except Exception as error:
        raise StoreError(
            f"the network {path} cannot be read ({type(error).__name__}: {error})",
            expected=f"a folder with {_CONFIG} and {_WEIGHTS} that belong together",
            do="restore it, or train it again",
        ) from error
    return network.eval().requires_grad_(False)


def load_record(folder: Path | str) -> dict[str, Any]:
    """Return what is known of a network's training; raise StoreError where no network is."""
    return dict(_config(Path(folder)).get("record", {}))


def fingerprint(network: nn.Module) -> str:
    """Return a hash of a network's kind, options and weights."""
    state = hashlib.sha256(repr((network.kind, network.options)).encode())
    for name, tensor in sorted(network.state_dict().items()):
        state.update(name.encode())
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:16]


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / _CONFIG).read_text("utf-8"))
        if config.get("schema") != _SCHEMA or config.get("kind") not in _kinds():
            raise AusynthError(f"schema {config.get('schema')!r}, kind {config.get('kind')!r}")
    except (OSError, ValueError, AttributeError, AusynthError) as error:
        raise StoreError(
            f"no network in {path}: {error}", expected=f"a folder with {_CONFIG} and {_WEIGHTS}, as training writes it"
        ) from error
    return dict(config)


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu()
    if half and tensor.is_floating_point():
        tensor = tensor.to(torch.float16)
    return tensor.contiguous()


def _kinds() -> dict[str, Any]:
    return {"au": AUNet, "identity": IdentityNet, "realism": RealismNet}
