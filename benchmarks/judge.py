"""A judge from outside: MediaPipe's blendshape scores of pictures, read as scores of action units.

MediaPipe is no dependency of the project. Install it where the benchmark runs (`pip install mediapipe`), and name the
model file, Google's `face_landmarker.task`, by an option or by the folder in `AUSYNTH_TEST_DATA`.

Legend of the shapes: B pictures, S blendshapes, A action units, sides = (left, right) of the person.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAP = Path(__file__).with_name("au_blendshapes.toml")


@dataclass(frozen=True)
class Unit:
    """How one AU is read from blendshapes: see au_blendshapes.toml."""

    weights: dict[str, float]
    proxy: bool = False
    group: str = ""

    @property
    def is_sided(self) -> bool:
        """Return whether the judge tells this AU's left from its right."""
        return any(name.endswith("*") for name in self.weights)


def read_map(path: Path = MAP) -> dict[int, Unit]:
    """Return AU -> how it is read, in the file's order."""
    units = {}
    for name, entry in tomllib.loads(path.read_text()).items():
        weights = {key: float(value) for key, value in entry.items() if key not in {"proxy", "group"}}
        units[int(name.removeprefix("AU"))] = Unit(weights, entry.get("proxy", False), entry.get("group", ""))
    return units


def model_file(given: Path | None) -> Path:
    """Return the model's file, or say what to do."""
    folder = os.environ.get("AUSYNTH_TEST_DATA")
    path = given or (Path(folder) / "face_landmarker.task" if folder else None)
    if path is None or not path.is_file():
        raise SystemExit(
            f"no model file at {path}: give --model face_landmarker.task, or name its folder in AUSYNTH_TEST_DATA"
        )
    return path


@dataclass
class Judge:
    """Scores pictures. `names` are the blendshapes, known after the first face."""

    model: Path
    names: list[str] = field(default_factory=list)
    _detector: Any = None

    def __enter__(self) -> Judge:
        os.environ.setdefault("GLOG_minloglevel", "2")  # else it tells of its delegates before every table
        try:
            import mediapipe
            from mediapipe.tasks import python as tasks
            from mediapipe.tasks.python import vision
        except ImportError as error:
            raise SystemExit(f"the judge needs mediapipe: pip install mediapipe ({error})") from error
        self._picture = lambda image: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
        options = vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(self.model)),
            output_face_blendshapes=True,
            num_faces=1,
        )
        self._detector = vision.FaceLandmarker.create_from_options(options)
        return self

    def __exit__(self, *_: object) -> None:
        self._detector.close()

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (B, 52) scores of pictures (B, H, W, 3), 0-1; NaN where no face was found."""
        rows = []
        for image in images:
            found = self._detector.detect(self._picture(np.ascontiguousarray(image))).face_blendshapes
            if found and not self.names:
                self.names = [shape.category_name for shape in found[0]]
            rows.append([shape.score for shape in found[0]] if found else [np.nan] * 52)
        return np.array(rows, np.float64).reshape(-1, 52)

    def units(self, scores_BS: NDArray[np.float64], units: dict[int, Unit]) -> NDArray[np.float64]:
        """Return (B, A, 2) the AUs' scores on the left and on the right; their mean is the AU's score."""
        places = {name: i for i, name in enumerate(self.names)}
        total = np.zeros((len(scores_BS), len(units), 2))
        for a, unit in enumerate(units.values()):
            for name, weight in unit.weights.items():
                for side, word in enumerate(("Left", "Right")):
                    total[:, a, side] += weight * scores_BS[:, places[name.replace("*", word)]]
        return total
