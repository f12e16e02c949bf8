"""Solutions kept in a folder by content, so that a resumed stream does not solve again."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ausynth.durable import sync_folder
from ausynth.errors import ConfigurationError
from ausynth.samplers.balance import Balance

__all__ = ["kept"]


def kept(folders: Path | Sequence[Path] | None, fingerprint: str, solve: Callable[[], Balance]) -> Balance:
    """Return the balance of this fingerprint from one of the folders, or solve for it and keep it in the last one.

    Of several processes, on several machines, that solve at once, all take the solution that is there first: another
    processor's last bits would make it another plan. A file that is damaged or of another version is solved anew; a
    folder that cannot be written to is no obstacle.
    """
    paths = [Path(folder) / f"{fingerprint}.json" for folder in _listed(folders)]
    for path in paths:
        stored = _read(path, fingerprint)
        if stored is not None:
            return stored
    balance = solve()
    if paths:
        with contextlib.suppress(OSError):
            return _keep(paths[-1], balance)
    return balance


def _listed(folders: Path | Sequence[Path] | None) -> Sequence[Path]:
    return () if folders is None else (folders,) if isinstance(folders, Path) else folders


def _read(path: Path, fingerprint: str) -> Balance | None:
    with contextlib.suppress(OSError, ValueError, ConfigurationError):
        stored = Balance.from_dict(json.loads(path.read_text()))
        if stored.fingerprint == fingerprint:
            return stored
    return None


def _keep(path: Path, balance: Balance) -> Balance:
    """Keep the balance, unless another is there meanwhile; return the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(balance.to_dict(), file)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(aside)  # fails where the file is there, which replacing does not
        except FileExistsError:
            first = _read(path, balance.fingerprint)
            if first is not None:
                return first
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)
    return balance
