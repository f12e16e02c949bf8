"""Where real pictures and their labels come from: each file one source behind one protocol."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ausynth.errors import ConfigurationError

if TYPE_CHECKING:
    from ausynth.sources.base import Source as Source
    from ausynth.sources.bp4d import BP4D as BP4D
    from ausynth.sources.disfa import DISFA as DISFA
    from ausynth.sources.folder import Folder as Folder
    from ausynth.sources.prepared import PreparedSource as PreparedSource
    from ausynth.sources.thinning import Subset as Subset
    from ausynth.sources.thinning import thin as thin

__all__ = ["BP4D", "DISFA", "Folder", "PreparedSource", "Source", "Subset", "open_source", "thin"]

_HOMES: Final = MappingProxyType(
    {
        "Source": "base",
        "BP4D": "bp4d",
        "DISFA": "disfa",
        "Folder": "folder",
        "PreparedSource": "prepared",
        "Subset": "thinning",
        "thin": "thinning",
    }
)
_NAMES: Final = MappingProxyType({"disfa": "DISFA", "bp4d": "BP4D", "folder": "Folder"})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def open_source(name: str | Source, root: str | os.PathLike[str] | None = None, **options: Any) -> Source:
    """Return a source of labelled pictures by name.

        open_source("disfa", "/data/DISFA", hold_out="P1")
        open_source("folder", "faces.csv", image="file")
        open_source("folder", "/data/frames", csv="labels.csv")
        open_source("disfa", "/fast/disfa-112")             # what `ausynth prepare disfa` has made

    Args:
        name: "disfa", "bp4d" or "folder" (letter case does not matter); a source that is open already is returned.
        root: the root of the data set; None: what AUSYNTH_DISFA_ROOT or AUSYNTH_BP4D_ROOT says. For "folder" the csv
            file, or with `csv=` the folder of its pictures. A store that `ausynth prepare` has made of the data set
            does as well.
        options: of the class: `ausynth.sources.DISFA`, `BP4D` or `Folder`.

    Raises:
        ConfigurationError: an unknown name or option, options for a source that is open already, or options that a
            prepared data set was not prepared with.
        LayoutError, LabelFileError: what is found there is not such a data set.
        StoreError: the store is damaged, or prepared in part.
    """
    if not isinstance(name, str):
        return _as_it_is(name, root, options)
    known = name.lower()
    if known not in _NAMES:
        raise ConfigurationError(
            f"unknown source {name!r}",
            expected=f"one of {', '.join(_NAMES)}, or an object with the members of ausynth.sources.Source",
            do="for pictures of your own, list them in a csv file and use 'folder'",
        )
    opener = __getattr__(_NAMES[known])
    store = _prepared(known, root)
    if known == "folder" and store is None:
        options, root = _folder_options(root, options)
    allowed = [option for option in inspect.signature(opener).parameters if option != "root"]
    strange = [option for option in options if option not in allowed]
    if strange:
        raise ConfigurationError(
            f"{known} has no option {', '.join(strange)}", expected=f"some of {', '.join(sorted(allowed))}"
        )
    if store is not None:
        from ausynth.sources.prepared import PreparedSource, prepared_options

        defaults = {name: option.default for name, option in inspect.signature(opener).parameters.items()}
        return PreparedSource(store, dataset=known, **prepared_options(store, known, options, defaults))
    source: Source = opener(root=root, **options)
    return source


def _prepared(name: str, root: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Return the root of a data set where that is a store."""
    from ausynth.sources.prepared import is_prepared
    from ausynth.sources.roots import root_variable

    given = root if root is not None else os.environ.get(root_variable(name))
    return given if given and is_prepared(given) else None


def _as_it_is(source: Any, root: object, options: dict[str, Any]) -> Source:
    from ausynth.sources.base import Source

    if not isinstance(source, Source):
        raise ConfigurationError(
            f"a {type(source).__name__} as source",
            expected=f"one of {', '.join(_NAMES)}, or an object with the members of ausynth.sources.Source",
        )
    given = [*(["root"] if root is not None else []), *options]
    if given:
        raise ConfigurationError(
            f"{', '.join(given)} for a source that is open already", expected="the options where it was opened"
        )
    return source


def _folder_options(
    root: str | os.PathLike[str] | None, options: dict[str, Any]
) -> tuple[dict[str, Any], str | os.PathLike[str] | None]:
    """Return the options of Folder and its root: without `csv`, the root that was given is the csv file."""
    if "csv" in options:
        return options, root
    if root is None:
        raise ConfigurationError("no csv file for 'folder'", expected="root=FILE.csv, or root=FOLDER with csv=FILE")
    if Path(root).is_dir():
        raise ConfigurationError(
            f"{os.fspath(root)} is a folder",
            expected="the csv file that says what its pictures show",
            do="pass csv=FILE as well; ausynth.sources.Folder says which columns it has",
        )
    return {**options, "csv": root}, None
