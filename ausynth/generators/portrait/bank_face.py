"""One person of a face bank: what is rendered, what is stored, and the bytes of its file.

Legend of the shapes: V vertices of the head, M identity modes, K knots of the warp, H x W pixels.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import AusynthError
from ausynth.generators.portrait.ict import IctHead
from ausynth.generators.portrait.person import PersonShape, PhotoCamera
from ausynth.labels import Floats

__all__ = [
    "AGAIN",
    "FORMAT",
    "PHOTO_SIZE",
    "TEXTURE_SIZE",
    "BankError",
    "BankFace",
    "StoredFace",
    "harmonics",
    "pack_face",
    "unpack_face",
]

Pixels = NDArray[np.uint8]

FORMAT: Final = "ausynth-face-bank 1"
TEXTURE_SIZE: Final = 512
PHOTO_SIZE: Final = 256
AGAIN: Final = "restore it from a copy, or build the bank again with `ausynth faces build`"

_TEXTURE_QUALITY, _PHOTO_QUALITY = 90, 92


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


def pack_face(face: StoredFace) -> bytes:
    """Return a person's file: an npz of JPEG (texture, photograph) and PNG (matte) data, numbers, and words in JSON."""
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


def unpack_face(data: bytes, path: Path) -> StoredFace:
    """Return the person in the bytes of a file, which `path` names in the BankError for anything else."""
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
        raise BankError(f"cannot read {path}: {error}", expected="a person of a face bank", do=AGAIN) from error
