"""How alike the faces of a set are: to one another, to those that are trained on, to those that are tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.samplers.gallery import Gallery
from ausynth.samplers.identity import Embeddings
from ausynth.samplers.identity_index import IdentityIndex
from ausynth.samplers.leakage import LeakageGuard

if TYPE_CHECKING:
    from ausynth.sources.base import Source

__all__ = ["KINDS", "IdentityReport", "Pair", "Real", "pair_sheet", "report_identities"]

KINDS: Final = ("synthetic-synthetic", "synthetic-train", "synthetic-test")

TRAIN_TEST: Final = "train-test"
"""Real pictures against those that are held out: near 1 where one person has two names."""

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]

_LOOKED_AT: Final = 64
"""Neighbours among which the nearest of another person is sought."""


@dataclass(frozen=True)
class Real:
    """Real frames and their faces: `gallery.pictures` are rows of `source`."""

    source: Source
    gallery: Gallery


@dataclass(frozen=True)
class Pair:
    """Two alike faces: a row of the synthetic ones, and another row, or a picture of a real source."""

    kind: str
    cosine: float
    synthetic: int
    other: int
    source: int = 0


@dataclass(frozen=True, eq=False)
class IdentityReport:
    """What was found.

    Attributes:
        faces: synthetic pictures that were looked at.
        no_face: those among them in which no face was found.
        dealt: people by the generator's account.
        clusters: people by the encoder's account, at the guard's threshold.
        effective: effective number of people, one over the sum of the squared shares of the clusters.
        rejected: faces that the guard rejects for being like a held-out person.
        threshold: the guard's.
        nearest: kind of pair -> (N,) the highest cosine of each synthetic face with one of another person, of the
            training people, of the held-out people; and of each real training picture with the held-out people.
        pairs: the closest pairs of each kind.
    """

    faces: int
    no_face: int
    dealt: int
    clusters: int
    effective: float
    rejected: int
    threshold: float
    nearest: dict[str, NDArray[np.float32]]
    pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all figures, with quantiles and a histogram of each kind: no person is named in them."""
        facts: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("faces", "no_face", "dealt", "clusters", "effective", "rejected", "threshold")
        }
        for kind, cosines in self.nearest.items():
            if len(cosines):
                shares = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)
                quantiles = np.quantile(cosines, shares).round(4).tolist()
                facts[kind] = {
                    "quantiles": dict(zip(map(str, shares), quantiles, strict=True)),
                    "histogram": self.histogram(kind),
                }
        return facts

    def histogram(self, kind: str, width: float = 0.02) -> dict[str, int]:
        """Return how many faces have their nearest in each bin of cosines, by its lower edge."""
        bins = np.floor(self.nearest[kind] / width + 1e-6).astype(np.int64)
        low, high = int(bins.min()), int(bins.max())
        return {f"{b * width:.2f}": int((bins == b).sum()) for b in range(low, high + 1)}


def report_identities(
    guard: LeakageGuard,
    embeddings: Embeddings,
    identities: Integers,
    train: Sequence[Real],
    test: Sequence[Real],
    *,
    pairs: int = 8,
) -> IdentityReport:
    """Return how alike N synthetic faces are to one another and to real people.

    Args:
        guard: of the held-out people.
        embeddings: (N, D), zeros where no face was found.
        identities: (N,) whom the generator meant each to be.
        train, test: the real people, those who are held out in `test`.
        pairs: how many of the closest pairs of each kind to name, each of two other people.
    """
    found = np.flatnonzero(embeddings.any(axis=1))
    vectors, who = embeddings[found], identities[found]
    index = IdentityIndex(guard.encoder.dimension, encoder=guard.encoder.fingerprint)
    nearest: dict[str, NDArray[np.float32]] = {kind: np.empty(0, np.float32) for kind in KINDS}
    closest: list[Pair] = []
    sizes = np.zeros(0)
    if found.size:
        index.add(vectors)
        ids, cosines = index.nearest(vectors, min(_LOOKED_AT, len(found)))
        other = who[ids] != who[:, None]
        has = other.any(axis=1)
        first = other.argmax(axis=1)
        best, near = cosines[np.arange(len(found)), first], ids[np.arange(len(found)), first]
        nearest["synthetic-synthetic"] = best[has]
        rows = np.flatnonzero(has)
        candidates = ((best[row], found[row], found[near[row]], 0) for row in rows[np.argsort(-best[rows])].tolist())
        closest += _distinct("synthetic-synthetic", candidates, identities, identities, pairs)
        sizes = _cluster_sizes(index, vectors, guard.threshold)
        for kind, real in (("synthetic-train", train), ("synthetic-test", test)):
            nearest[kind], some = _against(kind, vectors, found, real, identities, pairs=pairs)
            closest += some
    if train:
        real_train = np.concatenate([real.gallery.embeddings for real in train])
        nearest[TRAIN_TEST] = guard.nearest(real_train).astype(np.float32)
    shares = sizes / max(1.0, sizes.sum())
    rejected = int((nearest["synthetic-test"] >= guard.threshold).sum())
    return IdentityReport(
        faces=len(embeddings),
        no_face=len(embeddings) - len(found),
        dealt=len(np.unique(identities)),
        clusters=len(sizes),
        effective=float(1 / (shares**2).sum()) if len(sizes) else 0.0,
        rejected=rejected,
        threshold=guard.threshold,
        nearest=nearest,
        pairs=tuple(closest),
    )


def _against(
    kind: str, vectors: Embeddings, found: Integers, real: Sequence[Real], identities: Integers, *, pairs: int
) -> tuple[NDArray[np.float32], list[Pair]]:
    best = np.full(len(vectors), -np.inf, np.float32)
    place = np.zeros((len(vectors), 3), np.int64)  # source, its picture, its person
    for number, each in enumerate(real):
        index = IdentityIndex(vectors.shape[1])
        index.add(each.gallery.embeddings)
        ids, cosines = index.nearest(vectors)
        better = cosines[:, 0] > best
        best[better] = cosines[better, 0]
        rows = ids[better, 0]
        assert each.gallery.pictures is not None
        place[better] = np.stack(
            [np.full(len(rows), number), each.gallery.pictures[rows], each.gallery.people[rows]], axis=1
        )
    if not real:
        return np.empty(0, np.float32), []
    order = np.argsort(-best)
    candidates = ((best[row], found[row], place[row, 1], place[row, 0]) for row in order.tolist())
    people = {int(found[row]): int(place[row, 2]) for row in range(len(found))}
    chosen = _distinct(kind, candidates, identities, people, pairs)
    return best, chosen


def _distinct(
    kind: str, candidates: Iterable[tuple[Any, Any, Any, Any]], mine: Any, theirs: Any, count: int
) -> list[Pair]:
    """Return the first `count` pairs of two people who were not shown together yet."""
    chosen: list[Pair] = []
    seen: set[frozenset[str]] = set()
    for cosine, synthetic, other, source in candidates:
        if len(chosen) == count:
            break
        same_kind = kind == KINDS[0]
        them = f"{int(theirs[int(other)])}" if same_kind else f"real {source} {theirs[int(synthetic)]}"
        pair = frozenset((f"{int(mine[int(synthetic)])}", them))
        if pair not in seen:
            seen.add(pair)
            chosen.append(Pair(kind, float(cosine), int(synthetic), int(other), int(source)))
    return chosen


def _cluster_sizes(index: IdentityIndex, vectors: Embeddings, cosine: float) -> NDArray[np.float64]:
    from ausynth.samplers.identity_bank import leaders_of

    return np.unique(leaders_of(index, vectors, cosine), return_counts=True)[1].astype(float)


def pair_sheet(
    report: IdentityReport,
    synthetic: Callable[[int], Pixels],
    train: Sequence[Real],
    test: Sequence[Real],
    edge: int = 128,
) -> Pixels:
    """Return the contact sheet (H, W, 3) uint8 of the closest pairs: a line for each kind, cosines below.

    Args:
        report: whose `pairs` are shown.
        synthetic: row -> that synthetic picture (h, w, 3) uint8.
        train, test: as of `report_identities`.
        edge: height and width of a picture in pixels.
    """
    from PIL import Image, ImageDraw, ImageFont

    kinds = [kind for kind in KINDS if any(pair.kind == kind for pair in report.pairs)]
    columns = max((sum(pair.kind == kind for pair in report.pairs) for kind in kinds), default=1)
    gap, line = 10, 20
    width, height = gap + columns * (2 * edge + 2 * gap), max(1, len(kinds)) * (edge + 2 * line + gap) + gap
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    real = {"synthetic-train": train, "synthetic-test": test}
    for row, kind in enumerate(kinds):
        top = gap + row * (edge + 2 * line + gap)
        draw.text((gap, top), kind.replace("-", " and "), fill="black", font=font)
        for column, pair in enumerate(each for each in report.pairs if each.kind == kind):
            left = gap + column * (2 * edge + 2 * gap)
            other = (
                synthetic(pair.other) if kind == KINDS[0] else _frame(real[kind][pair.source].source, pair.other, edge)
            )
            for at, image in ((left, synthetic(pair.synthetic)), (left + edge, other)):
                sheet.paste(Image.fromarray(image).resize((edge, edge)), (at, top + line))
            near = pair.cosine >= report.threshold
            colour, word = ("#b00020", " too alike") if near else ("black", "")
            draw.text((left, top + line + edge + 2), f"{pair.cosine:.3f}{word}", fill=colour, font=font)
    return np.asarray(sheet)


def _frame(source: Source, row: int, edge: int) -> Pixels:
    size = getattr(source, "native_size", None) or edge
    image = np.empty((1, size, size, 3), np.uint8)
    source.read([row], image)
    frame: Pixels = image[0]
    return frame
