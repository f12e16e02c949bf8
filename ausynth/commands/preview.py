"""`ausynth preview`: what a mixed stream looks like, as pictures and numbers."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ausynth.commands.common import (
    BankFolder,
    BP4DRoot,
    DISFARoot,
    GeneratorName,
    ImageSize,
    Look,
    Ratio,
    RealSets,
    chosen_generator,
    given_roots,
    label_space,
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

    from ausynth.generators.base import Generator
    from ausynth.labels import Labels
    from ausynth.stream import MixedStream

__all__ = ["au_pictures", "preview"]

_TIMED_BATCHES = 12
_CHART_PERSON = 26  # young, hair off the forehead: wrinkles and brows are easy to see


def preview(
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where batch.png and aus.png go.")],
    real: RealSets = None,
    disfa_root: DISFARoot = None,
    bp4d_root: BP4DRoot = None,
    ratio: Ratio = 0.5,
    generator: GeneratorName = "auto",
    look: Look = None,
    bank: BankFolder = None,
    image_size: ImageSize = 112,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Samples in the batch that is shown.")] = 32,
    hold_out: Annotated[
        list[str] | None, typer.Option(metavar="P1|SN001|...", help="Parts or subjects that are never shown.")
    ] = None,
    aus: Annotated[
        str, typer.Option(help="Label space: benchmark, union, intersection, a name such as disfa-12, or 1,2,4.")
    ] = "benchmark",
) -> None:
    """Draw a mixed batch with its labels, and every AU of the generator by itself, and measure the stream.

    Writes batch.png and aus.png, and prints how fast the stream is and how often each AU occurs in it.
    """
    from rich.console import Console

    from ausynth.stream import MixedStream

    roots = given_roots(disfa_root, bp4d_root)
    chosen = chosen_generator(generator, look, bank)
    stream = MixedStream(
        real=real_sets(real),
        ratio=ratio,
        root=roots or None,
        generator=chosen,
        image_size=image_size,
        seed=seed,
        batch_size=batch_size,
        hold_out=one_or_many(split_names(hold_out)),
        aus=label_space(aus),
    )
    console = Console(soft_wrap=True)
    # A network on the CPU takes seconds for a picture: it is not asked for more of them than are shown.
    timed = 2 if getattr(stream.generator, "device", None) == "cpu" else _TIMED_BATCHES
    batches, seconds = _time(stream, timed)
    files = [out / "batch.png", out / "aus.png"]
    subtitle = f"{_mixed(stream)}, label space {_space(stream.aus)}, {image_size} px, seed {seed}"
    practice = [source.name.upper() for source in stream.real if _is_practice(source.name, roots.get(source.name))]
    if practice:
        subtitle += f". Practice copy of rendered faces in place of {' and '.join(practice)}"
    word = "practice" if practice else "real"
    sheet = _draw_batch(stream, batches[0], _title(batches[0], ratio, word), subtitle, word)
    write_whole(files[0], png(sheet))
    if chosen == "auto":
        chosen = stream.generator.name if stream.generator is not None else "rendered"
    write_whole(files[1], png(_draw_aus(chosen, seed)))
    _print_rates(console, stream, batches)
    _print_sources(console, stream, batches)
    why = stream.stats()["generator"]
    if why is not None and why["why"]:
        console.print(f"Synthetic faces by {why['name']}: {why['why']}", markup=False)
    speed = timed * batch_size / seconds
    console.print(f"{speed:,.0f} images/s over {timed} batches of {batch_size} at {image_size} px")
    for file, what in zip(files, ("a mixed batch with its labels", "each AU of the generator by itself"), strict=True):
        console.print(f"{file}: {what}")


def au_pictures(generator: Generator, seed: int = 0) -> tuple[dict[int, NDArray[np.uint8]], dict[int, Labels]]:
    """Return, for each AU of a generator, six pictures of one person that show it alone at 0-5, and their labels."""
    import numpy as np

    from ausynth.generators.asking import ask

    aus = generator.aus
    wanted = np.zeros((len(aus), 6, len(aus)), np.float32)
    for row in range(len(aus)):
        wanted[row, :, row] = np.arange(6)
    intensity = wanted.reshape(-1, len(aus))
    block = generator.block_size
    rows = np.minimum(np.arange(-(-len(intensity) // block) * block), len(intensity) - 1)
    person, noise = (np.full(len(rows), value, np.int64) for value in (_CHART_PERSON + seed, seed))
    made = generator.generate(ask(generator, intensity[rows], person, noise))
    places = {au: slice(6 * row, 6 * row + 6) for row, au in enumerate(aus)}
    return {au: made.images[at] for au, at in places.items()}, {au: made.labels[at] for au, at in places.items()}


def _time(stream: MixedStream, count: int) -> tuple[list[dict[str, Any]], float]:
    """Return the first batches of the stream, and the seconds that they took once it had made one before."""
    stream.batch(0)  # pays for compiling the renderer
    start = time.perf_counter()
    batches = list(islice(stream, count))
    return batches, time.perf_counter() - start


def _labels(stream: MixedStream, batch: dict[str, Any]) -> Labels:
    from ausynth.labels import Labels

    return Labels(stream.aus, *(batch[name].numpy() for name in ("intensity", "occurrence", "confidence")))


def _title(batch: dict[str, Any], ratio: float, real: str) -> str:
    made = int(batch["synthetic"].sum())
    return f"One batch: {len(batch['synthetic']) - made} {real} and {made} synthetic faces (ratio {ratio:g})"


def _mixed(stream: MixedStream) -> str:
    made = [stream.generator.name] if stream.generator else []
    return " + ".join([*(source.name for source in stream.real), *made])


def _space(aus: tuple[int, ...]) -> str:
    from ausynth import facs

    listed = f"AUs {' '.join(map(str, aus))}"
    return next((name.upper() for name, named in facs.LABEL_SPACES.items() if named == aus), listed)


def _is_practice(name: str, root: Path | None) -> bool:
    """Return whether the data set under the root was made by `ausynth simulate`."""
    from ausynth.errors import AusynthError
    from ausynth.simulated.record import read_record
    from ausynth.sources.roots import resolve_root

    try:
        return read_record(resolve_root(name, root)) is not None
    except AusynthError:
        return False


def _draw_aus(chosen: str | dict[str, Any], seed: int) -> NDArray[np.uint8]:
    from ausynth.generators import load_generator
    from ausynth.sheets import au_sheet

    given = {"name": chosen} if isinstance(chosen, str) else dict(chosen)
    name, look = given.pop("name"), given.get("look", "procedural")
    # Straight, evenly lit and close, as far as a generator can be told to: what moves is then what was asked.
    straight = dict.fromkeys(("yaw", "pitch", "roll", "jitter", "gaze", "background", "asymmetry"), 0.0)
    options: dict[str, Any] = {}
    if name == "rendered":
        options = straight | {"light": 0.6, "distance": (80, 80), "image_size": 200}
        if look == "portrait":
            options |= {"light": 0.3, "blink": 0.0, "grain": 0.0, "blur": 0.0, "jpeg": None, "image_size": 164}
    images, shown = au_pictures(load_generator(name, **options | given), seed)
    if name == "rendered" and look == "procedural":
        images = {au: pictures[:, 12:176, 18:182] for au, pictures in images.items()}
    return au_sheet(
        images,
        shown,
        title=f"Each AU by itself: generator {name!r}",
        subtitle="One person in one pose. Under each picture: what the generator says it shows; "
        "red where that is not just what was asked.",
    )


def _draw_batch(stream: MixedStream, batch: dict[str, Any], title: str, subtitle: str, real: str) -> NDArray[np.uint8]:
    import numpy as np

    from ausynth.sheets import batch_sheet

    synthetic_B = batch["synthetic"].numpy()
    captions = []
    for identity, is_made in zip(batch["identity"].tolist(), synthetic_B, strict=True):
        source, _, who = stream.identity_name(identity).partition(":")
        captions.append(f"person {who}" if is_made else f"{source} {who}")
    images_BHWC = np.ascontiguousarray(batch["image"].permute(0, 2, 3, 1).numpy())
    return batch_sheet(
        images_BHWC, _labels(stream, batch), synthetic_B, captions, title=title, subtitle=subtitle, real=real
    )


def _print_rates(console: Console, stream: MixedStream, batches: list[dict[str, Any]]) -> None:
    import numpy as np
    from rich.table import Table

    from ausynth import facs
    from ausynth.labels import Labels

    labels = Labels.concatenate([_labels(stream, batch) for batch in batches])
    synthetic = np.concatenate([batch["synthetic"].numpy() for batch in batches])
    table = Table(
        title=f"How often each AU occurs, in the files and in {len(labels)} samples of the stream (-: not coded)"
    )
    table.add_column("AU", no_wrap=True)
    columns: list[np.ndarray[Any, Any]] = []
    for source in stream.real:
        table.add_column(f"{source.name},\nall {len(source):,}", justify="right")
        columns.append(source.labels.project(stream.aus).rates())
    for name, rows in (("real", ~synthetic), ("synthetic", synthetic), ("mixed", np.ones(len(labels), bool))):
        if rows.any():
            table.add_column(f"{name},\n{int(rows.sum())}", justify="right")
            columns.append(labels[rows].rates())
    for row, au in enumerate(stream.aus):
        if all(np.isnan(column[row]) for column in columns):
            continue  # BP4D has columns for AUs that nobody coded
        cells = ["-" if np.isnan(column[row]) else f"{column[row]:.1%}" for column in columns]
        table.add_row(f"{au} {facs.ACTION_UNITS[au].name}", *cells)
    console.print(table)


def _print_sources(console: Console, stream: MixedStream, batches: list[dict[str, Any]]) -> None:
    import numpy as np

    source = np.concatenate([batch["source"].numpy() for batch in batches])
    counts = np.bincount(source, minlength=len(stream.source_names))
    parts = (f"{name} {count}" for name, count in zip(stream.source_names, counts, strict=True))
    console.print(f"Samples by source: {', '.join(parts)}")
