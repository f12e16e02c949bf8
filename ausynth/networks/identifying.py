"""Training a network that says who is shown, whatever the face is doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ausynth.errors import ConfigurationError
from ausynth.networks.augment import Augment
from ausynth.networks.data import FaceSet, Split
from ausynth.networks.fitting import FitOptions, fit
from ausynth.networks.heads import IdentityNet
from ausynth.networks.scores import read

__all__ = ["Verification", "train_identity", "verify"]

_SCALE: Final = 20.0
_MARGIN: Final = 0.2
_PEOPLE_MOST: Final = 1_000
_EACH_MOST: Final = 6


@dataclass(frozen=True)
class Verification:
    """How well pictures of the same person are told from pictures of different people.

    Attributes:
        auc: probability that two of the same person are more alike than two of different people.
        eer: the error rate at which as many of the same are refused as of different ones accepted.
        same, different: the mean cosine of either.
        people: how many were looked at.
        pictures: how many of them.
    """

    auc: float
    eer: float
    same: float
    different: float
    people: int
    pictures: int


class _WithProxies(nn.Module):
    """The network and a direction for each person it learns from, which is thrown away afterwards."""

    def __init__(self, network: IdentityNet, people: int) -> None:
        super().__init__()
        self.network = network
        self.proxies = nn.Parameter(torch.randn(people, network.dimensions))

    def forward(self, images: Tensor) -> Tensor:
        return F.linear(self.network(images), F.normalize(self.proxies, dim=-1))


def train_identity(
    network: IdentityNet,
    faces: FaceSet,
    options: FitOptions,
    *,
    split: Split | None = None,
    augment: Augment | None = None,
    show: Callable[[float, int, float], None] | None = None,
) -> tuple[IdentityNet, Verification | None, dict[str, Any]]:
    """Train an identity network with a margin in the cosine (Wang et al., "CosFace", 2018).

    Args:
        network: fresh, of the faces' size.
        faces: what it learns from, several pictures of most people.
        options: of the training.
        split: which people are left out, and measured on; None: nobody.
        augment: what is done to pictures; None takes the default.
        show: see `fit`.

    Returns:
        The network, how well it tells people apart who were left out, and a record of all as JSON.

    Raises:
        ConfigurationError: another size, or fewer than two people to learn from.
    """
    if network.image_size != faces.size:
        raise ConfigurationError(
            f"a network at {network.image_size} pixels, faces of {faces.size}", expected="the same of both"
        )
    out_N = np.zeros(len(faces), bool) if split is None else split.left_out(faces.identity)
    chosen = np.flatnonzero(~out_N)
    people, who = np.unique(faces.person[chosen], return_inverse=True)
    if len(people) < 2 or len(people) == len(chosen) or (split is not None and not out_N.any()):
        raise ConfigurationError(
            f"{len(people)} people in {len(chosen)} pictures to learn from, {int(out_N.sum())} pictures left out",
            expected="two people or more, several pictures of them, and some left out where a split is given",
        )
    target = torch.from_numpy(who.reshape(-1).astype(np.int64))
    look = Augment() if augment is None else augment

    def draw(source: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        at = torch.randint(0, len(chosen), (count,), generator=source)
        return look(faces.images[chosen[at.numpy()]], faces.margin, source), target[at]

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, wanted = batch
        cosine_BP = net(images).float()
        margin_BP = _MARGIN * F.one_hot(wanted, cosine_BP.shape[1])
        return F.cross_entropy(_SCALE * (cosine_BP - margin_BP), wanted)

    trained, fitted = fit(_WithProxies(network, len(people)), draw, loss, options, show=show)
    result = None if split is None else verify(trained.network, faces.rows(out_N))
    record: dict[str, Any] = {
        "data": faces.record,
        "left_out": None if split is None else f"{split.part}/{split.parts}",
        "people": len(people),
        "augment": asdict(look),
        "options": asdict(options),
        "steps": fitted.steps,
        "images": fitted.images,
        "seconds": round(fitted.seconds, 1),
        "losses": list(fitted.losses),
        "held_out": None if result is None else asdict(result),
    }
    return trained.network, result, record


def verify(network: IdentityNet, faces: FaceSet) -> Verification:
    """Return how well a network tells people apart whom it has never seen, by all pairs of up to 6,000 pictures.

    Raises:
        ConfigurationError: no two pictures of one person, or one person only.
    """
    rows = _some(faces.person)
    person = faces.person[rows]
    vectors = read(network, faces.views(rows)).astype(np.float32)
    upper = np.triu_indices(len(rows), 1)
    cosines = (vectors @ vectors.T)[upper].astype(np.float64)
    same = (person[:, None] == person[None])[upper]
    if same.all() or not same.any():
        raise ConfigurationError(
            f"{len(np.unique(person))} people in {len(rows)} pictures to tell apart",
            expected="two people or more, and two pictures of one of them",
        )
    return Verification(
        auc=round(_auc(cosines, same), 4),
        eer=round(_eer(cosines, same), 4),
        same=round(float(cosines[same].mean()), 4),
        different=round(float(cosines[~same].mean()), 4),
        people=len(np.unique(person)),
        pictures=len(rows),
    )


def _some(person_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows of up to 6 pictures of up to 1,000 people, evenly chosen."""
    people = np.unique(person_N)
    people = people[np.unique(np.linspace(0, len(people) - 1, _PEOPLE_MOST).astype(np.int64))]
    order = np.argsort(person_N, kind="stable")
    ranks = np.arange(len(order)) - np.searchsorted(person_N[order], person_N[order])
    kept = order[(ranks < _EACH_MOST) & np.isin(person_N[order], people)]
    return np.sort(kept)


def _auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    ones = int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(scores) - ones)))


def _eer(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order]) / positive.sum()
    false = np.cumsum(~positive[order]) / (~positive).sum()
    at = int(np.argmin(np.abs(1 - hits - false)))
    return float((1 - hits[at] + false[at]) / 2)
