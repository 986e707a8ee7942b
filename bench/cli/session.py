"""One measured run: plan, measure, derive, judge, save; and its exit status."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.calibrations import keep, recall
from bench.cli.commentary import Commentary
from bench.cli.dry_run import FIRST_SETUP_S, WARM_SETUP_S, show_plan
from bench.cli.inference import default_inference, default_model
from bench.cli.kernels import Choice, default_kernel, limit_of
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
from bench.cli.request import AllRequest
from bench.cli.rig import (
    HASHED,
    Hashing,
    Rig,
    Target,
    find_target,
    infer_on,
    measured_on,
    open_rig,
    phases_of,
)
from bench.cli.served import server_pids
from bench.cli.signals import Handler, deaf, interruptible
from bench.cli.turn import held
from bench.derive import Opened, decide, derive
from bench.machine import clock_pair, host_facts, software
from bench.measure import Bench, Outcome, measure
from bench.plan import GRADES
from bench.protocol import Protocol
from bench.records.journal import Event, Fact
from bench.records.market import MarketProfile
from bench.records.record import SCHEMA, Plan, Profiles, RunRecord
from bench.records.run import DeviceFacts, MeterFacts
from bench.report.screen import open_screen, say
from bench.store import (
    Busy,
    Journal,
    StoreError,
    new_run_id,
    remember_setup,
    remembered_setup,
    save,
)  # fmt: skip

if TYPE_CHECKING:
    from rich.console import Console

FAILURE_STATUS = {
    "usage": USAGE, "mismatch": ENVIRONMENT, "missing": METRIC_MISSING, "memory": METRIC_MISSING,
    "device": DEVICE_FAILED, "unverified": INVALID, "bug": BUG,
}  # fmt: skip


def open_session(request: AllRequest, console: Console) -> Session:
    """What ``bench all`` is to measure, found and told of; nothing is opened or locked yet."""
    market, target, profiles = open_world(request)
    refuse_shared(target.facts, request)
    if target.note is not None:
        say(console, target.note)
    choice = default_kernel(target)
    if target.card is None:
        say(console, choice.note)
    return Session(request, console, target, market, profiles, choice=choice)


def on_device(
    request: AllRequest,
    target: Target,
    *,
    plan: Callable[[], int],
    work: Callable[[], int],
    endpoint: str | None = None,
) -> int:
    """The plan for --dry-run, else the work while nobody else uses the device: its exit status.

    A server at the ``endpoint`` is no stranger there.
    """
    served = server_pids(endpoint, target.facts)
    try:
        if request.dry_run:
            return plan()
        with held(target.facts, wait=request.wait, served=served):
            return work()
    except Busy as error:
        raise Refusal(BUSY, str(error)) from error
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a run: its record, where that lies, and how the measuring ended."""

    record: RunRecord
    saved: Path
    outcome: Outcome


class Session:
    """One run on a device that nobody else holds, of the kernel chosen, else the device's default.

    Once it has measured, ``afterwards`` hears the signals that end a command.
    """

    def __init__(
        self,
        request: AllRequest,
        console: Console,
        target: Target,
        market: MarketProfile,
        profiles: Profiles,
        *,
        choice: Choice | None = None,
        afterwards: Handler = deaf,
    ) -> None:
        self.request = request
        self.hashing = None
        if request.hashes:
            self.hashing = hashing_of((choice or default_kernel(target)).kernel, target)
        self.console = console
        self.target = target
        self.workloads = measured_on(request, target)
        self.market = market
        self.profiles = profiles
        self.grade = GRADES[request.grade]
        self.software = software({})
        self.host = host_facts()
        self.afterwards = afterwards

    def measured(self) -> Measured:
        """Plan, measure, derive, judge, save."""
        started = dt.datetime.now(dt.UTC)
        rig = self._rig()
        meter = recall(rig.meter.facts(), self.target.facts)
        with Journal(self.request.out, new_run_id(started)) as journal:
            course = self._course(meter, started, journal.facts)
            plan = self._plan(course)
            known = Opened(
                device=self.target.facts,
                meter=meter,
                plan=plan,
                started_at=stamp(started),
                software=self.software,
                run_id=journal.run_id,
                host=self.host,
                market=self.market,
                profiles=self.profiles,
            )
            journal.append(Event(rig.clock.now(), "opened", asdict(known)))
            outcome = self._measure(rig, plan, course, journal)
            journal.sync()
            record = self._record(started, plan, outcome, journal)
            saved = save(record, self.request.out)
            journal.compress()
        keep(record.meter, self.target.facts)
        return Measured(record, saved, outcome)

    def show_plan(self, runs: Sequence[str] = (), key: str = "runs") -> int:
        """--dry-run: show the plan, of each of these runs if any, and measure nothing."""
        plan, meter = self.planned()
        several = {key: tuple(runs)} if runs else {}
        return show_plan(plan, meter, self.target.facts, self.request, self.console, several)

    def planned(self) -> tuple[Plan, MeterFacts]:
        """The plan, and the meter on which it depends: opened and closed again."""
        rig = self._rig()
        meter = recall(rig.meter.facts(), self.target.facts)
        rig.meter.stop()
        return self._plan(self._course(meter, dt.datetime.now(dt.UTC), ())), meter

    def _rig(self) -> Rig:
        return open_rig(self.request, self.target, self.hashing)

    def _course(self, meter: MeterFacts, started: dt.datetime, facts: Sequence[Fact]) -> Protocol:
        simulated = self.target.card is not None
        return Protocol(
            self.grade,
            self.workloads,
            device=self.target.facts,
            meter=meter,
            window_s=self.request.window_s,
            setup_s={} if simulated else {**FIRST_SETUP_S, **remembered_setup()},
            facts=facts,
            made_at=stamp(started),
            phases=phases_of(self.workloads),
        )

    def _plan(self, course: Protocol) -> Plan:
        return Plan(
            grade=self.grade.name,
            seed=self.request.seed,
            blocks=self.grade.blocks,
            block_s=course.block_s,
            settle_s=self.grade.settle_s,
            model=None if self.profiles.model is None else self.profiles.model.name,
            market=self.market.name,
            sets=self.request.sets,
            meter=self.request.meter_spec,
            steps=course.steps,
        )

    def _measure(self, rig: Rig, plan: Plan, course: Protocol, journal: Journal) -> Outcome:
        screen = open_screen(self.console)
        units = {name: "hash" if name in HASHED else "token" for name in self.workloads}
        watch = Commentary(screen, journal, rig.meter.facts(), units, plan.blocks)
        window_s = plan.blocks * plan.block_s
        try:
            with interruptible(self.afterwards):
                workers = rig.start_workers(self.workloads, window_s, plan.seed)
                bench = Bench(
                    self.target.facts,
                    workers,
                    rig.meter,
                    rig.clock,
                    journal.append,
                    watch,
                    plan.seed,
                )
                journal.append(clock_pair())
                outcome = measure(bench, course)
        finally:
            rig.meter.stop()
            screen.close()
        watch.end_setup()
        journal.append(clock_pair())
        if outcome.interrupted is None and self.target.card is None:
            remember_setup(watch.setup_s, WARM_SETUP_S)
        return outcome

    def _record(
        self, started: dt.datetime, plan: Plan, outcome: Outcome, journal: Journal
    ) -> RunRecord:
        finished = dt.datetime.now(dt.UTC)
        sources = {k: v for facts in outcome.workloads.values() for k, v in facts.sources.items()}
        derived = derive(journal.facts)
        return RunRecord(
            schema=SCHEMA,
            run_id=journal.run_id,
            started_at=stamp(started),
            finished_at=stamp(finished),
            software=replace(self.software, kernel_sha256=sources),
            host=self.host,
            device=self.target.facts,
            meter=derived.meter,
            plan=plan,
            idle=derived.idle,
            workloads=derived.workloads,
            validity=derived.validity,
            market=self.market,
            profiles=self.profiles,
            verdict=decide(
                derived,
                self.market,
                self.profiles,
                today=finished.date(),
                seed=self.request.seed,
            ),
            journal_sha256=journal.sha256(),
        )


def exit_status(record: RunRecord, outcome: Outcome, request: AllRequest) -> int:
    """The one status a script sees; what went wrong first counts most."""
    if outcome.interrupted is not None:
        return 128 + outcome.interrupted
    for name, error in outcome.failures.items():
        absent = error.kind == "device" or (error.kind == "missing" and record.device.kind == "gpu")
        never_began = absent and name not in outcome.workloads
        return ENVIRONMENT if never_began else FAILURE_STATUS[error.kind]
    if any(code.name == "GPU_LOST" for code in record.validity.codes):
        return DEVICE_FAILED
    if record.validity.status == "invalid":
        return INVALID
    energy = [w.metrics.joules_per_unit for w in record.workloads]
    if request.require_energy and any(joules is None for joules in energy):
        return METRIC_MISSING
    return INVALID if request.strict and record.verdict.stale else OK


def open_world(request: AllRequest) -> tuple[MarketProfile, Target, Profiles]:
    """The market, the device and the profiles asked for, prices first."""
    from bench.catalogue import ProfileError
    from bench.cli.prices import open_prices

    prices = open_prices(request.market, request.sets, request.asic)
    try:
        target = find_target(request)
        model = None
        if request.infers:
            model = default_model(target.facts, target.profile, request.model)
            inference = default_inference(target.facts, target.profile, model)
            target = infer_on(target, inference)
    except ProfileError as error:
        raise Refusal(USAGE, str(error)) from error
    return prices.market, target, Profiles(model, target.profile, prices.asics, prices.own)


def hashing_of(kernel: str, target: Target) -> Hashing:
    """The kernel with what bounds it on this device, where that is known."""
    limit = limit_of(kernel, target)
    return Hashing(kernel, {} if isinstance(limit, str) else {"limit": asdict(limit)})


def refuse_shared(device: DeviceFacts, request: AllRequest) -> None:
    """A publish grade is for a whole card: a slice of one shares its sensor with the others."""
    shared = {"MIG": device.mig, "vGPU": device.vgpu, "MPS": device.mps}
    modes = [name for name, on in shared.items() if on]
    if request.grade == "publish" and modes:
        text = f"{device.name} is in {' and '.join(modes)} mode, whose joules are not its own"
        raise Refusal(ENVIRONMENT, f"{text}: switch it off, or use --grade standard")


def stamp(moment: dt.datetime) -> str:
    """A moment as records write it: UTC, whole seconds, Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
