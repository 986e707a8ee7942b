"""Stored runs for a person: one line each, or all there is to say of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.records.listed import Row, Work
from bench.records.record import RunRecord
from bench.report.foreign import clean
from bench.report.screen import say
from bench.report.text import per_unit, rate

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = ("run", "date", "device", "grade", "status", "verdict", "workload", "rate", "energy")
OPTIONAL = (1, 3)
"""Columns that a narrow terminal does without, in this order: the run id holds the date."""
LONGEST = 28
"""Characters of a device's name."""
NONE = "–"


def lines(rows: Sequence[Row], width: int | None) -> list[str]:
    """A heading and a line a workload, the run named on its first; none without rows.

    Columns are left out, then lines cut, that are wider than ``width``.
    """
    if not rows:
        return []
    table = [HEADINGS, *(line for row in rows for line in _table(row))]
    kept = list(range(len(HEADINGS)))
    widths = [max(len(line[place]) for line in table) for place in kept]
    for place in OPTIONAL:
        if width is not None and sum(widths[k] + 2 for k in kept) - 2 > width:
            kept.remove(place)
    return [
        "  ".join(line[place].ljust(widths[place]) for place in kept).rstrip()[:width]
        for line in table
    ]


def _table(row: Row) -> Iterator[tuple[str, ...]]:
    name = clean(row.device)
    device = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    date = row.started_at[:10]
    run = (row.run_id, clean(date), device, row.grade, row.status, clean(row.verdict))
    works = [_work(work) for work in row.works] or [(NONE, NONE, NONE)]
    for index, work in enumerate(works):
        yield (*(run if index == 0 else ("",) * len(run)), *work)


def _work(work: Work) -> tuple[str, str, str]:
    unit = clean(work.unit)
    return (
        clean(work.name),
        NONE if work.units_per_s is None else rate(work.units_per_s, unit),
        NONE if work.joules_per_unit is None else per_unit(work.joules_per_unit, unit),
    )


def account(record: RunRecord, path: Path, console: Console) -> None:
    """Everything a run showed when it ended, and what it was of."""
    from bench.report.summary import figures_of  # NumPy, which a list needs not

    meter = record.meter
    say(console, f"Run {record.run_id} of {path}")
    say(
        console, f"{record.started_at} to {record.finished_at}, joulemark {record.software.version}"
    )
    say(console, f"Device: {record.device.name} ({record.device.kind}); meter: {meter.source}")
    say(
        console,
        f"Grade {record.plan.grade}, {record.plan.blocks} blocks of {record.plan.block_s:g} s,"
        f" seed {record.plan.seed}; market {record.market.title}",
    )
    if meter.reason is not None:
        say(console, f"Meter: {meter.reason}")
    figures_of(record, console)
