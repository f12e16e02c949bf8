"""A balance for reading: a dict of plain values that prints as a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ausynth import facs
from ausynth.samplers.balance import Balance
from ausynth.samplers.statistics import Doubles

__all__ = ["Report"]

_OFF_RATE, _OFF_PHI, _PAIRS = 0.005, 0.02, 8
"""From where a rate or a correlation counts as not reached, and how many such pairs are printed."""


class Report(dict[str, Any]):
    """What was asked, reached and not reached, as values that JSON can hold; `str()` of it is a table for people.

    Keys: "target", "ratio", "fingerprint"; "aus", a list of one dict for each AU ("au", "name", rates "natural",
    "asked", "reached", "real", "synthetic", and "people", "people_before"); "marginal_error", "mean_abs_phi",
    "max_abs_phi", "phi_error", "level_error"; "natural_mean_abs_phi", "natural_max_abs_phi"; "effective_share",
    "largest_weight"; "unreached_rates" (AU numbers), "unreached_pairs" (dicts of "aus", "asked", "reached"); "notes";
    "steps", "gradient". What is not known is None.
    """

    @classmethod
    def of(cls, balance: Balance) -> Report:
        """Return the report of a balance."""
        asked_AA, reached_AA = balance.asked_phi, balance.reached_phi
        natural_AA = np.where(np.isnan(asked_AA), np.nan, balance.natural_phi)
        natural = np.abs(natural_AA[~np.isnan(natural_AA)])
        with np.errstate(invalid="ignore"):
            off_A = np.abs(balance.reached_rates - balance.asked_rates) > _OFF_RATE
            off_AA = np.triu(np.abs(reached_AA - asked_AA) > _OFF_PHI, 1)
        by_size = sorted(np.argwhere(off_AA).tolist(), key=lambda p: -abs(reached_AA[*p] - asked_AA[*p]))
        columns = {
            "natural": balance.natural_rates,
            "asked": balance.asked_rates,
            "reached": balance.reached_rates,
            "real": balance.real_rates,
            "synthetic": balance.synthetic_rates,
        }
        known_people = balance.natural_people.any()
        people = {"people_before": balance.natural_people, "people": balance.reached_people} if known_people else {}
        return cls(
            target=balance.target,
            ratio=balance.ratio,
            fingerprint=balance.fingerprint,
            aus=[
                {
                    "au": au,
                    "name": facs.ACTION_UNITS[au].name,
                    **{name: _plain(values[i], 4) for name, values in columns.items()},
                    **{name: _plain(values[i], 1) for name, values in people.items()},
                }
                for i, au in enumerate(balance.aus)
            ],
            marginal_error=_plain(balance.marginal_error, 5),
            mean_abs_phi=_plain(balance.mean_abs_phi, 5),
            max_abs_phi=_plain(balance.max_abs_phi, 5),
            phi_error=_plain(balance.phi_error, 5),
            level_error=_plain(balance.level_error, 5),
            natural_mean_abs_phi=_plain(natural.mean(), 5) if natural.size else None,
            natural_max_abs_phi=_plain(natural.max(), 5) if natural.size else None,
            effective_share=_plain(balance.effective_share, 4),
            largest_weight=_plain(balance.largest_weight, 3),
            unreached_rates=[au for au, off in zip(balance.aus, off_A, strict=True) if off],
            unreached_pairs=[
                {
                    "aus": [balance.aus[i], balance.aus[j]],
                    "asked": _plain(asked_AA[i, j], 4),
                    "reached": _plain(reached_AA[i, j], 4),
                }
                for i, j in by_size
            ],
            notes=list(balance.notes),
            steps=balance.steps,
            gradient=balance.gradient,
        )

    def __str__(self) -> str:
        """Return the report as lines of plain text."""
        names = ["natural", "asked", "reached", "real", "synthetic"]
        people = [name for name in ("people_before", "people") if name in self["aus"][0]]
        lines = [
            f"{self['ratio']:.0%} synthetic, target {self['target']}",
            f"{'':30} {' '.join(f'{name:>9}' for name in names)}{''.join(f'{n[:13]:>14}' for n in people)}",
        ]
        for row in self["aus"]:
            rates = " ".join(f"{_text(row[name], '.3f'):>9}" for name in names)
            carried = "".join(f"{_text(row[name], '.1f'):>14}" for name in people)
            lines.append(f"AU{row['au']:<3} {row['name']:25}{rates}{carried}".rstrip())
        lines += [
            f"correlation |phi|: mean {_text(self['natural_mean_abs_phi'], '.3f')} -> {self['mean_abs_phi']:.3f}, "
            f"largest {_text(self['natural_max_abs_phi'], '.3f')} -> {self['max_abs_phi']:.3f}",
            f"off by at most: rates {self['marginal_error']:.4f}, phi {self['phi_error']:.3f}, "
            f"levels {self['level_error']:.4f}",
            f"effective share of the real frames {self['effective_share']:.3f}, "
            f"largest weight {self['largest_weight']:.2f}",
        ]
        for pair in self["unreached_pairs"][:_PAIRS]:
            first, second = pair["aus"]
            lines.append(f"not reached: phi of AU{first}-AU{second} {pair['reached']:+.3f}, asked {pair['asked']:+.3f}")
        if len(self["unreached_pairs"]) > _PAIRS:
            lines.append(f"and {len(self['unreached_pairs']) - _PAIRS} pairs more")
        return "\n".join([*lines, *self["notes"]])


def _plain(value: float | Doubles, digits: int) -> float | None:
    number = float(value)
    return round(number, digits) if math.isfinite(number) else None


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
