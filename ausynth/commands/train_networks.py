"""`ausynth train detector` and the other small networks that look at faces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ausynth.commands.common import label_space
from ausynth.errors import ConfigurationError

if TYPE_CHECKING:
    from ausynth.networks.data import FaceSet
    from ausynth.networks.scores import Scores

__all__ = ["detector", "identity", "load_faces", "realism", "table_of"]

_LINE_EVERY = 20.0
_MARGIN = 4

Data = Annotated[
    list[Path], typer.Option(metavar="STORE", help="Store of faces that warmup or prepare has filled; may be repeated.")
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the network; one that is there is replaced.")]
Architecture = Annotated[str, typer.Option(help="residual, separable, patches or plain.")]
Width = Annotated[int | None, typer.Option(min=1, help="Channels of its finest stage [default: by architecture]")]
Size = Annotated[int, typer.Option(help="Height and width that the network works at, in pixels.")]
Crop = Annotated[str, typer.Option(metavar="SHARE", help="The middle share of each picture that it sees: 0.7, 64/88.")]
SplitOption = Annotated[
    str | None, typer.Option("--split", metavar="K/N", help="Leave the K-th of N parts of the people out, to measure.")
]
Space = Annotated[
    str | None, typer.Option(help="Label space: disfa-12, bp4d-12, or 1,2,4 [default: all of the stores' AUs]")
]
Steps = Annotated[int, typer.Option(min=1, help="The most steps.")]
Minutes = Annotated[float | None, typer.Option(min=0, help="The most minutes.")]
Batch = Annotated[int, typer.Option(min=2, help="Pictures of a step.")]
Rate = Annotated[float, typer.Option(help="The highest learning rate.")]
Seed = Annotated[int, typer.Option(help="Seed of everything.")]


def detector(
    *,
    data: Data,
    out: Out,
    architecture: Architecture = "residual",
    width: Width = None,
    image_size: Size = 64,
    crop: Crop = "1",
    aus: Space = None,
    split: SplitOption = None,
    steps: Steps = 10_000,
    minutes: Minutes = None,
    batch_size: Batch = 128,
    lr: Rate = 2e-3,
    seed: Seed = 0,
) -> None:
    """Train an AU detector on stored faces.

    Several of different architectures and splits, calibrated, are a verifier: see `ausynth train verifier`.
    """
    import torch
    from rich.console import Console

    from ausynth.networks import AUNet, save
    from ausynth.networks.data import Split
    from ausynth.networks.detecting import train_detector
    from ausynth.networks.fitting import FitOptions

    console = Console(soft_wrap=True, highlight=False)
    parted = None if split is None else Split.parse(split)
    faces = load_faces(data, image_size, crop, aus)
    torch.manual_seed(seed)  # the fresh weights
    network = AUNet(architecture, faces.labels.aus, image_size, width=width)
    console.print(f"{len(faces):,} pictures, {len(faces.labels.aus)} AUs; {_told(network)}.")
    options = FitOptions(steps=steps, minutes=minutes, batch_size=batch_size, lr=lr, seed=seed)
    with shown() as show:
        trained, fitted, scores, record = train_detector(network, faces, options, split=parted, show=show)
    save(trained, out, record)
    console.print(f"{fitted.steps:,} steps, {fitted.images / fitted.seconds:,.0f} pictures/s.")
    if scores is not None:
        console.print(table_of(scores, "People left out"))
    console.print(f"Network: {out}", markup=False)


def identity(
    *,
    data: Data,
    out: Out,
    architecture: Architecture = "residual",
    width: Width = None,
    image_size: Size = 64,
    crop: Crop = "1",
    split: SplitOption = None,
    steps: Steps = 10_000,
    minutes: Minutes = None,
    batch_size: Batch = 128,
    lr: Rate = 2e-3,
    seed: Seed = 0,
) -> None:
    """Train a network that says who is shown, whatever the face is doing, on stored faces.

    People of stores that one generator filled are told apart by their identity numbers.
    """
    import torch
    from rich.console import Console

    from ausynth.networks import IdentityNet, save
    from ausynth.networks.data import Split
    from ausynth.networks.fitting import FitOptions
    from ausynth.networks.identifying import train_identity

    console = Console(soft_wrap=True, highlight=False)
    parted = None if split is None else Split.parse(split)
    faces = load_faces(data, image_size, crop, None)
    torch.manual_seed(seed)  # the fresh weights
    network = IdentityNet(architecture, image_size, width=width)
    console.print(f"{len(faces):,} pictures of {faces.person.max() + 1:,} people; {_told(network)}.")
    options = FitOptions(steps=steps, minutes=minutes, batch_size=batch_size, lr=lr, seed=seed)
    with shown() as show:
        trained, result, record = train_identity(network, faces, options, split=parted, show=show)
    save(trained, out, record)
    if result is not None:
        console.print(
            f"{result.people:,} people left out, {result.pictures:,} pictures, all pairs: AUC {result.auc:.4f}, "
            f"EER {result.eer:.4f}; mean cosine {result.same:.3f} (same person), {result.different:.3f} (different)."
        )
    console.print(f"Network: {out}", markup=False)


def realism(
    *,
    real: Annotated[list[Path], typer.Option(metavar="STORE", help="Store of real pictures; may be repeated.")],
    fake: Annotated[list[Path], typer.Option(metavar="STORE", help="Store of generated ones; may be repeated.")],
    out: Out,
    architecture: Architecture = "residual",
    width: Width = None,
    image_size: Size = 64,
    crop: Crop = "1",
    crop_fake: Annotated[
        str | None, typer.Option(metavar="SHARE", help="--crop of the generated pictures [default: the same]")
    ] = None,
    steps: Steps = 10_000,
    minutes: Minutes = None,
    batch_size: Batch = 128,
    lr: Rate = 1e-3,
    seed: Seed = 0,
) -> None:
    """Train a network that tells generated pictures from those that their generator learned from.

    Real are here the pictures that a generator is to be as good as: photographs, or renders. It tells this generator's
    mistakes, and not others'.
    """
    import torch
    from rich.console import Console

    from ausynth.networks import RealismNet, save
    from ausynth.networks.fitting import FitOptions
    from ausynth.networks.realism import train_realism

    console = Console(soft_wrap=True, highlight=False)
    reals = load_faces(real, image_size, crop, None, labelled=False)
    fakes = load_faces(fake, image_size, crop if crop_fake is None else crop_fake, None, labelled=False)
    torch.manual_seed(seed)  # the fresh weights
    network = RealismNet(architecture, image_size, width=width)
    console.print(f"{len(reals):,} real and {len(fakes):,} generated pictures; {_told(network)}.")
    options = FitOptions(steps=steps, minutes=minutes, batch_size=batch_size, lr=lr, seed=seed)
    with shown() as show:
        trained, result, record = train_realism(network, reals, fakes, options, show=show)
    save(trained, out, record)
    console.print(
        f"Of pictures left out, {result['real_accepted']:.1%} of the real ones are accepted and "
        f"{result['fake_refused']:.1%} of the generated ones refused."
    )
    console.print(f"Network: {out}", markup=False)


def _told(network: Any) -> str:
    from ausynth.networks.backbones import count_flops

    size = sum(each.numel() for each in network.parameters())
    flops = count_flops(network.eval(), network.image_size)
    return f"{network.architecture}, {size / 1e6:.2f}M parameters, {flops / 1e6:.1f} MFLOP a picture"


def share_of(text: str) -> float:
    """Return the share that "0.7" or "64/88" names; raise ConfigurationError where it names none."""
    try:
        share = float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        share = 0.0
    if not 0 < share <= 1:
        raise ConfigurationError(f"crop {text!r}", expected="a share above 0 and up to 1, such as 0.7 or 64/88")
    return share


def load_faces(data: list[Path], size: int, crop: str, aus: str | None, *, labelled: bool = True) -> FaceSet:
    """Return the faces of stores, with a bar meanwhile; `labelled`: at least one must have a label that is wanted."""
    from ausynth import facs
    from ausynth.bars import counting_bar
    from ausynth.networks.data import read_faces

    space = None if aus is None else facs.label_space(label_space(aus))
    share = share_of(crop)
    with counting_bar("pictures", transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return read_faces(data, size=size, crop=share, margin=_MARGIN, aus=space, labelled=labelled, show=show)


@contextmanager
def shown() -> Iterator[Callable[[float, int, float], None]]:
    """Give a function that shows how far a training is: as a bar, or in a log now and then as a line."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = (BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn(), TimeRemainingColumn())
    began = said = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0, said="")

        def show(done: float, images: int, loss: float) -> None:
            nonlocal said
            now = time.monotonic()
            text = f"{images:,} pictures, {images / max(now - began, 1e-9):,.0f}/s, loss {loss:.3f}"
            bar.update(task, completed=done, said=text)
            if not console.is_terminal and now - said > _LINE_EVERY:
                said = now
                console.print(f"{done:.0%}: {text}")

        yield show


def table_of(scores: Scores, title: str) -> Any:
    """Return scores as a table."""
    import numpy as np
    from rich.table import Table

    table = Table(title=title)
    for column in ("AU", "F1", "MAE", "MAE of zeros", "rate"):
        table.add_column(column, justify="right")
    rows = zip(scores.aus, scores.f1, scores.mae, scores.mae_of_zeros, scores.rate, strict=True)
    for au, f1, mae, zeros, rate in rows:
        table.add_row(f"AU{au}", f"{f1:.3f}", f"{mae:.3f}", f"{zeros:.3f}", f"{rate:.3f}")
    means = [float(np.nanmean(each)) for each in (scores.f1, scores.mae, scores.mae_of_zeros, scores.rate)]
    table.add_row("mean", *(f"{mean:.3f}" for mean in means))
    return table
