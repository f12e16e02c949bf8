"""Which labels, and which people, a generator is asked for; how often real frames come."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ausynth.samplers.balance import Balance as Balance
    from ausynth.samplers.base import LabelSampler as LabelSampler
    from ausynth.samplers.baselines import baseline as baseline
    from ausynth.samplers.channel import Channel as Channel
    from ausynth.samplers.channel import solve_through as solve_through
    from ausynth.samplers.combinations import CombinationSampler as CombinationSampler
    from ausynth.samplers.cooccurrence import calibrate as calibrate
    from ausynth.samplers.herding import BalancedSampler as BalancedSampler
    from ausynth.samplers.prior import Prior as Prior
    from ausynth.samplers.prior import fit_prior as fit_prior
    from ausynth.samplers.spacing import SpacedFrames as SpacedFrames
    from ausynth.samplers.targets import Target as Target

__all__ = [
    "Balance",
    "BalancedSampler",
    "Channel",
    "CombinationSampler",
    "LabelSampler",
    "Prior",
    "SpacedFrames",
    "Target",
    "baseline",
    "calibrate",
    "fit_prior",
    "solve_through",
]

_HOMES: Final = MappingProxyType(
    {
        "Balance": "balance",
        "BalancedSampler": "herding",
        "Channel": "channel",
        "CombinationSampler": "combinations",
        "LabelSampler": "base",
        "Prior": "prior",
        "SpacedFrames": "spacing",
        "Target": "targets",
        "baseline": "baselines",
        "calibrate": "cooccurrence",
        "fit_prior": "prior",
        "solve_through": "channel",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
