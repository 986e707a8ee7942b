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
from bench.cli.request import AllRequest, check_all
from bench.cli.rig import Target
from bench.cli.series import Done, Series
from bench.cli.session import Session, on_device, open_world, refuse_shared
from bench.cli.signals import Handler, deaf
from bench.records.market import MarketProfile
from bench.records.record import Profiles, RunRecord
from bench.report.hash import KernelRun, run_line, sheet
from bench.report.junit import Suite
from bench.report.screen import say
from bench.report.sheet import terminal
from bench.report.summary import show
from bench.stats import Best, best_of
from bench.store import remember_kernel, to_json

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
    def infers(self) -> bool:
        """Hashing alone."""
        return False


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
    return on_device(request, target, plan=hashing.show_plan, work=hashing.run)


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
        self._series = Series(request, self._session)
        self._runs: list[KernelRun] = []

    def run(self) -> int:
        """Measure each, compare, show, remember the thriftiest: the worst status of all."""
        self._series.run(self._kernels, self._tell)
        return self._conclude()

    def show_plan(self) -> int:
        """--dry-run: the steps of one kernel and the time of all; nothing is measured."""
        if self._all:
            return self._series.show_plan(self._kernels, "kernels")
        return self._session(self._kernels[0], deaf).show_plan()

    def _tell(self, done: Done) -> None:
        """One kernel was measured: among others, a line or two of it."""
        limit = limit_of(done.name, self._target)
        unlimited = limit if isinstance(limit, str) else None
        run = KernelRun(_name(done.name, done.record), done.record, unlimited)
        self._runs.append(run)
        if not self._all:
            return
        say(self._console, run_line(run))
        for code in run.record.validity.codes:
            if code.fatal:
                say(self._console, f"FATAL {code.name}: {code.text}")
        say(self._console, f"Saved {done.measured.saved}")

    def _session(self, kernel: str, afterwards: Handler) -> Session:
        return Session(
            self._request,
            self._console,
            self._target,
            self._market,
            self._profiles,
            choice=Choice(kernel, ""),
            afterwards=afterwards,
        )

    def _conclude(self) -> int:
        """What was measured is shown, written and learned from, however it ended."""
        fastest, thriftiest = rank(self._runs)
        table = sheet(self._runs, fastest, thriftiest)
        if not self._all:
            measured = self._series.done[0].measured
            show(measured.record, measured.saved, self._console)
        self._console.print()
        self._console.print(terminal(table, self._console.width))
        self._remember(thriftiest)
        write_json(self._request, self._written(fastest, thriftiest))
        suite = Suite("bench hash", tuple(self._series.cases()))
        write_exports(self._request.exports, [table], self._console, suite)
        return self._series.status()

    def _remember(self, thriftiest: Best | None) -> None:
        """Only what was compared, by joules of this very device, at a grade that may be ranked."""
        if thriftiest is None or not self._all or self._series.interrupted:
            return
        records = {run.kernel: run.record for run in self._runs}
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
            return to_json(self._runs[0].record)
        document = {
            "schema": SCHEMA,
            "device": self._target.facts.name,
            "kernels": list(map(_object, self._runs, self._series.done)),
            "fastest": None if fastest is None else asdict(fastest),
            "thriftiest": None if thriftiest is None else asdict(thriftiest),
            "interrupted": self._series.interrupted,
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


def _object(run: KernelRun, done: Done) -> dict[str, Any]:
    record, metrics = run.record, run.metrics
    return {
        "kernel": run.kernel,
        "run_id": record.run_id,
        "record": Path(done.measured.saved).name,
        "exit_status": done.status,
        "run": record.validity.status,
        "codes": list(dict.fromkeys(code.name for code in record.validity.codes)),
        "metrics": None if metrics is None else asdict(metrics),
        "limit_reason": run.unlimited,
    }
