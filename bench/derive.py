"""Journal to figures in one call, the same for a run just ended and one read years later. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bench.book import Book, open_book
from bench.characterise import FIELDS, characterise, counter_ratio
from bench.energy import Series, held_mean
from bench.ledger import idle_power, metrics, windows
from bench.phased import Measured, with_phases
from bench.plan import GRADES
from bench.predict.expected import with_roofs
from bench.records.audit import HashLimit
from bench.records.decision import Decision
from bench.records.decode import from_object
from bench.records.journal import ClockPair, Event, Fact, JsonObject, Span
from bench.records.market import GpuProfile, MarketProfile
from bench.records.record import SCHEMA, Plan, Profiles, RunRecord, Software
from bench.records.run import (
    Calibration,
    Check,
    DeviceFacts,
    GradeName,
    Idle,
    MeterFacts,
    Metrics,
    Validity,
    Verified,
    Window,
    WorkloadFacts,
    WorkloadRecord,
)
from bench.roofline import HashCounts, hash_ceiling
from bench.validity import Evidence
from bench.validity import judge as judge_validity
from bench.verdict import judge as judge_value
from bench.verdict.case import Case

LONGEST_DERIVING_S = 3600.0
"""From a run's last clock reading to the record drawn from it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was known before anything ran: a journal's first line.

    What is stated there and nowhere derived (``run_id``, ``host``, market and profiles) is null in
    a journal that was made by hand.
    """

    device: DeviceFacts
    meter: MeterFacts
    plan: Plan
    started_at: str
    software: Software | None = None
    run_id: str | None = None
    host: JsonObject | None = None
    market: MarketProfile | None = None
    profiles: Profiles | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """Checks of one workload, before its timed runs or after."""

    workload: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A workload that could not go on; ``failure`` is a ``WorkerError`` kind."""

    workload: str
    failure: str
    text: str


@dataclass(frozen=True, slots=True)
class Raw:
    """What a journal's events say of the run. ``failures`` are (kind, text) by workload."""

    device: DeviceFacts
    meter: MeterFacts
    grade: GradeName
    workloads: tuple[WorkloadFacts, ...]
    checks: dict[str, tuple[Check, ...]]
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    interrupted: bool = False
    started_at: str = ""
    gpu: GpuProfile | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """What follows from it; ``meter`` is the one opened, characterised where the run did that."""

    device: DeviceFacts
    meter: MeterFacts
    idle: Idle
    workloads: tuple[WorkloadRecord, ...]
    validity: Validity


def opened(facts: Sequence[Fact]) -> Opened:
    """The first line of a journal; ValueError when it is something else or lacks a field."""
    first = facts[0] if facts else None
    if not isinstance(first, Event) or first.name != "opened":
        raise ValueError('its first line is no event "opened", so the run it is of is unknown')
    return from_object(Opened, first.data)


def raw_of(facts: Sequence[Fact]) -> Raw:
    """What the events say of device, meter, plan and workloads; ValueError names a bad field.

    A workload prepared again (for other launch groups) is as it was prepared last. A run that was
    killed could not say so: its journal ends without the clocks that are read last.
    """
    workloads: dict[str, WorkloadFacts] = {}
    checks: dict[str, tuple[Check, ...]] = {}
    failures: dict[str, tuple[str, str]] = {}
    interrupted = False
    for event in (fact for fact in facts if isinstance(fact, Event)):
        match event.name:
            case "prepared":
                prepared = from_object(WorkloadFacts, event.data)
                workloads[prepared.name] = prepared
            case "checks":
                more = from_object(Checked, event.data)
                checks[more.workload] = (*checks.get(more.workload, ()), *more.checks)
            case "failed":
                failed = from_object(Failed, event.data)
                failures[failed.workload] = (failed.failure, failed.text)
            case "interrupted":
                interrupted = True
    begun = opened(facts)
    return Raw(
        device=begun.device,
        meter=begun.meter,
        grade=begun.plan.grade,
        workloads=tuple(workloads.values()),
        checks=checks,
        failures=failures,
        interrupted=interrupted or not _ended(facts, begun.plan, set(workloads) - set(failures)),
        started_at=begun.started_at,
        gpu=begun.profiles.gpu if begun.profiles else None,
    )


def _ended(facts: Sequence[Fact], plan: Plan, sound: set[str]) -> bool:
    """Whether all blocks of the sound workloads are there, and the last words: clocks or an event
    (the meter's), where a run that was killed at work leaves samples or marks."""
    spans = (fact for fact in facts if isinstance(fact, Span) and fact.phase == "block")
    done = Counter(span.workload for span in spans)
    return isinstance(facts[-1], ClockPair | Event) and all(
        done[name] >= plan.blocks for name in sound
    )


def derive(facts: Sequence[Fact]) -> Derived:
    """Book the journal, draw each workload's figures, and judge whether they may be trusted."""
    return derive_raw(raw_of(facts), facts)


def derive_raw(raw: Raw, facts: Sequence[Fact]) -> Derived:
    """The same with the events already read."""
    book = open_book(facts)
    meter = calibrated(raw.meter, raw.device, book, raw.started_at)
    idle = idle_power(book, meter)
    workloads = tuple(_workload(raw, meter, book, idle, each) for each in raw.workloads)
    evidence = Evidence(
        raw.device,
        meter,
        GRADES[raw.grade],
        book,
        idle,
        workloads,
        raw.failures,
        raw.interrupted,
    )
    return Derived(raw.device, meter, idle, workloads, judge_validity(evidence))


def calibrated(meter: MeterFacts, device: DeviceFacts, book: Book, made_at: str) -> MeterFacts:
    """The meter with its sensor as the run's own calibration shows it.

    A steady load after it compares counter and readings once more. Unchanged when the book holds
    no calibration, the meter reads another device than the one that was loaded, or the readings
    show no sensor. ``made_at`` dates the calibration.
    """
    spans = [span for span in book.spans if span.phase == "calibrate"]
    if not spans or meter.mismatch:
        return meter
    span = spans[-1]
    within = _within(book, span)
    found = characterise(
        {name: within[name] for name in FIELDS if name in within},
        within.get("energy_j"),
        book.load.between(span.start_s, span.end_s),
        scope=meter.scope,
        made_at=made_at,
        device_uuid=device.uuid,
        driver=device.driver,
        vbios=device.vbios,
    )
    if found is None:
        return meter
    found = replace(found, steady_ratio=_steady_ratio(book, span, found))
    return replace(meter, sensor=found.sensor, calibration=found)


def _steady_ratio(book: Book, after: Span, found: Calibration) -> float | None:
    """Counter over readings on the first steady load after the calibration, if there was one."""
    ahead = (s for s in book.spans if s.phase == "steady" and s.start_s >= after.end_s)
    steady = next(ahead, None)
    if steady is None:
        return None
    seen = _within(book, steady)
    return counter_ratio(seen.get("energy_j"), seen[found.field], found.sensor)


def _within(book: Book, span: Span) -> dict[str, Series]:
    return {name: each.between(span.start_s, span.end_s) for name, each in book.series.items()}


def decide(
    derived: Derived, market: MarketProfile, profiles: Profiles, *, today: dt.date, seed: int
) -> Decision:
    """The verdict of a run at ``market``; ``today`` says how old its prices are."""
    case = Case(derived.device, derived.workloads, derived.idle, profiles.model, profiles.gpu, seed)
    return judge_value(
        case,
        market,
        validity=derived.validity,
        asics=profiles.asics,
        today=today,
        user_asic=profiles.own_asic,
    )


def rederived(record: RunRecord, facts: Sequence[Fact]) -> RunRecord:
    """The record as its journal, market and profiles give it; prices age until it finished.

    When it finished is the record's own word, as far as the journal's last clocks bear it out.
    """
    begun = opened(facts)
    stated = replace(
        begun,
        run_id=begun.run_id or record.run_id,
        host=begun.host or record.host,
        market=begun.market or record.market,
        profiles=begun.profiles or record.profiles,
        software=begun.software or record.software,
    )
    finished_at = _finished(record.finished_at, facts)
    drawn = _drawn(stated, facts, finished_at, record.software.derived_by)
    return replace(drawn, journal_sha256=record.journal_sha256)


def recovered(facts: Sequence[Fact], derived_by: str) -> RunRecord:
    """The record that a run was killed before it could write, without its journal's hash.

    ValueError when the journal does not state all that a record does.
    """
    return _drawn(opened(facts), facts, _last_heard(facts), derived_by)


def _drawn(begun: Opened, facts: Sequence[Fact], finished_at: str, derived_by: str) -> RunRecord:
    """A run's record from what was stated at its start and its journal."""
    run_id, host, software = begun.run_id, begun.host, begun.software
    market, profiles = begun.market, begun.profiles
    if run_id is None or host is None or software is None or market is None or profiles is None:
        raise ValueError("its first line does not state run, host, software, market and profiles")
    raw = raw_of(facts)
    derived = derive_raw(raw, facts)
    sources = {name: sha for each in raw.workloads for name, sha in each.sources.items()}
    today = dt.datetime.fromisoformat(finished_at).date()
    return RunRecord(
        schema=SCHEMA,
        run_id=run_id,
        started_at=begun.started_at,
        finished_at=finished_at,
        software=replace(software, kernel_sha256=sources, derived_by=derived_by),
        host=host,
        device=derived.device,
        meter=derived.meter,
        plan=begun.plan,
        idle=derived.idle,
        workloads=derived.workloads,
        validity=derived.validity,
        market=market,
        profiles=profiles,
        verdict=decide(derived, market, profiles, today=today, seed=begun.plan.seed),
    )


def _last_heard(facts: Sequence[Fact]) -> str:
    """UTC in whole seconds of the journal's last clocks, or of its start where there are none."""
    clocks = [fact for fact in facts if isinstance(fact, ClockPair)]
    if not clocks:
        return opened(facts).started_at
    last = dt.datetime.fromtimestamp(clocks[-1].realtime_s, dt.UTC)
    return last.isoformat(timespec="seconds").replace("+00:00", "Z")


def _finished(recorded: str, facts: Sequence[Fact]) -> str:
    """The recorded time if it follows the last of the journal's clocks closely, else theirs."""
    clocks = [fact for fact in facts if isinstance(fact, ClockPair)]
    if not clocks:
        return recorded
    last = dt.datetime.fromtimestamp(clocks[-1].realtime_s, dt.UTC)
    after_s = (dt.datetime.fromisoformat(recorded) - last).total_seconds()
    return recorded if -1.0 <= after_s <= LONGEST_DERIVING_S else last.isoformat()


def _workload(
    raw: Raw, meter: MeterFacts, book: Book, idle: Idle, facts: WorkloadFacts
) -> WorkloadRecord:
    checks = raw.checks.get(facts.name, ())
    blocks = windows(book, facts.name, meter, full_hz=raw.device.sm_clock_max_hz)
    launch_s = facts.details.get("launch_s")
    figures = metrics(blocks, meter, raw.device, idle, book=book, launch_s=launch_s)
    if facts.unit == "token":
        figures = with_phases(figures, facts, Measured(raw.device, meter, idle, book, blocks))
    figures = with_roofs(figures, facts, raw.gpu, raw.device.power_limit_w)
    return WorkloadRecord(
        name=facts.name,
        backend=facts.backend,
        tier=facts.tier,
        unit=facts.unit,
        config=facts.config,
        data_profile=facts.data_profile,
        verified=Verified(bool(checks) and all(check.passed for check in checks), checks),
        windows=blocks,
        metrics=_with_share(figures, facts, book, blocks),
    )


def _with_share(
    figures: Metrics, facts: WorkloadFacts, book: Book, blocks: tuple[Window, ...]
) -> Metrics:
    """A hash rate as a share of what the audited code can do at the clock sampled meanwhile."""
    limit = facts.config.get("limit")
    if limit is None or facts.unit != "hash" or figures.units_per_s is None:
        return figures
    most = ceiling_hz(from_object(HashLimit, limit), book, blocks)
    share = None if most is None else figures.units_per_s.mid / most
    return replace(figures, roofline_fraction=share)


def ceiling_hz(limit: HashLimit, book: Book, blocks: Sequence[Window]) -> float | None:
    """Hashes per second that the limit allows at the mean SM clock of the blocks, if sampled."""
    clock = book.series.get("sm_clock_hz")
    spans = [(block.start_s, block.end_s) for block in blocks]
    mean_hz = None if clock is None else held_mean(clock, spans)
    if not mean_hz:
        return None
    counts = HashCounts(limit.instructions, limit.alu, limit.fma_slots)
    return hash_ceiling(counts, limit.multiprocessors, mean_hz)
