"""One ``bench all`` from request to exit status: plan, measure, derive, judge, save, show."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.commentary import Commentary
from bench.cli.dry_run import FIRST_SETUP_S, WARM_SETUP_S, show_plan
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
)  # fmt: skip
from bench.cli.request import Request, check
from bench.cli.rig import Rig, Target, choose_model, find_target, open_rig
from bench.cli.signals import interruptible
from bench.derive import Derived, Raw, derive
from bench.machine import clock_pair, host_facts, software
from bench.measure import Bench, Outcome, measure
from bench.plan import GRADES, block_seconds, steps
from bench.records.market import Decision, MarketProfile
from bench.records.record import SCHEMA, Plan, Profiles, RunRecord
from bench.records.run import MeterFacts
from bench.report.screen import open_screen, say
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


def run_all(request: Request) -> int:
    """Everything ``bench all`` does; raises Refusal with the status that fits."""
    check(request)
    console = open_console(request)
    market, target, profiles = _open_world(request)
    if target.note is not None:
        say(console, target.note)
    try:
        session = Session(request, console, target, market, profiles)
        if request.dry_run:
            return session.show_plan()
        with device_lock(target.facts.uuid or target.facts.kind, wait=request.wait):
            return session.run()
    except Busy as error:
        raise Refusal(BUSY, str(error)) from error
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


class Session:
    """One run on a device that nobody else holds."""

    def __init__(
        self,
        request: Request,
        console: Console,
        target: Target,
        market: MarketProfile,
        profiles: Profiles,
    ) -> None:
        self.request = request
        self.console = console
        self.target = target
        self.market = market
        self.profiles = profiles
        self.grade = GRADES[request.grade]

    def run(self) -> int:
        """Plan, measure, derive, judge, save, show."""
        rig = open_rig(self.request, self.target, self.profiles.model)
        meter = rig.meter.facts()
        plan = self._plan(meter)
        started = dt.datetime.now(dt.UTC)
        with Journal(self.request.out, new_run_id(started)) as journal:
            outcome = self._measure(rig, plan, journal)
            record = self._record(started, meter, plan, outcome, journal)
            saved = save(record, self.request.out)
            journal.compress()
        self._show(record, saved)
        return exit_status(record, outcome, self.request)

    def show_plan(self) -> int:
        """--dry-run: open the meter, for the plan depends on it, and measure nothing."""
        rig = open_rig(self.request, self.target, self.profiles.model)
        meter = rig.meter.facts()
        rig.meter.stop()
        plan = self._plan(meter)
        return show_plan(plan, meter, self.target.facts, self.request, self.console)

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
            model=self.profiles.model.name,
            market=self.market.name,
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
            market=self.market,
            profiles=self.profiles,
            verdict=self._judge(derived, finished.date()),
        )

    def _judge(self, derived: Derived, today: dt.date) -> Decision:
        return judge(
            device=self.target.facts,
            workloads=derived.workloads,
            validity=derived.validity,
            idle=derived.idle,
            market=self.market,
            model=self.profiles.model,
            gpu=self.profiles.gpu,
            asics=self.profiles.asics,
            today=today,
            seed=self.request.seed,
            user_asic=self.profiles.own_asic,
        )

    def _show(self, record: RunRecord, saved: Path) -> None:
        from bench.report.summary import show

        write_json(self.request, to_json(record))
        show(record, saved, self.console)


def exit_status(record: RunRecord, outcome: Outcome, request: Request) -> int:
    """The one status a script sees; what went wrong first counts most."""
    if outcome.interrupted is not None:
        return 128 + outcome.interrupted
    for name, error in outcome.failures.items():
        never_began = error.kind == "device" and name not in outcome.workloads
        return ENVIRONMENT if never_began else FAILURE_STATUS[error.kind]
    if record.validity.status == "invalid":
        return INVALID
    energy = [w.metrics.joules_per_unit for w in record.workloads]
    if request.require_energy and any(joules is None for joules in energy):
        return METRIC_MISSING
    return INVALID if request.strict and record.verdict.stale else OK


def _open_world(request: Request) -> tuple[MarketProfile, Target, Profiles]:
    """The market, the device and the profiles asked for, prices first."""
    from bench.catalogue import ProfileError, apply_sets, load_asics, load_market, parse_asic

    today = dt.datetime.now(dt.UTC).date()
    try:
        market = apply_sets(load_market(request.market), request.sets, today=today)
        own = parse_asic(request.asic, today=today) if request.asic is not None else None
        asics = load_asics(market)
        target = find_target(request)
        model = choose_model(request, target)
    except ProfileError as error:
        raise Refusal(USAGE, str(error)) from error
    return market, target, Profiles(model, target.profile, asics, own)


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


def _stamp(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
