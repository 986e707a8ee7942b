"""Several runs of one device, one after another: a failed one takes no other with it.

What was measured stays, however the series ends; what the runs are and what is made of them is
their command's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench.cli.dry_run import AROUND_S
from bench.cli.output import write_json
from bench.cli.refusal import OK, STORAGE, Refusal
from bench.cli.request import AllRequest
from bench.cli.session import Measured, Session, exit_status
from bench.cli.signals import Handler, Noted, interruptible
from bench.cli.sweeping import SEVERITY
from bench.measure import Interrupted
from bench.plan import total_seconds
from bench.records.record import RunRecord
from bench.report.screen import say
from bench.report.text import duration
from bench.store import StoreError

if TYPE_CHECKING:
    from rich.console import Console

Opened = Callable[[str, Handler], Session]
"""A run's name, and who hears signals once it has measured → the session that makes it."""


@dataclass(frozen=True, slots=True)
class Done:
    """One run and what came of it; ``status`` is what it alone would have exited with."""

    name: str
    measured: Measured
    status: int

    @property
    def record(self) -> RunRecord:
        """Its record."""
        return self.measured.record


class Series:
    """The runs of one command: ``done`` are those that left a record, in the order of time."""

    def __init__(self, request: AllRequest, session: Opened) -> None:
        self.done: list[Done] = []
        self._request = request
        self._session = session
        self._noted = Noted()
        self._ended: Refusal | None = None

    def run(self, names: Sequence[str], told: Callable[[Done], None]) -> None:
        """Measure each and tell of it, until a signal, a full disk or a lost device ends it.

        Raises Refusal when nothing at all was measured.
        """
        self._noted.listen()
        try:
            for name in names:
                if not self._one(name, told):
                    break
        except Interrupted as interrupt:
            self._noted.hear(interrupt.number, None)
        except Refusal as refusal:
            self._ended = refusal
        except StoreError as error:
            self._ended = Refusal(STORAGE, str(error))
        if not self.done:
            number = self._noted.number or 0
            early = Refusal(128 + number, "interrupted before anything was measured")
            raise self._ended or early

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended it."""
        return self._noted.number is not None

    def status(self) -> int:
        """The worst status of all, a signal's own; the Refusal that ended it is raised."""
        if self._noted.number is not None:
            return 128 + self._noted.number
        statuses = [done.status for done in self.done]
        if self._ended is not None:
            statuses.append(self._ended.status)
            raise Refusal(max(statuses, key=SEVERITY.index), str(self._ended))
        return max(statuses, key=SEVERITY.index)

    def show_plan(self, names: Sequence[str], key: str, console: Console) -> int:
        """--dry-run: the steps of the first and the time of all; nothing is measured.

        ``key`` is what the runs are called in the JSON.
        """
        session = self._session(names[0], self._noted.hear)
        plan, meter = session.planned()
        for step in plan.steps:
            say(console, f"{step.total_s:7.1f} s  {step.name} {step.workload or ''}")
        device = session.target.facts
        seconds = len(names) * (AROUND_S + total_seconds(plan.steps))
        watts = meter.constant_w or device.power_limit_w
        kwh = None if watts is None else watts * seconds / 3.6e6
        say(console, f"these steps for each of {', '.join(names)}: {duration(seconds)} in all")
        document = {
            "seconds": round(seconds, 3),
            "kwh": kwh,
            "device": device.name,
            "grade": plan.grade,
            key: names,
            "steps": [asdict(step) for step in plan.steps],
        }
        write_json(self._request, json.dumps(document, indent=2) + "\n")
        return OK

    def _one(self, name: str, told: Callable[[Done], None]) -> bool:
        """Measure one; whether to go on."""
        with interruptible(self._noted.hear):
            if self._noted.number is not None:
                return False
            measured = self._session(name, self._noted.hear).measured()
        record, outcome = measured.record, measured.outcome
        if outcome.interrupted is not None:
            self._noted.hear(outcome.interrupted, None)
        done = Done(name, measured, exit_status(record, outcome, self._request))
        self.done.append(done)
        told(done)
        lost = any(code.name == "GPU_LOST" for code in record.validity.codes)
        return self._noted.number is None and not lost
