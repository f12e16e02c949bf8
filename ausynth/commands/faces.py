"""`ausynth faces`: banks of people for the portrait look, made from photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ausynth.commands.common import BP4DRoot, DISFARoot, given_roots, one_or_many, png, split_names, write_whole

if TYPE_CHECKING:
    from rich.console import Console

    from ausynth.generators.portrait.bank_builder import Report
    from ausynth.generators.portrait.building import Photograph

__all__ = ["faces"]

faces = typer.Typer(
    no_args_is_help=True,
    help="People for the portrait look: build a bank from photographs, inspect it.",
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_LICENCES = {
    "disfa": ("DISFA licence agreement: not to be passed on", "Mavadati et al. (2013), DISFA"),
    "bp4d": ("BP4D licence agreement: not to be passed on", "Zhang et al. (2014), BP4D-Spontaneous"),
}


@faces.command()
def build(
    photos: Annotated[
        Path | None, typer.Argument(metavar="[PHOTOS]", help="Folder of frontal, neutral photographs.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="BANK", help="Folder of the bank: new, or to be added to.")],
    people: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="A row a photograph: file, identity; licence, source, age, gender, ethnicity."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Only such rows of the list: role=bank. Repeatable."),
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of photographs whose row names none.")] = None,
    source: Annotated[str | None, typer.Option(help="Whom to credit, where the row does not say.")] = None,
    real: Annotated[
        str | None, typer.Option(metavar="disfa|bp4d", help="Instead of PHOTOS: neutral frames of a data set's people.")
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(metavar="PART|SUBJECTS|none", help="Who must not be in the bank: with --real it has to be said."),
    ] = None,
    each: Annotated[int, typer.Option(min=1, help="Neutral frames of each person to choose the best fit from.")] = 5,
    landmarks: Annotated[
        str, typer.Option(metavar="mediapipe|files|FOLDER", help="Who finds the 68 landmarks, or where they lie.")
    ] = "mediapipe",
    model: Annotated[
        Path | None, typer.Option(metavar="TASK", help="face_landmarker.task; else the imported one.")
    ] = None,
    disfa_root: DISFARoot = None,
    bp4d_root: BP4DRoot = None,
) -> None:
    """Build a bank of people from frontal photographs of neutral faces, for the portrait look.

    Each photograph is fitted with ICT-FaceKit's head (`ausynth assets import ict-facekit PATH`), baked into a texture,
    and cut out of its background: about 60 KB a person, with licence and source. Photographs that cannot be fitted well
    are left out, and it is said why; rejected.json in the bank keeps the reasons. Interrupt it at any time: the same
    command goes on.

    Landmarks are found by MediaPipe (the extra `faces`, and `ausynth assets import face-landmarker PATH`), or read from
    files: 68 points in .npy, .txt, .pts, .mat or .json, named as the photograph.

    With `--real disfa --hold-out P1` the bank shows the training people of that fold, and nobody of the test fold.
    """
    from rich.console import Console

    from ausynth.bars import counting_bar
    from ausynth.errors import ConfigurationError
    from ausynth.generators.portrait.bank import FaceBank
    from ausynth.generators.portrait.bank_builder import build_bank
    from ausynth.generators.portrait.ict import load_ict

    if (photos is None) == (real is None):
        raise ConfigurationError(
            "both PHOTOS and --real" if photos else "neither PHOTOS nor --real", expected="one of the two"
        )
    head = load_ict()
    allowed: list[str] | None = None
    chosen: list[Photograph]
    if real is not None:
        chosen, allowed = _of_data_set(real, hold_out, given_roots(disfa_root, bp4d_root), each)
    else:
        assert photos is not None
        if hold_out:
            raise ConfigurationError("--hold-out without --real", expected="--where for photographs of a folder")
        from ausynth.generators.portrait.photographs import find_photographs

        chosen = find_photographs(
            photos,
            people=people,
            where=_conditions(where),
            licence=licence,
            source=source,
            landmark_files=landmarks != "mediapipe",
            landmark_folder=Path(landmarks) if landmarks not in ("mediapipe", "files") else None,
        )

    def finder() -> Any:
        from ausynth.generators.portrait.landmarks_mediapipe import MediaPipeFinder

        return MediaPipeFinder(model)

    console = Console(soft_wrap=True)
    with counting_bar("people", console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(done: int, total: int, who: str) -> None:
            bar.update(task, completed=done, total=total, description=who)

        report = build_bank(chosen, out, head, finder=finder, allowed=allowed, progress=show)
    _say(console, out, report, len(FaceBank(out, head)))
    if not report.made and not report.found:
        raise typer.Exit(1)


@faces.command()
def inspect(
    bank: Annotated[Path, typer.Argument(metavar="BANK", help="Folder of a bank.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="PNG", help="The contact sheet.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these people, repeated or with commas.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Of more people than this, some from all over the list.")] = 60,
    size: Annotated[int, typer.Option(min=64, max=512, help="Height and width of each picture.")] = 192,
) -> None:
    """Draw a contact sheet of a bank, a row for each person.

    From the left: photograph, fitted head, matte, texture; then rendered: neutral, AU12, AU4 and AU1+2+5+26 at 4.
    """
    from rich.console import Console

    from ausynth.errors import ConfigurationError
    from ausynth.generators.portrait.bank import FaceBank
    from ausynth.generators.portrait.bank_sheet import bank_sheet
    from ausynth.generators.portrait.ict import load_ict

    head = load_ict()
    opened = FaceBank(bank, head)
    names = split_names(only) or list(opened.names)
    names = [names[i * len(names) // min(most, len(names))] for i in range(min(most, len(names)))]
    if not names:
        raise ConfigurationError(f"nobody in {bank}", expected="a bank with people", do="add some: ausynth faces build")
    sheet = bank_sheet(opened, head, names=names, size=size)
    write_whole(out, png(sheet))
    console = Console(soft_wrap=True)
    console.print(f"{out}: {len(names)} of {len(opened)} people.")
    for credit in opened.credits():
        console.print(f"photographs: {credit}")


def _of_data_set(
    real: str, hold_out: list[str] | None, roots: dict[str, Path], each: int
) -> tuple[list[Photograph], list[str]]:
    """Return neutral frames of a data set's training people, and who those are."""
    from ausynth.errors import ConfigurationError
    from ausynth.generators.portrait.photographs import neutral_frames
    from ausynth.sources import open_source

    name = real.lower()
    if name not in _LICENCES:
        raise ConfigurationError(f"--real {real}", expected=" or ".join(_LICENCES))
    held_out = split_names(hold_out)
    if not held_out:
        raise ConfigurationError(
            f"--real {name} without --hold-out",
            expected="the part or the subjects that will be tested on, since nobody of them may be in the bank",
            do="pass --hold-out P1 (or what your test part is), or --hold-out none if nobody will be tested on",
        )
    options = {} if held_out == ["none"] else {"hold_out": one_or_many(held_out)}
    opened = open_source(name, roots.get(name), **options)
    licence, credit = _LICENCES[name]
    photographs = neutral_frames(opened, each=each, licence=licence, credit=credit)
    return photographs, sorted({f"{opened.name}:{opened.subjects[i]}" for i in set(opened.identities.tolist())})


def _conditions(where: list[str] | None) -> dict[str, str]:
    """Return the columns and values of COLUMN=VALUE.

    >>> _conditions(["role=bank", "expression=neutral"])
    {'role': 'bank', 'expression': 'neutral'}
    """
    from ausynth.errors import ConfigurationError

    found = {}
    for entry in where or ():
        name, sign, value = entry.partition("=")
        if not sign or not name:
            raise ConfigurationError(f"--where {entry}", expected="COLUMN=VALUE, role=bank for example")
        found[name.strip()] = value.strip()
    return found


def _say(console: Console, out: Path, report: Report, total: int) -> None:
    for name, reasons in report.rejected.items():
        console.print(f"left out {name}:", style="yellow", highlight=False)
        for reason in reasons:
            console.print(f"  {reason}", highlight=False)
    already = f", {len(report.found)} were there already" if report.found else ""
    console.print(
        f"{out}: {total} people. {len(report.made)} added{already}, {len(report.rejected)} left out.", highlight=False
    )
    if total:
        console.print(f"Look at them: ausynth faces inspect {out} --out bank.png", highlight=False)
