"""One ``bench hash`` from request to exit status: a run for each kernel, then all side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.kernels import Choice, asked_kernels, default_kernel, limit_of, memory_key
from bench.cli.output import open_console, write_json
from bench.cli.refusal import BUSY, STORAGE, Refusal
from bench.cli.request import AllRequest, check_all
from bench.cli.rig import Target
from bench.cli.session import (
    Measured,
    Session,
    await_device,
    exit_status,
    open_world,
    refuse_shared,
)
from bench.cli.signals import Noted, interruptible
from bench.cli.sweeping import SEVERITY
from bench.measure import Interrupted
from bench.records.market import MarketProfile
from bench.records.record import Profiles, RunRecord
from bench.report.hash import KernelRun, run_line, sheet
from bench.report.screen import say
from bench.report.sheet import terminal
from bench.report.summary import show
from bench.stats import Best, best_of
from bench.store import Busy, StoreError, device_lock, remember_kernel, to_json

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/hash/1"
TRUSTED = ("valid", "labelled")
OWN_JOULES = ("measured-counter", "measured-polled")
"""What a device's thriftiest kernel may be told by: its own joules, measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashRequest(AllRequest):
    """The options of ``bench hash`` as given."""

    kernel: str | None
    exports: Exports

    @property
    def workloads(self) -> tuple[str, ...]:
        """Hashing alone."""
        return ("sha256d",)


@dataclass(frozen=True, slots=True)
class Done:
    """One kernel and what came of it; ``status`` is what it alone would have exited with."""

    run: KernelRun
    status: int
    measured: Measured


def run_hash(request: HashRequest) -> int:
    """Everything ``bench hash`` does; raises Refusal with the status that fits."""
    check_all(request)
    check_outputs(request.exports, request.json_out, (request.market,))
    console = open_console(request)
    market, target, profiles = open_world(request)
    refuse_shared(target.facts, request)
    kernels, chosen = _kernels(request, target)
    for note in (target.note, chosen):
        if note is not None:
            say(console, note)
    hashing = _Hashing(request, console, target, market, profiles, kernels)
    try:
        if request.dry_run:
            return hashing.show_plan()
        with device_lock(target.facts.uuid or target.facts.kind, wait=request.wait):
            await_device(target.facts, wait=request.wait)
            return hashing.run()
    except Busy as error:
        raise Refusal(BUSY, str(error)) from error
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


def _kernels(request: HashRequest, target: Target) -> tuple[tuple[str, ...], str]:
    """The kernels to run, and one line that says which."""
    if request.kernel is None:
        choice = default_kernel(target)
        return (choice.kernel,), choice.note
    kernels = asked_kernels(request.kernel, target)
    return kernels, f"Hash kernel{'s' if len(kernels) > 1 else ''}: {', '.join(kernels)}."


class _Hashing:
    """The kernels of one device, one after another."""

    def __init__(  # noqa: PLR0917 - what a comparison works with, made in one place
        self,
        request: HashRequest,
        console: Console,
        target: Target,
        market: MarketProfile,
        profiles: Profiles,
        kernels: Sequence[str],
    ) -> None:
        self._request = request
        self._console = console
        self._target = target
        self._market = market
        self._profiles = profiles
        self._kernels = kernels
        self._all = request.kernel == "all"
        self._noted = Noted()
        self._done: list[Done] = []
        self._ended: Refusal | None = None

    def run(self) -> int:
        """Measure each, compare, show, remember the thriftiest: the worst status of all."""
        self._noted.listen()
        try:
            for kernel in self._kernels:
                if not self._one(kernel):
                    break
        except Interrupted as interrupt:
            self._noted.hear(interrupt.number, None)
        except Refusal as refusal:
            self._ended = refusal
        except StoreError as error:
            self._ended = Refusal(STORAGE, str(error))
        return self._conclude()

    def show_plan(self) -> int:
        """--dry-run: the steps of one kernel and the time of all; nothing is measured."""
        compared = self._kernels if self._all else ()
        return self._session(self._kernels[0]).show_plan(compared)

    def _one(self, kernel: str) -> bool:
        """Measure one kernel; whether to go on."""
        with interruptible(self._noted.hear):
            if self._noted.number is not None:
                return False
            measured = self._session(kernel).measured()
        record, outcome = measured.record, measured.outcome
        if outcome.interrupted is not None:
            self._noted.hear(outcome.interrupted, None)
        limit = limit_of(kernel, self._target)
        run = KernelRun(_name(kernel, record), record, limit if isinstance(limit, str) else None)
        self._done.append(Done(run, exit_status(record, outcome, self._request), measured))
        if self._all:
            self._tell(run, measured)
        lost = any(code.name == "GPU_LOST" for code in record.validity.codes)
        return self._noted.number is None and not lost

    def _tell(self, run: KernelRun, measured: Measured) -> None:
        say(self._console, run_line(run))
        for code in run.record.validity.codes:
            if code.fatal:
                say(self._console, f"FATAL {code.name}: {code.text}")
        say(self._console, f"Saved {measured.saved}")

    def _session(self, kernel: str) -> Session:
        return Session(
            self._request,
            self._console,
            self._target,
            self._market,
            self._profiles,
            choice=Choice(kernel, ""),
            afterwards=self._noted.hear,
        )

    def _conclude(self) -> int:
        """What was measured is shown, written and learned from, however it ended."""
        if not self._done:
            number = self._noted.number or 0
            early = Refusal(128 + number, "interrupted before anything was measured")
            raise self._ended or early
        runs = [done.run for done in self._done]
        fastest, thriftiest = rank(runs)
        table = sheet(runs, fastest, thriftiest)
        if not self._all:
            show(self._done[0].measured.record, self._done[0].measured.saved, self._console)
        self._console.print()
        self._console.print(terminal(table, self._console.width))
        self._remember(thriftiest)
        write_json(self._request, self._written(fastest, thriftiest))
        write_exports(self._request.exports, [table], self._console)
        if self._noted.number is not None:
            return 128 + self._noted.number
        statuses = [done.status for done in self._done]
        if self._ended is not None:
            statuses.append(self._ended.status)
            raise Refusal(max(statuses, key=SEVERITY.index), str(self._ended))
        return max(statuses, key=SEVERITY.index)

    def _remember(self, thriftiest: Best | None) -> None:
        """Only what was compared, by joules of this very device, at a grade that may be ranked."""
        if thriftiest is None or not self._all or self._noted.number is not None:
            return
        records = {done.run.kernel: done.run.record for done in self._done}
        best = records[thriftiest.name]
        own = {w.metrics.joules_source for w in best.workloads} <= set(OWN_JOULES)
        if not own or best.meter.mismatch or best.plan.grade == "quick":
            why = "a quick look" if own and not best.meter.mismatch else "not by its own joules"
            say(self._console, f"Not remembered as this device's default: {why}.")
            return
        remember_kernel(memory_key(self._target.facts), thriftiest.name)
        say(self._console, f"Remembered: bench all and bench hash now use {thriftiest.name} here.")

    def _written(self, fastest: Best | None, thriftiest: Best | None) -> str:
        """The record of a single kernel, as ``bench all`` writes it; else all side by side."""
        if not self._all:
            return to_json(self._done[0].measured.record)
        document = {
            "schema": SCHEMA,
            "device": self._target.facts.name,
            "kernels": [_object(done) for done in self._done],
            "fastest": None if fastest is None else asdict(fastest),
            "thriftiest": None if thriftiest is None else asdict(thriftiest),
            "interrupted": self._noted.number is not None,
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"


def rank(runs: Sequence[KernelRun]) -> tuple[Best | None, Best | None]:
    """The fastest and the thriftiest of the runs that may be trusted."""
    trusted = [
        (run.kernel, run.metrics)
        for run in runs
        if run.metrics is not None and run.record.validity.status in TRUSTED
    ]
    rates = {name: m.units_per_s for name, m in trusted if m.units_per_s is not None}
    joules = {name: m.joules_per_unit for name, m in trusted if m.joules_per_unit is not None}
    return best_of(rates, least=False), best_of(joules, least=True)


def _name(kernel: str, record: RunRecord) -> str:
    """The kernel with the variant that ran, where only its back end was named."""
    variants = [w.config.get("variant") for w in record.workloads]
    if ":" in kernel or not variants or variants[0] is None:
        return kernel
    return f"{kernel}:{variants[0]}"


def _object(done: Done) -> dict[str, Any]:
    record, metrics = done.measured.record, done.run.metrics
    return {
        "kernel": done.run.kernel,
        "run_id": record.run_id,
        "record": Path(done.measured.saved).name,
        "exit_status": done.status,
        "run": record.validity.status,
        "codes": list(dict.fromkeys(code.name for code in record.validity.codes)),
        "metrics": None if metrics is None else asdict(metrics),
        "limit_reason": done.run.unlimited,
    }
