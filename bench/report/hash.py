"""Hash kernels of one device side by side: rate, joules per hash, share of what bounds the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.figures import figures
from bench.records.record import RunRecord
from bench.records.run import Boundary, Estimate, Metrics
from bench.report.sheet import Cell, Column, Sheet
from bench.report.text import half_width, per_unit, rate
from bench.stats import Best

NANO, GIGA, MEGA = 1e-9, 1e9, 1e6


@dataclass(frozen=True, slots=True)
class KernelRun:
    """One kernel and the run that measured it; ``unlimited`` says why no limit of it is known."""

    kernel: str
    record: RunRecord
    unlimited: str | None

    @property
    def metrics(self) -> Metrics | None:
        """What was measured, if anything."""
        return next((w.metrics for w in self.record.workloads if w.name == "sha256d"), None)


def sheet(runs: Sequence[KernelRun], fastest: Best | None, thriftiest: Best | None) -> Sheet:
    """A row a kernel; the notes name the fastest and the thriftiest and what is like them."""
    unit, scale = _rate_unit(runs)
    columns = (
        Column("kernel", "kernel"),
        Column("units_per_s", "rate", unit, 4),
        Column("units_per_s_percent", "rate ±", "%", 2),
        Column("watts", "power", "W", 4),
        Column("joules_per_unit", "energy/hash", "nJ/hash", 4),
        Column("joules_per_unit_percent", "energy ±", "%", 2),
        Column("limit", "limit", unit, 4),
        Column("limit_share", "of limit", "%", 3),
        Column("run", "run"),
    )
    rows = tuple(
        (each.kernel, *_cells(each.metrics, scale), each.record.validity.status) for each in runs
    )
    device = runs[0].record.device.name
    compared = best_lines(runs, fastest, thriftiest) if len(runs) > 1 else ()
    notes = (*compared, *_limit_notes(runs))
    return Sheet(f"SHA-256d kernels on {device}", _boundary(runs), columns, rows, notes)


def best_lines(
    runs: Sequence[KernelRun], fastest: Best | None, thriftiest: Best | None
) -> Iterator[str]:
    """Fastest and thriftiest, each with its figure; they may differ."""
    metrics = {each.kernel: each.metrics for each in runs}
    if fastest is None:
        yield "Fastest: unknown, for no run may be trusted."
    else:
        yield f"Fastest: {_named(fastest, _figure(metrics, fastest.name, 'rate'))}."
    if thriftiest is None:
        reasons = dict.fromkeys(m.reason for m in metrics.values() if m and m.reason)
        why = "; ".join(reasons) or "no run that may be trusted has joules"
        yield f"Thriftiest: unknown: {why}."
    else:
        yield f"Thriftiest: {_named(thriftiest, _figure(metrics, thriftiest.name, 'joules'))}."


def run_line(run: KernelRun) -> str:
    """What came of one kernel, on one line."""
    metrics = run.metrics
    if metrics is None or metrics.units_per_s is None:
        return f"{run.kernel}: nothing was measured; the run is {run.record.validity.status}"
    parts = [f"{run.kernel}: {_with_width(metrics.units_per_s, rate)}"]
    if metrics.joules_per_unit is not None:
        parts.append(_with_width(metrics.joules_per_unit, per_unit))
    if metrics.roofline_fraction is not None:
        parts.append(f"{figures(100 * metrics.roofline_fraction)} % of its limit")
    return ", ".join([*parts, run.record.validity.status])


def _cells(metrics: Metrics | None, scale: float) -> tuple[Cell, ...]:
    if metrics is None:
        return (None,) * 7
    rates, share = metrics.units_per_s, metrics.roofline_fraction
    limit = rates.mid / share / scale if rates and share else None
    return (
        _mid(rates, scale),
        _percent(rates),
        _mid(metrics.watts, 1.0),
        _mid(metrics.joules_per_unit, NANO),
        _percent(metrics.joules_per_unit),
        limit,
        None if share is None else 100 * share,
    )


def _named(best: Best, figure: str) -> str:
    said = f"{best.name}, {figure}"
    if not best.alike:
        return said
    return f"{said}; not to be told from {', '.join(best.alike)} (their 95 % intervals overlap)"


def _figure(metrics: Mapping[str, Metrics | None], kernel: str, what: str) -> str:
    known = metrics[kernel]
    assert known is not None, "only what was measured can be best"
    if what == "rate":
        return _with_width(known.units_per_s, rate)
    return _with_width(known.joules_per_unit, per_unit)


def _with_width(estimate: Estimate | None, written: Callable[[float, str], str]) -> str:
    assert estimate is not None, "only what is known is written"
    return f"{written(estimate.mid, 'hash')} {half_width(estimate)}"


def _limit_notes(runs: Sequence[KernelRun]) -> Iterator[str]:
    if any(each.metrics and each.metrics.roofline_fraction is not None for each in runs):
        yield (
            "Limit: what the audited machine code allows at the SM clock sampled meanwhile:"
            " SMs × 64 × clock / max(ALU, FMA slots, instructions / 2)."
        )
    for reason in dict.fromkeys(each.unlimited for each in runs if each.unlimited):
        yield f"No limit: {reason}."


def _boundary(runs: Sequence[KernelRun]) -> Boundary:
    known = (each.metrics.boundary for each in runs if each.metrics)
    fallback: Boundary = "package" if runs[0].record.device.kind == "cpu" else "board"
    return next(known, fallback)


def _rate_unit(runs: Sequence[KernelRun]) -> tuple[str, float]:
    rates = [m.units_per_s.mid for each in runs if (m := each.metrics) and m.units_per_s]
    return ("GH/s", GIGA) if max(rates, default=GIGA) >= GIGA else ("MH/s", MEGA)


def _mid(estimate: Estimate | None, unit: float) -> float | None:
    return None if estimate is None else estimate.mid / unit


def _percent(estimate: Estimate | None) -> float | None:
    """Half the 95 % interval, in percent of its middle."""
    if estimate is None or estimate.mid == 0:
        return None
    return 50 * (estimate.hi - estimate.lo) / abs(estimate.mid)
