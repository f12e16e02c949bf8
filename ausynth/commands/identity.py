"""`ausynth identity`: who may be seen in synthetic faces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ausynth.commands.common import (
    BP4DRoot,
    DISFARoot,
    GeneratorName,
    ImageSize,
    RealSets,
    given_roots,
    one_or_many,
    png,
    real_sets,
    split_names,
    write_whole,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from ausynth.identity_report import IdentityReport
    from ausynth.samplers.leakage import LeakageGuard
    from ausynth.sources.side import SyntheticSide

__all__ = ["identity"]

identity = typer.Typer(
    help="Say who may be seen in synthetic faces.", no_args_is_help=True, pretty_exceptions_enable=False
)

_BAR = 40


@identity.callback()
def _identity() -> None:
    pass


@identity.command()
def report(
    *,
    real: RealSets = None,
    disfa_root: DISFARoot = None,
    bp4d_root: BP4DRoot = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(metavar="P1|SN001|...", help="Parts or subjects that are tested on.")
    ] = None,
    fold: Annotated[str | None, typer.Option(help="A fold by another code base's name, such as megraph:1.")] = None,
    generator: GeneratorName = "auto",
    image_size: ImageSize = 112,
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A cache of that generator: faces are taken from it.")
    ] = None,
    synthetic: Annotated[
        Path | None, typer.Option(metavar="POOL", help="A finished store of faces instead of a generator.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many synthetic faces are looked at.")] = 500,
    identities: Annotated[int | None, typer.Option(min=1, help="How many people the generator shows.")] = None,
    encoder: Annotated[str, typer.Option(help="dlib, or the path of an ArcFace .onnx file.")] = "dlib",
    seed: Annotated[int, typer.Option(help="Seed of the faces.")] = 0,
    pairs: Annotated[int, typer.Option(min=1, max=16, help="Closest pairs of each kind on the sheet.")] = 8,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where identity.png, the sheet, goes.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="A file for all figures.")] = None,
) -> None:
    """Compare synthetic faces with one another, with the people who are trained on, and with those who are held out.

    Prints histograms of the nearest cosines, how many people an encoder can tell apart, and how many faces a guard
    would reject; with --out also draws the closest pairs. That sheet shows frames of the real sets: keep it as you keep
    those.
    Embeddings are stored beside the faces: a second report, and a stream with guard=True, needs none.
    """
    import json as text

    from rich.console import Console

    from ausynth.guarding import HeldOut, held_out_sources, open_guard
    from ausynth.identity_report import Real, pair_sheet, report_identities
    from ausynth.samplers.gallery import Gallery
    from ausynth.sources.opening import open_real
    from ausynth.stream import MixedStream

    console = Console(soft_wrap=True, highlight=False)
    roots = given_roots(disfa_root, bp4d_root) or None
    chosen: dict[str, Any] = {"hold_out": one_or_many(split_names(hold_out)), "fold": fold, "keep": None}
    names = real_sets(real)
    opened = open_real(names, root=roots, **chosen)
    held_out = HeldOut.of(names, opened, **chosen)
    guard = open_guard(encoder, held_out, opened, root=roots, align="none")
    assert guard is not None
    train = [Real(source, Gallery.of_source(source, guard.encoder)) for source in opened]
    tested = held_out_sources(held_out, root=roots)
    test = [Real(source, Gallery.of_source(source, guard.encoder)) for source in tested]
    stream = MixedStream(
        None,
        1,
        generator=generator,
        cache=cache,
        synthetic=synthetic,
        image_size=image_size,
        balance=None,
        identities=identities,
        seed=seed,
    )
    side = stream.synthetic_side
    embeddings, people = _looked_at(side, guard, count)
    found = report_identities(guard, embeddings, people, train, test, pairs=pairs)
    if guard.calibration is not None:
        console.print(guard.calibration.report())
    _print(console, found)
    if json is not None:
        write_whole(json, (text.dumps(found.to_json(), indent=1) + "\n").encode())
    if out is not None:

        def picture(row: int) -> NDArray[np.uint8]:
            image: NDArray[np.uint8] = next(images for _, images in side.samples(row, row + 1))[0]
            return image

        write_whole(out / "identity.png", png(pair_sheet(found, picture, train, test)))
        console.print(f"the closest pairs: {out / 'identity.png'}")


def _looked_at(side: SyntheticSide, guard: LeakageGuard, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    import numpy as np
    from rich.console import Console

    from ausynth.bars import counting_bar
    from ausynth.sources.screening import Screen

    screen = Screen(None, guard, getattr(side, "store", None))
    vectors, people = [], []
    with side.running(0), counting_bar("faces", console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("comparing faces", total=count)
        try:
            for samples, images in side.samples(0, count):
                vectors.append(screen.embedded(images, samples.key))
                people.append(samples.identity)
                bar.advance(task, len(images))
        finally:
            screen.flush()
    return np.concatenate(vectors), np.concatenate(people)


def _print(console: Console, found: IdentityReport) -> None:
    console.print(
        f"{found.faces:,} synthetic faces of {found.dealt:,} people; no face found in {found.no_face}; "
        f"{found.clusters:,} people that the encoder tells apart at {found.threshold:.4f}, effectively "
        f"{found.effective:.1f}; {found.rejected} faces too like a held-out person"
    )
    for kind, cosines in found.nearest.items():
        if not len(cosines):
            continue
        console.print(f"\n{kind}: cosine of the nearest, for {len(cosines):,} faces")
        for line in _bars(found.histogram(kind)):
            console.print(line)


def _bars(histogram: dict[str, int]) -> Iterator[str]:
    most = max(histogram.values())
    for edge, count in histogram.items():
        yield f"  {edge}  {'█' * round(_BAR * count / most):<{_BAR}}  {count:,}"
