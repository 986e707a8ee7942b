"""No instrument at all, and the reason why: energy is unknown, never 0."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.journal import Fact
from bench.records.run import MeterFacts


class NoMeter:
    """Reads nothing and says why."""

    def __init__(self, reason: str) -> None:
        self._facts = MeterFacts(source="none", name="none", reason=reason)

    def facts(self) -> MeterFacts:
        """The reason."""
        return self._facts

    @property
    def pid(self) -> None:
        """No process."""

    def start(self) -> None:
        """Nothing to start."""

    def pace(self, period_s: float | None) -> None:
        """Nothing to pace."""

    def survey(self) -> None:
        """Nobody to ask."""

    def poll(self) -> Sequence[Fact]:
        """No readings."""
        return ()

    def stop(self) -> None:
        """Nothing to stop."""
