"""One ``bench infer`` from request to exit status: a run for each point, then all side by side."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.inference import default_model
from bench.cli.output import open_console, write_json
from bench.cli.points import ENDPOINT, Given, Points, Server, points_of, unused
from bench.cli.refusal import USAGE, Refusal
from bench.cli.request import AllRequest, check_all
from bench.cli.rig import Target, infer_on
from bench.cli.series import Done, Series
from bench.cli.session import Session, on_device, open_world, refuse_shared
from bench.cli.signals import Handler, deaf
from bench.cli.sweeping import SEVERITY
from bench.records.market import MarketProfile, ModelConfig
from bench.records.record import Profiles
from bench.report.energy_model import sheets as energy_models
from bench.report.infer import PointRun, marked, point_line, rates, sheet
from bench.report.junit import Case, Suite
from bench.report.screen import say
from bench.report.sheet import terminal
from bench.report.summary import show
from bench.store import to_json

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/infer/1"
TIERS = ("T0", "T1", "T2", "T3")
ENGINE = "T2"
WORDS = {ENDPOINT: "a server"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest(AllRequest):
    """The options of ``bench infer`` as given."""

    scenario: str | None
    given: Given
    weights: Path | None
    endpoint: str | None
    model_id: str | None
    tier: str | None
    rate_hz: float | None
    exports: Exports

    @property
    def hashes(self) -> bool:
        """The token side alone."""
        return False

    @property
    def infers(self) -> bool:
        """At points of its own, never at the device's default one."""
        return False


def run_infer(request: InferRequest) -> int:
    """Everything ``bench infer`` does; raises Refusal with the status that fits."""
    _check(request)
    console = open_console(request)
    market, target, profiles = open_world(request)
    refuse_shared(target.facts, request)
    server, model = _server(request), _model(request, target)
    cpu = target.facts.kind == "cpu"
    scenario = _scenario(request, cpu=cpu)
    points = points_of(scenario, request.given, model, cpu=cpu, server=server)
    notes = [target.note] if target.note else []
    notes += [
        f"{option} is not used: {WORDS.get(scenario, scenario)} does not depend on it."
        for option in unused(scenario, request.given)
    ]
    for note in notes:
        say(console, note)
    profiles = replace(profiles, model=model)
    inferring = _Inferring(request, console, target, market, profiles, scenario, points)
    return on_device(
        request,
        target,
        plan=inferring.show_plan,
        work=inferring.run,
        endpoint=request.endpoint,
    )


def _scenario(request: InferRequest, *, cpu: bool) -> str:
    """The one asked for, else the device's; a server's requests are a scenario of their own."""
    if request.endpoint is not None:
        return ENDPOINT
    return request.scenario or ("decode" if cpu else "serve")


def _check(request: InferRequest) -> None:
    check_all(request)
    check_outputs(request.exports, request.json_out, (request.market,))
    if request.endpoint is None:
        for option, value in (
            ("--model-id", request.model_id),
            ("--tier", request.tier),
            ("--rate", request.rate_hz),
        ):
            if value is not None:
                raise Refusal(USAGE, f"{option} belongs to --endpoint URL: add it")
    elif request.model is not None or request.weights is not None:
        raise Refusal(USAGE, "--model and --weights are the server's own: name --model-id ID")
    elif request.scenario is not None:
        raise Refusal(USAGE, "--scenario: a server is sent requests, no other; leave it out")
    if request.model is not None and request.weights is not None:
        raise Refusal(USAGE, "--model and --weights exclude each other: give one of them")
    if request.tier not in (None, *TIERS):
        raise Refusal(USAGE, f"--tier {request.tier}: use one of {', '.join(TIERS)}")
    if request.rate_hz is not None and not (math.isfinite(request.rate_hz) and request.rate_hz > 0):
        raise Refusal(USAGE, f"--rate {request.rate_hz:g}: use arrivals a second above 0")


def _server(request: InferRequest) -> Server | None:
    if request.endpoint is None:
        return None
    return Server(request.endpoint, request.model_id, request.tier or ENGINE, request.rate_hz)


def _model(request: InferRequest, target: Target) -> ModelConfig | None:
    """The model that decodes; of a server only its id, by which its tokens have a price."""
    from bench.catalogue import ProfileError, model_from_weights

    if request.endpoint is not None:
        if target.card is not None:
            raise Refusal(USAGE, "--endpoint: a simulated card serves nobody; name --gpu or cpu")
        name, today = request.model_id, dt.datetime.now(dt.UTC).date().isoformat()
        source = f"served at {request.endpoint}"
        return None if name is None else ModelConfig(name, name, None, {}, today, source)
    try:
        if request.weights is not None:
            return model_from_weights(request.weights)
        return default_model(target.facts, target.profile, request.model)
    except ProfileError as error:
        raise Refusal(USAGE, str(error)) from error


class _Inferring:
    """The points of one scenario, one after another."""

    def __init__(  # noqa: PLR0917 - what a sweep works with, made in one place
        self,
        request: InferRequest,
        console: Console,
        target: Target,
        market: MarketProfile,
        profiles: Profiles,
        scenario: str,
        points: Points,
    ) -> None:
        self._request = request
        self._console = console
        self._market = market
        self._profiles = profiles
        self._scenario = scenario
        self._common = points.common
        self._points = list(points.named)
        self._targets: dict[str, Target] = {}
        self._refused: dict[str, Refusal] = {}
        for name, inference in points.named.items():
            try:
                self._targets[name] = infer_on(target, inference)
            except Refusal as refusal:
                self._refused[name] = refusal
        if not self._targets:
            raise next(iter(self._refused.values()))
        self._series = Series(request, self._session)
        self._runs: dict[str, PointRun] = {}

    @property
    def _many(self) -> bool:
        return len(self._points) > 1

    def run(self) -> int:
        """Measure each, show, write: the worst status of all."""
        for name, refusal in self._refused.items():
            say(self._console, f"{name}: {refusal}")
            self._runs[name] = PointRun(name, None, str(refusal))
        self._series.run(list(self._targets), self._tell)
        return self._conclude()

    def show_plan(self) -> int:
        """--dry-run: the steps of one point and the time of all; nothing is measured."""
        names = list(self._targets)
        if self._many:
            return self._series.show_plan(names, "points")
        return self._session(names[0], deaf).show_plan()

    def _session(self, name: str, afterwards: Handler) -> Session:
        return Session(
            self._request,
            self._console,
            self._targets[name],
            self._market,
            self._profiles,
            afterwards=afterwards,
        )

    def _tell(self, done: Done) -> None:
        """One point was measured: among others, a line or two of it."""
        run = PointRun(done.name, done.record, _why(done))
        self._runs[done.name] = run
        if not self._many:
            return
        say(self._console, point_line(run))
        for code in done.record.validity.codes:
            if code.fatal:
                say(self._console, f"FATAL {code.name}: {code.text}")
        say(self._console, f"Saved {done.measured.saved}")

    def _conclude(self) -> int:
        """What was measured is shown and written, however it ended."""
        runs = [self._runs[name] for name in self._points if name in self._runs]
        model = None if self._profiles.model is None else self._profiles.model.name
        what = [self._scenario, model, self._common]
        tables = [sheet(runs, " ".join(part for part in what if part)), *energy_models(runs)]
        for table in tables:
            self._console.print()
            self._console.print(terminal(table, self._console.width))
        if not self._many:
            measured = self._series.done[0].measured
            show(measured.record, measured.saved, self._console)
        write_json(self._request, self._written(runs))
        refused = (Case(name, "rate", (str(why),)) for name, why in self._refused.items())
        suite = Suite("bench infer", (*self._series.cases(), *refused))
        write_exports(self._request.exports, tables, self._console, suite)
        status = self._series.status()
        if self._series.interrupted:
            return status
        return max([status, *(each.status for each in self._refused.values())], key=SEVERITY.index)

    def _written(self, runs: Sequence[PointRun]) -> str:
        """The record of a single point, as ``bench all`` writes it; else all side by side."""
        if not self._many:
            return to_json(self._series.done[0].record)
        done = {each.name: each for each in self._series.done}
        marks = marked(runs)
        document = {
            "schema": SCHEMA,
            "device": self._series.done[0].record.device.name,
            "scenario": self._scenario,
            "points": [
                {
                    **_object(run, done.get(run.name), self._refused.get(run.name)),
                    "marks": list(marks.get(run.name, ())),
                }
                for run in runs
            ],
            "interrupted": self._series.interrupted,
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _why(done: Done) -> str | None:
    """Why a point has no figures, in the words of what failed."""
    for error in done.measured.outcome.failures.values():
        return error.text
    return None


def _object(run: PointRun, done: Done | None, refused: Refusal | None) -> dict[str, Any]:
    if done is None:
        status = None if refused is None else refused.status
        return {"point": run.name, "exit_status": status, "reason": run.reason, "metrics": None}
    record, workload = done.record, run.workload
    return {
        "point": run.name,
        "run_id": record.run_id,
        "record": Path(done.measured.saved).name,
        "exit_status": done.status,
        "run": record.validity.status,
        "codes": list(dict.fromkeys(code.name for code in record.validity.codes)),
        "reason": run.reason,
        "workload": None if workload is None else workload.name,
        "tier": None if workload is None else workload.tier,
        "config": None if workload is None else workload.config,
        "tokens_per_s": None if workload is None else asdict(rates(workload)),
        "metrics": None if workload is None else asdict(workload.metrics),
    }
