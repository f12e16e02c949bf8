"""Samples as parquet files of a Hugging Face dataset: what the columns are, and how the files are written.

Legend of the shapes: B samples, A action units.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

import ausynth
from ausynth.durable import sync_folder

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from ausynth.store import Samples

__all__ = ["COLUMNS", "ParquetFile", "ParquetFiles", "au_column", "features", "schema", "table"]

COLUMNS: Final[Mapping[str, str]] = {
    "image": "the picture",
    "AU01_intensity, ...": "what the picture shows, 0-5 (FACS 0, A-E); null = not coded",
    "AU01_occurrence, ...": "whether the AU is present, 0 or 1; null = unknown, which is not absent",
    "mask": "for each AU, whether its occurrence is known",
    "confidence": "for each AU, how sure its label is, 0-1; 0 where nothing is known",
    "asked_intensity": "for each AU, the intensity that the generator was asked for; it need not be what is shown",
    "identity": "number of the synthetic person",
    "prompt": "what a generator that reads text was told, else empty",
    "noise": "seed of everything else: pose, light, background, latent noise",
    "attempt": "which attempt at this sample it was; earlier ones were rejected",
    "number": "ordinal of the sample in its plan",
    "plan": "hash of what decides which sample has which ordinal",
    "key": "hash of all that makes the sample (hexadecimal)",
    "generator": "name of the generator",
    "fingerprint": "hash of the generator's weights and configuration",
    "licence": "notes on the terms of the generator and of what it was trained on",
}
"""What each column of an export holds; the lists are in the order of the AU columns."""

_CONSTANT: Final = ("generator", "fingerprint", "licence")
_INCOMPRESSIBLE: Final = frozenset({"image.bytes", "key"})


def au_column(au: int, what: str) -> str:
    """Return the name of an action unit's own column.

    >>> au_column(6, "intensity")
    'AU06_intensity'
    """
    return f"AU{au:02}_{what}"


def features(aus: Sequence[int]) -> datasets.Features:
    """Return the Hugging Face features of samples over `aus`.

    >>> features((1, 12))["AU12_occurrence"].dtype
    'float32'

    What is filtered by, counted and plotted has a column of its own for each AU, named so that sets of different label
    spaces can be joined; what goes beside it (mask, confidence, what was asked) is a list over the AUs.
    """
    import datasets

    a_number = datasets.Value("float32")
    own = {au_column(au, what): a_number for what in ("intensity", "occurrence") for au in aus}
    return datasets.Features(
        {
            "image": datasets.Image(),
            **own,
            "mask": datasets.Sequence(datasets.Value("bool"), length=len(aus)),
            "confidence": datasets.Sequence(a_number, length=len(aus)),
            "asked_intensity": datasets.Sequence(a_number, length=len(aus)),
            "identity": datasets.Value("int64"),
            "prompt": datasets.Value("string"),
            "noise": datasets.Value("int64"),
            "attempt": datasets.Value("int64"),
            "number": datasets.Value("int64"),
            "plan": datasets.Value("string"),
            "key": datasets.Value("string"),
            **{name: datasets.Value("string") for name in _CONSTANT},
        }
    )


def schema(aus: Sequence[int], facts: Mapping[str, Any]) -> pa.Schema:
    """Return the parquet schema, whose metadata carry the features, and `facts` under the name "ausynth"."""
    arrow = features(aus).arrow_schema
    about = {"version": ausynth.__version__, "aus": list(aus), "columns": dict(COLUMNS), **facts}
    return arrow.with_metadata({**(arrow.metadata or {}), "ausynth": json.dumps(about, ensure_ascii=False)})


def table(
    schema: pa.Schema, samples: Samples, encoded: Sequence[bytes], plan: str, facts: Mapping[str, Any]
) -> pa.Table:
    """Return B samples with their encoded pictures as a table of the schema; NaN becomes null."""
    import pyarrow as pa

    labels, count = samples.labels, len(samples)
    columns: dict[str, Any] = {
        "image": pa.StructArray.from_arrays(
            [pa.array(encoded, pa.binary()), pa.nulls(count, pa.string())], names=["bytes", "path"]
        )
    }
    for what in ("intensity", "occurrence"):
        cells_BA = getattr(labels, what)
        for number, au in enumerate(labels.aus):
            # from_pandas: NaN means that nothing is known, which parquet has a way of saying.
            columns[au_column(au, what)] = pa.array(np.ascontiguousarray(cells_BA[:, number]), from_pandas=True)
    for name, cells_BA in (
        ("mask", labels.mask),
        ("confidence", labels.confidence),
        ("asked_intensity", samples.asked),
    ):
        columns[name] = _vectors(cells_BA)
    for name in ("identity", "noise", "attempt", "number"):
        columns[name] = pa.array(np.asarray(getattr(samples, name), dtype=np.int64))
    columns |= {
        "prompt": pa.array(samples.text, pa.string()),
        "plan": pa.repeat(pa.scalar(plan, pa.string()), count),
        "key": pa.array([row.tobytes().hex() for row in samples.key], pa.string()),
        **{name: pa.repeat(pa.scalar(str(facts.get(name, "")), pa.string()), count) for name in _CONSTANT},
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _vectors(cells_BA: NDArray[Any]) -> pa.FixedSizeListArray:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(cells_BA.reshape(-1), from_pandas=True), cells_BA.shape[1])


@dataclass(frozen=True)
class ParquetFile:
    """A finished file: its name, how many samples it holds, and its size in bytes."""

    name: str
    samples: int
    bytes: int


class ParquetFiles:
    """Writes tables into the parquet files of one split, in row groups of equal size.

    A file is called `unfinished-00000` until `finish`: only then is it known how many there are, and until then nothing
    that is found there looks like a data set.

    Args:
        folder: where the files go.
        schema: of all tables.
        group: samples in a row group. Small ones let a reader that streams begin early and stay small.
        size: bytes from which a file is full; it ends with the row group that reaches them.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, group: int, size: int) -> None:
        self._folder, self._schema, self._group, self._size = folder, schema, group, size
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._file: Any = None
        self._writer: Any = None
        self._done: list[ParquetFile] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def begun(self) -> int:
        """Return how many files were begun."""
        return len(self._done) + (self._writer is not None)

    def write(self, table: pa.Table) -> None:
        """Add samples; whole row groups of them are written now."""
        import pyarrow as pa

        self._waiting.append(table)
        waiting = sum(map(len, self._waiting))
        if waiting < self._group:
            return
        joined, start = pa.concat_tables(self._waiting), 0
        while len(joined) - start >= self._group:
            self._write_group(joined.slice(start, self._group))
            start += self._group
        # What is left is copied: a slice would keep the whole table, pictures and all.
        left = joined.slice(start)
        self._waiting = [left.take(np.arange(len(left)))] if len(left) else []

    def finish(self, split: str = "train") -> tuple[ParquetFile, ...]:
        """Write what is left, give the files their final names, and return them."""
        import pyarrow as pa

        if self._waiting:
            self._write_group(pa.concat_tables(self._waiting))
            self._waiting = []
        self._end_file()
        named = []
        for number, file in enumerate(self._done):
            name = f"{split}-{number:05}-of-{len(self._done):05}.parquet"
            (self._folder / file.name).replace(self._folder / name)
            named.append(ParquetFile(name, file.samples, file.bytes))
        sync_folder(self._folder)
        return tuple(named)

    def abandon(self) -> None:
        """Let go of the open file, whatever state it is in; what was written is for the caller to delete."""
        if self._writer is not None:
            # pyarrow would otherwise try to end the file when the writer is collected, into a file that is closed.
            self._writer.is_open = False
            self._writer = None
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a full disk, which was said before
                self._file.close()
            self._file = None

    def _write_group(self, table: pa.Table) -> None:
        if self._writer is None:
            self._begin_file()
        self._writer.write_table(table.combine_chunks(), row_group_size=self._group)
        self._rows += len(table)
        if self._file.tell() >= self._size:
            self._end_file()

    def _begin_file(self) -> None:
        import pyarrow.parquet as pq

        self._file = (self._folder / f"unfinished-{len(self._done):05}").open("wb")
        leaves = _leaves(self._schema)
        # Pictures are compressed already. Of their bytes no minimum and maximum is asked for either.
        others = [leaf for leaf in leaves if leaf not in _INCOMPRESSIBLE]
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression={leaf: "zstd" if leaf in others else "none" for leaf in leaves},
            use_dictionary=others,
            write_statistics=others,
        )

    def _end_file(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        size = self._file.tell()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._done.append(ParquetFile(f"unfinished-{len(self._done):05}", self._rows, size))
        self._writer = self._file = None
        self._rows = 0


def _leaves(schema: pa.Schema) -> list[str]:
    """Return the paths of the columns as parquet knows them, inside structures and lists too."""
    import pyarrow as pa

    names = []
    for field in schema:
        if pa.types.is_struct(field.type):
            names += [f"{field.name}.{part.name}" for part in field.type]
        elif pa.types.is_fixed_size_list(field.type):
            names.append(f"{field.name}.list.element")
        else:
            names.append(field.name)
    return names
