"""One ``bench sweep`` from request to exit status: a run under each limit, then what they show."""

from __future__ import annotations

import json
import math
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.catalogue import ProfileError
from bench.cli.dry_run import AROUND_S, VIRTUAL
from bench.cli.dry_run import SCHEMA as PLAN
from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.limiting import (
    AppliedLimiter,
    Limiter,
    OperatedLimiter,
    SimulatedLimiter,
    range_of,
)
from bench.cli.output import open_console, write_json
from bench.cli.refusal import (
    BUG,
    BUSY,
    DEVICE_FAILED,
    ENVIRONMENT,
    INVALID,
    METRIC_MISSING,
    OK,
    STORAGE,
    USAGE,
    Refusal,
)
from bench.cli.request import AllRequest, check_all
from bench.cli.rig import Target, find_target
from bench.cli.session import Session, exit_status, open_world, refuse_shared
from bench.cli.signals import Noted, interruptible
from bench.cli.turn import held
from bench.economics.flexible import Curve, curves
from bench.measure import Interrupted
from bench.meters.power_limit import SAME_W, LimitRange, PowerLimit
from bench.plan import total_seconds
from bench.ports import MeterError
from bench.records.market import MarketProfile
from bench.records.record import Profiles, RunRecord
from bench.records.run import DeviceFacts
from bench.report.screen import say
from bench.report.sheet import terminal
from bench.report.sweep import point_lines, sheets
from bench.report.text import duration
from bench.store import Busy, StoreError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console

SCHEMA = "joulemark/sweep/1"
MOST_LIMITS = 32
SHOWN = 60
"""Characters of the option that a complaint repeats."""
LONGEST_WAIT_S = 24 * 3600.0
SEVERITY = (OK, INVALID, METRIC_MISSING, BUSY, USAGE, ENVIRONMENT, STORAGE, DEVICE_FAILED, BUG)
"""Exit statuses of points, the worst last."""
GOES_ON = frozenset({OK, INVALID, METRIC_MISSING, DEVICE_FAILED})
"""Statuses of a point after which another limit may fare better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest(AllRequest):
    """The options of ``bench sweep`` as given; each limit is a ``bench all`` of the rest."""

    power_limit: str
    apply: bool
    wait_limit_s: float
    exports: Exports


@dataclass(frozen=True, slots=True)
class Done:
    """One limit and what came of it; ``status`` is what ``bench all`` would have exited with."""

    limit_w: float
    status: int
    record: RunRecord
    saved: Path


def run_sweep(request: SweepRequest) -> int:
    """Everything ``bench sweep`` does; raises Refusal with the status that fits."""
    _check(request)
    console = open_console(request)
    limits_w = _parsed(request, console)
    market, target, profiles = open_world(request)
    _require_card(target)
    refuse_shared(target.facts, request)
    try:
        with _power_limit(target) as limit:
            _require_range(request, limits_w, target.facts, range_of(target, limit))
            if target.note is not None:
                say(console, target.note)
            limiter = _limiter(request, target, limit, limits_w, console)
            sweep = _Sweep(request, console, limiter, limits_w, market, profiles)
            if request.dry_run:
                return sweep.show_plan(target)
            with held(target.facts, wait=request.wait):
                return sweep.run()
    except MeterError as error:
        raise Refusal(ENVIRONMENT, f"{target.facts.name}: {error}") from error
    except Busy as error:
        raise Refusal(BUSY, str(error)) from error
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


class _Sweep:
    """The limits of one card, one after another."""

    def __init__(  # noqa: PLR0917 - what a sweep works with, made in one place
        self,
        request: SweepRequest,
        console: Console,
        limiter: Limiter,
        limits_w: tuple[float, ...],
        market: MarketProfile,
        profiles: Profiles,
    ) -> None:
        self._request = request
        self._console = console
        self._limiter = limiter
        self._limits_w = limits_w
        self._market = market
        self._profiles = profiles
        self._noted = Noted()
        self._done: list[Done] = []
        self._ended: Refusal | None = None

    def run(self) -> int:
        """Measure, put the limit back, show: the worst status of all."""
        self._noted.listen()
        try:
            with self._limiter.held():
                for watts in self._limits_w:
                    if not self._point(watts):
                        break
        except Interrupted as interrupt:
            self._noted.hear(interrupt.number, None)
        except Refusal as refusal:
            self._ended = refusal
        except StoreError as error:
            self._ended = Refusal(STORAGE, str(error))
        finally:
            told, kept = self._limiter.ending()
            if told is not None:
                say(self._console, told)
        return self._conclude(kept)

    def show_plan(self, target: Target) -> int:
        """--dry-run: the steps of one limit and the time of all; nothing is set or measured."""
        plan, _ = self._session(target).planned()
        seconds = AROUND_S * len(self._limits_w)
        kwh = None
        if target.facts.kind != "sim":
            each_s = AROUND_S + total_seconds(plan.steps)
            seconds = each_s * len(self._limits_w)
            kwh = math.fsum(self._limits_w) * each_s / 3.6e6
        for step in plan.steps:
            say(self._console, f"{step.total_s:7.1f} s  {step.name} {step.workload or ''}")
        listed = ", ".join(f"{watts:g} W" for watts in self._limits_w)
        most = f"kWh unknown: {VIRTUAL}" if kwh is None else f"at most {kwh:.4f} kWh"
        say(
            self._console,
            f"{target.facts.name}: these steps at each of {listed}: {duration(seconds)} in all,"
            f" {most}",
        )
        document = {
            "schema": PLAN,
            "seconds": round(seconds, 3),
            "kwh": kwh,
            "kwh_reason": VIRTUAL if kwh is None else None,
            "device": target.facts.name,
            "grade": plan.grade,
            "limits_w": self._limits_w,
            "apply": self._request.apply,
            "steps": [asdict(step) for step in plan.steps],
        }
        write_json(self._request, json.dumps(document, indent=2) + "\n")
        return OK

    def _point(self, watts: float) -> bool:
        """Measure at one limit; whether to go on."""
        target = self._limiter.bring(watts, lambda: self._noted.number is not None)
        if target is None:
            return False
        with interruptible(self._noted.hear):
            if self._noted.number is not None:
                return False
            say(self._console, f"{target.facts.name} at {watts:g} W:")
            measured = self._session(target).measured()
        record, outcome = measured.record, measured.outcome
        if outcome.interrupted is not None:
            self._noted.hear(outcome.interrupted, None)
        status = exit_status(record, outcome, self._request)
        self._done.append(Done(watts, status, record, measured.saved))
        for line in (*point_lines(watts, record), f"Saved {measured.saved}"):
            say(self._console, line)
        lost = any(code.name == "GPU_LOST" for code in record.validity.codes)
        return self._noted.number is None and status in GOES_ON and not lost

    def _session(self, target: Target) -> Session:
        return Session(
            self._request,
            self._console,
            target,
            self._market,
            self._profiles,
            afterwards=self._noted.hear,
        )

    def _conclude(self, kept: bool) -> int:
        """What was measured is shown and written, however it ended."""
        found = curves([(done.limit_w, done.record) for done in self._done])
        tables = sheets(found, self._done[0].record.device.name) if self._done else []
        for table in tables:
            self._console.print()
            self._console.print(terminal(table, self._console.width))
        write_json(self._request, json.dumps(self._document(found, kept), indent=2) + "\n")
        if tables:
            write_exports(self._request.exports, tables, self._console)
        statuses = [done.status for done in self._done] + ([] if kept else [ENVIRONMENT])
        if self._noted.number is not None:
            if not self._done:
                raise Refusal(128 + self._noted.number, "interrupted before anything was measured")
            return 128 + self._noted.number
        if self._ended is not None:
            raise Refusal(_worst([*statuses, self._ended.status]), str(self._ended))
        return _worst(statuses)

    def _document(self, found: tuple[Curve, ...], kept: bool) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "device": None if not self._done else self._done[0].record.device.name,
            "limits_w": self._limits_w,
            "apply": self._request.apply,
            "limit_restored": kept if self._request.apply else None,
            "points": [
                {
                    "limit_w": done.limit_w,
                    "run_id": done.record.run_id,
                    "record": done.saved.name,
                    "exit_status": done.status,
                    "run": done.record.validity.status,
                    "codes": list(dict.fromkeys(c.name for c in done.record.validity.codes)),
                }
                for done in self._done
            ],
            "workloads": [asdict(curve) for curve in found],
            "ended": None if self._ended is None else str(self._ended),
            "interrupted": self._noted.number is not None,
        }


def parse_limits(text: str) -> tuple[float, ...]:
    """Watts apart by commas; ValueError says what is wrong with the first that is."""
    parts = [part.strip() for part in text.split(",")]
    if parts == [""]:
        raise ValueError("give at least one limit")
    if len(parts) > MOST_LIMITS:
        raise ValueError(f"give at most {MOST_LIMITS} limits, not {len(parts)}")
    limits: list[float] = []
    for part in parts:
        watts = _number(part)
        if not (math.isfinite(watts) and watts > 0):
            raise ValueError(f"{part or 'nothing'} is no power limit")
        if any(abs(watts - each) <= SAME_W for each in limits):
            raise ValueError(f"{watts:g} W is given twice")
        limits.append(watts)
    return tuple(limits)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check(request: SweepRequest) -> None:
    """Refuse what cannot be meant, whatever the card."""
    check_all(request)
    if request.device == "cpu":
        raise Refusal(USAGE, "--device cpu: a processor's limit is not swept; use --gpu N")
    if not (math.isfinite(request.wait_limit_s) and 0 < request.wait_limit_s <= LONGEST_WAIT_S):
        text = f"use seconds above 0, at most {LONGEST_WAIT_S:g}"
        raise Refusal(USAGE, f"--wait-limit {request.wait_limit_s:g}: {text}")
    check_outputs(request.exports, request.json_out, (request.market, request.model or ""))


def _require_card(target: Target) -> None:
    if target.facts.kind == "cpu":
        text = (target.note or "There is no GPU").removesuffix(": measuring the CPU instead.")
        raise Refusal(ENVIRONMENT, f"{text}: no power limit to sweep; use --device sim:h100")


def _power_limit(target: Target) -> AbstractContextManager[PowerLimit | None]:
    if target.card is not None:
        return nullcontext(None)
    return closing(PowerLimit(target.facts.uuid or ""))


def _limiter(
    request: SweepRequest,
    target: Target,
    limit: PowerLimit | None,
    limits_w: tuple[float, ...],
    console: Console,
) -> Limiter:
    if limit is None:
        return SimulatedLimiter(target)
    if request.apply:
        return AppliedLimiter(request, target, limit, limits_w)
    return OperatedLimiter(request, target, limit, console=console, wait_s=request.wait_limit_s)


def _parsed(request: SweepRequest, console: Console) -> tuple[float, ...]:
    """The limits asked for; of a list that makes no sense, what the card takes is said, too."""
    try:
        return parse_limits(request.power_limit)
    except ValueError as error:
        takes = "use watts that the card takes, apart by commas"
        with suppress(Refusal, MeterError, ProfileError):
            target = find_target(request)
            if target.facts.kind == "gpu" and target.note is not None:
                say(console, target.note)
            with _power_limit(target) as limit:
                takes = _takes(target.facts, range_of(target, limit))
        raise Refusal(USAGE, f"{_given(request)}: {error}; {takes}") from error


def _require_range(
    request: SweepRequest, limits_w: tuple[float, ...], device: DeviceFacts, known: LimitRange
) -> None:
    """Refuse a limit that the card does not take or the grade cannot publish."""
    given = _given(request)
    for watts in limits_w:
        if not known.least_w <= watts <= known.most_w:
            raise Refusal(USAGE, f"{given}: {watts:g} W is out of range; {_takes(device, known)}")
        default_w = known.default_w
        if request.grade == "publish" and default_w and abs(watts - default_w) > SAME_W:
            text = f"a publish grade stands at the card's default limit of {default_w:g} W alone"
            raise Refusal(USAGE, f"{given}: {text}; use --grade standard")


def _given(request: SweepRequest) -> str:
    """The option as it was typed, or its beginning."""
    text = request.power_limit
    return "--power-limit " + (text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def _takes(device: DeviceFacts, known: LimitRange) -> str:
    return f"{device.name} takes {known.least_w:g} to {known.most_w:g} W"


def _worst(statuses: list[int]) -> int:
    return max(statuses, key=SEVERITY.index, default=OK)
