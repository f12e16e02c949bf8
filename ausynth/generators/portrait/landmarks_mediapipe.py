"""Landmarks found by MediaPipe's face landmarker (an extra), turned into the 68 points of 300-W."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.assets import LANDMARKER, find_asset
from ausynth.errors import AusynthError
from ausynth.generators.portrait.landmarks import Landmarks
from ausynth.labels import Floats

__all__ = ["POINTS_68", "MediaPipeFinder", "from_mesh"]

POINTS_68: Final = (
    127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""Points of MediaPipe's face mesh nearest to the 68 of 300-W."""

_IRISES: Final = ((468, 469, 471), (473, 474, 476))
"""Middle, and the two ends of the horizontal diameter: the person's right, then left iris."""

_INSTALL: Final = (
    "pip install 'ausynth[faces]', then pip install --no-deps mediapipe (its own list of packages would put a second "
    "OpenCV over yours); or put 68 landmarks a photograph into files beside them (--landmarks files)"
)


class MediaPipeFinder:
    """Finds the landmarks of the largest face of a picture. A context manager: leaving it frees MediaPipe's threads.

    Args:
        model: face_landmarker.task; None takes the one of the asset folder.

    Raises:
        MissingAssetError: no model is there; the message says how to get it.
        AusynthError: MediaPipe is not installed, or does not take the model.
    """

    def __init__(self, model: Path | None = None) -> None:
        path = find_asset(LANDMARKER) if model is None else model
        try:
            # MediaPipe imports matplotlib and an audio library; nothing else here needs either.
            mediapipe = importlib.import_module("mediapipe")
            tasks = importlib.import_module("mediapipe.tasks.python")
        except (ImportError, OSError) as error:
            raise AusynthError(
                f"MediaPipe cannot be loaded: {error}", expected="the extra `faces`", do=_INSTALL
            ) from error
        self._mediapipe = mediapipe
        try:
            data = path.read_bytes()
            options = tasks.vision.FaceLandmarkerOptions(
                base_options=tasks.BaseOptions(model_asset_buffer=data), output_face_blendshapes=True, num_faces=2
            )
            self._landmarker: Any = tasks.vision.FaceLandmarker.create_from_options(options)
        except (OSError, RuntimeError, ValueError) as error:
            raise AusynthError(
                f"MediaPipe does not take the model {path}: {error}",
                expected="MediaPipe's face_landmarker.task",
                do="run `ausynth assets import face-landmarker PATH` with a whole copy",
            ) from error

    def __call__(self, photo_HW3: NDArray[np.uint8]) -> Landmarks | None:
        """Return the landmarks of the largest face, or None where no face is found."""
        picture = np.ascontiguousarray(photo_HW3)
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=picture)
        found = self._landmarker.detect(image)
        height, width = picture.shape[:2]
        faces = [
            np.array([[point.x * width, point.y * height] for point in face], np.float32)
            for face in found.face_landmarks
        ]
        if not faces:
            return None
        largest = max(range(len(faces)), key=lambda i: float(np.ptp(faces[i], axis=0).max()))
        scores = {score.category_name: float(score.score) for score in found.face_blendshapes[largest]}
        return from_mesh(faces[largest], scores)

    def __enter__(self) -> MediaPipeFinder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landmarker.close()


def from_mesh(points_P2: Floats, scores: dict[str, float]) -> Landmarks:
    """Return the 68 landmarks among MediaPipe's 478 points (pixels)."""
    irises = [
        (*points_P2[middle], np.linalg.norm(points_P2[one] - points_P2[other]) / 2) for middle, one, other in _IRISES
    ]
    return Landmarks(points_P2[list(POINTS_68)].astype(np.float32), np.array(irises, np.float32), scores)
