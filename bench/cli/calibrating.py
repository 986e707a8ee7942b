"""One ``bench calibrate`` from request to exit status: load, characterise, compare, keep, show."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.book import POWER_FIELDS, Book, open_book
from bench.calibrations import FOLDER, keep, recall
from bench.cli.commentary import Commentary
from bench.cli.output import open_console, write_json
from bench.cli.refusal import (
    BAD_FILE,
    BUSY,
    DEVICE_FAILED,
    ENVIRONMENT,
    METRIC_MISSING,
    OK,
    STORAGE,
    Refusal,
)
from bench.cli.request import Request, check
from bench.cli.rig import Rig, Target, find_target, open_rig
from bench.cli.session import FAILURE_STATUS, stamp
from bench.cli.signals import interruptible
from bench.cli.turn import held
from bench.derive import calibrated
from bench.energy import Series
from bench.machine import clock_pair
from bench.measure import Bench, Outcome, measure
from bench.protocol import FixedCourse, calibration_course
from bench.records.decode import from_object
from bench.records.journal import Event, Fact, Span
from bench.records.run import Calibration, Correction, DeviceFacts, MeterFacts
from bench.report.screen import Screen, open_screen, say
from bench.report.sensor import show
from bench.store import (
    BadRecord,
    Busy,
    Journal,
    StoreError,
    cache_dir,
    load_journal,
    new_run_id,
)

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/meter/1"
WORKLOAD = "sha256d"
WANTED = "give the .samples.jsonl.gz of a bench calibrate, or of a run that calibrated"
NEVER_BEGAN = frozenset({"device", "missing"})
"""Failures that are the environment's as long as the workload was never prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateRequest(Request):
    """The options of ``bench calibrate`` as given."""

    against: Path | None
    journal: Path | None


def run_calibrate(request: CalibrateRequest) -> int:
    """Everything ``bench calibrate`` does; raises Refusal with the status that fits."""
    check(request)
    console = open_console(request)
    try:
        if request.journal is not None:
            return _conclude(request, console, _read(request.journal))
        target = find_target(request)
        if target.note is not None:
            say(console, target.note)
        with held(target.facts, wait=request.wait):
            return _conclude(request, console, _run(request, console, target))
    except Busy as error:
        raise Refusal(BUSY, str(error)) from error
    except BadRecord as error:
        raise Refusal(BAD_FILE, str(error)) from error
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


def _read(path: Path) -> Sequence[Fact]:
    """The facts of a journal that holds a whole calibration."""
    if path.is_dir():
        raise Refusal(BAD_FILE, f"{path}: is a folder; {WANTED}")
    facts = load_journal(path)
    if not any(isinstance(fact, Event) and fact.name == "opened" for fact in facts):
        raise Refusal(BAD_FILE, f"{path}: not a journal of this program (no beginning); {WANTED}")
    if not any(isinstance(fact, Span) and fact.phase == "calibrate" for fact in facts):
        raise Refusal(BAD_FILE, f"{path}: holds no finished calibration; {WANTED}")
    return facts


def _run(request: CalibrateRequest, console: Console, target: Target) -> Sequence[Fact]:
    """The journal of a load that goes on and off in a seeded pattern, then stays on."""
    started = dt.datetime.now(dt.UTC)
    rig = open_rig(request, target)
    meter = rig.meter.facts()
    try:
        _require_sensor(meter, target.facts)
        with Journal(request.out, new_run_id(started)) as journal:
            opened = {
                "device": asdict(target.facts),
                "meter": asdict(meter),
                "started_at": stamp(started),
            }
            journal.append(Event(rig.clock.now(), "opened", opened))
            journal.append(clock_pair())
            outcome = _measure(request, rig, target, journal, open_screen(console))
            journal.append(clock_pair())
            say(console, f"Journal {journal.compress()}")
    finally:
        rig.meter.stop()
    _refuse_failure(outcome)
    return journal.facts


def _measure(
    request: CalibrateRequest, rig: Rig, target: Target, journal: Journal, screen: Screen
) -> Outcome:
    course = FixedCourse(calibration_course(WORKLOAD))
    watch = Commentary(screen, journal, rig.meter.facts(), {WORKLOAD: "hash"}, 0)
    try:
        with interruptible():
            workers = rig.start_workers((WORKLOAD,), course.left_s, request.seed)
            bench = Bench(
                target.facts,
                workers,
                rig.meter,
                rig.clock,
                journal.append,
                watch,
                request.seed,
            )
            return measure(bench, course)
    finally:
        screen.close()


def _require_sensor(meter: MeterFacts, device: DeviceFacts) -> None:
    """Refuse where there is nothing to characterise."""
    if meter.mismatch:
        text = f"{meter.name} does not read {device.name}, whose load it would have to see"
        raise Refusal(ENVIRONMENT, f"{text}: calibrate a card with its own meter")
    if set(POWER_FIELDS).isdisjoint(meter.capabilities):
        why = meter.reason or f"{meter.name} counts energy and reads no power"
        if device.kind == "cpu":
            why = "a processor counts energy and reads no power; calibrate a card (--gpu N)"
        raise Refusal(METRIC_MISSING, f"there is no power sensor to calibrate: {why}")


def _refuse_failure(outcome: Outcome) -> None:
    if outcome.interrupted is not None:
        raise Refusal(128 + outcome.interrupted, "interrupted: nothing was calibrated")
    if outcome.meter_error is not None:
        raise Refusal(DEVICE_FAILED, f"the power meter was lost: {outcome.meter_error}")
    for name, error in outcome.failures.items():
        never_began = error.kind in NEVER_BEGAN and name not in outcome.workloads
        status = ENVIRONMENT if never_began else FAILURE_STATUS[error.kind]
        raise Refusal(status, f"{name} could not go on: {error.text.rstrip(' :')}")


def _conclude(request: CalibrateRequest, console: Console, facts: Sequence[Fact]) -> int:
    """Characterise, compare with the user's meter if given, keep and show."""
    opened = next(f.data for f in facts if isinstance(f, Event) and f.name == "opened")
    device = from_object(DeviceFacts, opened["device"])
    meter = from_object(MeterFacts, opened["meter"])
    book = open_book(facts)
    found = calibrated(meter, device, book, opened["started_at"])
    if found.calibration is None:
        text = "the readings do not follow the load: too few changes, or too small a swing"
        raise Refusal(METRIC_MISSING, f"{found.name} cannot be characterised: {text}")
    if request.against is None:
        correction = recall(found, device).correction
    else:
        correction = _correct(request.against, book, found.calibration, opened["started_at"])
    found = replace(found, correction=correction)
    kept = keep(found, device)
    show(found, console)
    if kept is not None:
        say(console, f"Kept for later runs on {device.name}: {kept}")
    elif device.kind == "gpu":
        why = f"{cache_dir() / FOLDER} could not be written" if device.uuid else "it has no UUID"
        say(console, f"Not kept for later runs on {device.name}: {why}")
    write_json(request, json.dumps({"schema": SCHEMA, **asdict(found)}, indent=2) + "\n")
    return OK


def _correct(path: Path, book: Book, found: Calibration, made_at: str) -> Correction:
    """The sensor against the user's meter, whose clock is ours when it tells the time of day."""
    from bench.characterise.meter import against
    from bench.meters.trace import read_trace

    try:
        trace = read_trace(path)
        meter = trace.series
        if trace.wall and book.clocks:
            pair = book.clocks[0]
            meter = Series(meter.t_s - (pair.realtime_s - pair.monotonic_s), meter.value)
        return against(
            meter,
            book.series[found.field],
            found.sensor,
            field=found.field,
            name=path.name,
            sha256=trace.sha256,
            made_at=made_at,
        )
    except (OSError, ValueError) as error:
        where = "" if path.name in str(error) else f"{path}: "
        text = f"--against: {where}{error}; the journal stays, mend the file and add --journal"
        raise Refusal(BAD_FILE, text) from error
