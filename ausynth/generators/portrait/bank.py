"""A face bank: people as data. One compressed file a person, and `bank.json`, which lists them with their checksums."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ausynth.durable import write_aside
from ausynth.errors import ConfigurationError
from ausynth.generators.portrait.bank_face import (
    AGAIN,
    FORMAT,
    PHOTO_SIZE,
    TEXTURE_SIZE,
    BankError,
    BankFace,
    StoredFace,
    harmonics,
    pack_face,
    unpack_face,
)
from ausynth.generators.portrait.ict import IctHead, load_ict

__all__ = ["MANIFEST", "PHOTO_SIZE", "TEXTURE_SIZE", "BankError", "BankFace", "BankPerson", "FaceBank", "StoredFace"]
__all__ += ["harmonics"]

MANIFEST: Final = "bank.json"

_LOCK: Final = "bank.lock"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_FILE: Final = re.compile(rf"{_NAME.pattern}\.[0-9a-f]{{8}}\.npz")


@dataclass(frozen=True)
class _Entry:
    name: str
    file: str
    sha256: str
    attributes: Mapping[str, str]
    licence: str
    source: str
    subject: str
    quality: Mapping[str, float]
    key: str = ""


@dataclass(frozen=True)
class BankPerson:
    """Who somebody of a bank is; what an identity bank asks of people (`samplers.people.PersonLike`).

    Attributes:
        name: in the bank.
        subject: "disfa:SN001", "photograph:london-001".
        source: of the photograph, in words.
        licence: under which it was had.
        age: in years; None where unknown, as the following.
        gender, ethnicity: in the words of whoever described them.
    """

    name: str
    subject: str
    source: str
    licence: str
    age: float | None = None
    gender: str | None = None
    ethnicity: str | None = None


class FaceBank:
    """People to render, in a folder.

    `bank[0]` or `bank["london-001"]` is a `BankFace`; the last few are remembered. What `bank.json` says of all people
    (`names`, `subjects`, `attributes`) needs no other file.

    Args:
        folder: of the bank.
        head: the head that people are built on; None takes that of the asset folder when the first one is asked for.

    Raises:
        BankError: no bank there, of another version, or its list is damaged.

    Attributes:
        names: of the people, sorted.
        fingerprint: hash of all that is in the bank.
    """

    def __init__(self, folder: Path | str, head: IctHead | None = None) -> None:
        self.folder = Path(folder)
        self._head = head
        self._entries = {entry.name: entry for entry in _read_manifest(self.folder)}
        self.names: tuple[str, ...] = tuple(self._entries)
        words = [f"{entry.name} {entry.sha256}" for entry in self._entries.values()]
        self.fingerprint = hashlib.sha256("\n".join([FORMAT, *words]).encode()).hexdigest()[:16]
        self._remembered = functools.lru_cache(maxsize=64)(self._load)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[BankFace]:
        return (self[name] for name in self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, key: int | str) -> BankFace:
        if isinstance(key, str) and key not in self._entries:
            raise ConfigurationError(
                f"nobody in {self.folder} is called {key!r}", expected=f"one of {_few(self.names)}"
            )
        return self._remembered(key if isinstance(key, str) else self.names[key])

    @property
    def subjects(self) -> tuple[str, ...]:
        """Whom each person is, as data sets name them, in the order of `names`."""
        return tuple(entry.subject for entry in self._entries.values())

    @property
    def people(self) -> tuple[BankPerson, ...]:
        """Who they are, in the order of `names`, read from the list alone."""
        return tuple(_person(entry) for entry in self._entries.values())

    def attributes(self, name: str) -> Mapping[str, str]:
        """Return what is known of a person (age, gender, ethnicity), read from the list alone."""
        return self._entries[name].attributes

    def quality(self, name: str) -> Mapping[str, float]:
        """Return how well the head fitted this person's photograph, read from the list alone."""
        return self._entries[name].quality

    def key(self, name: str) -> str:
        """Return the hash of what this person was made from."""
        return self._entries[name].key

    def credits(self) -> tuple[str, ...]:
        """Return source and licence of all photographs, each once."""
        return tuple(dict.fromkeys(f"{entry.source} ({entry.licence})" for entry in self._entries.values()))

    def stored(self, name: str) -> StoredFace:
        """Return what the bank keeps of a person, checked against its checksum; raise BankError where it differs."""
        entry = self._entries[name]
        path = self.folder / entry.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BankError(
                f"cannot read {path}: {error.strerror or error}", expected="the files that bank.json lists", do=AGAIN
            ) from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BankError(f"{path} is not what was written", expected="the checksum in bank.json", do=AGAIN)
        return unpack_face(data, path)

    def _load(self, name: str) -> BankFace:
        if self._head is None:
            self._head = load_ict()
        face = self.stored(name).face(self._head)
        for array in (face.neutral, face.texture, face.photo, face.matte, face.light, face.iris):
            array.flags.writeable = False
        return face

    @classmethod
    def write(cls, folder: Path | str, faces: Iterable[StoredFace]) -> FaceBank:
        """Add people to the bank of `folder`, or begin it: each is whole on the disk, then listed.

        A person of the same name is replaced. Several processes may add to one bank at a time.

        Raises:
            ConfigurationError: a name that no file can have everywhere; other files in `folder`, and no bank.
            BankError: the bank in `folder` is damaged.
        """
        folder = Path(folder)
        _begin(folder)
        for face in faces:
            if not _NAME.fullmatch(face.name):
                raise ConfigurationError(
                    f"a person called {face.name!r}",
                    expected="letters, digits, dots, dashes and underscores, at most 80",
                )
            data = pack_face(face)
            # The content is in the name: the file that an older list names stays whole until the new list is there.
            digest = hashlib.sha256(data).hexdigest()
            entry = _Entry(
                name=face.name,
                file=f"{face.name}.{digest[:8]}.npz",
                sha256=digest,
                attributes=dict(face.attributes),
                licence=face.licence,
                source=face.source,
                subject=face.subject,
                quality=dict(face.quality),
                key=face.key,
            )
            write_aside(folder / entry.file, data)
            with _locked(folder):
                entries = {other.name: other for other in _read_manifest(folder)}
                old = entries.get(entry.name)
                entries[entry.name] = entry
                _write_manifest(folder, entries.values())
            if old is not None and old.file != entry.file:
                (folder / old.file).unlink(missing_ok=True)
        return cls(folder)


def _begin(folder: Path) -> None:
    """Make an empty bank where there is none; raise ConfigurationError where other files lie."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ConfigurationError(f"{folder} is a file", expected="a new folder, or a bank to add to") from error
    if (folder / MANIFEST).exists():
        return
    if not all(path.name.startswith("bank.") for path in folder.iterdir()):
        raise ConfigurationError(f"{folder} is there and no face bank", expected="a new folder, or a bank to add to")
    with _locked(folder):
        if not (folder / MANIFEST).exists():
            _write_manifest(folder, ())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(folder / _LOCK, is_singleton=False):
        yield


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" ... ({len(names)} in all)" if len(names) > 6 else "")


def _write_manifest(folder: Path, entries: Iterable[_Entry]) -> None:
    people = [
        {key: dict(value) if isinstance(value, Mapping) else value for key, value in vars(entry).items()}
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]
    text = json.dumps({"format": FORMAT, "people": people}, indent=1, ensure_ascii=False)
    write_aside(folder / MANIFEST, (text + "\n").encode())


def _person(entry: _Entry) -> BankPerson:
    told = entry.attributes
    try:
        age: float | None = float(told.get("age", ""))
    except ValueError:
        age = None
    known = {name: told.get(name) or None for name in ("gender", "ethnicity")}
    return BankPerson(entry.name, entry.subject, entry.source or entry.subject, entry.licence, age, **known)


def _read_manifest(folder: Path) -> list[_Entry]:
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise BankError(f"{path} has the format {found['format']!r}", expected=FORMAT, do=AGAIN)
        entries = [_Entry(**person) for person in found["people"]]
        for entry in entries:
            if not _FILE.fullmatch(entry.file):
                raise ValueError(f"a file called {entry.file!r}")
    except FileNotFoundError as error:
        raise BankError(
            f"no face bank in {folder}", expected=f"a folder with {MANIFEST}", do="make one with `ausynth faces build`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BankError(f"cannot read {path}: {error}", expected="the list of a face bank", do=AGAIN) from error
    return sorted(entries, key=lambda entry: entry.name)
