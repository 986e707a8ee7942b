"""What each compared card earns by each use at the stated prices, with the parts it is made of.

The middles of the judge's own arithmetic, without draws: ``bench verdict`` gives the ranges. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from bench.compare import Compared, Row
from bench.records.decision import UseCode
from bench.records.market import GpuProfile, MarketProfile, RentPrice, TokenPrice
from bench.records.run import WorkloadRecord
from bench.verdict.case import Case, Valued
from bench.verdict.draws import World
from bench.verdict.options import (
    NO_CAPITAL,
    Use,
    in_per_out,
    rent_price,
    token_price,
    why_no_joules,
)


@dataclass(frozen=True, slots=True)
class Worth:
    """One use of one card, all hours counted. Watts are the wall's, money is at the facility.

    ``capital_usd_per_s`` is the level charge of card and server, ``capital_per_usd`` what of it
    each dollar of the card's price brings; ``tokens_in`` are sold with each generated one. Null is
    unknown, ``reason`` says why.
    """

    name: str
    code: UseCode
    what: str
    model: str
    gpu: GpuProfile | None
    token: TokenPrice | None
    rent: RentPrice | None
    units_per_s: float | None
    tokens_in: float
    utilisation: float
    pue: float
    busy_w: float | None
    idle_w: float | None
    usd_per_s: float | None
    net_usd_per_s: float | None
    full_usd_per_s: float | None
    usd_per_j: float | None
    net_usd_per_j: float | None
    capital_per_usd: float | None
    reason: str | None

    @property
    def mean_w(self) -> float | None:
        """Facility watts over all hours."""
        if self.busy_w is None or self.idle_w is None:
            return None
        u = self.utilisation
        return (self.busy_w * u + self.idle_w * (1 - u)) * self.pue


def worths(tables: Sequence[Compared], market: MarketProfile) -> tuple[Worth, ...]:
    """Every use of every card whose run is trusted, a card's together."""
    cards: defaultdict[tuple[str, int | None], list[Row]] = defaultdict(list)
    for table in tables:
        for row in table.rows:
            if row.entry.trusted:
                cards[row.entry.card].append(row)
    return tuple(worth for rows in cards.values() for worth in _card(rows, market))


def _card(rows: Sequence[Row], market: MarketProfile) -> Iterator[Worth]:
    """Its hashes and tokens, then its rent on the power of the busiest of them."""
    rents: list[tuple[Row, Valued]] = []
    for row, valued in _valued(rows, market):
        for code in ("MINE", "SERVE"):
            if (use := valued.uses.get(code)) is not None:
                yield _worth(row, use, valued.world, market)
        if "RENT" in valued.uses:
            rents.append((row, valued))
    if rents:
        row, valued = max(rents, key=lambda found: _busy_w(found[1].uses["RENT"]))
        yield _worth(row, valued.uses["RENT"], valued.world, market)


def _valued(rows: Sequence[Row], market: MarketProfile) -> Iterator[tuple[Row, Valued]]:
    """Each run's rows valued together, a hash and a token workload at a time."""
    for run in dict.fromkeys(row.entry.record.run_id for row in rows):
        own = [row for row in rows if row.entry.record.run_id == run]
        hashes = [row for row in own if row.entry.workload.unit == "hash"]
        tokens = [row for row in own if row.entry.workload.unit != "hash"]
        for pair in zip_longest(hashes, tokens):
            both = [row for row in pair if row is not None]
            yield both[0], _case(both).valued(market, draws=0)


def _case(rows: Sequence[Row]) -> Case:
    entry = rows[0].entry
    workloads: list[WorkloadRecord] = [row.entry.workload for row in rows]
    record = entry.record
    return Case(
        record.device, workloads, record.idle, record.profiles.model, entry.gpu, record.plan.seed
    )


def _busy_w(use: Use) -> float:
    return 0.0 if use.busy_w is None else float(use.busy_w[0])


def _worth(row: Row, use: Use, world: World, market: MarketProfile) -> Worth:
    entry = row.entry
    model = entry.record.profiles.model
    pue = float(world.node.pue[0])
    priced, mean_w = use.now is not None, use.mean_w
    card = world.owning.card_usd_per_s
    full = use.full_usd_per_s(world) if priced else None
    price = None if entry.gpu is None else entry.gpu.price_usd
    net = None if mean_w is None else use.usd_per_s - mean_w * world.usd_per_j
    per_j = use.usd_per_j if priced else None
    return Worth(
        name=row.name,
        code=use.code,
        what=use.what,
        model=str(entry.workload.config.get("model")) if model is None else model.name,
        gpu=entry.gpu,
        token=token_price(market, model) if use.code == "SERVE" else None,
        rent=rent_price(market, entry.gpu) if use.code == "RENT" else None,
        units_per_s=None if use.load is None else float(use.load.units_per_s[0]),
        tokens_in=0.0 if use.load is None else in_per_out(use.load.record.config),
        utilisation=float(use.utilisation[0]),
        pue=pue,
        busy_w=None if use.busy_w is None else float(use.busy_w[0]) / pue,
        idle_w=None if use.idle_w is None else float(use.idle_w[0]) / pue,
        usd_per_s=float(use.usd_per_s[0]) if priced else None,
        net_usd_per_s=None if net is None or not priced else float(net[0]),
        full_usd_per_s=None if full is None else float(full[0]),
        usd_per_j=None if per_j is None else float(per_j[0]),
        net_usd_per_j=None if per_j is None else float(per_j[0] - world.usd_per_j[0]),
        capital_per_usd=None if card is None or price is None else float(card[0]) / price.value,
        reason=_reason(use, entry.gpu),
    )


def _reason(use: Use, gpu: GpuProfile | None) -> str | None:
    if use.now is None:
        return "its tokens have no price in this market"
    if use.mean_w is None:
        return f"no figure per kWh: {why_no_joules(use)}"
    if gpu is None or gpu.price_usd is None:
        return NO_CAPITAL
    return None
