"""Any labelled pictures: a csv file that says which picture shows whom, with which action units."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError, LabelFileError, LayoutError
from ausynth.labels import DEFAULT_THRESHOLD, Floats, Labels
from ausynth.sources.base import PictureSource
from ausynth.sources.crop import Align, make_crop
from ausynth.sources.folds import select
from ausynth.sources.images import ImageFiles
from ausynth.sources.thinning import Thin

__all__ = ["Folder"]

_AU_COLUMN: Final = re.compile(r"(?:au[ _-]?)?0*([1-9]\d*)", re.IGNORECASE)


class Folder(PictureSource):
    """Labelled pictures of your own, from a csv file with a header.

        image,identity,AU1,AU12
        s01/smile.jpg,s01,0,3
        s02/0001.jpg,s02,,1

    An AU column is spelled "AU1", "au01" or "1"; other columns are ignored. An empty cell is an unknown label, not an
    absent AU.

    Args:
        csv: the file.
        root: the folder that the image paths are relative to; default: the folder of the csv file.
        name: a short name, which tells this source from others in a plan.
        image: the column of image paths.
        identity: the column of identities: who is held out is decided by it, so it must be right.
        align: how a face is cut out: "none", a function, or a `Crop`; see `ausynth.sources.crop.make_crop`.
        aus: the AUs wanted, by name of a label space or as numbers; default: every column that is one.
        threshold: an AU occurs at this intensity or above. Of no effect with values="occurrence".
        values: "intensity": 0-5, fractions allowed. "occurrence": 0 or 1, the intensity stays unknown.
        hold_out: identities to leave out.
        keep: identities that alone are kept.
        thin: leave out near-duplicate pictures: "runs" or a number, see `ausynth.sources.thinning.thin`.
        unknown: values that mean "not coded", for example `(9, 999, -1)`.
        check: "exists": every picture must be there; "none": find out when it is read.

    Raises:
        ConfigurationError: an argument that cannot be right.
        LabelFileError: no such file, column or AU, an AU column twice, or a value that is no label, with its line.
        LayoutError: pictures that are not there.
    """

    def __init__(
        self,
        csv: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        *,
        name: str = "folder",
        image: str = "image",
        identity: str = "identity",
        align: Align = "none",
        aus: str | Iterable[int] | None = None,
        threshold: float = DEFAULT_THRESHOLD,
        values: Literal["intensity", "occurrence"] = "intensity",
        hold_out: str | Iterable[str] | None = None,
        keep: str | Iterable[str] | None = None,
        thin: Thin | None = None,
        unknown: Sequence[float] = (),
        check: Literal["exists", "none"] = "exists",
    ) -> None:
        if values not in ("intensity", "occurrence"):
            raise ConfigurationError(f"values={values!r}", expected="'intensity' or 'occurrence'")
        if check not in ("exists", "none"):
            raise ConfigurationError(f"check={check!r}", expected="'exists' or 'none'")
        path = Path(csv).expanduser()
        folder = path.parent if root is None else Path(root).expanduser()
        if root is not None and not folder.is_dir():
            raise LayoutError(f"root= {folder} is not a folder", expected="the folder that image paths are relative to")
        table = _Table(path, image, identity)
        subjects = tuple(sorted(set(table.people)))
        kept = frozenset(select(name, subjects, hold_out=hold_out, keep=keep))
        rows = np.array([row for row, person in enumerate(table.people) if person in kept], dtype=np.int64)
        frames = ImageFiles(folder, [table.images[row] for row in rows])
        if check == "exists":
            _require_pictures(frames, table, rows)
        number = {subject: index for index, subject in enumerate(subjects)}
        labels = table.labels(aus, values, threshold, unknown)[rows]
        super().__init__(
            name=name,
            frames=frames,
            labels=labels,
            identities=np.array([number[table.people[row]] for row in rows], dtype=np.int64),
            subjects=subjects,
            benchmark=labels.aus,
            crop=make_crop(align),
            root=folder,
            thin=thin,
        )


class _Table:
    """The rows of a csv file, with the line that each comes from."""

    def __init__(self, path: Path, image: str, identity: str) -> None:
        self.path = path
        self.header, self.lines, self.rows = _read_csv(path)
        if not self.rows:
            raise LabelFileError(f"{path} has no rows", expected="a header and a row a picture")
        self.images = self._texts(image, "image=")
        self.people = self._texts(identity, "identity=")
        self.au_columns = self._find_aus({image, identity})

    def labels(
        self, aus: str | Iterable[int] | None, values: str, threshold: float, unknown: Sequence[float]
    ) -> Labels:
        """Return the labels of all rows."""
        wanted = tuple(self.au_columns) if aus is None else facs.label_space(aus)
        lacking = [au for au in wanted if au not in self.au_columns]
        if lacking:
            raise LabelFileError(
                f"{self.path} has no column for AU {', '.join(map(str, lacking))}",
                expected=f"of the AUs that it has: {', '.join(map(str, self.au_columns))}",
            )
        top = 5 if values == "intensity" else 1
        values_NA = np.stack([self._numbers(self.au_columns[au], top, values, unknown) for au in wanted], axis=1)
        if values == "intensity":
            return Labels.from_intensity(wanted, values_NA, threshold=threshold)
        nothing_NA = np.full_like(values_NA, np.nan)
        return Labels(wanted, nothing_NA, values_NA, (~np.isnan(values_NA)).astype(np.float32))

    def _texts(self, column: str, option: str) -> list[str]:
        if self.header.count(column) != 1:
            raise LabelFileError(
                f"{self.path} has {self.header.count(column) or 'no'} columns {column!r}",
                expected="one",
                do=f"name the right one with {option}; it has {', '.join(self.header)}",
            )
        place = self.header.index(column)
        texts = [row[place].strip() for row in self.rows]
        if "" in texts:
            raise LabelFileError(f"{self._at(texts.index(''))}: {column} is empty", expected="a value in every row")
        return texts

    def _find_aus(self, others: set[str]) -> dict[int, int]:
        """Return the column of each AU, ascending."""
        found: dict[int, int] = {}
        for place, column in enumerate(self.header):
            match = _AU_COLUMN.fullmatch(column) if column not in others else None
            if match is None or int(match[1]) not in facs.ACTION_UNITS:
                continue
            au = int(match[1])
            if au in found:
                raise LabelFileError(
                    f"{self.path} has two columns for AU {au}: {self.header[found[au]]!r} and {column!r}",
                    expected="one",
                )
            found[au] = place
        if not found:
            raise LabelFileError(
                f"{self.path} has no AU column among {', '.join(self.header)}",
                expected="columns named like AU1, au01 or 1",
            )
        return dict(sorted(found.items()))

    def _numbers(self, place: int, top: int, values: str, unknown: Sequence[float]) -> Floats:
        cells = [row[place].strip() or "nan" for row in self.rows]
        try:
            numbers_N = np.array(list(map(float, cells)), dtype=np.float64)
        except ValueError:
            bad = next(row for row, cell in enumerate(cells) if not _is_number(cell))
            self._refuse(bad, place, cells[bad], values)
        numbers_N[np.isin(numbers_N, np.asarray(unknown, dtype=np.float64))] = np.nan
        wrong = (numbers_N < 0) | (numbers_N > top)
        if values == "occurrence":
            wrong |= (numbers_N > 0) & (numbers_N < 1)
        if wrong.any():
            bad = int(np.argmax(wrong))
            self._refuse(bad, place, cells[bad], values)
        return numbers_N.astype(np.float32)

    def _refuse(self, row: int, place: int, cell: str, values: str) -> NoReturn:
        raise LabelFileError(
            f"{self._at(row)}: {self.header[place]} is {cell!r}",
            expected="0 to 5, or an empty cell" if values == "intensity" else "0, 1, or an empty cell",
            do="list the codes that mean 'not coded' in unknown=, unknown=(9, 999, -1) for example",
        )

    def _at(self, row: int) -> str:
        return f"{self.path}, line {self.lines[row]}"


def _read_csv(path: Path) -> tuple[list[str], list[int], list[list[str]]]:
    """Return the header, and of each row that is not blank its line number and cells."""
    lines, rows = [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [cell.strip() for cell in next(reader, [])]
            for row in reader:
                if not any(map(str.strip, row)):
                    continue
                if len(row) != len(header):
                    raise LabelFileError(
                        f"{path}, line {reader.line_num}: {len(row)} cells", expected=f"{len(header)}, as in the header"
                    )
                lines.append(reader.line_num)
                rows.append(row)
    except OSError as error:
        raise LabelFileError(f"cannot read {path}: {error.strerror or error}", expected="a csv file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelFileError(f"{path} is not a csv file: {error}", expected="comma-separated UTF-8 text") from error
    return header, lines, rows


def _require_pictures(frames: ImageFiles, table: _Table, rows: NDArray[np.int64]) -> None:
    missing = [place for place, image in enumerate(frames.paths) if not (frames.root / image).is_file()]
    if missing:
        raise LayoutError(
            f"{len(missing)} of {len(frames)} pictures that {table.path} names are not there, the first "
            f"{frames.root / frames.paths[missing[0]]} (line {table.lines[rows[missing[0]]]})",
            expected=f"image paths under {frames.root}",
            do="pass root=FOLDER, the folder that the paths are relative to",
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
