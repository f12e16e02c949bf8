"""Which photographs a bank is made of: a folder, with a list of people or without, or neutral frames of a data set."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import AusynthError, ConfigurationError, FrameError
from ausynth.generators.portrait.building import Person, Photograph
from ausynth.generators.portrait.landmark_files import find_file, read_landmarks
from ausynth.sources.base import Source

__all__ = ["find_photographs", "neutral_frames"]

Pixels = NDArray[np.uint8]

_ENDINGS: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_FILE_COLUMNS: Final = ("file", "path", "image", "photo", "filename")
_NAME_COLUMNS: Final = ("identity", "name", "person", "subject", "id")


def find_photographs(
    folder: Path,
    *,
    people: Path | None = None,
    where: Mapping[str, str] | None = None,
    licence: str | None = None,
    source: str | None = None,
    landmark_folder: Path | None = None,
    landmark_files: bool = False,
) -> list[Photograph]:
    """Return the photographs of a folder, in the order of names.

    Args:
        folder: with the photographs in it or below.
        people: a csv file with a row a photograph: a column `file` (path under `folder`), `identity` or `name` (whom
            it shows; several rows may show one person), and whatever else is known: `licence` and `source` are used,
            `age`, `gender` and `ethnicity` go into the bank. Without it each file is a person of its own.
        where: only rows of `people` with these values: {"role": "bank", "expression": "neutral"}.
        licence, source: of photographs whose row names none.
        landmark_folder: where landmark files lie; None: beside the photographs.
        landmark_files: landmarks come from files; a photograph without one raises an error.

    Raises:
        ConfigurationError: no such folder or list, no photograph, a row without a file, no licence or no source.
        FrameError: a file that the list names is not there.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}", expected="a folder of photographs")
    rows = _rows(folder) if people is None else _listed(people, where or {})
    if people is None and where:
        raise ConfigurationError(f"a condition {dict(where)} without a list", expected="--where together with --people")
    if not rows:
        raise ConfigurationError(
            f"no photographs in {people or folder}" + (f" where {dict(where)}" if where else ""),
            expected="pictures " + ", ".join(_ENDINGS),
        )
    photographs = []
    for row in rows:
        path = folder / row.pop("file")
        name = _clean(row.pop("name"))
        given = {"licence": row.pop("licence", "") or licence or "", "source": row.pop("source", "") or source or ""}
        for what, value in given.items():
            if not value.strip():
                raise ConfigurationError(
                    f"no {what} for {path}",
                    expected="who may use these photographs, and whom to credit",
                    do=f"pass --{what} TEXT, or give the list a column {what}",
                )
        if not path.is_file():
            raise FrameError.of(path, "no such file", do="correct the list, or bring the file back")
        landmarks = None
        if landmark_files:
            beside = find_file(path, landmark_folder)
            if beside is None:
                raise FrameError.of(
                    path,
                    f"no landmark file for it in {landmark_folder or path.parent}",
                    do="write one (68 points, .npy .txt .pts .mat .json), or let MediaPipe find them",
                )
            landmarks = functools.partial(read_landmarks, beside)
        attributes = {key: value for key, value in row.items() if key in _KNOWN and value}
        person = Person(name, f"photograph:{name}", given["licence"], given["source"], attributes)
        photographs.append(Photograph(person, str(path), functools.partial(_read, path), landmarks))
    return photographs


_KNOWN: Final = ("age", "gender", "sex", "ethnicity", "skin", "country")


def neutral_frames(source: Source, *, each: int = 5, licence: str, credit: str) -> list[Photograph]:
    """Return up to `each` neutral frames of every person of a source: all coded AUs are 0, spread over the recording.

    A source that was opened with `hold_out=` offers its training people alone, so nobody else gets into the bank. For
    somebody without a neutral frame there is one photograph that cannot be read, and says so.

    Args:
        source: of labelled pictures.
        each: frames a person, of which the best fit is kept.
        licence, credit: of the data set.

    Raises:
        ConfigurationError: nobody has a neutral frame.
    """
    intensity_NA, occurrence_NA = source.labels.intensity, source.labels.occurrence
    coded_N = source.labels.mask.any(1)
    neutral_N = coded_N & ~((np.nan_to_num(intensity_NA) > 0) | (np.nan_to_num(occurrence_NA) > 0)).any(1)
    photographs = []
    for identity in np.unique(source.identities):
        rows = np.flatnonzero(neutral_N & (source.identities == identity))
        subject = source.subjects[int(identity)]
        person = Person(_clean(f"{source.name}-{subject}"), f"{source.name}:{subject}", licence, credit)
        if not len(rows):
            # Not left out in silence: the build says why this person is not in the bank.
            photographs.append(Photograph(person, person.subject, functools.partial(_no_frame, person.subject)))
            continue
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(each, len(rows))).astype(int))]
        photographs += [
            Photograph(person, f"{source.name}:{subject} frame {row}", functools.partial(_frame, source, int(row)))
            for row in chosen
        ]
    if not neutral_N.any():
        raise ConfigurationError(f"{source.name}: no frame whose coded AUs are all 0", expected="neutral frames")
    return photographs


def _no_frame(subject: str) -> Pixels:
    raise FrameError.of(subject, "no frame of this person has all coded AUs at 0")


def _frame(source: Any, row: int) -> Pixels:
    frames = getattr(source, "frames", None)
    if frames is not None:
        return np.asarray(frames.load(row), np.uint8)
    # A prepared data set has cut the faces out already, and keeps no more than that.
    out = np.empty((1, 256, 256, 3), np.uint8)
    source.read([row], out)
    return np.asarray(out[0], np.uint8)


def _read(path: Path) -> Pixels:
    from ausynth.sources.images import decode_image

    try:
        return decode_image(path.read_bytes(), path)
    except OSError as error:
        raise FrameError.of(path, error.strerror or str(error)) from error


def _rows(folder: Path) -> list[dict[str, str]]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    return [
        {"file": str(path.relative_to(folder)), "name": path.relative_to(folder).with_suffix("").as_posix()}
        for path in files
    ]


def _listed(people: Path, where: Mapping[str, str]) -> list[dict[str, str]]:
    try:
        with people.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns: Sequence[str] = reader.fieldnames or ()
            rows = [{key: value or "" for key, value in row.items() if key is not None} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"cannot read {people}: {error}", expected="a csv file of photographs") from error
    file_column = next((name for name in _FILE_COLUMNS if name in columns), None)
    name_column = next((name for name in _NAME_COLUMNS if name in columns), None)
    strange = [name for name in where if name not in columns]
    if file_column is None or strange:
        missing = f"a column {strange[0]}" if strange else "a column of files"
        raise ConfigurationError(
            f"{people} has the columns {', '.join(columns) or 'none'}",
            expected=f"{missing} ({', '.join(_FILE_COLUMNS)}), and whom each shows ({', '.join(_NAME_COLUMNS)})",
        )
    chosen = []
    for row in rows:
        if all(row[name] == value for name, value in where.items()):
            path = row.pop(file_column)
            name = row.pop(name_column) if name_column else Path(path).with_suffix("").as_posix()
            chosen.append({**row, "file": path, "name": name})
    return chosen


def _clean(name: str) -> str:
    """Return a name that every file system takes.

    >>> _clean("London set/001 neutral")
    'London-set-001-neutral'
    """
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80]
    if not clean:
        raise AusynthError(f"a person called {name!r}", expected="a name with letters or digits")
    return clean
