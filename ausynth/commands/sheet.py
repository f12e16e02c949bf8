"""`ausynth sheet`: contact sheets of a look, to be judged by who knows FACS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ausynth.commands.common import png, write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ausynth.generators.base import Conditions, Generator
    from ausynth.labels import Labels

__all__ = ["choose_people", "describe", "sheet"]

_LOOKS: Final = ("procedural", "portrait")
_STRAIGHT: Final[dict[str, Any]] = {
    **dict.fromkeys(("yaw", "pitch", "roll", "jitter", "gaze", "background", "asymmetry"), 0.0),
    "light": 0.2,
    "distance": (80, 80),
}
_CANDIDATES: Final = 240
_AT_ONCE: Final = 48


def sheet(
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the sheets go.")],
    look: Annotated[str, typer.Option(metavar="procedural|portrait", help="Which faces.")] = "procedural",
    bank: Annotated[Path | None, typer.Option(metavar="BANK", help="Face bank of the portrait look.")] = None,
    generator: Annotated[
        str,
        typer.Option(
            metavar="rendered|maugen|auto|FOLDER", help="What makes the faces; look and bank are the renderer's."
        ),
    ] = "rendered",
    people: Annotated[
        int | None, typer.Option(min=1, help="People who show each AU [default: 6; 8 of a network]")
    ] = None,
    combinations: Annotated[
        int | None, typer.Option(min=1, help="Combinations [default: 40 random ones; 20 of a network]")
    ] = None,
    image_size: Annotated[int, typer.Option(help="Height and width of the rendered pictures in pixels.")] = 224,
    seed: Annotated[int, typer.Option(help="Seed of people and combinations.")] = 0,
    as_png: Annotated[bool, typer.Option("--png", help="PNG files; else JPEG of at most 400 kB each.")] = False,
) -> None:
    """Draw each AU by itself at 0-5 on several people, and random combinations with pose and light.

    Writes aus_1, aus_2 ... (a person each) and combinations. Of a network (--generator maugen) it writes people, a row
    a person with each AU alone, and combinations, emotions among them, each by all of these people in turn.
    """
    from rich.console import Console

    if generator == "auto":
        from ausynth.generators import resolve_auto

        generator = resolve_auto().name
    if generator != "rendered":
        _sheets_of_network(out, generator, people or 8, combinations or 20, seed=seed, as_png=as_png)
        return
    people, combinations = people or 6, combinations or 40

    from ausynth.bars import counting_bar
    from ausynth.errors import ConfigurationError
    from ausynth.sheets import au_sheet

    if look not in _LOOKS:
        raise ConfigurationError(f"look {look!r}", expected=f"one of {', '.join(_LOOKS)}")
    if look == "portrait" and bank is None:
        raise ConfigurationError("look 'portrait' without a bank", expected="--bank BANK", do="ausynth faces build")
    straight = _load(look, bank, image_size, straight=True)
    chosen = choose_people(straight, people, seed)
    console, files = Console(soft_wrap=True), []
    suffix = ".png" if as_png else ".jpg"
    with counting_bar("sheets", console=console, transient=True) as bar:
        task = bar.add_task("drawing", total=len(chosen) + 1)
        for number, identity in enumerate(chosen, 1):
            bar.update(task, description=f"person {identity}")
            images, shown = _each_au(straight, identity, seed)
            drawn = au_sheet(
                images,
                shown,
                title=f"Each AU by itself: {look} look, {describe(straight, identity)}",
                subtitle="One pose. Under each picture: what the generator says it shows; "
                "red where that is not just what was asked.",
                picture=112,
            )
            files.append(out / f"aus_{number}{suffix}")
            write_whole(files[-1], _encoded(drawn, as_png=as_png))
            bar.advance(task)
        files.append(out / f"combinations{suffix}")
        drawn = _combinations(_load(look, bank, image_size, straight=False), combinations, seed, look)
        write_whole(files[-1], _encoded(drawn, as_png=as_png))
        bar.advance(task)
    for file in files:
        console.print(f"{file}: {file.stat().st_size / 1000:,.0f} kB")


def choose_people(generator: Generator, count: int, seed: int = 0) -> list[int]:
    """Return the numbers of people who differ in age, gender and ethnicity as far as the generator knows these.

    A generator tells by an optional method `attributes(identity)`, a mapping with any of "age" (years), "gender",
    "ethnicity", and "clear" (False where hair covers a part of the face: such people are left out). One without it gets
    the first numbers.
    """
    import numpy as np

    attributes = getattr(generator, "attributes", None)
    first = 1000 * seed
    if attributes is None:
        return list(range(first, first + count))
    known = {who: dict(attributes(who)) for who in range(first, first + max(_CANDIDATES, count))}
    clear = [who for who, traits in known.items() if traits.get("clear", True)] or list(known)

    def apart(one: int, other: int) -> float:
        a, b = known[one], known[other]
        years = abs(float(a.get("age") or 35) - float(b.get("age") or 35)) / 30
        return years + 0.8 * (a.get("gender") != b.get("gender")) + 1.2 * (a.get("ethnicity") != b.get("ethnicity"))

    chosen = [min(clear, key=lambda who: abs(float(known[who].get("age") or 35) - 30))]
    while len(chosen) < min(count, len(clear)):
        left = [who for who in clear if who not in chosen]
        # Furthest from the nearest that is there already, and among those from all of them.
        scores = [min(apart(who, other) for other in chosen) + 0.2 * np.mean([apart(who, other) for other in chosen])
                  for who in left]  # fmt: skip
        chosen.append(left[int(np.argmax(scores))])
    return chosen


def describe(generator: Generator, identity: int) -> str:
    """Return who a person is, in words, as far as the generator knows it."""
    attributes = getattr(generator, "attributes", None)
    traits = {} if attributes is None else dict(attributes(identity))
    words = [traits.get("ethnicity"), traits.get("gender"), traits.get("age") and f"{float(traits['age']):.0f} years"]
    said = ", ".join(str(word) for word in words if word)
    return f"person {identity}" + (f" ({said})" if said else "")


def _load(look: str, bank: Path | None, image_size: int, *, straight: bool) -> Generator:
    from ausynth.errors import ConfigurationError
    from ausynth.generators import load_generator

    options: dict[str, Any] = {"image_size": image_size}
    if look != "procedural":
        options |= {"look": look, "bank": bank}
    if not straight:
        return load_generator("rendered", **options)
    try:
        return load_generator("rendered", **options, **_STRAIGHT)
    except ConfigurationError:
        # A look with other options shows its people as it pleases; whatever else is wrong is said again.
        return load_generator("rendered", **options)


def _generate(generator: Generator, conditions: Conditions) -> tuple[NDArray[np.uint8], Labels]:
    """Return the pictures and labels, asked for in whole blocks and a few at a time."""
    import numpy as np

    from ausynth.labels import Labels

    count, block = len(conditions), generator.block_size
    step = max(1, _AT_ONCE // block) * block
    images, labels = [], []
    for start in range(0, count, step):
        stop = min(count, start + step)
        rows = np.minimum(np.arange(start, start + -(-(stop - start) // block) * block), count - 1)
        made = generator.generate(conditions.rows(rows))
        images.append(made.images[: stop - start])
        labels.append(made.labels[: stop - start])
    return np.concatenate(images), Labels.concatenate(labels)


def _each_au(generator: Generator, identity: int, seed: int) -> tuple[dict[int, NDArray[np.uint8]], dict[int, Labels]]:
    import numpy as np

    from ausynth.generators.base import Conditions

    aus = generator.aus
    wanted = np.zeros((len(aus), 6, len(aus)), np.float32)
    for row in range(len(aus)):
        wanted[row, :, row] = np.arange(6)
    count = 6 * len(aus)
    asked = Conditions(wanted.reshape(count, -1), np.full(count, identity), np.full(count, seed))
    images, labels = _generate(generator, asked)
    margin = images.shape[1] // 14  # the face, closer
    images = images[:, margin // 2 : -2 * margin + margin // 2, margin:-margin]
    places = {au: slice(6 * row, 6 * row + 6) for row, au in enumerate(aus)}
    return {au: images[at] for au, at in places.items()}, {au: labels[at] for au, at in places.items()}


def _combinations(generator: Generator, count: int, seed: int, look: str) -> NDArray[np.uint8]:
    import numpy as np

    from ausynth import facs
    from ausynth.generators.base import Conditions
    from ausynth.sheets import batch_sheet

    draw = np.random.default_rng(seed)
    rows: list[NDArray[np.float32]] = []
    while len(rows) < count:
        vector = draw.integers(1, 6, len(generator.aus)) * (draw.random(len(generator.aus)) < 0.2)
        if vector.any() and facs.is_possible(vector[None].astype(np.float32), generator.aus)[0]:
            rows.append(vector.astype(np.float32))
    people = 5000 + 1000 * seed + np.arange(count)
    images, labels = _generate(generator, Conditions(np.stack(rows), people, people))
    return batch_sheet(
        images,
        labels,
        np.ones(count, bool),
        [str(who) for who in people],
        title=f"{count} random combinations: {look} look",
        subtitle="Another person, pose, light and background each; labels as the generator gives them.",
        picture=150,
    )


def _sheets_of_network(out: Path, name: str, people: int, combinations: int, *, seed: int, as_png: bool) -> None:
    """Write people and combinations, as a generator shows them that has no pose or light to be kept still."""
    import numpy as np
    from rich.console import Console

    from ausynth.generators import load_generator
    from ausynth.generators.asking import ask
    from ausynth.people_sheet import combinations_of, expressions_of, people_sheet, said_of

    generator = load_generator(name)
    chosen = np.array(choose_people(generator, people, seed), np.int64)
    console = Console(soft_wrap=True)

    def drawn(wanted_KA: NDArray[np.float32], headings: list[str], who_P: NDArray[np.int64], title: str) -> Any:
        asked_NA = np.tile(wanted_KA, (len(who_P), 1))
        person_N = np.repeat(who_P, len(wanted_KA))
        images, labels = _generate(generator, ask(generator, asked_NA, person_N, np.full(len(asked_NA), seed)))
        return people_sheet(
            images.reshape(len(who_P), len(wanted_KA), *images.shape[1:]),
            headings,
            [f"person\n{who}" for who in who_P],
            said_of(asked_NA, labels),
            title=title,
            subtitle="Asked at 4. Under each picture: AU:intensity as its label says; red where that is not as asked.",
        )

    headings, wanted_KA = expressions_of(generator)
    sheets = {"people": drawn(wanted_KA, headings, chosen, f"Each AU alone: generator {generator.name!r}")}
    headings, wanted_KA = combinations_of(generator.aus, combinations)
    title = f"{len(wanted_KA)} combinations: generator {generator.name!r}"
    sheets["combinations"] = drawn(wanted_KA, headings, chosen[:4], title)
    for file, sheet_of in sheets.items():
        path = out / f"{file}{'.png' if as_png else '.jpg'}"
        write_whole(path, _encoded(sheet_of, as_png=as_png))
        console.print(f"{path}: {path.stat().st_size / 1000:,.0f} kB")


def _encoded(image: NDArray[np.uint8], *, as_png: bool) -> bytes:
    """Return a sheet as PNG, or as JPEG of the best quality that stays within 400 kB."""
    import cv2

    if as_png:
        return png(image)
    for quality in (90, 86, 82, 78, 74, 70, 64, 58):
        data = bytes(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
        if len(data) <= 400_000:
            break
    return data
