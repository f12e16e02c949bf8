"""Balances a stream: solves for the weights of its real frames and for what its generator is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.generators.base import Generator
from ausynth.labels import DEFAULT_THRESHOLD, Labels
from ausynth.samplers.balance import Balance
from ausynth.samplers.channel import Channel, solve_through
from ausynth.samplers.cooccurrence import calibrate
from ausynth.samplers.herding import BalancedSampler
from ausynth.samplers.identity_bank import IdentityBank
from ausynth.samplers.kept import kept
from ausynth.samplers.statistics import first_level
from ausynth.samplers.targets import NAMES, Target
from ausynth.schedule import Integers
from ausynth.sources.people import people_of
from ausynth.sources.synthetic import make_conditions

__all__ = ["Wanted", "solve", "through_generator"]

Wanted = str | Target | Balance | None

PILOT = 1_000
"""Samples whose final labels are compared with what was asked, where a generator says them without drawing."""

DRAWN_PILOT = 256
"""The same, where they have to be made."""

_ROUNDS = 4
"""Parts of the pilot. Each asks for what the parts before it led to: most is to be known of what will be asked for."""

_AT_ONCE = 32


def solve(
    wanted: Wanted,
    labels: Labels | None,
    *,
    share: Fraction,
    aus: tuple[int, ...],
    people: Integers | None = None,
    shares: NDArray[np.float64] | None = None,
    base: NDArray[np.float64] | None = None,
    pool: Labels | None = None,
    controls: tuple[int, ...] = (),
    threshold: float | None = None,
    cache: Sequence[Path] = (),
) -> Balance | None:
    """Return the balance that a stream asks for, from its folder of solutions where it was solved before.

    Args:
        wanted: "soft", "hard", "natural", "uniform", a `Target`, a `Balance` that fits the stream, or None.
        labels: of the N real frames, over `aus`; None without real frames.
        share: of synthetic samples.
        aus: the stream's label space.
        people: (N,) whom each real frame shows.
        shares: (S,) how much each of them should carry.
        base: (N,) how often each real frame comes by itself.
        pool: the final labels of the pool that is the synthetic side.
        controls: the AUs of the generator.
        threshold: the intensity from which an AU occurs.
        cache: folders of solutions, of which the last is written to.

    Raises:
        ConfigurationError: an unknown word, or a balance of other frames, AUs or another ratio.
    """
    if wanted is None:
        return None
    if isinstance(wanted, Balance):
        _require_fitting(wanted, labels, share, aus, pool=pool, threshold=threshold)
        return wanted
    if not isinstance(wanted, Target) and wanted not in NAMES:
        raise ConfigurationError(f"balance={wanted!r}", expected=f"one of {NAMES}, a Target, a Balance, or None")
    return calibrate(
        labels,
        ratio=float(share),
        target=wanted,
        aus=aus,
        subjects=people,
        subject_shares=shares,
        base=base,
        pool=pool,
        controls=controls if share > 0 and pool is None else None,
        threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
        cache=cache,
    )


def through_generator(
    balance: Balance,
    generator: Generator,
    *,
    seed: int,
    identities: int | IdentityBank,
    threshold: float | None = None,
    cache: Sequence[Path] = (),
) -> Balance:
    """Return the balance whose requests give the wanted labels once this generator has turned them into pictures.

    What a picture shows need not be what was asked: a dropped jaw parts the lips. How often a request becomes which
    final labels is measured on a pilot, once, solved through, and kept in `cache`: the same stream asks for
    the same label vectors from then on, wherever it runs. A balance that was solved through this generator before is
    returned as it is.

    Args:
        balance: with label vectors to ask for.
        generator: what they are asked of.
        seed: of the stream.
        identities: how many people it shows, or which.
        threshold: the intensity from which an AU occurs in it.
        cache: folders of solutions, of which the last is written to.

    Raises:
        ConfigurationError: a balance that was solved through another generator.
    """
    threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    # "balance-HASH", and "balance-HASH-HASH" once it is solved through. How the pilot is measured is left out: a cache
    # whose generator is not here knows no labels without drawing, and must find what was measured where it was.
    question = "-".join(balance.fingerprint.split("-")[:2])
    parts = (
        question,
        generator.fingerprint,
        generator.aus,
        seed,
        people_of(identities, seed).key,
        threshold,
        PILOT,
        DRAWN_PILOT,
    )
    key = f"{question}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"
    if balance.fingerprint == key:
        return balance
    if balance.fingerprint != question:
        raise ConfigurationError(
            "a balance that was solved through the errors of another generator, or for another seed",
            expected="one as `samplers.calibrate` returns it: the stream solves it through its own generator",
        )

    def measure() -> Balance:
        label = getattr(generator, "label", None)
        shown = [au for au, here in zip(balance.aus, balance.shown, strict=True) if here]
        step = -(-_AT_ONCE // generator.block_size) * generator.block_size  # whole blocks
        starts = range(0, DRAWN_PILOT if label is None else PILOT, step)
        solved, sampler = balance, BalancedSampler(balance, generator.aus)
        asked: list[Labels] = []
        final: list[Labels] = []
        for number, first in enumerate(_watched(starts, generator) if label is None else starts, 1):
            wanted = make_conditions(generator, sampler, np.arange(first, first + step), seed, identities)
            if label is not None:
                found = label(wanted)
            else:
                made = generator.generate(wanted)
                shows_B = np.ones(len(wanted), bool) if made.accepted is None else made.accepted
                wanted, found = wanted.rows(np.flatnonzero(shows_B)), made.labels[shows_B]  # others are drawn again
            asked.append(Labels.from_intensity(generator.aus, wanted.intensity, threshold=threshold).project(shown))
            final.append(found.at_threshold(threshold).project(shown))
            if number % -(-len(starts) // _ROUNDS) == 0 or number == len(starts):
                given, got = (Labels.concatenate(parts).occurrence for parts in (asked, final))
                channel = Channel.measure(shown, given, got)
                if not channel.faithful.all():
                    solved = solve_through(balance, channel)
                    sampler = BalancedSampler(solved, generator.aus)
        return replace(solved, fingerprint=key)

    return kept(cache, key, measure)


def _watched(starts: range, generator: Generator) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track

    # On a terminal only: a training log is no place for a bar.
    console = Console(stderr=True)
    words = f"measuring what {generator.name} makes of requests"
    return track(starts, words, console=console, transient=True, disable=not console.is_terminal)


def _require_fitting(
    balance: Balance,
    labels: Labels | None,
    share: Fraction,
    aus: tuple[int, ...],
    *,
    pool: Labels | None,
    threshold: float | None,
) -> None:
    found = {
        "AUs": balance.aus,
        "ratio": round(balance.ratio, 6),
        "lowest level of an AU that occurs": balance.first_level,
        "real frames": len(balance.real_weights),
        "pictures of a pool": len(balance.pool_weights),
    }
    wanted = {
        "AUs": aus,
        "ratio": round(float(share), 6),
        "lowest level of an AU that occurs": first_level(DEFAULT_THRESHOLD if threshold is None else threshold),
        "real frames": 0 if labels is None else len(labels),
        "pictures of a pool": 0 if pool is None or share == 0 else len(pool),
    }
    do = 'leave it to the stream: balance="soft"'
    for what, value in found.items():
        if value != wanted[what]:
            raise ConfigurationError(
                f"a balance of {what} {value} in a stream of {wanted[what]}",
                expected="one that was calibrated for this stream",
                do=do,
            )
    for what, given, groups in (("real frames", labels, balance.real_groups), ("pool", pool, balance.pool_groups)):
        if given is not None and len(groups) and not _same_patterns(given, groups):
            raise ConfigurationError(
                f"a balance of {what} with other labels than this stream's", expected="the same, in their order", do=do
            )


def _same_patterns(labels: Labels, groups: Integers) -> bool:
    """Return whether each group holds frames of one occurrence pattern."""
    state_NA = np.nan_to_num(labels.occurrence, nan=2).astype(np.int8)
    _, first_G, group_N = np.unique(groups, return_index=True, return_inverse=True)
    return bool((state_NA[first_G[group_N.reshape(-1)]] == state_NA).all())
