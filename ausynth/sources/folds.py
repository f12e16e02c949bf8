"""Which subjects are kept: the parts of the standard protocols, and the fold names that other code bases give them.

Sources: the subject lists of the three-fold protocols of DISFA and BP4D, which all public code shares. Fold *numbers*
differ between code bases, so a fold is asked for under the name of the code base that numbers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ausynth.errors import ConfigurationError

__all__ = ["FOLDS", "PARTS", "select", "subject_order"]


def _parts(first: str, second: str, third: str) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({"P1": tuple(first.split()), "P2": tuple(second.split()), "P3": tuple(third.split())})


PARTS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "disfa": _parts(
            "SN001 SN002 SN009 SN010 SN016 SN026 SN027 SN030 SN032",
            "SN006 SN011 SN012 SN013 SN018 SN021 SN024 SN028 SN031",
            "SN003 SN004 SN005 SN007 SN008 SN017 SN023 SN025 SN029",
        ),
        "bp4d": _parts(
            "F001 F002 F008 F009 F010 F016 F018 F023 M001 M004 M007 M008 M012 M014",
            "F003 F005 F011 F013 F020 F022 M002 M005 M010 M011 M013 M016 M017 M018",
            "F004 F006 F007 F012 F014 F015 F017 F019 F021 M003 M006 M009 M015",
        ),
    }
)
"""The subjects of each part, by data set. The parts of a data set are disjoint and hold all of its subjects."""

FOLDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "disfa": MappingProxyType(
            {
                "megraph:1": "P3",
                "megraph:2": "P2",
                "megraph:3": "P1",
                "mdhr:1": "P3",
                "mdhr:2": "P2",
                "mdhr:3": "P1",
                "fgnet:0": "P1",
                "fgnet:1": "P2",
                "fgnet:2": "P3",
                "libreface:0": "P3",
                "libreface:1": "P2",
                "libreface:2": "P1",
                "jaanet:combine_2_3": "P1",
                "jaanet:combine_1_3": "P2",
                "jaanet:combine_1_2": "P3",
            }
        ),
        "bp4d": MappingProxyType(
            {
                "megraph:1": "P3",
                "megraph:2": "P2",
                "megraph:3": "P1",
                "fgnet:0": "P1",
                "fgnet:1": "P2",
                "fgnet:2": "P3",
            }
        ),
    }
)
"""The part that is tested in a fold of another code base, by data set."""

_SPLITS: Final = ("train", "test")


def subject_order(dataset: str) -> tuple[str, ...]:
    """Return all subjects of a data set in their canonical order, on disk or not: the rows behind identity numbers.

    >>> subject_order("disfa")[:3], len(subject_order("disfa")), subject_order("bp4d")[-1]
    (('SN001', 'SN002', 'SN003'), 27, 'M018')

    Raises:
        ConfigurationError: a data set whose subjects are not known here.
    """
    if dataset.lower() not in PARTS:
        raise ConfigurationError(f"the subjects of {dataset!r} are not known", expected=f"one of {sorted(PARTS)}")
    return tuple(sorted(subject for part in PARTS[dataset.lower()].values() for subject in part))


def select(
    dataset: str,
    subjects: Sequence[str],
    *,
    hold_out: str | Iterable[str] | None = None,
    keep: str | Iterable[str] | None = None,
    fold: str | None = None,
    split: str = "train",
) -> tuple[str, ...]:
    """Return which of the subjects that are there are kept, in the order given.

    >>> select("disfa", ["SN001", "SN003", "SN006"], hold_out="P1")
    ('SN003', 'SN006')
    >>> select("disfa", ["SN001", "SN003", "SN006"], keep=["P1", "sn006"])
    ('SN001', 'SN006')
    >>> select("disfa", ["SN001", "SN003", "SN006"], fold="megraph:1", split="test")
    ('SN003',)

    Letter case does not matter. A subject of the data set that is not among `subjects` may be named all the same: a
    part of a copy that lacks some people is still that part.

    Args:
        dataset: "disfa", "bp4d", or the name of a data set without known parts, which takes subjects only.
        subjects: the subjects that are there.
        hold_out: what is left out: a part ("P1"), a subject, or several of either.
        keep: what alone is kept, named alike.
        fold: a fold in the numbering of another code base ("megraph:1"), see `FOLDS`.
        split: with `fold`: "train" leaves out the part which that fold tests, "test" keeps just that part.

    Raises:
        ConfigurationError: more than one of `hold_out`, `keep` and `fold`; an empty one; an unknown part, subject,
            fold or split; nobody is left.
    """
    given = [name for name, value in (("hold_out", hold_out), ("keep", keep), ("fold", fold)) if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(given)} together", expected="at most one of hold_out, keep, fold")
    if split not in _SPLITS:
        raise ConfigurationError(f"split {split!r}", expected=f"one of {_SPLITS}")
    if split == "test" and fold is None:
        raise ConfigurationError(
            "split='test' without fold",
            expected="fold=NAME, which says what is tested",
            do="name the test subjects with keep= instead, keep='P1' for example",
        )
    known = subject_order(dataset) if dataset.lower() in PARTS else tuple(subjects)
    _require_known(dataset, subjects, known)
    if fold is not None:
        part = _tested_part(dataset, fold)
        hold_out, keep = (part, None) if split == "train" else (None, part)
    if hold_out is not None:
        out = _resolve(dataset, "hold_out", hold_out, known)
        kept = tuple(subject for subject in subjects if subject.upper() not in out)
    elif keep is not None:
        wanted = _resolve(dataset, "keep", keep, known)
        kept = tuple(subject for subject in subjects if subject.upper() in wanted)
    else:
        kept = tuple(subjects)
    if not kept:
        asked = f"fold={fold!r}, split={split!r}" if fold is not None else f"{given[0]}" if given else "no selection"
        raise ConfigurationError(
            f"{dataset}: nobody is left of the subjects that are there ({_few(subjects)}) with {asked}",
            expected="at least one subject that is there and kept",
        )
    return kept


def _resolve(dataset: str, option: str, names: str | Iterable[str], known: Sequence[str]) -> frozenset[str]:
    """Return the subjects, in upper case, that parts and subjects name."""
    if not isinstance(names, Iterable):
        raise ConfigurationError(f"{option}={names!r}", expected="names: a part, a subject, or a list of them")
    wanted = (names,) if isinstance(names, str) else tuple(names)
    parts = PARTS.get(dataset.lower(), {})
    exists = f"a part ({', '.join(parts)}) or a subject" if parts else "a subject"
    if not wanted or not all(wanted):
        raise ConfigurationError(
            f"{option} is empty or holds an empty name: {names!r}",
            expected=f"{exists} of {dataset}",
            do=f"leave {option} away to keep everyone",
        )
    upper = {subject.upper() for subject in known}
    resolved: set[str] = set()
    for name in wanted:
        if isinstance(name, str) and name.upper() in parts:
            resolved.update(parts[name.upper()])
        elif isinstance(name, str) and name.upper() in upper:
            resolved.add(name.upper())
        else:
            raise ConfigurationError(
                f"{option} names {name!r}, which is no part and no subject of {dataset}"
                if parts
                else f"{option} names {name!r}, which is no subject of {dataset} (it has no parts)",
                expected=f"{exists}: {', '.join(known)}",
            )
    return frozenset(resolved)


def _tested_part(dataset: str, fold: str) -> str:
    folds = FOLDS.get(dataset.lower(), {})
    if not isinstance(fold, str) or fold.lower() not in folds:
        raise ConfigurationError(
            f"unknown fold {fold!r} of {dataset}",
            expected=f"one of {', '.join(folds)}" if folds else "no fold: none is known for this data set",
            do="name what is left out with hold_out= instead",
        )
    return folds[fold.lower()]


def _require_known(dataset: str, subjects: Sequence[str], known: Sequence[str]) -> None:
    upper = {subject.upper() for subject in known}
    strange = [subject for subject in subjects if subject.upper() not in upper]
    if strange:
        raise ConfigurationError(
            f"{_few(strange)}: no subject of {dataset}", expected=f"subjects of {dataset}: {', '.join(known)}"
        )


def _few(names: Sequence[str], limit: int = 6) -> str:
    if len(names) <= limit:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
