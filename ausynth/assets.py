"""Where files that users bring themselves are kept: head models and landmark models that do not ship with the package.

>>> import os
>>> os.environ["AUSYNTH_ASSETS"] = "/data/ausynth-assets"
>>> str(asset_folder())
'/data/ausynth-assets'
>>> del os.environ["AUSYNTH_ASSETS"]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ausynth.durable import write_aside
from ausynth.errors import AusynthError, ConfigurationError

__all__ = ["ICT_FACEKIT", "LANDMARKER", "MissingAssetError", "asset_folder", "find_asset", "put_asset", "task_model"]

ICT_FACEKIT: Final = "ict-facekit.npz"
"""The head model of the portrait look, as `ausynth assets import ict-facekit` writes it."""

LANDMARKER: Final = "face-landmarker.task"
"""MediaPipe's face landmarker, as `ausynth assets import face-landmarker` copies it."""

_HOW: Final = {
    ICT_FACEKIT: (
        "the ICT-FaceKit head",
        "get ICT-FaceKit (USC-ICT/ICT-FaceKit on GitHub, MIT licence), then run "
        "`ausynth assets import ict-facekit PATH` with its folder of OBJ files",
    ),
    LANDMARKER: (
        "MediaPipe's face landmarker model",
        "download face_landmarker.task (MediaPipe, Apache-2.0), then run `ausynth assets import face-landmarker PATH`",
    ),
}


class MissingAssetError(AusynthError):
    """A file that the user has to bring is not in the asset folder."""


def asset_folder() -> Path:
    """Return the folder of assets: `AUSYNTH_ASSETS` if set, else the user's data folder of this system."""
    given = os.environ.get("AUSYNTH_ASSETS")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("ausynth", appauthor=False)) / "assets"


def find_asset(name: str) -> Path:
    """Return the path of an asset that is there.

    Args:
        name: `ICT_FACEKIT` or `LANDMARKER`.

    Raises:
        MissingAssetError: it is not there; the message says how to get it.
    """
    path = asset_folder() / name
    if path.is_file():
        return path
    what, how = _HOW[name]
    raise MissingAssetError(
        f"{what} is not there: no file {path}",
        expected=f"{name} in the asset folder (AUSYNTH_ASSETS names another)",
        do=how,
    )


def put_asset(name: str, data: bytes) -> Path:
    """Write an asset whole, in place of an older one, and return its path; raise ConfigurationError where it cannot."""
    path = asset_folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_aside(path, data)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror or error}",
            expected="an asset folder that can be written to",
            do="set AUSYNTH_ASSETS to such a folder",
        ) from error
    return path


def task_model(path: Path) -> bytes:
    """Return the bytes of a MediaPipe task file after a look at whether it is one.

    Raises:
        ConfigurationError: no such file, or not a face landmarker with its models in it.
    """
    import io
    import zipfile

    try:
        data = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            inside = set(file.namelist())
            broken = file.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"cannot use {path}: {reason}",
            expected="the file face_landmarker.task of MediaPipe",
            do=_HOW[LANDMARKER][1],
        ) from error
    wanted = {"face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite"}
    if broken or not wanted <= inside:
        raise ConfigurationError(
            f"{path} is {'damaged' if broken else 'no face landmarker: it holds ' + str(sorted(inside)[:5])}",
            expected=f"a task file with {', '.join(sorted(wanted))}",
            do=_HOW[LANDMARKER][1],
        )
    return data
