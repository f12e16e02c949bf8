"""Where a data set lies on this machine: from the argument, else from an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

from ausynth.errors import ConfigurationError, LayoutError

__all__ = ["resolve_root", "root_variable"]


def root_variable(name: str) -> str:
    """Return the environment variable that holds the root of data set `name`: AUSYNTH_DISFA_ROOT for "disfa"."""
    return f"AUSYNTH_{name.upper()}_ROOT"


def resolve_root(name: str, root: str | os.PathLike[str] | None) -> Path:
    """Return the existing root folder of data set `name`.

    Raises:
        ConfigurationError: neither `root` nor the environment variable is set.
        LayoutError: there is no such folder.
    """
    variable = root_variable(name)
    where = "root=" if root is not None else variable
    given = root if root is not None else os.environ.get(variable)
    if not given:
        raise ConfigurationError(
            f"no root for {name!r}",
            expected=f"root=FOLDER or the environment variable {variable}",
            do=f"set one to the folder of your copy, or make a practice tree with `ausynth simulate {name} FOLDER`",
        )
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise LayoutError(f"{where} {folder} is not a folder", expected=f"the root of a {name} tree")
    return folder
