"""One ``bench data-power`` from request to exit status: the same decoding on all kinds of data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.inference import CPU_DECODE, GPU_DECODE, Inference
from bench.cli.output import open_console, write_json
from bench.cli.refusal import USAGE, Refusal
from bench.cli.request import AllRequest, check_all
from bench.cli.rig import Target, infer_on
from bench.cli.series import Done, Series
from bench.cli.session import Session, on_device, open_world, refuse_shared
from bench.cli.signals import Handler
from bench.kernels.decoder.config import KINDS, PRECISIONS, REAL
from bench.records.market import MarketProfile
from bench.records.record import Profiles
from bench.report.data_power import YARDSTICK, Kind, ratio, sheet
from bench.report.screen import say
from bench.report.sheet import terminal

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/data-power/1"
MOST_ROWS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPowerRequest(AllRequest):
    """The options of ``bench data-power`` as given; None is the device's own point."""

    batch: int | None
    context: int | None
    precision: str
    data: str | None
    exports: Exports

    @property
    def hashes(self) -> bool:
        """Decoding alone."""
        return False


def run_data_power(request: DataPowerRequest) -> int:
    """Everything ``bench data-power`` does; raises Refusal with the status that fits."""
    _check(request)
    console = open_console(request)
    market, target, profiles = open_world(request)
    refuse_shared(target.facts, request)
    kinds = _kinds(request, profiles)
    if target.note is not None:
        say(console, target.note)
    work = _DataPower(request, console, target, market, profiles)
    return on_device(
        request, target, plan=lambda: work.show_plan(kinds), work=lambda: work.run(kinds)
    )


class _DataPower:
    """The kinds of data of one decoding point, there and back."""

    def __init__(
        self,
        request: DataPowerRequest,
        console: Console,
        target: Target,
        market: MarketProfile,
        profiles: Profiles,
    ) -> None:
        self._request = request
        self._console = console
        self._target = target
        self._market = market
        self._profiles = profiles
        self._series = Series(request, self._session)
        own = CPU_DECODE if target.facts.kind == "cpu" else GPU_DECODE
        self._own = own
        self._batch = request.batch or own["batch"]
        self._context = request.context or own["context"]

    def run(self, kinds: tuple[str, ...]) -> int:
        """Measure each kind twice, show, write: the worst status of all."""
        self._series.run(there_and_back(kinds), self._tell)
        found = [Kind(name, records) for name in kinds if (records := self._records(name))]
        table = sheet(found, self._point)
        self._console.print()
        self._console.print(terminal(table, self._console.width))
        write_json(self._request, self._written(found))
        write_exports(self._request.exports, [table], self._console)
        return self._series.status()

    def show_plan(self, kinds: tuple[str, ...]) -> int:
        """--dry-run: the steps of one run and the time of all; nothing is measured."""
        return self._series.show_plan(there_and_back(kinds), "data")

    @property
    def _point(self) -> str:
        assert self._profiles.model is not None, "decoding has a model"
        name = self._profiles.model.name
        return f"{name} in {self._request.precision}, batch {self._batch}, context {self._context}"

    def _session(self, kind: str, afterwards: Handler) -> Session:
        assert self._profiles.model is not None, "decoding has a model"
        decoding = {
            **self._own,
            "precision": self._request.precision,
            "batch": self._batch,
            "context": self._context,
            "init": kind,
            "weights": self._profiles.model.weights if kind == REAL else None,
        }
        return Session(
            self._request,
            self._console,
            infer_on(self._target, Inference("decode", self._profiles.model, decoding)),
            self._market,
            self._profiles,
            afterwards=afterwards,
        )

    def _tell(self, done: Done) -> None:
        say(self._console, f"{done.name}: {done.record.validity.status}")
        for code in done.record.validity.codes:
            if code.fatal:
                say(self._console, f"FATAL {code.name}: {code.text}")
        say(self._console, f"Saved {done.measured.saved}")

    def _records(self, kind: str) -> tuple[Any, ...]:
        return tuple(done.record for done in self._series.done if done.name == kind)

    def _written(self, found: list[Kind]) -> str:
        yardstick = next((k.joules_per_token for k in found if k.name == YARDSTICK), None)
        document = {
            "schema": SCHEMA,
            "device": self._target.facts.name,
            "model": None if self._profiles.model is None else self._profiles.model.name,
            "precision": self._request.precision,
            "batch": self._batch,
            "context": self._context,
            "data": [
                {
                    "kind": kind.name,
                    "joules_per_token": _figure(kind.joules_per_token),
                    "ratio_to_fan_in": _figure(ratio(kind.joules_per_token, yardstick)),
                    "tokens_per_s": _figure(kind.tokens_per_s),
                    "watts": _figure(kind.watts),
                    "data_profile": kind.profile,
                    "runs": [_run(done) for done in self._series.done if done.name == kind.name],
                }
                for kind in found
            ],
            "interrupted": self._series.interrupted,
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"


def there_and_back(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Every kind once in their order and once in its reverse: an even drift meets all alike."""
    return (*kinds, *reversed(kinds))


def _check(request: DataPowerRequest) -> None:
    check_all(request)
    check_outputs(request.exports, request.json_out, (request.market, request.model or ""))
    if request.device is not None and request.device.startswith("sim:"):
        text = "simulated power knows nothing of data; use --gpu N or --device cpu"
        raise Refusal(USAGE, f"--device {request.device}: {text}")
    if request.precision not in PRECISIONS:
        raise Refusal(USAGE, f"--precision {request.precision}: use {', '.join(PRECISIONS)}")
    for option, value in (("--batch", request.batch), ("--context", request.context)):
        if value is not None and not 1 <= value <= MOST_ROWS:
            raise Refusal(USAGE, f"{option} {value}: use 1 to {MOST_ROWS}")


def _kinds(request: DataPowerRequest, profiles: Profiles) -> tuple[str, ...]:
    """The kinds asked for, else all that this model can have."""
    assert profiles.model is not None, "decoding has a model"
    known = KINDS if profiles.model.weights is None else (*KINDS, REAL)
    if request.data is None:
        return known
    asked = tuple(part.strip() for part in request.data.split(","))
    for kind in asked:
        if kind == REAL and kind not in known:
            text = f"{profiles.model.name} comes without weights; use {', '.join(known)}"
            raise Refusal(USAGE, f"--data {REAL}: {text}")
        if kind not in known:
            raise Refusal(USAGE, f"--data {kind}: use some of {', '.join(known)}")
        if asked.count(kind) > 1:
            raise Refusal(USAGE, f"--data {kind}: is given twice")
    return asked


def _figure(estimate: Any) -> dict[str, Any] | None:
    return None if estimate is None else asdict(estimate)


def _run(done: Done) -> dict[str, Any]:
    record = done.record
    return {
        "run_id": record.run_id,
        "record": done.measured.saved.name,
        "exit_status": done.status,
        "run": record.validity.status,
        "codes": list(dict.fromkeys(code.name for code in record.validity.codes)),
    }
