"""One ``bench run`` from request to the command's exit status: open, meter, run, reckon, tell."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import bench
from bench.book import open_book
from bench.calibrations import recall
from bench.cli.child import NOT_EXECUTABLE, NOT_FOUND, Child
from bench.cli.matching import LEAST_UNITS, MOST_UNITS
from bench.cli.output import tell, to_stdout, write_json, write_whole
from bench.cli.printed import Printed
from bench.cli.refusal import BUSY, ENVIRONMENT, METRIC_MISSING, OK, STORAGE, USAGE, Refusal
from bench.cli.request import Request, check
from bench.cli.rig import Target, find_target, open_rig
from bench.cli.turn import held
from bench.ledger import idle_power
from bench.machine import legible
from bench.metered import Metering
from bench.ports import Meter, MeterError
from bench.records.journal import Fact
from bench.records.run import Idle, MeterFacts
from bench.report.stretch import lines
from bench.store import Busy, Journal, StoreError, new_run_id
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
        with (
            contextlib.ExitStack() as heeding,
            held(target.facts, wait=request.wait),
        ):
            meter = open_rig(request, target).meter
            try:
                return _Run(request, target, meter, pattern, heeding).run()
            finally:
                meter.stop()
    except Busy as error:
        raise Refusal(BUSY, str(error)) from error
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


def _checked(request: RunRequest) -> re.Pattern[str] | None:
    """Refuse what cannot be meant; the pattern of --units-regex."""
    check(request)
    if request.device not in (None, "cpu"):
        text = f"--device {request.device}: a command runs on a real device only; use --gpu or cpu"
        raise Refusal(USAGE, text)
    if not 1 <= request.repeat <= MAX_REPEATS:
        raise Refusal(USAGE, f"--repeat {request.repeat}: use 1 to {MAX_REPEATS}")
    if request.idle_s is not None and not 0 < request.idle_s <= MAX_IDLE_S:
        text = f"use seconds above 0, at most {MAX_IDLE_S:g}"
        raise Refusal(USAGE, f"--idle {request.idle_s:g}: {text}")
    if request.units is not None and not LEAST_UNITS <= request.units <= MOST_UNITS:
        text = f"use a number from {LEAST_UNITS:g} to {MOST_UNITS:g}"
        raise Refusal(USAGE, f"--units {request.units:g}: {text}")
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


class _Run:
    """One command as often as asked under an open meter.

    Once it may begin, signals are heeded in ``heeding``'s scope, which holds until the report
    stands: what is measured is not lost to one that comes late.
    """

    def __init__(
        self,
        request: RunRequest,
        target: Target,
        meter: Meter,
        pattern: re.Pattern[str] | None,
        heeding: contextlib.ExitStack,
    ) -> None:
        self._request = request
        self._target = target
        self._meter = meter
        self._pattern = pattern
        self._heeding = heeding
        self._child = Child(request.command, quiet_stdout=to_stdout(request))
        self._stretches: list[Stretch] = []
        self._unsearched: str | None = None

    def run(self) -> int:
        """Measure, reckon, tell: the command's status."""
        known = recall(self._meter.facts(), self._target.facts)
        if self._request.require_energy and known.source == "none":
            raise Refusal(METRIC_MISSING, f"no energy can be had: {known.reason}")
        started = dt.datetime.now(dt.UTC)
        try:
            with Metering(self._meter, fresh=True) as metering:
                if self._request.idle_s is not None:
                    metering.idle(self._request.idle_s)
                self._heeding.enter_context(self._child.heeding())
                status = self._repeat(metering)
        except MeterError as error:
            raise Refusal(ENVIRONMENT, str(error)) from error
        record = self._record(known, started, status, metering.facts)
        tell(lines(record))
        return _end(self._request, record, metering.facts)

    def _repeat(self, metering: Metering) -> int:
        """Run it as often as asked, or until it fails or was asked to end: its last status."""
        status = OK
        for _ in range(self._request.repeat):
            printed = Printed(self._pattern) if self._pattern is not None else None
            try:
                with metering.stretch(self._stretches.append):
                    status = self._child.run(printed)
            except Refusal:
                self._stretches.pop()
                if self._child.signalled is None or not self._stretches:
                    raise
                break
            units = self._request.units if printed is None else self._found(printed)
            self._stretches[-1] = replace(self._stretches[-1], units=units)
            if status != OK or self._child.signalled is not None:
                break
        return status

    def _found(self, printed: Printed) -> float | None:
        """The units that it printed; a pattern that was given up once is not tried again."""
        self._child.hear_out()
        if self._unsearched is not None:
            return None
        try:
            return printed.units()
        except OSError as error:  # TimeoutError is one
            self._unsearched = f"the pattern was given up: {error.strerror or error}"
            return None

    def _record(
        self, meter: MeterFacts, started: dt.datetime, status: int, facts: list[Fact]
    ) -> StretchRecord:
        book = open_book(facts)
        idle = Idle(None, "not measured: ask for it with --idle SECONDS")
        if self._request.idle_s is not None:
            idle = idle_power(book, meter)
        reading = read(Setting(book, self._target.facts, meter, idle), self._stretches)
        return StretchRecord(
            schema=SCHEMA,
            version=bench.__version__,
            started_at=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            command=tuple(map(legible, self._request.command)),
            units_from=self._units_from(),
            exit_status=status,
            device=self._target.facts,
            meter=meter,
            idle=idle,
            stretches=reading.stretches,
            figures=reading.figures,
            validity=reading.validity,
        )

    def _units_from(self) -> str | None:
        if self._request.units_regex is None:
            return None if self._request.units is None else "--units"
        text = f"--units-regex {legible(self._request.units_regex)}"
        return text if self._unsearched is None else f"{text} ({self._unsearched})"


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
        write_whole(path, text)
    except OSError as error:
        why = f"cannot write {legible(str(path))}: {error.strerror}"
        raise StoreError(f"{why}; choose another folder with --out") from error
