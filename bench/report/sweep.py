"""A sweep as tables: each workload's joules at the meter's boundary, its money at the facility."""

from __future__ import annotations

from bench.economics.flexible import Curve, Point
from bench.figures import figures
from bench.records.record import RunRecord
from bench.records.run import Estimate, WorkloadRecord
from bench.report.sheet import Cell, Column, Sheet
from bench.report.text import half_width, per_unit, rate
from bench.verdict.sentence import dollars

RATES = {"hash": ("GH/s", 1e9), "token": ("tok/s", 1.0)}
JOULES = {"hash": ("nJ/hash", 1e-9), "token": ("mJ/token", 1e-3)}
LIMIT = Column("limit_w", "limit", "W", 4)
RUN = Column("run", "run")


def sheets(curves: tuple[Curve, ...], device: str) -> list[Sheet]:
    """Two tables a workload: each has one boundary."""
    return [sheet for curve in curves for sheet in (energy(curve, device), money(curve, device))]


def point_lines(limit_w: float, record: RunRecord) -> list[str]:
    """What came of one limit, a line a workload, and why it cannot be trusted if so."""
    lines = [_line(limit_w, workload) for workload in record.workloads]
    lines += [f"FATAL {code.name}: {code.text}" for code in record.validity.codes if code.fatal]
    if not record.workloads:
        lines.append(f"{limit_w:g} W: nothing was measured; the run is {record.validity.status}")
    return lines


def energy(curve: Curve, device: str) -> Sheet:
    """Rate, watts and joules per unit against the limit."""
    rate_unit, per_s = RATES.get(curve.unit, (f"{curve.unit}/s", 1.0))
    joule_unit, joules = JOULES.get(curve.unit, (f"J/{curve.unit}", 1.0))
    columns = (
        LIMIT,
        Column("units_per_s", "rate", rate_unit, 4),
        Column("units_per_s_percent", "rate ±", "%", 2),
        Column("watts", "power", "W", 4),
        Column("joules_per_unit", "energy/unit", joule_unit, 4),
        Column("joules_per_unit_percent", "energy ±", "%", 2),
        RUN,
    )
    rows = tuple(
        (
            _whole(point.limit_w),
            _mid(point.units_per_s, per_s),
            _percent(point.units_per_s),
            _mid(point.watts, 1.0),
            _mid(point.joules_per_unit, joules),
            _percent(point.joules_per_unit),
            point.run,
        )
        for point in curve.points
    )
    title = f"{curve.workload} on {device}: joules against the power limit"
    return Sheet(title, curve.boundary, columns, rows, tuple(_energy_notes(curve)))


def money(curve: Curve, device: str) -> Sheet:
    """What each limit earns, and what it costs to draw less than the best of them does."""
    columns = (
        LIMIT,
        Column("mean_w", "paid", "W", 4),
        Column("usd_per_h", "earns", "USD/h"),
        Column("usd_per_h_net", "net", "USD/h"),
        Column("usd_per_kwh", "earns", "USD/kWh"),
        Column("curtailing_usd_per_mwh", "curtailed", "USD/MWh"),
        Column("strike_usd_per_mwh", "strike", "USD/MWh"),
        RUN,
    )
    rows = tuple((_whole(point.limit_w), *_earned(point), point.run) for point in curve.points)
    title = f"{curve.workload} on {device}: money against the power limit"
    return Sheet(title, "facility", columns, rows, tuple(_money_notes(curve)))


def _earned(point: Point) -> tuple[Cell, ...]:
    earned, less = point.earned, point.curtailing
    made: tuple[Cell, ...] = (None,) * 4
    costs: tuple[Cell, ...] = (None,) * 2
    if earned is not None:
        made = (earned.mean_w, earned.usd_per_h, earned.usd_per_h_net, earned.usd_per_kwh)
    if less is not None:
        costs = (less.usd_per_mwh, less.strike_usd_per_mwh)
    return made + costs


def _line(limit_w: float, workload: WorkloadRecord) -> str:
    metrics, unit = workload.metrics, workload.unit
    parts = [f"{limit_w:g} W", workload.name]
    if metrics.units_per_s is not None:
        parts.append(rate(metrics.units_per_s.mid, unit))
    if metrics.watts is not None:
        parts.append(f"{metrics.watts.mid:.1f} W ({metrics.boundary})")
    if metrics.joules_per_unit is not None:
        joules = metrics.joules_per_unit
        parts.append(f"{per_unit(joules.mid, unit)} {half_width(joules)}")
    return "  ".join(parts if metrics.units_per_s is not None else [*parts, "not measured"])


def _energy_notes(curve: Curve) -> list[str]:
    best = _at(curve, curve.thriftiest_w)
    if best is None or best.joules_per_unit is None:
        return ["Thriftiest: unknown, for no run that may be trusted has joules."]
    text = f"Thriftiest: {best.limit_w:g} W, {per_unit(best.joules_per_unit.mid, curve.unit)}"
    if curve.alike_w:
        others = ", ".join(f"{watts:g} W" for watts in curve.alike_w)
        text += f"; not to be told from {others} (their 95 % intervals overlap)"
    return [f"{text}."]


def _money_notes(curve: Curve) -> list[str]:
    per_h, per_kwh = _at(curve, curve.best_per_h_w), _at(curve, curve.best_per_kwh_w)
    if per_h is None or per_h.earned is None or per_kwh is None or per_kwh.earned is None:
        reasons = dict.fromkeys(point.reason for point in curve.points if point.reason)
        return [f"No money: {'; '.join(reasons) or 'nothing was measured'}."]
    net = per_h.earned.usd_per_h_net
    notes = [
        f"Best per hour: {per_h.limit_w:g} W, {dollars(net)}/h net of power."
        f" Best per kWh: {per_kwh.limit_w:g} W, {dollars(per_kwh.earned.usd_per_kwh)}/kWh."
    ]
    if net < 0:
        notes.append("At no limit does it pay for its power: off is better.")
    if curve.utilisation is not None and curve.utilisation < 1:
        share = figures(100 * curve.utilisation)
        notes.append(f"It earns in {share} % of the hours; power is paid in the others, too.")
    if any(point.curtailing for point in curve.points):
        notes.append(
            f"From {per_h.limit_w:g} W down, “curtailed” is what each MWh not consumed costs beyond"
            " the power it saves; drawing less pays where a MWh is worth more than “strike”."
        )
    return notes


def _at(curve: Curve, limit_w: float | None) -> Point | None:
    return next((point for point in curve.points if point.limit_w == limit_w), None)


def _whole(watts: float) -> float:
    """A limit as it is typed: 300, not 300.0."""
    return int(watts) if watts.is_integer() else watts


def _mid(estimate: Estimate | None, unit: float) -> float | None:
    return None if estimate is None else estimate.mid / unit


def _percent(estimate: Estimate | None) -> float | None:
    """Half the 95 % interval, in percent of its middle."""
    if estimate is None or estimate.mid == 0:
        return None
    return 50 * (estimate.hi - estimate.lo) / abs(estimate.mid)
