"""Charts of a report before they have a form: the kind of drawing and the tables it draws.

What is drawn is what the tables hold, so a figure's marks are its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from bench.book import Book
from bench.ledger import joules_of
from bench.records.journal import JsonObject
from bench.records.record import RunRecord
from bench.records.run import MeterFacts, WorkloadRecord
from bench.report import trace
from bench.report.foreign import clean
from bench.report.sheet import Cell, Column, Sheet
from bench.report.text import PREFIXES, thousands

Kind = Literal["trace", "blocks", "ranges", "factors", "tornado", "bars", "roofline"]
PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart: ``sheets`` by the name its drawing knows them by, ``options`` plain JSON.

    ``about`` says in words what is seen. The tables stand below, closed where ``folded``.
    """

    kind: Kind
    title: str
    about: str
    sheets: dict[str, Sheet]
    options: JsonObject = field(default_factory=dict)
    folded: bool = False

    @property
    def data(self) -> JsonObject:
        """What the page's script draws: rows as objects by column key, text cleaned."""
        return {"kind": self.kind, **self.options, **{k: _rows(s) for k, s in self.sheets.items()}}


def _rows(sheet: Sheet) -> list[dict[str, Cell]]:
    keys = [column.key for column in sheet.columns]
    return [
        {
            key: clean(cell) if isinstance(cell, str) else cell
            for key, cell in zip(keys, row, strict=True)
        }
        for row in sheet.rows
    ]


def power(record: RunRecord, book: Book) -> Figure | None:
    """Power over the whole run, over its phases, with what held the card back."""
    where = record.workloads[0].metrics.boundary if record.workloads else "board"
    points = trace.power(book, where)
    if points is None:
        return None
    sheets = {"spans": trace.phases(book, where), "points": points}
    held = trace.throttles(book, where)
    about = f"{points.notes[0]}. Bands are what ran, strong where it was measured."
    if held is None:
        about += " Whether anything held the card back was not read."
    elif held.rows:
        sheets = {"throttles": held, **sheets}
        about += f" Red marks above, {len(held.rows)}: something held the card back."
    else:
        about += " Nothing held the card back."
    units = {workload.name: workload.unit for workload in record.workloads}
    return Figure("trace", "Watts as read", about, sheets, {"units": units}, folded=True)


def blocks(record: RunRecord) -> Iterator[Figure]:
    """Joules per unit of every accepted block, and the interval drawn from them."""
    for workload in record.workloads:
        known = workload.metrics.joules_per_unit
        if known is None or not workload.windows or known.mid <= 0:
            continue
        power = thousands(known.mid)
        unit = f"{PREFIXES[power]}J/{workload.unit}"
        sheet = _blocks(workload, record.meter, power, unit)
        interval = {key: getattr(known, key) / 10**power for key in ("mid", "lo", "hi")}
        about = (
            f"{workload.name}: {len(sheet.rows)} blocks around {interval['mid']:.4g} {unit};"
            f" 95 % interval {interval['lo']:.4g} to {interval['hi']:.4g}."
        )
        options = {"interval": interval, "unit": unit, "of": workload.unit}
        title = f"Energy of each block: {workload.name}"
        yield Figure("blocks", title, about, {"rows": sheet}, options, folded=True)


def _blocks(workload: WorkloadRecord, meter: MeterFacts, power: int, unit: str) -> Sheet:
    columns = (
        Column("block", "block"),
        Column("start", "from", "s", digits=6),
        Column("seconds", "lasted", "s", digits=4),
        Column("units", f"{workload.unit} count", digits=4),
        Column("joules", "energy", "J", digits=4),
        Column("each", "energy", unit, digits=5),
        Column("throttled", "throttled", "s"),
    )
    rows = []
    for number, window in enumerate(workload.windows, 1):
        joules = joules_of(window, meter)
        each = None if joules is None or not window.units else joules / window.units / 10**power
        lasted_s = window.end_s - window.start_s
        rows.append(
            (
                number,
                window.start_s - workload.windows[0].start_s,
                lasted_s,
                window.units,
                joules,
                each,
                window.throttled_s,
            )
        )
    title = f"Blocks of {workload.name}, from the start of the first"
    return Sheet(title, workload.metrics.boundary, columns, tuple(rows))


def budget(record: RunRecord) -> Iterator[Figure]:
    """What widens the absolute interval of joules, line by line."""
    columns = (
        Column("name", "cause"),
        Column("share", "relative standard uncertainty", "%"),
        Column("source", "source"),
    )
    for workload in record.workloads:
        doubts = workload.metrics.budget
        if not doubts:
            continue
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (doubt.name, PERCENT * doubt.relative_u, doubt.source) for doubt in doubts
        )
        title = f"Uncertainty budget: {workload.name}"
        largest = max(doubts, key=lambda doubt: doubt.relative_u)
        about = f"{len(doubts)} causes; the largest is {largest.name}."
        sheet = Sheet(title, workload.metrics.boundary, columns, rows)
        options = {"unit": "% of the joules", "of": workload.unit}
        yield Figure("bars", title, about, {"rows": sheet}, options)


def limits(record: RunRecord) -> Figure | None:
    """How much of what bounds it each workload reached."""
    columns = (
        Column("name", "workload and limit"),
        Column("share", "reached", "%"),
        Column("of", "of"),
    )
    rows: list[tuple[Cell, ...]] = []
    for workload in record.workloads:
        rows += [row for row in _shares(workload) if row[1] is not None]
    if not rows:
        return None
    where = record.workloads[0].metrics.boundary
    sheet = Sheet("Share of the limit reached", where, columns, tuple(rows))
    about = "; ".join(f"{row[0]}: {row[1]:.3g} %" for row in rows) + "."
    options = {"unit": "% of the limit", "full": PERCENT}
    return Figure("bars", "Shares reached", about, {"rows": sheet}, options)


def _shares(workload: WorkloadRecord) -> Iterator[tuple[Cell, ...]]:
    metrics, name = workload.metrics, workload.name
    if workload.unit == "hash":
        limit = "the audited code's ceiling at the sampled clock"
        yield f"{name}: hash limit", _percent(metrics.roofline_fraction), limit
        return
    for kind, found in (metrics.roofs or {}).items():
        if found is None:
            continue
        source = f"{kind} peaks"
        yield f"{name}: roofline, {kind}", _percent(found["roofline_fraction"]), source
        yield f"{name}: MBU useful, {kind}", _percent(found["mbu_useful"]), source
        yield f"{name}: MFU, {kind}", _percent(found["mfu"]), source


def _percent(share: float | None) -> float | None:
    return None if share is None else PERCENT * share


def roofline(record: RunRecord) -> Iterator[Figure]:
    """Token work against the two roofs: bytes read a second, products a second."""
    columns = (
        Column("name", "peaks"),
        Column("intensity", "intensity", "FLOP/byte"),
        Column("flops", "reached", "FLOP/s"),
        Column("bandwidth", "read peak", "byte/s"),
        Column("peak", "product peak", "FLOP/s"),
        Column("share", "of the roof", "%"),
    )
    for workload in record.workloads:
        found = {kind: roof for kind, roof in (workload.metrics.roofs or {}).items() if roof}
        rows: tuple[tuple[Cell, ...], ...] = tuple(_roof(*item) for item in found.items())
        if not rows:
            continue
        title = f"Roofline: {workload.name}"
        about = "; ".join(
            f"{row[0]} peaks: {row[5]:.3g} % of the roof at {row[1]:.3g} FLOP/byte" for row in rows
        )
        note = (
            "work of a prompt and of generated tokens together stands at its mean intensity;"
            " its share of the roof counts each on its own"
        )
        sheet = Sheet(title, workload.metrics.boundary, columns, rows, (note,))
        yield Figure("roofline", title, f"{about}.", {"rows": sheet}, {"of": workload.unit})


def _roof(kind: str, roof: JsonObject) -> tuple[Cell, ...]:
    bandwidth, peak = float(roof["read_bytes_per_s"]), float(roof["flops"])
    reached = roof["mfu"] * peak
    moved = roof["mbu_useful"] * bandwidth
    return (
        kind,
        reached / moved if moved else None,
        reached,
        bandwidth,
        peak,
        PERCENT * roof["roofline_fraction"],
    )
