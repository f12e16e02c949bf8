"""A face bank: people as data. One compressed file a person, and `bank.json`, which lists them with their checksums.

Legend of the shapes: V vertices of the head, M identity modes, K knots of the warp, H x W pixels.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.durable import write_aside
from ausynth.errors import AusynthError, ConfigurationError
from ausynth.generators.portrait.ict import IctHead, load_ict
from ausynth.generators.portrait.person import PersonShape, PhotoCamera
from ausynth.labels import Floats

__all__ = ["PHOTO_SIZE", "TEXTURE_SIZE", "BankError", "BankFace", "FaceBank", "StoredFace", "harmonics"]

Pixels = NDArray[np.uint8]

FORMAT: Final = "ausynth-face-bank 1"
MANIFEST: Final = "bank.json"
TEXTURE_SIZE: Final = 512
PHOTO_SIZE: Final = 256

_TEXTURE_QUALITY, _PHOTO_QUALITY = 90, 92
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_FILE: Final = re.compile(rf"{_NAME.pattern}\.[0-9a-f]{{8}}\.npz")


class BankError(AusynthError):
    """A face bank cannot be used: none there, of another version, or damaged."""


def harmonics(normals_N3: Floats) -> Floats:
    """Return (N, 9) float32: the order-2 real spherical harmonics of unit normals, without their constants.

    The columns are 1, y, z, x, xy, yz, 3 zz - 1, xz, xx - yy of normals with y up and z to the viewer. Diffuse light of
    any kind is a weighted sum of them within 1 % (Ramamoorthi and Hanrahan, 2001).
    """
    x, y, z = np.moveaxis(np.asarray(normals_N3, np.float32), -1, 0)
    return np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], axis=-1)


@dataclass(frozen=True, eq=False)
class BankFace:
    """One person of a bank, ready to be rendered.

    Attributes:
        name: of the person in the bank, unique there.
        neutral: (V, 3) float32 centimetres: the person's own head with a neutral face, in the topology and the axes of
            `IctHead`; not turned as in the photograph.
        texture: (512, 512, 3) uint8 sRGB: the texture of the material "face", photographed light divided out: linear
            texture times shade is the linear photograph, where shade is `harmonics(normals) @ light` cut to
            0.5-1.8. Row 0 is v = 1; the texel of (u, v) is column 512 u, row 512 (1 - v), centres at one half.
        photo: (256, 256, 3) uint8 sRGB: the photograph, for hair, neck and background.
        matte: (256, 256) uint8: 255 where the photograph shows the person (face, hair, neck, clothes), 0 background.
        light: (9, 3) float32: the photograph's own light in linear red, green, blue, of `harmonics`, in the axes of
            the picture (the head's, turned by `camera.rotation`); 1 is the mean over the visible skin.
        camera: lays `neutral` on `photo`.
        iris: (3,) uint8 sRGB, the iris' own colour.
        attributes: "age", "gender", "ethnicity" and the like, where known.
        licence: of the photograph.
        source: whom to credit for it.
        subject: whom it shows, as data sets name them: "disfa:SN001", "photograph:london-001".
        shape: what `neutral` was made from.
    """

    name: str
    neutral: Floats
    texture: Pixels
    photo: Pixels
    matte: Pixels
    light: Floats
    camera: PhotoCamera
    iris: Pixels
    attributes: Mapping[str, str]
    licence: str
    source: str
    subject: str
    shape: PersonShape


@dataclass(frozen=True, eq=False)
class StoredFace:
    """What a bank keeps of a person: `BankFace` without `neutral`, which follows from `shape` and the head."""

    name: str
    shape: PersonShape
    texture: Pixels
    photo: Pixels
    matte: Pixels
    light: Floats
    camera: PhotoCamera
    iris: Pixels
    attributes: Mapping[str, str]
    licence: str
    source: str
    subject: str
    quality: Mapping[str, float] = field(default_factory=dict)
    """How well the head fits the photograph: see `building.build_face`."""
    key: str = ""
    """Hash of the photographs and the settings that this was made from; "" where nobody cares."""

    def face(self, head: IctHead) -> BankFace:
        """Return the person with the head's vertices moved into place."""
        own = {name: value for name, value in vars(self).items() if name not in ("quality", "key")}
        return BankFace(neutral=self.shape.vertices(head), **own)


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
                f"cannot read {path}: {error.strerror or error}", expected="the files that bank.json lists", do=_AGAIN
            ) from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BankError(f"{path} is not what was written", expected="the checksum in bank.json", do=_AGAIN)
        return _unpack(data, path)

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

        A person of the same name is replaced.

        Raises:
            ConfigurationError: a name that no file can have everywhere.
            BankError: what is in `folder` is no bank.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        entries = {}
        if (folder / MANIFEST).exists():
            entries = {entry.name: entry for entry in _read_manifest(folder)}
        elif not any(folder.iterdir()):
            _write_manifest(folder, ())
        for face in faces:
            if not _NAME.fullmatch(face.name):
                raise ConfigurationError(
                    f"a person called {face.name!r}",
                    expected="letters, digits, dots, dashes and underscores, at most 80",
                )
            data = _pack(face)
            # The content is in the name: the file that an older list names stays whole until the new list is there.
            digest = hashlib.sha256(data).hexdigest()
            file = f"{face.name}.{digest[:8]}.npz"
            old = entries.get(face.name)
            write_aside(folder / file, data)
            entries[face.name] = _Entry(
                name=face.name,
                file=file,
                sha256=digest,
                attributes=dict(face.attributes),
                licence=face.licence,
                source=face.source,
                subject=face.subject,
                quality=dict(face.quality),
                key=face.key,
            )
            _write_manifest(folder, entries.values())
            if old is not None and old.file != file:
                (folder / old.file).unlink(missing_ok=True)
        return cls(folder)


_AGAIN: Final = "restore it from a copy, or build the bank again with `ausynth faces build`"


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" ... ({len(names)} in all)" if len(names) > 6 else "")


def _write_manifest(folder: Path, entries: Iterable[_Entry]) -> None:
    people = [
        {key: dict(value) if isinstance(value, Mapping) else value for key, value in vars(entry).items()}
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]
    text = json.dumps({"format": FORMAT, "people": people}, indent=1, ensure_ascii=False)
    write_aside(folder / MANIFEST, (text + "\n").encode())


def _read_manifest(folder: Path) -> list[_Entry]:
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise BankError(f"{path} has the format {found['format']!r}", expected=FORMAT, do=_AGAIN)
        entries = [_Entry(**person) for person in found["people"]]
        for entry in entries:
            if not _FILE.fullmatch(entry.file):
                raise ValueError(f"a file called {entry.file!r}")
    except FileNotFoundError as error:
        raise BankError(
            f"no face bank in {folder}", expected=f"a folder with {MANIFEST}", do="make one with `ausynth faces build`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BankError(f"cannot read {path}: {error}", expected="the list of a face bank", do=_AGAIN) from error
    return sorted(entries, key=lambda entry: entry.name)


def _pack(face: StoredFace) -> bytes:
    import cv2

    def encoded(image: Pixels, quality: int) -> Pixels:
        kind, options = (".png", [cv2.IMWRITE_PNG_COMPRESSION, 9])
        if image.ndim == 3:
            sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
            kind, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1, *sampling]
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
        done, data = cv2.imencode(kind, image, options)
        if not done:
            raise BankError(f"OpenCV cannot write {kind[1:].upper()} files", do="install an OpenCV that can")
        return np.asarray(data, np.uint8).reshape(-1)

    words = {
        "format": FORMAT,
        "name": face.name,
        "attributes": dict(face.attributes),
        "licence": face.licence,
        "source": face.source,
        "subject": face.subject,
        "quality": dict(face.quality),
        "key": face.key,
    }
    # Few grey levels and a soft edge: a matte compresses to a fifth, and no eye tells 32 levels from 256.
    matte_HW = (np.rint(face.matte.astype(np.float32) / 255 * 31) * 255 / 31).astype(np.uint8)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "texture": encoded(face.texture, _TEXTURE_QUALITY),
        "photo": encoded(face.photo, _PHOTO_QUALITY),
        "matte": encoded(matte_HW, 0),
        "light": face.light.astype(np.float32),
        "iris": face.iris.astype(np.uint8),
        "words": np.array(json.dumps(words)),
        **{f"shape_{name}": value for name, value in face.shape.arrays().items()},
        **{f"camera_{name}": value for name, value in face.camera.arrays().items()},
    }
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpack(data: bytes, path: Path) -> StoredFace:
    import cv2

    def group(packed: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): value for name, value in packed.items() if name.startswith(prefix)}

    def picture(name: str, flags: int) -> Pixels:
        image = cv2.imdecode(packed[name], flags)
        if image is None:
            raise ValueError(f"no picture in {name}")
        return np.asarray(image, np.uint8)

    packed: dict[str, Any] = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            packed.update((name, file[name]) for name in file.files)
        words = json.loads(str(packed["words"]))
        return StoredFace(
            name=words["name"],
            shape=PersonShape.from_arrays(group(packed, "shape_")),
            texture=picture("texture", cv2.IMREAD_COLOR_RGB),
            photo=picture("photo", cv2.IMREAD_COLOR_RGB),
            matte=picture("matte", cv2.IMREAD_GRAYSCALE),
            light=packed["light"],
            camera=PhotoCamera.from_arrays(group(packed, "camera_")),
            iris=packed["iris"],
            attributes=MappingProxyType(words["attributes"]),
            licence=words["licence"],
            source=words["source"],
            subject=words["subject"],
            quality=MappingProxyType(words["quality"]),
            key=words.get("key", ""),
        )
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile, cv2.error) as error:
        raise BankError(f"cannot read {path}: {error}", expected="a person of a face bank", do=_AGAIN) from error
