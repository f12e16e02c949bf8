"""How MAUGen's pictures look beside held-out renders: who is shown, how alike they are, how many there are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from maugen_faces import FIRST_PERSON, Painted, Renders, paint
from maugen_judged import pooled
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.networks import load
from ausynth.networks.scores import read

console = Console(width=None if sys.stdout.isatty() else 112)

Reals = NDArray[np.float64]


def identities(
    generator: MAUGenGenerator, folder: Path, asked: NDArray[np.float32], people: int, renders: Mapping[str, Renders]
) -> dict[str, float]:
    """Print and return the cosines of pictures of one person, each with another expression, and of different people.

    Args:
        generator: paints.
        folder: of an `IdentityNet`.
        asked: (E, A) expressions; each person shows all of them.
        people: how many.
        renders: whose people are compared in the same way.
    """
    network = load(folder, kind="identity")
    person = np.repeat(FIRST_PERSON + np.arange(people, dtype=np.int64), len(asked))
    made = paint(generator, None, np.tile(asked, (people, 1)), person, name="people").images
    drawn = Renders.join(list(renders.values()))
    table = Table(
        "pictures", "people", "same person", "different people", "told apart (AUC)", title="who is shown: cosines"
    )
    figures: dict[str, float] = {}
    for name, images, who in (("painted", made, person), ("renders", drawn.images, drawn.person)):
        images, who = images[:3000], who[:3000]  # noqa: PLW2901
        cosines, same = pairs(read(network, images), who)
        if not same.any():
            continue
        means = float(cosines[same].mean()), float(cosines[~same].mean())
        auc = area(cosines, same)
        table.add_row(name, f"{len(np.unique(who)):,}", f"{means[0]:.3f}", f"{means[1]:.3f}", f"{auc:.3f}")
        figures |= {
            f"identity_same_{name}": means[0],
            f"identity_different_{name}": means[1],
            f"identity_auc_{name}": auc,
        }
    console.print(table)
    return figures


def pairs(vectors: NDArray[np.float32], who: NDArray[np.int64]) -> tuple[Reals, NDArray[np.bool_]]:
    """Return the cosines of all pairs, and which are of one person."""
    upper = np.triu_indices(len(vectors), 1)
    return (vectors @ vectors.T)[upper].astype(np.float64), (who[:, None] == who[None])[upper]


def area(scores: Reals, positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    ones = int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(scores) - ones)))


def likeness(
    features: Callable[[NDArray[np.uint8]], Reals],
    space: str,
    painted: Mapping[str, Painted],
    renders: Mapping[str, Renders],
) -> dict[str, float]:
    """Print and return Frechet distances and diversity in a feature space.

    Renders are compared with renders beside it: other ones, as many, of the same kinds of label vectors. A Frechet
    distance falls with the number of pictures: compare within a run.
    """
    made = np.concatenate([part.images for part in painted.values()])
    drawn = Renders.join(list(renders.values())).images
    order = np.random.default_rng(0).permutation(len(drawn))
    count = min(len(made), len(drawn) // 2)
    made = made[np.random.default_rng(1).permutation(len(made))[:count]]
    first, second = drawn[order[:count]], drawn[order[count : 2 * count]]
    of_made, of_first, of_second = (features(images) for images in (made, first, second))
    figures = {
        "frechet": frechet(of_made, of_second),
        "frechet_renders": frechet(of_first, of_second),
        "frechet_pictures": float(count),
        "diversity": spread(of_made),
        "diversity_renders": spread(of_second),
        "pixel_deviation": float((made / 255.0).std(0).mean()),
        "pixel_deviation_renders": float((second / 255.0).std(0).mean()),
    }
    table = Table("", "painted", "renders", title=f"against {count:,} other held-out renders; feature space: {space}")
    for what, key in (
        ("Frechet distance", "frechet"),
        ("mean distance of two pictures", "diversity"),
        ("deviation of a pixel", "pixel_deviation"),
    ):
        table.add_row(what, f"{figures[key]:.4f}", f"{figures[f'{key}_renders']:.4f}")
    console.print(table)
    return figures


def frechet(first: Reals, second: Reals) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al., 2017)."""
    means = first.mean(0) - second.mean(0)
    one, other = np.cov(first.T), np.cov(second.T)
    # The trace of the root of a product of covariances is the sum of the roots of its eigenvalues, which are real and
    # not negative.
    roots = np.sqrt(np.linalg.eigvals(one @ other).real.clip(0)).sum()
    return float(means @ means + np.trace(one) + np.trace(other) - 2 * roots)


def spread(features: Reals) -> float:
    """Return the mean distance of two of them."""
    square = (features**2).sum(1)
    distances = np.sqrt((square[:, None] + square[None] - 2 * features @ features.T).clip(0))
    count = len(features)
    return float(distances.sum() / max(count * (count - 1), 1))


def space_of(
    folder: Path | None, judge_features: Callable[[NDArray[np.uint8]], Reals]
) -> tuple[Callable[..., Reals], str]:
    """Return the feature space: an identity network's last maps, averaged, or the judge's."""
    if folder is None:
        return judge_features, "the judge's last maps, averaged over the picture"
    network = load(folder, kind="identity")
    return lambda images: pooled(network, images), "the identity network's last maps, averaged over the picture"
