"""What the files of a store share: lines with a checksum, whole reads, and what stops a write."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import xxhash

from ausynth.errors import ConfigurationError, StoreError

__all__ = ["as_json", "read_whole", "seal", "storage_error", "unseal"]

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SEAL: Final = b', "check": "'


def seal(facts: Mapping[str, Any]) -> bytes:
    """Return the facts as one line of JSON, whose last field is a checksum of all before it.

    >>> seal({"drop": "a"})
    b'{"drop": "a", "check": "1f3a09da426615e3"}\\n'
    """
    text = as_json(facts).encode()[:-1]
    return b'%s%s%s"}\n' % (text, _SEAL, xxhash.xxh3_64_hexdigest(text).encode())


def unseal(line: bytes) -> dict[str, Any] | None:
    r"""Return the facts of a line that `seal` made, None where it is torn or a bit of it has changed.

    >>> unseal(seal({"drop": "a"})), unseal(seal({"drop": "a"})[:-5])
    ({'drop': 'a'}, None)
    """
    text, separator, end = line.rpartition(_SEAL)
    if not separator or end != b'%s"}\n' % xxhash.xxh3_64_hexdigest(text).encode():
        return None
    facts = json.loads(text + b"}")
    assert isinstance(facts, dict)
    return facts


def as_json(facts: Mapping[str, Any]) -> str:
    """Return JSON; raise ConfigurationError for what cannot be written as JSON."""
    try:
        return json.dumps(facts)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"a store cannot keep {facts!r}: {error}", expected="what JSON can hold") from error


def storage_error(error: OSError, path: Path) -> StoreError:
    """Return what to tell somebody whose file system refused something below `path`."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StoreError(
            f"the disk is full: {path} cannot be written ({reason})",
            expected="room for the samples; what was stored before is whole",
            do="make room, or choose another folder, and run the same again: it goes on where it stopped",
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StoreError(f"{path} may not be written ({reason})", expected="a folder that you may write to")
    return StoreError(f"{path}: {reason}", expected="a folder that can be read and written")


def read_whole(descriptor: int, offset: int, length: int) -> bytes:
    """Return `length` bytes from `offset`, less where the file ends before; one system call may return less."""
    parts = []
    while length > 0:
        part = os.pread(descriptor, min(length, 1 << 30), offset)
        if not part:
            break
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
