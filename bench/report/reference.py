"""Measured runs that ship with the project, as tables: a row a workload, a table a boundary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bench.records.record import RunRecord
from bench.report.sheet import Cell, Column, Sheet
from bench.report.summary import measured

DEVICE = (Column("device", "device"), Column("limit", "power limit", "W"))
ORIGIN = (
    Column("codes", "codes"),
    Column("grade", "grade"),
    Column("date", "date"),
    Column("id", "record"),
)


def runs(records: Iterable[RunRecord]) -> Iterator[Sheet]:
    """What each run measured, behind its device and before its codes, grade, day and record."""
    found: dict[str, Sheet] = {}
    for record in records:
        for sheet in measured(record):
            rows = tuple((*_device(record), *row, *_origin(record)) for row in sheet.rows)
            before = found.get(sheet.boundary)
            columns = (*DEVICE, *sheet.columns, *ORIGIN)
            found[sheet.boundary] = (
                replace(sheet, columns=columns, rows=rows)
                if before is None
                else replace(before, rows=before.rows + rows)
            )
    yield from found.values()


def _device(record: RunRecord) -> tuple[Cell, ...]:
    return record.device.name, record.device.power_limit_w


def _origin(record: RunRecord) -> tuple[Cell, ...]:
    codes = " ".join(code.name for code in record.validity.codes)
    return codes or None, record.plan.grade, record.started_at[:10], record.run_id
