"""Faces found, and told apart, by dlib's networks, from wheels alone: the extra `identity`.

Detector: histograms of oriented gradients (Dalal and Triggs 2005). Landmarks: the corners of the eyes and the base of
the nose, by regression trees (Kazemi and Sullivan, "One millisecond face alignment", 2014). Embedding: a residual
network of 29 layers, 128 numbers, .9938 on LFW (D. King, dlib 19.4). Its author placed the weights in the public
domain. The file of 68 landmarks, which lies beside them, is for research only and is not used.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.samplers.identity import Embeddings, Pixels
from ausynth.store.handles import ForkLock

__all__ = ["DlibEncoder", "DlibFaces"]

_NETWORK: Final = "dlib_face_recognition_resnet_model_v1.dat"
_LANDMARKS: Final = "shape_predictor_5_face_landmarks.dat"
_CHIP, _PADDING = 150, 0.25
"""Side in pixels and margin of the faces that the network was trained on."""

_LEAST, _MOST = 224, 1024
"""The detector sees faces of 80 pixels and more: smaller pictures are enlarged, and larger ones if nothing is found."""

_CONFIDENCE: Final = -0.3
"""Of the detector, from which something counts as a face. Its own 0 misses one rendered face in sixty."""


class DlibFaces:
    """Finds the most certain face of a picture, and five points of it.

    Raises:
        ConfigurationError: the packages of the extra are not installed.
    """

    def __init__(self) -> None:
        self._lock = ForkLock()  # dlib's objects work in memory of their own
        self._detector, self._predictor = _loaded()[:2]

    def find(self, image: Pixels) -> tuple[Pixels, Any] | None:
        """Return the picture (h, w, 3), enlarged if need be, and dlib's points in it; None where there is no face."""
        short = min(image.shape[:2])
        scale = max(1.0, _LEAST / short)
        while True:
            enlarged = _resized(image, scale)
            with self._lock:
                boxes, scores, _ = self._detector.run(enlarged, 0, _CONFIDENCE)
                if boxes:
                    return enlarged, self._predictor(enlarged, boxes[int(np.argmax(scores))])
            if scale * short * 2 > _MOST:
                return None
            scale *= 2

    def points(self, image: Pixels) -> NDArray[np.float64] | None:
        """Return (3, 2): the centres of the eyes, as the viewer sees them from left to right, and the base of the nose.

        In pixels of the picture (H, W, 3); None where there is no face.
        """
        found = self.find(image)
        if found is None:
            return None
        enlarged, shape = found
        points = np.array([(part.x, part.y) for part in shape.parts()], dtype=float)
        eyes = sorted([points[:2].mean(axis=0), points[2:4].mean(axis=0)], key=lambda eye: float(eye[0]))
        scale = np.array(image.shape[1::-1]) / np.array(enlarged.shape[1::-1])
        three: NDArray[np.float64] = np.stack([*eyes, points[4]]) * scale
        return three


class DlibEncoder:
    """dlib's face recognition network: 128 numbers, about 60 ms a picture on a core.

    On 165 photographs of 95 people, the pictures of one person have cosines of .962 and more, those of two people .943
    and less. It compares one picture at a time, so that no vector depends on its companions, and holds Python's lock
    meanwhile: threads do not make it faster, processes do.

    Raises:
        ConfigurationError: the packages of the extra are not installed.
    """

    name = "dlib"
    dimension = 128
    fork_safe = True  # it has no threads

    def __init__(self) -> None:
        self._faces = DlibFaces()
        self._network = _loaded()[2]
        self._lock = ForkLock()

    def __reduce__(self) -> tuple[type[DlibEncoder], tuple[()]]:
        return (DlibEncoder, ())

    @property
    def fingerprint(self) -> str:
        """Return a hash of the weights and of how a face is cut out."""
        parts = (_weights_hash(), _CHIP, _PADDING, _LEAST, _MOST, _CONFIDENCE)
        return f"dlib-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"

    def embed(self, images: Pixels) -> Embeddings:
        """Return (B, 128) for (B, H, W, 3); see `IdentityEncoder.embed`."""
        import dlib

        vectors = np.zeros((len(images), self.dimension), np.float32)
        for row, image in enumerate(images):
            found = self._faces.find(image)
            if found is None:
                continue
            chip = dlib.get_face_chip(*found, _CHIP, _PADDING)
            with self._lock:
                vector = np.array(self._network.compute_face_descriptor(chip), dtype=np.float64)
            vectors[row] = vector / np.linalg.norm(vector)
        return vectors


def _resized(image: Pixels, scale: float) -> Pixels:
    if scale == 1:
        return np.ascontiguousarray(image)
    from PIL import Image  # OpenCV's threads do not survive a fork; it has none

    height, width = (round(side * scale) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


@cache
def _loaded() -> tuple[Any, Any, Any]:
    folder = _folder()
    try:
        import dlib
    except ImportError as error:
        raise _missing("dlib-bin") from error
    landmarks = dlib.shape_predictor(str(folder / _LANDMARKS))
    return dlib.get_frontal_face_detector(), landmarks, dlib.face_recognition_model_v1(str(folder / _NETWORK))


@cache
def _weights_hash() -> str:
    digest = hashlib.sha256()
    for name in (_LANDMARKS, _NETWORK):
        digest.update((_folder() / name).read_bytes())
    return digest.hexdigest()


@cache
def _folder() -> Path:
    """Return where the weights lie; importing their package needs a setuptools that is no longer made."""
    try:
        files = importlib.metadata.files("face_recognition_models") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing("face_recognition_models") from error
    found = next((Path(str(file.locate())) for file in files if file.name == _NETWORK), None)
    if found is None or not found.is_file():
        raise _missing("face_recognition_models")
    return found.parent


def _missing(package: str) -> ConfigurationError:
    return ConfigurationError(
        f"{package} is not installed",
        expected="the packages of the extra `identity`",
        do="pip install 'ausynth[identity]', or bring an encoder of your own (ausynth.samplers.FunctionEncoder)",
    )
