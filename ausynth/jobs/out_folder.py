"""The folder of an export: claimed by one run, filled aside, published at once, and told from anybody else's files."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ausynth.durable import sync_folder
from ausynth.errors import AusynthError, ConfigurationError
from ausynth.jobs.card import SHEET

__all__ = ["HIDDEN", "MADE_BY", "RECORD", "OutFolder"]

_ASIDE: Final = ".ausynth-part"
_LOCK: Final = ".ausynth-export.lock"
_DATA: Final = "data"

RECORD: Final = "export.json"
"""Name of the file that says which samples were exported, and how large every file is."""

MADE_BY: Final = "ausynth export"
"""What that file says under "made_by"."""

HIDDEN: Final = (_ASIDE, f"{_ASIDE}/*", _LOCK)
"""Patterns of what may lie in the folder and is no part of the export."""

_FILES: Final = ("README.md", SHEET, RECORD)


class OutFolder:
    """A folder that holds nothing, or one whole export.

    The files are written in a hidden folder inside it, where `datasets` does not look, and moved up when all of them
    are whole, the pictures last: until then, nothing there can be loaded.

    Args:
        out: the folder; it need not exist.
    """

    def __init__(self, out: str | os.PathLike[str]) -> None:
        self.root = Path(out).expanduser().resolve()
        self._aside = self.root / _ASIDE

    def record(self) -> dict[str, Any] | None:
        """Return what the whole export in the folder says of itself, None where there is none."""
        try:
            record = json.loads((self.root / RECORD).read_text(encoding="utf-8"))
            files = [(self.root / _DATA / file["name"], file["bytes"]) for file in record["files"]]
            whole = record["made_by"] == MADE_BY and all(path.stat().st_size == size for path, size in files)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return record if whole else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder against a second run, and say what to do where the disk is full."""
        from filelock import FileLock, Timeout

        missing = not self.root.exists()
        with _disk_errors(self.root):
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise ConfigurationError(f"{self.root} cannot be a folder: {error.strerror}") from error
            lock = FileLock(self.root / _LOCK, timeout=0)
            try:
                lock.acquire()
            except Timeout as error:
                raise ConfigurationError(
                    f"another run is writing {self.root}",
                    expected="one run a folder",
                    do="wait for it, or give another folder",
                ) from error
            try:
                yield
            finally:
                lock.release()
                (self.root / _LOCK).unlink(missing_ok=True)
                if missing:
                    with suppress(OSError):  # something is in it
                        self.root.rmdir()

    def claim(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Clear away what an interrupted run left; return the record of a whole export that is what is asked for.

        Raises:
            ConfigurationError: the folder holds something else.
        """
        entries = {entry.name for entry in self.root.iterdir()} - {_LOCK}
        record = self.record()
        if record is not None:
            differ = [key for key, value in request.items() if record.get(key) != value]
            if not differ and request.get("selection"):
                shutil.rmtree(self._aside, ignore_errors=True)
                return record
            raise ConfigurationError(
                f"{self.root} holds an export already, of {record.get('samples'):,} samples"
                + (f" and with another {', '.join(differ)}" if differ else ""),
                expected="a new or empty folder",
                do="delete it, or give another folder",
            )
        # Only a run that died leaves the hidden folder, and it began in an empty one: all else was put there by it.
        ours = {_ASIDE, _DATA, *_FILES} if _ASIDE in entries else set()
        if others := sorted(entries - ours):
            raise ConfigurationError(
                f"{self.root} holds other files ({', '.join(others[:5])})", expected="a new or empty folder"
            )
        self._clear()
        return None

    @contextmanager
    def making(self) -> Iterator[Path]:
        """Give the hidden folder to write in, publish it when the block ends, or leave nothing where it fails."""
        self._aside.mkdir()
        try:
            yield self._aside
            self._publish()
        except BaseException:
            if (self.root / _DATA).exists():  # all was published
                shutil.rmtree(self._aside, ignore_errors=True)
            else:
                self._clear()
            raise

    def _publish(self) -> None:
        names = sorted(entry.name for entry in self._aside.iterdir())
        sync_folder(self._aside)
        for name in sorted(names, key=lambda name: name == _DATA):
            (self._aside / name).replace(self.root / name)
        sync_folder(self.root)
        self._aside.rmdir()

    def _clear(self) -> None:
        # The hidden folder last: as long as it is there, the rest is known to be ours.
        shutil.rmtree(self.root / _DATA, ignore_errors=True)
        for name in _FILES:
            (self.root / name).unlink(missing_ok=True)
        shutil.rmtree(self._aside, ignore_errors=True)


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    """Turn "no space left" into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise AusynthError(
            f"no space left for {root}: {error.strerror}",
            expected="room for all samples: about 20 KB each at 112 px as PNG",
            do="free some space and run the same command again; what was written is deleted",
        ) from error
