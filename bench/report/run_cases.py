"""A run as test cases: what a CI system should show of it, failed where its exit status says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.records.record import RunRecord
from bench.records.run import WorkloadRecord
from bench.report.junit import Case

RUN = "run"
ABSENT = "it was not measured"


def cases(
    record: RunRecord, *, require_energy: bool, strict: bool, within: Sequence[str] = ()
) -> Iterator[Case]:
    """Of each planned workload its checks and its rate, its joules where they are required; of the
    run its validity, and with ``strict`` its prices. ``within`` names the run among several."""
    known = {workload.name: workload for workload in record.workloads}
    planned = (step.workload for step in record.plan.steps if step.workload is not None)
    for name in dict.fromkeys([*planned, *known]):
        group = ".".join([*within, name])
        yield from _of(group, known.get(name), require_energy=require_energy)
    group = ".".join([*within, RUN])
    yield Case(group, "validity", _invalid(record))
    if strict:
        stale = ("prices behind the verdict are stale",) if record.verdict.stale else ()
        yield Case(group, "prices", stale)


def _of(group: str, workload: WorkloadRecord | None, *, require_energy: bool) -> Iterator[Case]:
    if workload is None:
        yield Case(group, "rate", (ABSENT,))
        return
    wrong = tuple(f"{c.name}: {c.detail}" for c in workload.verified.checks if not c.passed)
    yield Case(group, "verified", () if workload.verified.passed else wrong or ("no check passed",))
    reason = workload.metrics.reason or ABSENT
    yield Case(group, "rate", () if workload.metrics.units_per_s else (reason,))
    if require_energy:
        yield Case(group, "joules", () if workload.metrics.joules_per_unit else (reason,))


def _invalid(record: RunRecord) -> tuple[str, ...]:
    """The codes that make it so, or all it has."""
    if record.validity.status in ("valid", "labelled"):
        return ()
    codes = record.validity.codes
    fatal = [code for code in codes if code.fatal] or codes
    return (f"the run is {record.validity.status}", *(f"{c.name}: {c.text}" for c in fatal))
