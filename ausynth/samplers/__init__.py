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
    from ausynth.samplers.gallery import Gallery as Gallery
    from ausynth.samplers.herding import BalancedSampler as BalancedSampler
    from ausynth.samplers.identity import FunctionEncoder as FunctionEncoder
    from ausynth.samplers.identity import IdentityEncoder as IdentityEncoder
    from ausynth.samplers.identity import open_encoder as open_encoder
    from ausynth.samplers.identity_bank import IdentityBank as IdentityBank
    from ausynth.samplers.identity_dlib import DlibEncoder as DlibEncoder
    from ausynth.samplers.identity_index import IdentityIndex as IdentityIndex
    from ausynth.samplers.identity_onnx import ArcFaceEncoder as ArcFaceEncoder
    from ausynth.samplers.leakage import LeakageGuard as LeakageGuard
    from ausynth.samplers.people import Person as Person
    from ausynth.samplers.prior import Prior as Prior
    from ausynth.samplers.prior import fit_prior as fit_prior
    from ausynth.samplers.spacing import SpacedFrames as SpacedFrames
    from ausynth.samplers.targets import Target as Target

__all__ = [
    "ArcFaceEncoder",
    "Balance",
    "BalancedSampler",
    "Channel",
    "CombinationSampler",
    "DlibEncoder",
    "FunctionEncoder",
    "Gallery",
    "IdentityBank",
    "IdentityEncoder",
    "IdentityIndex",
    "LabelSampler",
    "LeakageGuard",
    "Person",
    "Prior",
    "SpacedFrames",
    "Target",
    "baseline",
    "calibrate",
    "fit_prior",
    "open_encoder",
    "solve_through",
]

_HOMES: Final = MappingProxyType(
    {
        "ArcFaceEncoder": "identity_onnx",
        "Balance": "balance",
        "BalancedSampler": "herding",
        "Channel": "channel",
        "CombinationSampler": "combinations",
        "DlibEncoder": "identity_dlib",
        "FunctionEncoder": "identity",
        "Gallery": "gallery",
        "IdentityBank": "identity_bank",
        "IdentityEncoder": "identity",
        "IdentityIndex": "identity_index",
        "LabelSampler": "base",
        "LeakageGuard": "leakage",
        "Person": "people",
        "Prior": "prior",
        "SpacedFrames": "spacing",
        "Target": "targets",
        "baseline": "baselines",
        "calibrate": "cooccurrence",
        "fit_prior": "prior",
        "open_encoder": "identity",
        "solve_through": "channel",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
