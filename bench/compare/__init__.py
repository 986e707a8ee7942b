"""Stored runs side by side: a table per kind of work, a row per card, ratios with intervals. Pure.

What may be held against what is decided here; money of the same rows is in ``money``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.compare.choice import Asked, baseline, best, missed
from bench.compare.entry import Entry
from bench.predict.standing import inseparable, separable
from bench.records.run import Estimate
from bench.stats import ratio_interval

Standing = Literal["baseline", "comparable", "not separable", "not comparable", "not ranked"]


@dataclass(frozen=True, slots=True)
class Row:
    """One card in one table, ``why`` says what makes it not comparable or not ranked.

    The ratios are this card's over the baseline's, with repeatability's 95 % interval; null where
    the two may not be compared, or for the baseline. ``group`` is the letter of cards whose J/unit
    no board sensor tells apart; they share a ``rank``, 1 being the least J/unit.
    """

    name: str
    entry: Entry
    standing: Standing
    why: tuple[str, ...]
    rate_ratio: Estimate | None = None
    joules_ratio: Estimate | None = None
    group: str | None = None
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One table: the same workload and stack tier, the baseline first."""

    workload: str
    tier: str | None
    rows: tuple[Row, ...]


def compare(entries: Sequence[Entry], asked: Asked) -> tuple[Compared, ...]:
    """A table for each kind of work, in the order in which the runs were given."""
    tables = dict.fromkeys(each.table for each in entries)
    return tuple(_table([e for e in entries if e.table == table], asked) for table in tables)


def _table(entries: Sequence[Entry], asked: Asked) -> Compared:
    base = baseline(entries, asked)
    cards = dict.fromkeys(each.card for each in (base, *entries))
    others = [
        best([each for each in entries if each.card == card], base, asked)
        for card in cards
        if card != base.card
    ]
    rows = [_row(each, base, asked) for each in (base, *others)]
    return Compared(*base.table, tuple(_named(_ranked(rows))))


def _row(entry: Entry, base: Entry, asked: Asked) -> Row:
    """How an entry stands to the baseline, the first reason deciding."""
    unfit = _unfit(entry)
    both, joules_only = _red(entry, base)
    other = missed(entry, base, asked)
    if both or joules_only:
        row = Row(entry.name, entry, "not comparable", (*both, *joules_only, *unfit))
    elif unfit or other is not None:
        row = Row(entry.name, entry, "not ranked", (*unfit, *([other] if other else [])))
    else:
        row = Row(entry.name, entry, "baseline" if entry is base else "comparable", ())
    if entry is base or unfit or _unfit(base) or other is not None or both or base.off_default:
        return row
    own, theirs = entry.workload.metrics, base.workload.metrics
    row = replace(row, rate_ratio=_ratio(own.units_per_s, theirs.units_per_s))
    if joules_only:
        return row
    return _separated(
        replace(row, joules_ratio=_ratio(own.joules_per_unit, theirs.joules_per_unit)), base
    )


def _unfit(entry: Entry) -> tuple[str, ...]:
    """Why a run may be held against nothing."""
    if entry.trusted:
        return ()
    status = entry.record.validity.status
    return (f"the run is {status}" if status in ("invalid", "incomplete") else "no rate",)


def _red(entry: Entry, base: Entry) -> tuple[list[str], list[str]]:
    """Why a run is not comparable at all, and why its joules alone are not."""
    both = [] if entry.off_default is None else [entry.off_default]
    if entry.model != base.model:
        both.append(f"model {entry.model}, the baseline's {base.model}")
    places = (
        ("boundary", entry.workload.metrics.boundary, base.workload.metrics.boundary),
        ("scope", entry.record.meter.scope, base.record.meter.scope),
    )
    measured = _joules(entry) and _joules(base)
    differing = [
        f"{what} {own}, the baseline's {other}"
        for what, own, other in places
        if measured and own != other
    ]
    return both, differing


def _joules(entry: Entry) -> bool:
    return entry.workload.metrics.joules_per_unit is not None


def _ratio(own: Estimate | None, theirs: Estimate | None) -> Estimate | None:
    return None if own is None or theirs is None else ratio_interval(own, theirs)


def _separated(row: Row, base: Entry) -> Row:
    """Two meters whose gain errors may explain the difference say so."""
    found = row.joules_ratio
    if found is None or separable(found.mid, 1.0, row.entry.gain_u, base.gain_u):
        return row
    return replace(row, standing="not separable")


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """Letters for whatever is comparable; ranks for what may be ranked beside another that may."""
    alike = {"baseline", "comparable", "not separable"}
    joules = {
        index: row.entry.workload.metrics.joules_per_unit
        for index, row in enumerate(rows)
        if row.standing in alike
    }
    held = {index: found.mid for index, found in joules.items() if found is not None}
    letters = dict(
        zip(
            held,
            inseparable(list(held.values()), [rows[index].entry.gain_u for index in held]),
            strict=True,
        )
    )
    order = sorted((i for i in held if rows[i].entry.ranked), key=lambda i: held[i])
    ranks: dict[int, int] = {}
    for place, index in enumerate(order, 1):
        same = [i for i in order[: place - 1] if letters[i] is not None]
        tied = next((i for i in same if letters[i] == letters[index]), None)
        ranks[index] = place if tied is None else ranks[tied]
    return [replace(row, group=letters.get(i), rank=ranks.get(i)) for i, row in enumerate(rows)]


def _named(rows: Sequence[Row]) -> list[Row]:
    """Two cards of one name are told apart by their runs."""
    names = [row.name for row in rows]
    return [
        replace(row, name=f"{row.name} ({row.entry.record.run_id[-6:]})")
        if names.count(row.name) > 1
        else row
        for row in rows
    ]
