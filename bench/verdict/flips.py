"""Where the answer changes, each threshold with its distance from today. Pure.

A flip is exact for the input set to one number, as ``--set`` does: the median worth of a use is
then proportional to its price, and at the flip equals its rival's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.economics.card import break_even_utilisation
from bench.economics.units import J_PER_KWH, Array
from bench.records.decision import Basis, Flip, FlipWhat, Reference, UseCode
from bench.verdict.draws import drawn_part, median
from bench.verdict.inputs import INPUTS
from bench.verdict.options import Use, why_no_joules
from bench.verdict.standing import Standing

_PRICE: dict[UseCode, FlipWhat] = {
    "SERVE": "token price",
    "RENT": "rent price",
    "MINE": "BTC price",
}
_HOURS: dict[UseCode, FlipWhat] = {"SERVE": "hours served", "RENT": "hours rented"}


def flips(
    uses: Mapping[UseCode, Use], standing: Standing, power_usd_per_j: float, btc_usd: float
) -> tuple[Flip, ...]:
    """Every threshold at which the leader among the options changes: prices, hours, power."""
    found: list[Flip] = []
    for code in standing.order:
        if code in uses:
            found.append(_price_flip(uses[code], standing, btc_usd))
            found += _hours_flip(uses[code], standing)
    return (*found, *_power_flip(standing, power_usd_per_j, btc_usd))


def break_evens(
    uses: Mapping[UseCode, Use],
    power_usd_per_j: float,
    best_asic: Reference | None,
    btc_usd: float,
) -> tuple[Flip, ...]:
    """Prices against what is no option: the best ASIC, and what unsold tokens must fetch."""
    found: list[Flip] = []
    for use in uses.values():
        if use.now is None:
            found += _must_fetch(use, uses, power_usd_per_j, best_asic, btc_usd)
        elif use.code != "MINE" and best_asic is not None:
            target = best_asic.usd_per_kwh.p50 / J_PER_KWH
            found.append(_threshold(use, best_asic.title, target, btc_usd))
    return tuple(found)


def _price_flip(use: Use, standing: Standing, btc_usd: float) -> Flip:
    """The price of a use at which it takes or loses the lead."""
    rival = standing.rival(use.code)
    at = standing.median(rival) / median(use.at_one(standing.basis))
    return _flip(use, rival, at, btc_usd, leads=use.code == standing.order[0])


def _flip(use: Use, rival: str, at: float, btc_usd: float, *, leads: bool) -> Flip:
    return Flip(
        what=_PRICE[use.code],
        winner=rival if leads else use.code,
        loser=use.code if leads else rival,
        direction="below" if leads else "above",
        unit=INPUTS[use.price].shown,
        now=use.now,
        at=at,
        ratio=None if use.now is None else at / use.now,
        at_btc=None if use.code == "MINE" else at / btc_usd,
    )


def _hours_flip(use: Use, standing: Standing) -> list[Flip]:
    """The share of hours at which a use takes or loses the lead, if any does."""
    if use.code not in _HOURS:
        return []
    leads, rival = use.code == standing.order[0], standing.rival(use.code)
    now = float(use.utilisation[0])
    share = _share(use, standing.median(rival), standing.basis)
    return [
        Flip(
            what=_HOURS[use.code],
            winner=rival if leads else use.code,
            loser=use.code if leads else rival,
            direction="below" if leads else "above",
            unit="1",
            now=now,
            at=share,
            ratio=None if share is None else share / now,
            at_btc=None,
            reason="no share of the hours is enough" if share is None else None,
        )
    ]


def _share(use: Use, target: float, basis: Basis) -> float | None:
    """The share of hours at which the median of what the use is worth meets ``target``.

    Worth grows with the share in every draw, so it is the median of the draws' own break-evens.
    """
    busy = drawn_part(use.busy_usd_per_s)
    if basis == "device-hour" or use.busy_w is None or use.idle_w is None:
        shares = target / busy
    else:
        shares = break_even_utilisation(
            busy, drawn_part(use.busy_w), drawn_part(use.idle_w), target
        )
    share = float(np.median(shares))
    return share if 0 < share <= 1 else None


def _power_flip(standing: Standing, power_usd_per_j: float, btc_usd: float) -> list[Flip]:
    """The power price at which switching off beats the best use."""
    if standing.basis != "kwh":
        return []
    running: UseCode = next(code for code in standing.order if code != "OFF")
    at = standing.median(running)
    off_leads = standing.order[0] == "OFF"
    return [
        Flip(
            what="power price",
            winner=running if off_leads else "OFF",
            loser="OFF" if off_leads else running,
            direction="below" if off_leads else "above",
            unit=INPUTS["power"].shown,
            now=power_usd_per_j * J_PER_KWH,
            at=at * J_PER_KWH,
            ratio=at / power_usd_per_j,
            at_btc=at * J_PER_KWH / btc_usd,
        )
    ]


def _must_fetch(
    use: Use,
    uses: Mapping[UseCode, Use],
    power_usd_per_j: float,
    asic: Reference | None,
    btc_usd: float,
) -> list[Flip]:
    """What tokens without a price must fetch to beat the other uses, the best ASIC, the socket."""
    found = []
    for rival in uses.values():
        if rival is not use:
            basis: Basis = "device-hour"
            worth: Array = rival.usd_per_s
            if use.mean_w is not None and rival.usd_per_j is not None:
                basis, worth = "kwh", rival.usd_per_j
            at = median(worth) / median(use.at_one(basis))
            found.append(_flip(use, rival.code, at, btc_usd, leads=False))
    per_j = {} if asic is None else {asic.title: asic.usd_per_kwh.p50 / J_PER_KWH}
    for name, target in (per_j | {"OFF": power_usd_per_j}).items():
        found.append(_threshold(use, name, target, btc_usd))
    return found


def _threshold(use: Use, rival: str, usd_per_j: float, btc_usd: float) -> Flip:
    """The price at which a paid joule earns ``usd_per_j`` here too."""
    if use.usd_per_j is None:
        return _unknown(use, rival)
    at = usd_per_j / median(use.at_one("kwh"))
    return _flip(use, rival, at, btc_usd, leads=use.now is not None and at < use.now)


def _unknown(use: Use, rival: str) -> Flip:
    return Flip(
        what=_PRICE[use.code],
        winner=use.code,
        loser=rival,
        direction="above",
        unit=INPUTS[use.price].shown,
        now=use.now,
        at=None,
        ratio=None,
        at_btc=None,
        reason=f"needs joules: {why_no_joules(use)}",
    )
