"""Where the answer changes, in closed form, each threshold with its distance from today. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.economics.card import break_even_utilisation
from bench.economics.units import J_PER_KWH, Array
from bench.records.decision import Basis, Flip, FlipWhat, Reference, UseCode
from bench.verdict.options import Use, why_no_joules

USD_PER_MTOK = 1e6
_PRICE: dict[UseCode, FlipWhat] = {
    "SERVE": "token price",
    "RENT": "rent price",
    "MINE": "BTC price",
}
_HOURS: dict[UseCode, FlipWhat] = {"SERVE": "hours served", "RENT": "hours rented"}


@dataclass(frozen=True, slots=True)
class Standing:
    """The uses that have a price, best first, and what each is worth on ``basis``.

    Worth is gross USD per paid joule, OFF being worth the joule's price, or gross USD/s where
    joules are unknown.
    """

    basis: Basis
    order: tuple[UseCode, ...]
    worth: Mapping[UseCode, Array]
    probability: float

    def middle(self, code: UseCode) -> float:
        """Worth at the stated inputs."""
        return float(self.worth[code][0])

    def rival(self, code: UseCode) -> UseCode:
        """Whom a use must beat, or who beats it."""
        return self.order[1] if code == self.order[0] else self.order[0]


def flips(
    uses: Mapping[UseCode, Use],
    standing: Standing | None,
    power_usd_per_j: float,
    best_asic: Reference | None,
    btc_usd: float,
) -> tuple[Flip, ...]:
    """Every threshold: prices, hours, power, the best ASIC, and what unpriced tokens must fetch."""
    found: list[Flip] = []
    if standing is not None:
        for code in standing.order:
            if code in uses:
                found += _own_flips(uses[code], standing, btc_usd)
        found += _power_flips(standing, power_usd_per_j, btc_usd)
    for use in uses.values():
        if use.now is None:
            found += _break_evens(use, uses, power_usd_per_j, best_asic, btc_usd)
        elif use.code != "MINE" and best_asic is not None:
            found.append(_asic_flip(use, best_asic, btc_usd))
    return tuple(found)


def _own_flips(use: Use, standing: Standing, btc_usd: float) -> list[Flip]:
    """The price of a use, and its hours, at which it takes or loses the lead."""
    rival = standing.rival(use.code)
    leads = use.code == standing.order[0]
    price = _linear(use, leads, rival, standing.middle(rival) / standing.middle(use.code), btc_usd)
    return [price, *_hours_flip(use, leads, rival, standing)]


def _linear(use: Use, leads: bool, rival: str, factor: float, btc_usd: float) -> Flip:
    """Worth is proportional to the price it rests on, so the threshold is price × factor."""
    assert use.now is not None
    at = use.now * factor
    return Flip(
        what=_PRICE[use.code],
        winner=rival if leads else use.code,
        loser=use.code if leads else rival,
        direction="below" if leads else "above",
        unit=use.unit,
        now=use.now,
        at=at,
        ratio=factor,
        at_btc=None if use.code == "MINE" else at / btc_usd,
    )


def _hours_flip(use: Use, leads: bool, rival: UseCode, standing: Standing) -> list[Flip]:
    if use.code not in _HOURS:
        return []
    now, target = float(use.utilisation[0]), standing.middle(rival)
    share = _share(use, target, standing.basis)
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
    busy = float(use.busy_usd_per_s[0])
    if basis == "device-hour":
        return target / busy if target <= busy else None
    assert use.busy_w is not None
    assert use.idle_w is not None
    return break_even_utilisation(busy, float(use.busy_w[0]), float(use.idle_w[0]), target)


def _power_flips(standing: Standing, power_usd_per_j: float, btc_usd: float) -> list[Flip]:
    """The power price at which switching off beats the best use."""
    if standing.basis != "kwh":
        return []
    running: UseCode = next(code for code in standing.order if code != "OFF")
    at = standing.middle(running)
    off_leads = standing.order[0] == "OFF"
    return [
        Flip(
            what="power price",
            winner=running if off_leads else "OFF",
            loser="OFF" if off_leads else running,
            direction="below" if off_leads else "above",
            unit="USD/kWh",
            now=power_usd_per_j * J_PER_KWH,
            at=at * J_PER_KWH,
            ratio=at / power_usd_per_j,
            at_btc=at * J_PER_KWH / btc_usd,
        )
    ]


def _asic_flip(use: Use, asic: Reference, btc_usd: float) -> Flip:
    """The price at which a joule earns the same here and in the best ASIC."""
    if use.usd_per_j is None:
        return _unknown(use, asic.title)
    factor = asic.usd_per_kwh.mid / J_PER_KWH / float(use.usd_per_j[0])
    return _linear(use, factor < 1, asic.title, factor, btc_usd)


def _break_evens(
    use: Use,
    uses: Mapping[UseCode, Use],
    power_usd_per_j: float,
    asic: Reference | None,
    btc_usd: float,
) -> list[Flip]:
    """What tokens without a price must fetch to beat the other uses, the best ASIC, the socket."""
    found = []
    for rival in uses.values():
        if rival is use:
            continue
        if use.usd_per_j is not None and rival.usd_per_j is not None:
            factor = float(rival.usd_per_j[0] / use.usd_per_j[0])
        else:
            factor = float(rival.usd_per_s[0] / use.usd_per_s[0])
        found.append(_must_fetch(use, rival.code, factor, btc_usd))
    per_j = {} if asic is None else {asic.title: asic.usd_per_kwh.mid / J_PER_KWH}
    for name, worth in (per_j | {"OFF": power_usd_per_j}).items():
        if use.usd_per_j is None:
            found.append(_unknown(use, name))
        else:
            found.append(_must_fetch(use, name, worth / float(use.usd_per_j[0]), btc_usd))
    return found


def _must_fetch(use: Use, rival: str, usd_per_token: float, btc_usd: float) -> Flip:
    at = usd_per_token * USD_PER_MTOK
    return Flip(
        what="token price",
        winner=use.code,
        loser=rival,
        direction="above",
        unit=use.unit,
        now=None,
        at=at,
        ratio=None,
        at_btc=at / btc_usd,
    )


def _unknown(use: Use, rival: str) -> Flip:
    return Flip(
        what=_PRICE[use.code],
        winner=use.code,
        loser=rival,
        direction="above",
        unit=use.unit,
        now=use.now,
        at=None,
        ratio=None,
        at_btc=None,
        reason=f"needs joules: {why_no_joules(use)}",
    )
