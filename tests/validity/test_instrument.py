"""Codes of the instrument: readings that vanish."""

from __future__ import annotations

from typing import Any

from bench.records.journal import Event

Run = Any  # the clean run of conftest


def test_a_reading_that_vanished_is_told(run: Run) -> None:
    def lost(field: str) -> Event:
        return Event(run.middle_s, "meter_field_lost", {"field": field, "reason": "gone"})

    assert run.named([*run.clean, lost("power_instant_w")])["FIELD_LOST"] is False
    assert "FIELD_LOST" not in run.named([*run.clean, lost("pstate")])
    assert "FIELD_LOST" not in run.named()
