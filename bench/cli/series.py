"""Several runs of one device, one after another: a failed one takes no other with it.

What was measured stays, however the series ends; what the runs are and what is made of them is
their command's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.cli.refusal import STORAGE, Refusal
from bench.cli.request import AllRequest
from bench.cli.session import Measured, Session, exit_status
from bench.cli.signals import Handler, Noted, interruptible
from bench.cli.sweeping import SEVERITY
from bench.measure import Interrupted
from bench.records.record import RunRecord
from bench.report.junit import Case
from bench.report.run_cases import cases
from bench.store import StoreError

if TYPE_CHECKING:
    pass

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

    def cases(self) -> Iterator[Case]:
        """All runs as test cases, each under its name where there are several."""
        asked = self._request
        for each in self.done:
            yield from cases(
                each.record,
                require_energy=asked.require_energy,
                strict=asked.strict,
                within=(each.name,) if len(self.done) > 1 else (),
            )

    def status(self) -> int:
        """The worst status of all, a signal's own; the Refusal that ended it is raised."""
        if self._noted.number is not None:
            return 128 + self._noted.number
        statuses = [done.status for done in self.done]
        if self._ended is not None:
            statuses.append(self._ended.status)
            raise Refusal(max(statuses, key=SEVERITY.index), str(self._ended))
        return max(statuses, key=SEVERITY.index)

    def show_plan(self, names: Sequence[str], key: str) -> int:
        """--dry-run: the steps of the first and the time of all; nothing is measured.

        ``key`` is what the runs are called in the JSON.
        """
        return self._session(names[0], self._noted.hear).show_plan(names, key)

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
