"""No instrument but the user's word for a constant power; energy is that power times time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.records.journal import Fact
from bench.records.run import MeterFacts


class AssumedMeter:
    """Says ``constant_w`` in its facts and reads nothing."""

    def __init__(self, watts: float) -> None:
        """Watts, finite and above 0; ValueError otherwise."""
        if not (math.isfinite(watts) and watts > 0):
            raise ValueError(f"assumed watts must be finite and above 0, not {watts:g}")
        self._facts = MeterFacts(
            source="assumed",
            name=f"{watts:g} W assumed",
            constant_w=watts,
            reason="the power was assumed, not measured",
        )

    def facts(self) -> MeterFacts:
        """The assumption."""
        return self._facts

    def start(self) -> None:
        """Nothing to start."""

    def poll(self) -> Sequence[Fact]:
        """No readings."""
        return ()

    def stop(self) -> None:
        """Nothing to stop."""
