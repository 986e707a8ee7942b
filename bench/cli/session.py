"""One ``bench all`` from request to exit status: plan, measure, derive, judge, save, show."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from bench.cli.commentary import Commentary
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
)  # fmt: skip
from bench.cli.request import Request, check
from bench.cli.rig import Rig, Target, choose_model, find_target, open_rig
from bench.derive import Derived, Raw, derive
from bench.machine import clock_pair, host_facts, software
from bench.measure import Bench, Interrupted, Outcome, measure
from bench.plan import GRADES, block_seconds, steps, total_seconds
from bench.records.market import AsicProfile, Decision, MarketProfile, ModelConfig
from bench.records.record import SCHEMA, Plan, Profiles, RunRecord
from bench.records.run import DeviceFacts, MeterFacts
from bench.report.screen import open_screen
from bench.report.text import duration
from bench.store import (
    Busy,
    Journal,
    StoreError,
    device_lock,
    new_run_id,
    remember_setup,
    remembered_setup,
    save,
    to_json,
)  # fmt: skip
from bench.verdict import judge

if TYPE_CHECKING:
    from rich.console import Console

UNITS = {"sha256d": "hash", "decode": "token"}
FAILURE_STATUS = {
    "usage": USAGE, "mismatch": ENVIRONMENT, "missing": METRIC_MISSING, "memory": METRIC_MISSING,
    "device": DEVICE_FAILED, "unverified": INVALID, "bug": BUG,
}  # fmt: skip
FIRST_SETUP_S = {"sha256d": 6.0, "sha256d.verify": 1.0, "decode": 6.0, "decode.verify": 2.0}
"""What preparing takes where nothing is cached yet; later runs remember what theirs took."""
WARM_SETUP_S = {"sha256d": 2.5, "sha256d.verify": 1.0, "decode": 5.0, "decode.verify": 2.0}
"""What it takes once compiled code is cached; stands in until a second run has shown it."""
AROUND_S = 2.0
"""Starting Python and its imports, and writing the record."""


@dataclass(frozen=True, slots=True)
class Money:
    """What the verdict is drawn from, besides the run."""

    market: MarketProfile
    asics: tuple[AsicProfile, ...]
    own_asic: AsicProfile | None


def run_all(request: Request) -> int:
    """Everything ``bench all`` does; raises Refusal with the status that fits."""
    from bench.catalogue import ProfileError

    check(request)
    console = _console(request)
    try:
        money = _open_money(request)
        target = find_target(request)
        model = choose_model(request, target)
    except ProfileError as error:
        raise Refusal(USAGE, str(error)) from error
    if target.note is not None:
        console.print(target.note, highlight=False)
    try:
        with device_lock(target.facts.uuid or target.facts.kind, wait=request.wait):
            return Session(request, console, money, target, model).run()
    except Busy as error:
        raise Refusal(BUSY, str(error)) from error
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


class Session:
    """One run on a device that nobody else holds."""

    def __init__(
        self, request: Request, console: Console, money: Money, target: Target, model: ModelConfig
    ) -> None:
        self.request = request
        self.console = console
        self.money = money
        self.target = target
        self.model = model
        self.grade = GRADES[request.grade]

    def run(self) -> int:
        """Plan, measure, derive, judge, save, show."""
        rig = open_rig(self.request, self.target, self.model)
        meter = rig.meter.facts()
        plan = self._plan(meter)
        if self.request.dry_run:
            rig.meter.stop()
            return show_plan(plan, meter, self.target.facts, self.request, self.console)
        started = dt.datetime.now(dt.UTC)
        journal = Journal(self.request.out, new_run_id(started))
        try:
            outcome = self._measure(rig, plan, journal)
            record = self._record(started, meter, plan, outcome, journal)
            saved = save(record, self.request.out)
            journal.compress()
        finally:
            journal.close()
        self._show(record, saved)
        return exit_status(record, outcome, self.request)

    def _plan(self, meter: MeterFacts) -> Plan:
        block_s = block_seconds(self.grade, self.request.window_s, meter.sensor)
        simulated = self.target.card is not None
        walk = steps(
            self.grade,
            tuple(UNITS),
            block_s=block_s,
            metered=meter.source not in ("none", "assumed") and not meter.mismatch,
            setup_s={} if simulated else {**FIRST_SETUP_S, **remembered_setup()},
        )
        return Plan(
            grade=self.grade.name,
            seed=self.request.seed,
            blocks=self.grade.blocks,
            block_s=block_s,
            settle_s=self.grade.settle_s,
            model=self.model.name,
            market=self.money.market.name,
            sets=self.request.sets,
            meter=self.request.meter_spec,
            steps=walk,
        )

    def _measure(self, rig: Rig, plan: Plan, journal: Journal) -> Outcome:
        screen = open_screen(self.console)
        watch = Commentary(screen, journal, rig.meter.facts(), UNITS, plan.blocks)
        window_s = plan.blocks * plan.block_s
        try:
            with interruptible():
                workers = rig.start_workers(window_s, plan.seed)
                bench = Bench(
                    self.target.facts, workers, rig.meter, rig.clock, journal.append, watch
                )
                journal.append(clock_pair())
                outcome = measure(bench, plan.steps)
        finally:
            rig.meter.stop()
            screen.close()
        watch.end_setup()
        journal.append(clock_pair())
        if outcome.interrupted is None and self.target.card is None:
            remember_setup(watch.setup_s, WARM_SETUP_S)
        return outcome

    def _record(
        self,
        started: dt.datetime,
        meter: MeterFacts,
        plan: Plan,
        outcome: Outcome,
        journal: Journal,
    ) -> RunRecord:
        finished = dt.datetime.now(dt.UTC)
        derived = derive(_raw(self.target, meter, plan, outcome), journal.facts)
        sources = {k: v for facts in outcome.workloads.values() for k, v in facts.sources.items()}
        return RunRecord(
            schema=SCHEMA,
            run_id=journal.run_id,
            started_at=_stamp(started),
            finished_at=_stamp(finished),
            software=software(sources),
            host=host_facts(),
            device=self.target.facts,
            meter=meter,
            plan=plan,
            idle=derived.idle,
            workloads=derived.workloads,
            validity=derived.validity,
            market=self.money.market,
            profiles=self._profiles(),
            verdict=self._judge(derived, finished.date()),
        )

    def _profiles(self) -> Profiles:
        return Profiles(self.model, self.target.profile, self.money.asics, self.money.own_asic)

    def _judge(self, derived: Derived, today: dt.date) -> Decision:
        return judge(
            device=self.target.facts,
            workloads=derived.workloads,
            validity=derived.validity,
            idle=derived.idle,
            market=self.money.market,
            model=self.model,
            gpu=self.target.profile,
            asics=self.money.asics,
            today=today,
            seed=self.request.seed,
            user_asic=self.money.own_asic,
        )

    def _show(self, record: RunRecord, saved: Path) -> None:
        from bench.report.summary import show

        show(record, saved, self.console)
        text = to_json(record)
        if self.request.to_stdout:
            sys.stdout.write(text)
        elif self.request.json_out is not None:
            write_text(Path(self.request.json_out), text)


def exit_status(record: RunRecord, outcome: Outcome, request: Request) -> int:
    """The one status a script sees; what went wrong first counts most."""
    if outcome.interrupted is not None:
        return 128 + outcome.interrupted
    for error in outcome.failures.values():
        return FAILURE_STATUS[error.kind]
    if record.validity.status == "invalid":
        return INVALID
    energy = [w.metrics.joules_per_unit for w in record.workloads]
    if request.require_energy and any(joules is None for joules in energy):
        return METRIC_MISSING
    return INVALID if request.strict and record.verdict.stale else OK


def show_plan(
    plan: Plan, meter: MeterFacts, device: DeviceFacts, request: Request, console: Console
) -> int:
    """--dry-run: every step with its seconds, the whole with its most kWh."""
    seconds = AROUND_S + total_seconds(plan.steps)
    watts = meter.constant_w or device.power_limit_w
    kwh = None if watts is None else watts * seconds / 3.6e6
    for step in plan.steps:
        console.print(f"{step.total_s:7.1f} s  {step.name} {step.workload or ''}", highlight=False)
    most = (
        "kWh unknown: nothing states this device's power"
        if kwh is None
        else f"at most {kwh:.4f} kWh"
    )
    console.print(f"{device.name}: {duration(seconds)} in all, {most}", highlight=False)
    if request.json_out is not None:
        document = {
            "seconds": round(seconds, 3),
            "kwh": kwh,
            "device": device.name,
            "grade": plan.grade,
            "steps": [asdict(step) for step in plan.steps],
        }
        text = json.dumps(document, indent=2) + "\n"
        if request.to_stdout:
            sys.stdout.write(text)
        else:
            write_text(Path(request.json_out), text)
    return OK


def write_text(path: Path, text: str) -> None:
    """Write a file the user named; StoreError when it cannot be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; name another file") from error


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM raise Interrupted, once; what follows is not disturbed again."""

    def raise_once(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, raise_once)
    try:
        yield
    finally:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)


def _open_money(request: Request) -> Money:
    from bench.catalogue import apply_sets, load_asics, load_market, parse_asic

    today = dt.datetime.now(dt.UTC).date()
    market = apply_sets(load_market(request.market), request.sets, today=today)
    own = parse_asic(request.asic, today=today) if request.asic is not None else None
    return Money(market, load_asics(market), own)


def _raw(target: Target, meter: MeterFacts, plan: Plan, outcome: Outcome) -> Raw:
    return Raw(
        device=target.facts,
        meter=meter,
        grade=plan.grade,
        workloads=tuple(outcome.workloads.values()),
        checks={name: tuple(checks) for name, checks in outcome.checks.items()},
        failures={name: (error.kind, error.text) for name, error in outcome.failures.items()},
        interrupted=outcome.interrupted is not None,
    )


def _console(request: Request) -> Console:
    from rich.console import Console

    return Console(
        stderr=request.to_stdout, no_color=request.no_color or None, soft_wrap=True, highlight=False
    )


def _stamp(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
