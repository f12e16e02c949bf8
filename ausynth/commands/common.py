"""What commands share: options that come in several, and files that are whole or not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ausynth.durable import write_aside

__all__ = [
    "BP4DRoot",
    "BankFolder",
    "DISFARoot",
    "GeneratorName",
    "ImageSize",
    "Look",
    "Ratio",
    "RealSets",
    "chosen_generator",
    "given_roots",
    "label_space",
    "one_or_many",
    "png",
    "real_sets",
    "split_names",
    "write_whole",
]

DISFARoot = Annotated[
    Path | None, typer.Option("--disfa-root", metavar="FOLDER", help="Root of DISFA; else AUSYNTH_DISFA_ROOT.")
]
BP4DRoot = Annotated[
    Path | None, typer.Option("--bp4d-root", metavar="FOLDER", help="Root of BP4D; else AUSYNTH_BP4D_ROOT.")
]

RealSets = Annotated[
    list[str] | None, typer.Option("--real", metavar="disfa|bp4d|none", help="Real data sets, repeated or with commas.")
]
Ratio = Annotated[float, typer.Option(help="Share of synthetic samples, 0 to 1.")]
GeneratorName = Annotated[
    str,
    typer.Option(
        metavar="auto|rendered|maugen|FOLDER",
        help="What makes the synthetic faces; auto: the best that is there, as `ausynth doctor` says.",
    ),
]
Look = Annotated[
    str | None,
    typer.Option("--look", metavar="procedural|portrait", help="Of the generator 'rendered': what it draws."),
]
BankFolder = Annotated[
    Path | None, typer.Option("--bank", metavar="FOLDER", help="The face bank that --look portrait shows.")
]
ImageSize = Annotated[int, typer.Option(help="Height and width in pixels.")]


def chosen_generator(name: Any, look: str | None, bank: Path | None) -> Any:
    """Return the generator as `MixedStream` takes it: its name (or its options) alone, or with a look and a face bank.

    >>> chosen_generator("rendered", "portrait", Path("bank"))
    {'name': 'rendered', 'look': 'portrait', 'bank': 'bank'}

    A look is the renderer's: with one, "auto" is the renderer.
    """
    if look is None and bank is None:
        return name
    options = dict(name) if isinstance(name, Mapping) else {"name": "rendered" if name == "auto" else name}
    # A bank is what the portrait look shows: asked for one, nobody wants the other look.
    options["look"] = look if look is not None else options.get("look", "portrait")
    if bank is not None:
        options["bank"] = str(bank)
    return options


def real_sets(given: Sequence[str] | None) -> str | list[str] | None:
    """Return the real data sets that `--real` names, as `MixedStream` takes them; DISFA where it is left out."""
    names = split_names(given) or ["disfa"]
    return None if names == ["none"] else names[0] if len(names) == 1 else names


def split_names(given: Sequence[str] | None) -> list[str]:
    """Return the words of a repeatable option that also takes commas.

    >>> split_names(["disfa,bp4d", "ck"])
    ['disfa', 'bp4d', 'ck']
    """
    return [word.strip() for entry in given or () for word in entry.split(",") if word.strip()]


def one_or_many(names: list[str]) -> str | list[str] | None:
    """Return a lone name by itself, several as they are, and None for none: so hold_out= and keep= take them."""
    return names[0] if len(names) == 1 else names or None


def png(image: Any) -> bytes:
    """Return a picture (H, W, 3) uint8 as PNG data."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def given_roots(disfa_root: Path | None, bp4d_root: Path | None) -> dict[str, Path]:
    """Return the roots that were given, by data set."""
    return {name: root for name, root in (("disfa", disfa_root), ("bp4d", bp4d_root)) if root is not None}


def label_space(given: str) -> str | list[int]:
    """Return the label space that `--aus` names: a word as it is, "1,2,4" as numbers."""
    words = split_names([given])
    return [int(word) for word in words] if words and all(word.isdecimal() for word in words) else given


def write_whole(path: Path, data: bytes) -> None:
    """Write a file aside, bring it to the disk, and move it to its place; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, data)
