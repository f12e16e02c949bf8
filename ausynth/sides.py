"""The two sides of a stream, opened and balanced against one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from ausynth.balancing import Wanted, solve, through_generator
from ausynth.labels import DEFAULT_THRESHOLD
from ausynth.samplers.balance import Balance
from ausynth.samplers.base import LabelSampler
from ausynth.samplers.combinations import CombinationSampler
from ausynth.samplers.herding import BalancedSampler
from ausynth.samplers.identity_bank import IdentityBank
from ausynth.samplers.leakage import LeakageGuard
from ausynth.sources.attempts import Reject
from ausynth.sources.base import Source
from ausynth.sources.joined import base_weights, joined_identities, joined_labels, subject_shares
from ausynth.sources.opening_synthetic import OpenFaces
from ausynth.sources.pool import PoolSource
from ausynth.sources.real import OnError, RealSource
from ausynth.sources.side import SyntheticSide
from ausynth.sources.synthetic import Exhausted
from ausynth.sources.video import store_folder

__all__ = ["Sides", "open_sides"]


@dataclass(frozen=True)
class Sides:
    """What a stream draws from.

    Attributes:
        real: the real side; None where no sample is real.
        synthetic: the synthetic side; None where no sample is synthetic.
        balance: what weighs the real frames and chooses the synthetic labels; None where nothing does.
    """

    real: RealSource | None
    synthetic: SyntheticSide | None
    balance: Balance | None


def open_sides(
    sources: Sequence[Source],
    faces: OpenFaces,
    *,
    share: Fraction,
    seed: int,
    aus: tuple[int, ...],
    threshold: float | None,
    weights: Sequence[float] | None,
    balance: Wanted,
    sampler: LabelSampler | None,
    identities: int | IdentityBank,
    reject: Reject | None,
    guard: LeakageGuard | None,
    on_error: OnError,
    writes: bool,
    limit: int | str | None,
    exhausted: Exhausted | None,
) -> Sides:
    """Return the sides of a stream with the arguments of `MixedStream`.

    Args:
        sources: the real sources, none of them empty.
        faces: where synthetic faces come from.
        share: of synthetic samples.
        aus: the stream's label space.
        balance: how labels are balanced, where `sampler` does not say what is asked for.
        limit, exhausted, writes: of the cache, as `cache_limit`, `on_exhausted` and `cache_mode` say.
        seed, threshold, weights, sampler, identities, reject, guard, on_error: as of `MixedStream`.
    """
    labels = joined_labels(sources, aus, threshold) if sources else None
    at = DEFAULT_THRESHOLD if threshold is None else threshold
    if sampler is not None:
        balance = None
    # A solution lies beside the faces that were asked for by it: solved anew on another machine, its last bits would
    # differ, and so would the plan.
    own = store_folder().parent / "balance"
    beside = [faces.store.folder / "balance"] if faces.store is not None else []
    solutions = beside if beside and writes else [*beside, own]
    make_side = partial(
        faces.side,
        seed=seed,
        identities=identities,
        reject=reject,
        guard=guard,
        writes=writes,
        limit=limit,
        exhausted=exhausted,
    )
    pool = make_side(sampler) if faces.pool is not None else None
    solved = solve(
        balance,
        labels,
        share=share,
        aus=aus,
        people=joined_identities(sources) if sources and balance is not None else None,
        shares=subject_shares(sources, weights) if sources and balance is not None else None,
        base=base_weights(sources, weights) if balance is not None else None,
        pool=pool.labels.at_threshold(at).project(aus) if isinstance(pool, PoolSource) else None,
        controls=faces.aus,
        threshold=threshold,
        cache=solutions,
    )
    synthetic: SyntheticSide | None = pool
    if isinstance(pool, PoolSource) and solved is not None:
        pool.weigh(solved)
    elif faces.generator is not None:
        if solved is not None:
            solved = through_generator(
                solved,
                faces.generator,
                seed=seed,
                identities=identities,
                threshold=threshold,
                cache=solutions,
            )
            sampler = BalancedSampler(solved, faces.generator.aus)
        synthetic = make_side(sampler or CombinationSampler(faces.generator.aus, focus=aus))
    real = None
    if sources:
        real = RealSource(
            sources,
            aus=aus,
            seed=seed,
            weights=weights,
            threshold=threshold,
            labels=labels,
            balance=solved,
            on_error=on_error,
        )
    return Sides(real, synthetic, solved)
