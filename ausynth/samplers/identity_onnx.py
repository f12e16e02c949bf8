"""A user's ArcFace network, as an ONNX file: "w600k_r50.onnx" of insightface's buffalo_l, for example.

Deng et al., "ArcFace: additive angular margin loss for deep face recognition" (CVPR 2019). Such weights are mostly for
non-commercial research: nothing here brings or fetches any.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.naming import fingerprint_of
from ausynth.samplers.identity import Embeddings, Pixels
from ausynth.store.handles import ForkLock

__all__ = ["ArcFaceEncoder"]

Points = Callable[[Pixels], NDArray[np.floating] | None]

_SIDE: Final = 112
_EYES_NOSE_MOUTH: Final = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""Where these networks expect both eyes, the tip of the nose and the corners of the mouth, in 112 pixels."""

_EYES_BASE: Final = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 79.2)])
"""Both eyes and the base of the nose, which dlib's five points give: a third of the way from its tip to the mouth."""


class ArcFaceEncoder:
    """A network that takes aligned faces of 112 pixels, (B, 3, 112, 112) from -1 to 1, and returns (B, D).

        guard = LeakageGuard(gallery, ArcFaceEncoder("w600k_r50.onnx"), calibrate=others)

    Run by OpenCV, one picture at a time, so that no vector depends on its companions.

    Args:
        path: the ONNX file.
        points: (H, W, 3) uint8 RGB -> (5, 2): eyes, tip of the nose, corners of the mouth, each as the viewer sees it
            from left to right, in pixels; or (3, 2): eyes and base of the nose; or None where there is no face. Default
            dlib's, of the extra `identity`.

    Raises:
        ConfigurationError: no file, one that OpenCV cannot read as a network, or one with another input or output.
    """

    name = "arcface"
    fork_safe = False  # OpenCV's threads do not survive a fork

    def __init__(self, path: str | os.PathLike[str], points: Points | None = None) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise ConfigurationError(f"no file {self.path}", expected="an ArcFace network as an ONNX file")
        self._points, self._lock = points, ForkLock()
        how = "dlib" if points is None else fingerprint_of(points, "points")
        weights = hashlib.sha256(self.path.read_bytes())
        self.fingerprint = f"arcface-{hashlib.sha256(f'{weights.hexdigest()} {how}'.encode()).hexdigest()[:12]}"
        try:
            self._network: Any = cv2.dnn.readNetFromONNX(str(self.path))
            self.dimension = self._forward(np.zeros((_SIDE, _SIDE, 3), np.uint8)).size
        except cv2.error as error:
            raise ConfigurationError(
                f"{self.path} cannot be run: {' '.join(str(error).split())}",
                expected="a network for (1, 3, 112, 112), as insightface exports it",
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return (ArcFaceEncoder, (self.path, self._points))

    def embed(self, images: Pixels) -> Embeddings:
        """Return (B, D) for (B, H, W, 3); see `IdentityEncoder.embed`."""
        vectors = np.zeros((len(images), self.dimension), np.float32)
        for row, image in enumerate(images):
            points = self._find(image)
            if points is None:
                continue
            vector = self._forward(_aligned(image, np.asarray(points, dtype=float))).astype(np.float64)
            length = np.linalg.norm(vector)
            vectors[row] = vector / length if length else vector
        return vectors

    def _find(self, image: Pixels) -> NDArray[np.floating] | None:
        if self._points is None:
            from ausynth.samplers.identity_dlib import DlibFaces

            self._points_of = getattr(self, "_points_of", None) or DlibFaces().points
            return self._points_of(image)
        return self._points(image)

    def _forward(self, face: Pixels) -> NDArray[np.float32]:
        blob = cv2.dnn.blobFromImage(face, 1 / 127.5, (_SIDE, _SIDE), (127.5, 127.5, 127.5), swapRB=False)
        with self._lock:
            self._network.setInput(blob)
            return np.array(self._network.forward(), dtype=np.float32).reshape(-1)


def _aligned(image: Pixels, points: NDArray[np.float64]) -> Pixels:
    """Return the face (112, 112, 3): the similarity that brings the points where the network expects them."""
    if points.shape not in ((5, 2), (3, 2)):
        raise ConfigurationError(f"points of shape {points.shape}", expected="(5, 2) or (3, 2), or None without a face")
    target = _EYES_NOSE_MOUTH if len(points) == 5 else _EYES_BASE
    matrix = _similarity(points, target)
    return np.asarray(cv2.warpAffine(image, matrix, (_SIDE, _SIDE), borderValue=(0, 0, 0)), dtype=np.uint8)


def _similarity(points: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (2, 3): rotation, scale and shift that bring `points` (n, 2) nearest to `target`, by least squares.

    As complex numbers: z -> a z + b.
    """
    source, wanted = (xy[:, 0] + 1j * xy[:, 1] for xy in (points, target))
    centred = source - source.mean()
    a = (centred.conj() * (wanted - wanted.mean())).sum() / (abs(centred) ** 2).sum()
    b = wanted.mean() - a * source.mean()
    return np.array([(a.real, -a.imag, b.real), (a.imag, a.real, b.imag)])
