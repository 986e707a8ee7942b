"""Which prices of a table are too old, of those that its rows rest on. Pure; limits are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from bench.economics.chain import first_day
from bench.predict.row import Table
from bench.records.market import Value

PriceKind = Literal["card", "rent", "token"]


@dataclass(frozen=True, slots=True)
class Stale:
    """A price older than its limit; ``of`` is the card or the model it belongs to."""

    kind: PriceKind
    of: str
    value: Value
    age_days: int
    limit_days: int


def stale_prices(table: Table, today: date, limits: dict[PriceKind, int]) -> tuple[Stale, ...]:
    """The prices behind the rows that are older than the days their kind is given."""
    found = []
    for kind, of, value in _used(table):
        age_days = (today - first_day(value.as_of)).days
        if age_days > limits[kind]:
            found.append(Stale(kind, of, value, age_days, limits[kind]))
    return tuple(found)


def _used(table: Table) -> Iterator[tuple[PriceKind, str, Value]]:
    for row in table.rows:
        if row.price is not None:
            yield "card", row.name, row.price
    for row in table.rows:
        if row.rent is not None:
            yield "rent", row.name, row.rent
    if table.price is not None and any(row.money.revenue_usd_per_j for row in table.rows):
        yield "token", f"{table.asked.model.name}, in", table.price.in_usd_per_token
        yield "token", f"{table.asked.model.name}, out", table.price.out_usd_per_token
