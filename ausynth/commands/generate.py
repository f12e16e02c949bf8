"""`ausynth generate`: faces that do what a text, or numbers, ask of them, with the labels of what they show."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ausynth.commands.common import BankFolder, GeneratorName, Look, chosen_generator, png, write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from ausynth.generators.base import Conditions, Generator
    from ausynth.labels import Labels

__all__ = ["generate"]

_SIZE: Final = 256
"""Of what the renderer draws, where no size is given: it draws at any."""


@dataclass(frozen=True)
class _Opened:
    generator: Generator
    why: str


def generate(
    *,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help='What the face does: "a slight smile, brows raised".')
    ] = None,
    out: Annotated[
        Path,
        typer.Option(metavar="X.png|FOLDER", help="One picture; several as a contact sheet; a folder: a file each."),
    ],
    au: Annotated[
        list[str] | None,
        typer.Option("--au", metavar="12=3,6=2", help="Action units and intensities, instead of TEXT."),
    ] = None,
    identity: Annotated[
        int | None, typer.Option(min=0, help="A person's number; default as many people as pictures.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1024, help="How many pictures.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of pose, light and all else; the n-th picture has SEED + n.")] = 0,
    generator: GeneratorName = "auto",
    device: Annotated[str | None, typer.Option(help="cpu or cuda [default: the best there is]")] = None,
    size: Annotated[
        int | None, typer.Option(min=32, max=4096, help="Height and width in pixels; a network's pictures are scaled.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="MAUGen: of its solver.")] = None,
    guidance: Annotated[float | None, typer.Option(help="MAUGen: how much the expression is stressed; 1: not.")] = None,
    look: Look = None,
    bank: BankFolder = None,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="A file for request and labels.")] = None,
) -> None:
    """Make faces that do what a text says, and say what they show.

    An emotion stands for the action units of its prototype. Labels are those that the pictures carry: MAUGen's are read
    from the picture, and need not be what was asked.
    """
    from rich.console import Console

    from ausynth.errors import ConfigurationError
    from ausynth.requests import intensities_of_text, intensities_of_units, request_vector

    if (text is None) == (not au):
        raise ConfigurationError(
            "neither a text nor --au" if text is None else "a text and --au",
            expected='one of them: ausynth generate "a slight smile" --out x.png, or --au 12=2',
        )
    asked = intensities_of_text(text) if text is not None else intensities_of_units(au or [])
    _require_writable(out)
    if json is not None:
        _require_writable(json)
    options = {"size": size, "steps": steps, "guidance": guidance}
    opened = _open(chosen_generator(generator, look, bank), asked, count=count, device=device, options=options)
    made_by = opened.generator
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"asked: {_said(asked)}", markup=False)
    console.print(f"made by: {made_by.name}" + (f" ({opened.why})" if opened.why else ""), markup=False)
    conditions = _conditions(
        made_by, request_vector(asked, made_by.aus, f"generator {made_by.name!r}"), count, identity, seed
    )
    images, labels = _make(made_by, conditions)
    _print_labels(console, conditions, labels)
    title = _said(asked) if text is None else text
    for file in _write(out, images, labels, conditions, title=title, size=size):
        console.print(f"{file}", markup=False)
    if json is not None:
        write_whole(json, _json(text, asked, opened, conditions, labels))
        console.print(f"{json}: request and labels", markup=False)


def _open(
    chosen: Any, asked: Mapping[int, float], *, count: int, device: str | None, options: Mapping[str, Any]
) -> _Opened:
    """Return the generator with those options that were given; one that lacks an option says so."""
    from ausynth.errors import ConfigurationError
    from ausynth.generators import load_generator, resolve_auto

    given = {"name": chosen} if isinstance(chosen, str) else dict(chosen)
    name, why = given.pop("name"), ""
    if name == "auto":
        name, why = resolve_auto([au for au, intensity in asked.items() if intensity > 0])
    of_network = {key: options[key] for key in ("steps", "guidance") if options[key] is not None}
    if name == "rendered":
        if of_network:
            raise ConfigurationError(
                f"--{' and --'.join(of_network)} for the renderer" + (f" (auto: {why})" if why else ""),
                expected="options of the generator",
                do="leave them out, or name a MAUGen: --generator FOLDER",
            )
        if device not in (None, "cpu") and not why:
            raise ConfigurationError(f"--device {device} for the renderer", expected="cpu, or nothing")
        return _Opened(load_generator(name, **{"image_size": options["size"] or _SIZE, **given}), why)
    # One picture is not to wait for the fifteen others of a block.
    of_network["block_size"] = min(count, 16)
    return _Opened(load_generator(name, device, **of_network, **given), why)


def _conditions(
    generator: Generator, vector_A: NDArray[np.float32], count: int, identity: int | None, seed: int
) -> Conditions:
    import numpy as np

    from ausynth.generators.asking import ask

    number_B = seed + np.arange(count, dtype=np.int64)
    people_B = number_B if identity is None else np.full(count, identity, np.int64)
    return ask(generator, np.repeat(vector_A[None], count, axis=0), people_B, number_B)


def _make(generator: Generator, conditions: Conditions) -> tuple[NDArray[np.uint8], Labels]:
    """Return the pictures and labels, asked for in whole blocks."""
    import numpy as np
    from rich.console import Console

    from ausynth.bars import counting_bar
    from ausynth.labels import Labels

    count, block = len(conditions), generator.block_size
    images, labels = [], []
    with counting_bar("pictures", console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("making", total=count)
        for start in range(0, count, block):
            made = generator.generate(conditions.rows(np.minimum(np.arange(start, start + block), count - 1)))
            stop = min(block, count - start)
            images.append(made.images[:stop])
            labels.append(made.labels[:stop])
            bar.advance(task, stop)
    return np.concatenate(images), Labels.concatenate(labels)


def _write(
    out: Path, images: NDArray[np.uint8], labels: Labels, conditions: Conditions, *, title: str, size: int | None
) -> list[Path]:
    """Write the pictures, and return the files."""
    import numpy as np

    from ausynth.sheets import batch_sheet

    sized = [_sized(image, size) for image in images]
    if not out.suffix:
        files = [out / f"{row:04d}.png" for row in range(len(sized))]
        for file, image in zip(files, sized, strict=True):
            write_whole(file, png(image))
        return files
    if len(sized) == 1:
        write_whole(out, png(sized[0]))
        return [out]
    alone = len(np.unique(conditions.identity)) == 1
    captions = [f"seed {seed}" for seed in conditions.noise] if alone else [f"person {n}" for n in conditions.identity]
    drawn = batch_sheet(images, labels, np.ones(len(images), bool), captions, title=title, picture=size or 180)
    write_whole(out, png(drawn))
    return [out]


def _sized(image: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    import cv2
    import numpy as np

    if size is None or image.shape[0] == size:
        return image
    way = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=way), np.uint8)


def _require_writable(path: Path) -> None:
    """Refuse a place where nothing can be written before anything is made."""
    from ausynth.errors import ConfigurationError

    folder = path.parent if path.suffix else path
    there = next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))
    if path.suffix and path.is_dir():
        problem = "is a folder"
    elif not there.is_dir():
        problem = f"cannot be made: {there} is a file"
    elif not os.access(there, os.W_OK | os.X_OK):
        problem = f"cannot be written: no permission in {there}"
    elif path.suffix and path.suffix.lower() not in (".png", ".json"):
        problem = f"has the suffix {path.suffix}"
    else:
        return
    raise ConfigurationError(f"{path} {problem}", expected="a .png file, or a folder, that can be written")


def _said(asked: Mapping[int, float]) -> str:
    from ausynth import facs

    active = [f"AU{au} {facs.ACTION_UNITS[au].name} {level:g}" for au, level in asked.items() if level > 0]
    return ", ".join(active) or "a neutral face"


def _print_labels(console: Console, conditions: Conditions, labels: Labels) -> None:
    """Print what each picture says it shows: AUs that are there, by intensity, with the confidence in each."""
    import numpy as np
    from rich.markup import escape

    for row in range(len(labels)):
        intensity_A, there_A, sure_A = labels.intensity[row], labels.occurrence[row], labels.confidence[row]
        shown = []
        for column in np.argsort(-np.nan_to_num(intensity_A), kind="stable"):
            strong = intensity_A[column]
            if there_A[column] == 1 or strong >= 1:
                level = "+" if np.isnan(strong) else f"{strong:.1f}"
                shown.append(f"AU{labels.aus[column]} {level} ({sure_A[column]:.0%})")
        unknown = [f"AU{au}" for au, known in zip(labels.aus, labels.mask[row], strict=True) if not known]
        words = ", ".join(shown) or "no action unit"
        more = f"; uncertain: {', '.join(unknown)}" if unknown else ""
        console.print(escape(f"person {conditions.identity[row]}, seed {conditions.noise[row]} shows: {words}{more}"))


def _json(
    text: str | None, asked: Mapping[int, float], opened: _Opened, conditions: Conditions, labels: Labels
) -> bytes:
    import json
    import math

    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(float(value), 4)

    def entry(row: int, column: int) -> dict[str, float | None]:
        parts = ("intensity", "occurrence", "confidence")
        return {part: number(float(getattr(labels, part)[row, column])) for part in parts}

    pictures = [
        {
            "identity": int(conditions.identity[row]),
            "seed": int(conditions.noise[row]),
            "prompt": conditions.prompt[row] if conditions.prompt else None,
            "labels": {str(au): entry(row, column) for column, au in enumerate(labels.aus)},
        }
        for row in range(len(labels))
    ]
    made_by = {"name": opened.generator.name, "fingerprint": opened.generator.fingerprint, "why": opened.why}
    facts = {"text": text, "asked": {str(au): level for au, level in asked.items()}, "generator": made_by}
    return (json.dumps({**facts, "pictures": pictures}, indent=1) + "\n").encode()
