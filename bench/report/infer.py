"""Operating points of one device side by side: rates, joules per token, latencies, what marks them.

Points of different tiers are never ranked together: an engine's tokens are not a torch loop's.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.predict.standing import front
from bench.records.journal import JsonObject
from bench.records.record import RunRecord
from bench.records.run import Boundary, Estimate, WorkloadRecord
from bench.report.sheet import Cell, Column, Sheet
from bench.report.text import half_width, per_unit, rate
from bench.stats import best_of

TRUSTED = ("valid", "labelled")
KNEE, LEAST, FRONT = "knee", "least J", "front"
KNEE_SHARE = 0.5
"""Beyond the knee a further row brings less than this share of what the first rows bring each."""
MILLI = 1e-3
WORK = ("model", "context", "mix", "prompt", "output")
"""What of a point's configuration says which work it does."""


@dataclass(frozen=True, slots=True)
class PointRun:
    """One point and the run that measured it; ``reason`` says why there is none, or no figure."""

    name: str
    record: RunRecord | None
    reason: str | None = None

    @property
    def workload(self) -> WorkloadRecord | None:
        """The token workload, if it came so far."""
        workloads = () if self.record is None else self.record.workloads
        return next((w for w in workloads if w.unit == "token"), None)

    @property
    def trusted(self) -> WorkloadRecord | None:
        """The same where its run may be trusted and has a rate."""
        found = self.workload
        if self.record is None or found is None or found.metrics.units_per_s is None:
            return None
        return found if self.record.validity.status in TRUSTED else None


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second: prompts', generated, both, and what one user sees; null where none are."""

    inward: float | None
    outward: float | None
    total: float | None
    per_user: float | None


def rates(workload: WorkloadRecord) -> Rates:
    """Of the measured blocks; the two kinds of token are added nowhere but under ``total``."""
    known = workload.metrics.units_per_s
    if known is None:
        return Rates(None, None, None, None)
    if workload.name == "prefill":
        return Rates(known.mid, None, known.mid, None)
    mix, tpot = workload.config.get("mix"), workload.metrics.tpot_s
    inward = known.mid * mix["in_tokens"] / mix["out_tokens"] if mix else None
    batch = workload.config.get("batch")
    user = 1 / tpot["p50"] if tpot else known.mid / batch if batch else None
    return Rates(inward, known.mid, known.mid + (inward or 0.0), user)


def sheet(runs: Sequence[PointRun], what: str) -> Sheet:
    """A row a point of ``what``, scenario and all that the points share."""
    prompts = {w.name for run in runs if (w := run.workload) is not None} == {"prefill"}
    columns = (
        Column("point", "point"),
        Column("in", "in", "tok/s", 4, optional=not prompts),
        Column("out", "out", "tok/s", 4, optional=prompts),
        Column("total", "total", "tok/s", 4, optional=True),
        Column("user", "a user", "tok/s"),
        Column("joules", "energy", "J/tok"),
        Column("joules_percent", "±", "%", 2),
        Column("ttft", "TTFT", "p50 ms"),
        Column("tpot", "TPOT", "p50 ms"),
        Column("tpot_p99", "TPOT", "p99 ms"),
        Column("watts", "power", "W", optional=True),
        Column("mfu", "MFU", "%", optional=True),
        Column("mbu", "MBU", "%", optional=True),
        Column("roofline", "roofline", "%", optional=True),
        Column("tier", "tier", optional=True),
        Column("marks", "marks"),
        Column("run", "run"),
    )
    marks = marked(runs)
    rows = tuple((each.name, *_cells(each), *_ends(each, marks)) for each in runs)
    records = [each.record for each in runs if each.record is not None]
    title = f"{what} on {records[0].device.name}"
    return Sheet(title, _boundary(runs), columns, rows, tuple(_notes(runs, marks)))


def point_line(run: PointRun) -> str:
    """What came of one point, on one line."""
    found = run.workload
    if found is None or found.metrics.units_per_s is None:
        why = run.reason or "no block was measured"
        return f"{run.name}: nothing was measured: {why}"
    metrics = found.metrics
    assert metrics.units_per_s is not None
    parts = [f"{run.name}: {rate(metrics.units_per_s.mid, found.unit)}"]
    if metrics.joules_per_unit is not None:
        joules = metrics.joules_per_unit
        parts.append(f"{per_unit(joules.mid, found.unit)} {half_width(joules)}")
    if metrics.tpot_s is not None:
        parts.append(f"TPOT p99 {metrics.tpot_s['p99'] / MILLI:.3g} ms")
    assert run.record is not None
    return ", ".join([*parts, run.record.validity.status])


def marked(runs: Sequence[PointRun]) -> dict[str, tuple[str, ...]]:
    """The marks of each point by its name: knee, least J/token, on the three-axis front.

    Each among points of one tier that do the same work; batch and precision may differ.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    alike: defaultdict[str, list[PointRun]] = defaultdict(list)
    for run in runs:
        if (workload := run.trusted) is not None:
            alike[repr((workload.tier, _work(workload.config)))].append(run)
    for group in alike.values():
        for mark, names in ((KNEE, _knees), (LEAST, _thriftiest), (FRONT, _front)):
            for name in names(group):
                found[name].append(mark)
    return {name: tuple(marks) for name, marks in found.items()}


def knee(batches: Mapping[int, float]) -> int | None:
    """The largest batch before a further row brings less than half of what the first rows bring.

    ``batches`` are tokens a second by rows. None where that is never seen.
    """
    rows = sorted(batches)
    for low, high in itertools.pairwise(rows):
        each = (batches[high] - batches[low]) / (high - low)
        if each < KNEE_SHARE * batches[rows[0]] / rows[0]:
            return low
    return None


def _knees(runs: Sequence[PointRun]) -> Iterator[str]:
    """Of every precision."""
    groups: defaultdict[str, dict[int, PointRun]] = defaultdict(dict)
    for run in runs:
        assert run.trusted is not None
        config = run.trusted.config
        if isinstance(config.get("batch"), int):
            groups[str(config.get("precision"))][config["batch"]] = run
    for group in groups.values():
        if (rows := knee({batch: _out(run) for batch, run in group.items()})) is not None:
            yield group[rows].name


def _thriftiest(runs: Sequence[PointRun]) -> Iterator[str]:
    joules: dict[str, Estimate] = {}
    for run in runs:
        assert run.trusted is not None
        if (known := run.trusted.metrics.joules_per_unit) is not None:
            joules[run.name] = known
    if len(joules) > 1 and (best := best_of(joules, least=True)) is not None:
        yield best.name


def _front(runs: Sequence[PointRun]) -> Iterator[str]:
    """What no other point beats in tok/s/user, tok/s and J/token at once, of those with all."""
    points: dict[str, tuple[float, ...]] = {}
    for run in runs:
        assert run.trusted is not None
        user, joules = rates(run.trusted).per_user, run.trusted.metrics.joules_per_unit
        if user is not None and joules is not None:
            points[run.name] = (-user, -_out(run), joules.mid)
    if len(points) > 1:
        for name, on_front in zip(points, front(list(points.values())), strict=True):
            if on_front:
                yield name


def _work(config: JsonObject) -> list[object]:
    """What makes the work of points alike: model, lengths, request mix."""
    return [config.get(name) for name in WORK]


def _out(run: PointRun) -> float:
    assert run.trusted is not None
    assert run.trusted.metrics.units_per_s is not None
    return run.trusted.metrics.units_per_s.mid


def _cells(run: PointRun) -> tuple[Cell, ...]:
    if run.workload is None:
        return (None,) * 14
    metrics, found = run.workload.metrics, rates(run.workload)
    joules = metrics.joules_per_unit
    return (
        found.inward,
        found.outward,
        found.total,
        found.per_user,
        None if joules is None else joules.mid,
        _percent(joules),
        _latency(metrics.ttft_s, "p50"),
        _latency(metrics.tpot_s, "p50"),
        _latency(metrics.tpot_s, "p99"),
        None if metrics.watts is None else metrics.watts.mid,
        *map(_share, (metrics.mfu, metrics.mbu_useful, metrics.roofline_fraction)),
        run.workload.tier,
    )


def _ends(run: PointRun, marks: Mapping[str, tuple[str, ...]]) -> tuple[Cell, Cell]:
    status = "refused" if run.record is None else run.record.validity.status
    return ", ".join(marks.get(run.name, ())), status


def _notes(runs: Sequence[PointRun], marks: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for run in runs:
        if run.reason is not None:
            yield f"{run.name}: {run.reason}"
    seen = {mark for each in marks.values() for mark in each}
    if KNEE in seen:
        yield f"{KNEE}: beyond it a further row brings less than half of what the first bring each"
    if FRONT in seen:
        yield f"{FRONT}: no other point has more tok/s a user, more tok/s and fewer J/token at once"
    if len({w.tier for run in runs if (w := run.workload) is not None}) > 1:
        yield "marks are within a tier: T0 eager, T1 torch-fast, T2 and T3 engines"
    reasons = {w.metrics.reason for run in runs if (w := run.workload) is not None}
    for reason in sorted(reason for reason in reasons if reason):
        yield f"no joules, or no absolute interval: {reason}"


def _boundary(runs: Sequence[PointRun]) -> Boundary:
    return next((w.metrics.boundary for run in runs if (w := run.workload) is not None), "board")


def _percent(estimate: Estimate | None) -> float | None:
    if estimate is None or estimate.mid == 0:
        return None
    return 50 * (estimate.hi - estimate.lo) / abs(estimate.mid)


def _latency(found: JsonObject | None, name: str) -> float | None:
    return None if found is None else found[name] / MILLI


def _share(share: float | None) -> float | None:
    return None if share is None else 100 * share
