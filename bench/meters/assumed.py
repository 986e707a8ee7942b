"""No instrument but the user's word for a constant power; energy is that power times time."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.journal import Fact
from bench.records.run import MeterFacts

MOST_W = 1e6


class AssumedMeter:
    """Says ``constant_w`` in its facts and reads nothing."""

    def __init__(self, watts: float) -> None:
        """Watts above 0, at most a megawatt; ValueError otherwise."""
        if not 0 < watts <= MOST_W:
            raise ValueError(f"assumed watts must be above 0 and at most {MOST_W:g}, not {watts:g}")
        self._facts = MeterFacts(
            source="assumed",
            name=f"{watts:g} W assumed",
            constant_w=watts,
            reason="the power was assumed, not measured",
        )

    def facts(self) -> MeterFacts:
        """The assumption."""
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
