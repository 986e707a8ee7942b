"""One card under several power limits: what each workload does and earns there, which limit is the
best of each kind, and what it costs to draw less. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.records.decision import Option
from bench.records.record import RunRecord
from bench.records.run import Boundary, Estimate, Status, WorkloadRecord

USE_OF_UNIT = {"hash": "MINE", "token": "SERVE"}
TRUSTED: tuple[Status, ...] = ("valid", "labelled")
W_PER_KW = 1e3
WH_PER_MWH = 1e6


@dataclass(frozen=True, slots=True)
class Earned:
    """What a limit earns at the facility, at the market's stated prices.

    ``mean_w`` is what is paid on average over all hours, those included that earn nothing;
    ``_net`` is net of electricity.
    """

    mean_w: float
    usd_per_h: float
    usd_per_h_net: float
    usd_per_kwh: float
    usd_per_kwh_net: float


@dataclass(frozen=True, slots=True)
class Curtailing:
    """What it costs to draw less, per MWh not consumed at the facility.

    ``usd_per_mwh`` is net of the electricity saved at the market's price, ``strike_usd_per_mwh``
    before it: the price of power above which drawing less pays.
    """

    usd_per_mwh: float
    strike_usd_per_mwh: float


@dataclass(frozen=True, slots=True)
class Point:
    """A workload at one limit; rate, watts and joules stand at the curve's boundary.

    ``curtailing`` is against the best limit per hour, null where going there saves no power. Null
    money has its ``reason``.
    """

    limit_w: float
    run_id: str
    run: Status
    units_per_s: Estimate | None
    watts: Estimate | None
    joules_per_unit: Estimate | None
    earned: Earned | None
    curtailing: Curtailing | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """One workload over the limits, which ascend, and the best limit of each kind, W.

    Only runs that may be trusted can be best. ``alike_w`` are the limits whose joules per unit
    cannot be told from the thriftiest: their 95 % intervals overlap. ``utilisation`` is the share
    of hours that earn.
    """

    workload: str
    unit: str
    boundary: Boundary
    utilisation: float | None
    points: tuple[Point, ...]
    thriftiest_w: float | None
    alike_w: tuple[float, ...]
    best_per_h_w: float | None
    best_per_kwh_w: float | None


def curves(runs: Sequence[tuple[float, RunRecord]]) -> tuple[Curve, ...]:
    """One curve a workload, from (limit in W, the run under it), each limit once."""
    ordered = sorted(runs, key=lambda run: run[0])
    names = dict.fromkeys(each.name for _, record in ordered for each in record.workloads)
    return tuple(_curve(name, ordered) for name in names)


def curtailing(best: Earned, less: Earned) -> Curtailing | None:
    """Δ$/ΔE over an equal time: USD/h over W is USD/Wh. None where no power is saved."""
    saved_w = best.mean_w - less.mean_w
    if saved_w <= 0:
        return None
    per_mwh = WH_PER_MWH / saved_w
    return Curtailing(
        usd_per_mwh=(best.usd_per_h_net - less.usd_per_h_net) * per_mwh,
        strike_usd_per_mwh=(best.usd_per_h - less.usd_per_h) * per_mwh,
    )


def _curve(name: str, runs: Sequence[tuple[float, RunRecord]]) -> Curve:
    found = [
        (limit_w, record, workload)
        for limit_w, record in runs
        for workload in record.workloads
        if workload.name == name
    ]
    points = tuple(_point(*each) for each in found)
    trusted = [point for point in points if point.run in TRUSTED]
    joules = {p: p.joules_per_unit for p in trusted if p.joules_per_unit is not None}
    earned = {p: p.earned for p in trusted if p.earned is not None}
    thriftiest = min(joules, key=lambda p: joules[p].mid, default=None)
    per_h = max(earned, key=lambda p: earned[p].usd_per_h_net, default=None)
    per_kwh = max(earned, key=lambda p: earned[p].usd_per_kwh, default=None)
    options = (_option(record, workload) for _, record, workload in found)
    alike = [p for p in joules if thriftiest and joules[p].lo <= joules[thriftiest].hi]
    return Curve(
        workload=name,
        unit=found[0][2].unit,
        boundary=found[0][2].metrics.boundary,
        utilisation=next((o.utilisation for o in options if o is not None), None),
        points=points if per_h is None else tuple(_curtailed(p, per_h) for p in points),
        thriftiest_w=None if thriftiest is None else thriftiest.limit_w,
        alike_w=tuple(p.limit_w for p in alike if p is not thriftiest),
        best_per_h_w=None if per_h is None else per_h.limit_w,
        best_per_kwh_w=None if per_kwh is None else per_kwh.limit_w,
    )


def _point(limit_w: float, record: RunRecord, workload: WorkloadRecord) -> Point:
    earned, reason = _earned(record, workload)
    return Point(
        limit_w=limit_w,
        run_id=record.run_id,
        run=record.validity.status,
        units_per_s=workload.metrics.units_per_s,
        watts=workload.metrics.watts,
        joules_per_unit=workload.metrics.joules_per_unit,
        earned=earned,
        reason=reason,
    )


def _earned(record: RunRecord, workload: WorkloadRecord) -> tuple[Earned | None, str | None]:
    """As the run's own verdict has it; the power that is paid is its USD/h over its USD/kWh."""
    option = _option(record, workload)
    if option is None:
        return None, f"the run is {record.validity.status}"
    per_h, per_h_net = option.usd_per_device_h, option.usd_per_device_h_net
    per_kwh, per_kwh_net = option.usd_per_kwh, option.usd_per_kwh_net
    if per_h is None or per_h_net is None or per_kwh is None or per_kwh_net is None:
        return None, option.reason
    if per_kwh.mid <= 0:
        return None, "it earns nothing in this market"
    mean_w = W_PER_KW * per_h.mid / per_kwh.mid
    money = Earned(mean_w, per_h.mid, per_h_net.mid, per_kwh.mid, per_kwh_net.mid)
    return money, None


def _option(record: RunRecord, workload: WorkloadRecord) -> Option | None:
    wanted = USE_OF_UNIT.get(workload.unit)
    return next((o for o in record.verdict.options if o.code == wanted), None)


def _curtailed(point: Point, best: Point) -> Point:
    lower = point.run in TRUSTED and point.limit_w < best.limit_w
    if not lower or point.earned is None or best.earned is None:
        return point
    return replace(point, curtailing=curtailing(best.earned, point.earned))
