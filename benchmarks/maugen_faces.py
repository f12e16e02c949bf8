"""What MAUGen's benchmark looks at: held-out renders, and pictures that were painted for the same label vectors.

The standard view of everything: rendered at 88 pixels, the middle 64 of them kept. Held-out people have numbers from
1,000,000 on, which no training store has; held-out renders are poses, lights and label vectors of a seed of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from ausynth import MixedStream
from ausynth.generators import Conditions
from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.generators.maugen.labelling import masked
from ausynth.labels import Floats, Labels
from ausynth.networks import Verifier
from ausynth.store import Store

FIRST_PERSON = 1_000_000
VIEW = 64 / 88
DRAWN = {"supersample": 1, "yaw": 8.0, "pitch": 4.0, "roll": 3.0, "light": 0.7, "background": 0.5, "grain": 0.5}
PORTRAITS = DRAWN | {"look": "portrait", "mixed": (3, 4), "blur": 0.3, "grain": 0.4, "jpeg": None}
KINDS = {"natural": None, "balanced": "hard"}
"""Kinds of label vectors: what a stream asks for without a balance, and with the hard one."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Renders:
    """N held-out renders.

    Attributes:
        images: (N, S, S, 3) in the standard view.
        truth: their labels.
        asked: (N, A) what the painter is to be asked for: the labels, and where nobody can see an AU, the request.
        person: (N,) whom each shows.
    """

    images: Pixels
    truth: Labels
    asked: Floats
    person: NDArray[np.int64]

    def rows(self, rows: Any) -> Renders:
        return Renders(self.images[rows], self.truth[rows], self.asked[rows], self.person[rows])

    @classmethod
    def join(cls, parts: Sequence[Renders]) -> Renders:
        # The same number of another store may be somebody else: from 0 within each, one after the other.
        people, first = [], 0
        for part in parts:
            known, who = np.unique(part.person, return_inverse=True)
            people.append(first + who.reshape(-1).astype(np.int64))
            first += len(known)
        return cls(
            np.concatenate([part.images for part in parts]),
            Labels.concatenate([part.truth for part in parts]),
            np.concatenate([part.asked for part in parts]),
            np.concatenate(people),
        )


@dataclass(frozen=True)
class Painted:
    """N painted pictures.

    Attributes:
        images: (N, S, S, 3).
        asked: (N, A) intensities that were asked for.
        person: (N,) numbers.
        readings: by name, labels with nothing masked: "decoder" read them on noised copies without hearing the request,
            "echo" heard it while it painted, "verifier" are networks beside the checkpoint, where it has any.
        carried: the labels that a sample carries.
    """

    images: Pixels
    asked: Floats
    person: NDArray[np.int64]
    readings: dict[str, Labels]
    carried: Labels


def held_out(
    stores: Sequence[Path], kind: str, count: int, aus: tuple[int, ...], size: int, *, bank: Path | None
) -> Renders:
    """Return held-out renders of a kind: of stores (`scripts/render_others.py`), or drawn now."""
    if stores:
        each = -(-count // len(stores))
        return Renders.join([_stored(store, each, aus, size) for store in stores])
    looks = [DRAWN] if bank is None else [DRAWN, PORTRAITS | {"bank": str(bank)}]
    parts = [_drawn(options, kind, -(-count // len(looks)), aus, size) for options in looks]
    return Renders.join(parts)


def _stored(folder: Path, count: int, aus: tuple[int, ...], size: int) -> Renders:
    store = Store(folder.expanduser())
    places = store.places()
    places = places[np.lexsort(store.samples(places).key.T)]
    # Whole people, for comparing pictures of one with those of others.
    person = store.samples(places).identity
    places = places[np.argsort(person, kind="stable")][:count]
    samples = store.samples(places)
    if samples.identity.min() < FIRST_PERSON:
        raise SystemExit(f"{folder} shows people with numbers below {FIRST_PERSON:,}, whom training may have seen")
    pixels = np.empty((len(places), store.recipe.image_size, store.recipe.image_size, 3), np.uint8)
    store.read(places, pixels)
    columns = [store.recipe.aus.index(au) for au in aus]
    return _renders(pixels, samples.labels.project(aus), samples.asked[:, columns], samples.identity, size)


def _drawn(options: dict[str, Any], kind: str, count: int, aus: tuple[int, ...], size: int) -> Renders:
    stream = MixedStream(
        None,
        1,
        aus=aus,
        generator={"name": "rendered", **options},
        image_size=round(size / VIEW),
        balance=KINDS[kind],
        identities=max(1, count // 3),
        seed=909,
        threads=0,
    )
    side: Any = stream.synthetic_side
    parts = []
    for start in track(range(0, count, 64), f"rendering {kind}", console=Console(stderr=True), transient=True):
        asked = side.conditions(np.arange(start, min(start + 64, count)))
        asked = Conditions(asked.intensity, asked.identity + FIRST_PERSON, asked.noise)
        made = side.generator.generate(asked)
        wanted = asked.intensity[:, [side.generator.aus.index(au) for au in aus]]
        parts.append(_renders(made.images, made.labels.project(aus), wanted, asked.identity, size))
    return Renders(
        np.concatenate([part.images for part in parts]),
        Labels.concatenate([part.truth for part in parts]),
        np.concatenate([part.asked for part in parts]),
        np.concatenate([part.person for part in parts]),
    )


def render_alone(asked: Conditions, aus: tuple[int, ...], size: int, bank: Path | None) -> Pixels:
    """Return renders of requests over `aus` in the standard view."""
    from ausynth import load_generator

    options = DRAWN if bank is None else PORTRAITS | {"bank": str(bank)}
    generator = load_generator("rendered", image_size=round(size / VIEW), **options)
    wanted = np.zeros((len(asked), len(generator.aus)), np.float32)
    wanted[:, [generator.aus.index(au) for au in aus]] = asked.intensity
    images = [
        generator.generate(Conditions(wanted[rows], asked.identity[rows], asked.noise[rows])).images
        for rows in np.array_split(np.arange(len(asked)), -(-len(asked) // 64))
    ]
    return _view(np.concatenate(images), size)


def _renders(images: Pixels, truth: Labels, asked: Floats, person: NDArray[np.int64], size: int) -> Renders:
    known = np.where(np.isnan(truth.intensity), asked, truth.intensity).clip(0, 5).astype(np.float32)
    return Renders(_view(images, size), truth, known, person)


def _view(images: Pixels, size: int) -> Pixels:
    import cv2

    whole = round(size / VIEW)
    if images.shape[1] != whole:
        way = cv2.INTER_AREA if images.shape[1] > whole else cv2.INTER_CUBIC
        images = np.stack([cv2.resize(image, (whole, whole), interpolation=way) for image in images])
    edge = (whole - size) // 2
    return np.ascontiguousarray(images[:, edge : edge + size, edge : edge + size])


def verifier_of(generator: MAUGenGenerator, given: Path | None) -> Verifier | None:
    """Return the networks that read labels: those given, else those of the checkpoint, if there are any."""
    if given is not None:
        return Verifier.load(given, least=generator.least_confidence)
    if generator.verifier is None and (generator.folder / "verifier").is_dir():
        return Verifier.load(generator.folder / "verifier", least=generator.least_confidence)
    return generator.verifier


def paint(
    generator: MAUGenGenerator, verifier: Verifier | None, asked: Floats, person: NDArray[np.int64], *, name: str
) -> Painted:
    """Return pictures of requests, made as the generator makes them, with every reading of their labels.

    The carried labels are the verifier's where there is one.
    """
    pipeline, block = generator.pipeline, generator.block_size
    # As the generator itself does: each person another noise, which follows from both numbers.
    noise = FIRST_PERSON + np.arange(len(asked), dtype=np.int64)
    bare = None if verifier is None else Verifier(verifier.networks, verifier.calibration, verifier.alone, least=0)
    images, parts = [], []
    starts = range(0, len(asked), block)
    for start in track(starts, f"painting {name}", console=Console(stderr=True), transient=True):
        rows = np.arange(start, min(start + block, len(asked)))
        words = zip(asked[rows], noise[rows].tolist(), strict=True)
        made = pipeline(
            [generator.describe(row, generator.aus, seed) for row, seed in words],
            intensities=asked[rows],
            identity=person[rows] if pipeline.maugen.identity else None,
            num_inference_steps=generator.steps,
            guidance_scale=generator.guidance,
            generator=noise[rows].tolist(),
            output_type="np",
        )
        said = {"decoder": made.labels, "echo": made.decoded}
        carried = masked(made.labels, generator.least_confidence)
        if verifier is not None and bare is not None:
            readings = verifier.readings(made.images)
            said["verifier"] = bare.label(readings).project(generator.aus)
            carried = verifier.label(readings).project(generator.aus)
        images.append(made.images)
        parts.append((said, carried))
    return Painted(
        np.concatenate(images),
        asked,
        person,
        {name: Labels.concatenate([said[name] for said, _ in parts]) for name in parts[0][0]},
        Labels.concatenate([carried for _, carried in parts]),
    )
