"""Files that are there whole, or as they were before, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Final

__all__ = ["sync_folder", "write_aside"]

_CANNOT: Final = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}


def sync_folder(folder: Path) -> None:
    """Bring what was renamed, made or removed in `folder` to the disk; raise OSError where that fails.

    Some network file systems cannot do this to a folder, and need not: there it does nothing.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)


def write_aside(path: Path, data: bytes) -> None:
    """Write a small file so that at any moment it is there whole, or as it was before; raise OSError."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
