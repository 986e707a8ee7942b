"""One ``bench run`` from request to the command's exit status: open, meter, run, reckon, tell."""

from __future__ import annotations

import datetime as dt
import errno
import io
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import bench
from bench.book import open_book
from bench.calibrations import recall
from bench.cli.child import NOT_EXECUTABLE, NOT_FOUND, Child, Units
from bench.cli.output import Steady, write_json
from bench.cli.refusal import BUSY, ENVIRONMENT, METRIC_MISSING, OK, STORAGE, USAGE, Refusal
from bench.cli.request import Request, check
from bench.cli.rig import Target, find_target, open_rig
from bench.cli.session import await_device
from bench.ledger import idle_power
from bench.metered import Metering
from bench.ports import Meter, MeterError
from bench.records.journal import Fact
from bench.records.run import Idle, MeterFacts
from bench.report.stretch import lines
from bench.report.text import clean
from bench.store import Busy, Journal, StoreError, device_lock, new_run_id
from bench.stretch import SCHEMA, Setting, Stretch, StretchRecord, read

MAX_IDLE_S = 3600.0
MAX_REPEATS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest(Request):
    """The options of ``bench run`` as given."""

    command: tuple[str, ...]
    kept: bool
    idle_s: float | None
    require_energy: bool
    units: float | None
    units_regex: str | None
    repeat: int


def run_metered(request: RunRequest) -> int:
    """Everything ``bench run`` does; raises Refusal with the status that fits."""
    pattern = _checked(request)
    target = find_target(request)
    if target.note is not None:
        tell([target.note])
    try:
        with device_lock(target.facts.uuid or target.facts.kind, wait=request.wait):
            await_device(target.facts, wait=request.wait)
            meter = open_rig(request, target, None).meter
            try:
                return _run(request, target, meter, pattern)
            finally:
                meter.stop()
    except Busy as error:
        raise Refusal(BUSY, str(error)) from error
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


def tell(texts: Iterable[str]) -> None:
    """Lines on stderr, or nowhere when nobody reads it: the command's status must not suffer."""
    stream = Steady(sys.stderr if sys.stderr is not None else io.StringIO())
    for text in texts:
        stream.write(clean(text) + "\n")
    stream.flush()


def _checked(request: RunRequest) -> re.Pattern[str] | None:
    """Refuse what cannot be meant; the pattern of --units-regex."""
    check(request)
    if request.device not in (None, "cpu"):
        text = f"--device {request.device}: a command runs on a real device only; use --gpu or cpu"
        raise Refusal(USAGE, text)
    if not 1 <= request.repeat <= MAX_REPEATS:
        raise Refusal(USAGE, f"--repeat {request.repeat}: use 1 to {MAX_REPEATS}")
    for option, value, most in (
        ("--units", request.units, math.inf),
        ("--idle", request.idle_s, MAX_IDLE_S),
    ):
        if value is not None and not (0 < value < math.inf and value <= most):
            raise Refusal(USAGE, f"{option} {value:g}: use a number above 0, at most {most:g}")
    if request.units is not None and request.units_regex is not None:
        raise Refusal(USAGE, "--units and --units-regex exclude each other: give one of them")
    if request.kept:
        _make_folder(request.out)
    _findable(request.command[0])
    return _pattern(request.units_regex)


def _make_folder(path: Path) -> None:
    """A day's run is not to end in a folder that cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "permission denied")
    except OSError as error:
        raise Refusal(STORAGE, f"--out {path}: {error.strerror}; choose another folder") from error


def _findable(name: str) -> None:
    """What is not there need not wait for a meter."""
    if shutil.which(name) is not None:
        return
    if "/" in name and Path(name).exists():
        raise Refusal(NOT_EXECUTABLE, f"cannot run {name}: it is not an executable file")
    raise Refusal(NOT_FOUND, f"cannot run {name}: no such command")


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise Refusal(USAGE, f"--units-regex {text}: {error}") from error
    if pattern.groups < 1:
        raise Refusal(
            USAGE, f"--units-regex {text}: put the number in a group, as in '(\\d+) rows'"
        )
    return pattern


def _run(request: RunRequest, target: Target, meter: Meter, pattern: re.Pattern[str] | None) -> int:
    known = recall(meter.facts(), target.facts)
    if request.require_energy and known.source == "none":
        raise Refusal(METRIC_MISSING, f"no energy can be had: {known.reason}")
    started = dt.datetime.now(dt.UTC)
    child = Child(request.command, quiet_stdout=request.to_stdout)
    stretches: list[Stretch] = []
    try:
        metering = Metering(meter, fresh=True)
        with metering:
            if request.idle_s is not None:
                metering.idle(request.idle_s)
            with child.heeding():
                status = _repeat(request, child, metering, pattern, stretches)
    except MeterError as error:
        raise Refusal(ENVIRONMENT, str(error)) from error
    record = _record(
        request,
        target,
        known,
        started=started,
        status=status,
        facts=metering.facts,
        stretches=stretches,
    )
    tell(lines(record))
    return _end(request, record, metering.facts)


def _end(request: RunRequest, record: StretchRecord, facts: list[Fact]) -> int:
    """Keep the record; the command's own status, unless it did well and bench did not."""
    try:
        _keep(request, record, facts)
    except StoreError as error:
        if record.exit_status == OK:
            raise
        tell([f"bench: {error}"])
    if record.exit_status == OK and request.require_energy and record.figures.joules is None:
        raise Refusal(METRIC_MISSING, f"no energy could be had: {record.figures.reason}")
    return record.exit_status


def _repeat(
    request: RunRequest,
    child: Child,
    metering: Metering,
    pattern: re.Pattern[str] | None,
    stretches: list[Stretch],
) -> int:
    """Run it as often as asked, or until it fails or was asked to end: its last status."""
    status = OK
    for _ in range(request.repeat):
        found = Units(pattern) if pattern is not None else None
        try:
            with metering.stretch(stretches.append):
                status = child.run(found)
        except Refusal:
            stretches.pop()
            if child.signalled is None or not stretches:
                raise
            break
        units = request.units if found is None else found.last
        stretches[-1] = replace(stretches[-1], units=units)
        if status != OK or child.signalled is not None:
            break
    return status


def _record(
    request: RunRequest,
    target: Target,
    meter: MeterFacts,
    *,
    started: dt.datetime,
    status: int,
    facts: list[Fact],
    stretches: list[Stretch],
) -> StretchRecord:
    book = open_book(facts)
    idle = Idle(None, "not measured: ask for it with --idle SECONDS")
    if request.idle_s is not None:
        idle = idle_power(book, meter)
    reading = read(Setting(book, target.facts, meter, idle), stretches)
    return StretchRecord(
        schema=SCHEMA,
        version=bench.__version__,
        started_at=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        command=request.command,
        units_from=_units_from(request),
        exit_status=status,
        device=target.facts,
        meter=meter,
        idle=idle,
        stretches=reading.stretches,
        figures=reading.figures,
        validity=reading.validity,
    )


def _units_from(request: RunRequest) -> str | None:
    if request.units_regex is not None:
        return f"--units-regex {request.units_regex}"
    return None if request.units is None else "--units"


def _keep(request: RunRequest, record: StretchRecord, facts: list[Fact]) -> None:
    """Where --json and --out want it."""
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if request.kept:
        with Journal(request.out, new_run_id(dt.datetime.now(dt.UTC))) as journal:
            for fact in facts:
                journal.append(fact)
            journal.sync()
            _write(request.out / f"{journal.run_id}.stretch.json", text)
            journal.compress()
    write_json(request, text)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        why = f"cannot write {path}: {error.strerror}; choose another folder with --out"
        raise StoreError(why) from error
