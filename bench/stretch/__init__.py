"""Stretches of a device's time, a command or a part of a script, to joules and codes. Pure.

A block of ``bench all`` is cut where the meter ticks; a stretch begins and ends where it pleases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench.records.run import Validity
from bench.stretch.codes import codes
from bench.stretch.figures import figures, measured, take
from bench.stretch.nouns import (
    SCHEMA,
    Figures,
    Measured,
    Reading,
    Setting,
    StretchRecord,
)
from bench.stretch.reckon import Stretch

__all__ = [
    "SCHEMA",
    "Figures",
    "Measured",
    "Reading",
    "Setting",
    "Stretch",
    "StretchRecord",
    "read",
]


def read(setting: Setting, stretches: Sequence[Stretch]) -> Reading:
    """Reckon each of at least one stretch, draw the figures of all, judge whether they hold."""
    taken = [take(setting, stretch) for stretch in stretches]
    drawn = figures(setting, taken)
    booked = tuple(measured(setting, each) for each in taken)
    said = tuple(codes(setting, taken, booked, drawn))
    fatal = any(code.fatal for code in said)
    status: Literal["valid", "labelled", "invalid"] = "labelled" if said else "valid"
    return Reading(booked, drawn, Validity("invalid" if fatal else status, said))
