"""The gate's findings as a table and as test cases."""

from __future__ import annotations

from collections.abc import Iterator

from bench.gate.compare import Finding, Findings
from bench.records.run import Boundary
from bench.report.junit import Case
from bench.report.sheet import Cell, Column, Sheet
from bench.report.text import per_unit, rate

HOW = "change: one-sided bounds from the variation of the blocks, which tells nothing of other runs"
HOW_PAIRED = "change: of pairs of runs; one-sided bounds from how the ratios of the pairs vary"
FIGURES = {"units_per_s": "rate", "joules_per_unit": "J/unit"}
FINDS = "finds: the smallest loss that so much noise lets be found"


def gated(found: Findings, boundary: Boundary, against: str = "the baseline") -> Sheet:
    """A row a figure."""
    columns = (
        Column("workload", "workload"),
        Column("metric", "figure"),
        Column("before", "before"),
        Column("now", "now"),
        Column("change", "change", "%", 3),
        Column("low", "from", "%", 3),
        Column("high", "to", "%", 3),
        Column("finds", "finds", "%", 2),
        Column("verdict", "verdict"),
    )
    terms = found.terms
    may = f"let pass: {100 * terms.max_regress:g} %, at confidence {terms.confidence:g}"
    how = HOW_PAIRED if terms.paired else HOW
    notes = (may, how, FINDS, *(f"not gated: {each}" for each in found.silent))
    rows = tuple(map(_row, found.figures))
    return Sheet(f"Against {against}", boundary, columns, rows, notes)


def cases(found: Findings, said: Iterator[str]) -> tuple[Case, ...]:
    """A test case a figure, failed unless ok; ``said`` is each figure on a line, in order."""
    return tuple(
        Case(
            each.workload,
            each.metric,
            () if each.verdict == "ok" else (f"{each.verdict}: {line}",),
        )
        for each, line in zip(found.figures, said, strict=True)
    )


def _row(each: Finding) -> tuple[Cell, ...]:
    ratio = each.ratio
    change = (
        (None,) * 3
        if ratio is None
        else tuple(100 * (bound - 1) for bound in (ratio.mid, ratio.lo, ratio.hi))
    )
    return (
        each.workload,
        FIGURES.get(each.metric, each.metric),
        _figure(each, each.before),
        _figure(each, each.now),
        *change,
        None if each.finds is None else 100 * each.finds,
        each.verdict,
    )


def _figure(each: Finding, value: float | None) -> str | None:
    if value is None:
        return None
    shown = rate if each.metric == "units_per_s" else per_unit
    return shown(value, each.unit)
