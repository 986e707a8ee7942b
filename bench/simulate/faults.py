"""What can go wrong on a simulated card, by name; when it strikes and how hard."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault: its usual size, what happens, the validity code to expect, and when it begins.

    ``lasting`` faults begin with the run, the others strike in the middle of it. ``of_work``
    faults change what the card does, so that its known answer no longer stands.
    """

    usual: float
    most: float
    what: str
    code: str
    lasting: bool = False
    of_work: bool = False


KINDS: dict[str, Kind] = {
    "throttle": Kind(0.1, 1, "heat slows the card this share of the time", "THROTTLED", True, True),
    "power-cap": Kind(0.5, 1, "the power limit holds it back this share of the time",
                      "POWER_CAPPED", True, True),
    "drift": Kind(0.2, 10, "clock, rate and power fall, by this exponent each 100 s", "DRIFT", True,
                  True),
    "unsteady": Kind(0.2, 0.9, "clock, rate and power swing this far, every 12 s", "NOT_STEADY",
                     True, True),
    "freeze": Kind(1, 1, "power readings never change again", "POWER_FROZEN", True),
    "zero": Kind(1, 1, "power readings are 0 W", "POWER_OUT_OF_RANGE", True),
    "range": Kind(5, 1000, "power readings are this many times the limit", "POWER_OUT_OF_RANGE",
                  True),
    "gain": Kind(1.1, 10, "power readings, not the counter, are multiplied by this",
                 "ENERGY_DISAGREE", True),
    "drop": Kind(0.1, 1, "this share of all reads fails", "SAMPLING_GAPS", True),
    "slow-clock": Kind(0.05, 0.9, "the wall clock loses this share", "CLOCK", True),
    "reset": Kind(1, 1, "the energy counter starts again from 0", "COUNTER_RESET"),
    "wrap": Kind(1, 1, "the energy counter wraps at 2^32 mJ", "COUNTER_WRAP"),
    "gaps": Kind(3, 1e4, "nothing is read for this many seconds", "SAMPLING_GAPS"),
    "hang": Kind(1, 1, "a read never returns", "SAMPLER_HUNG"),
    "lost": Kind(1, 1, "the card falls off the bus (GPU_IS_LOST)", "GPU_LOST"),
    "field-lost": Kind(1, 1, "the first power reading is no longer given", "FIELD_LOST"),
    "limit": Kind(0.8, 10, "the power limit becomes this many times the default", "LIMIT_CHANGED"),
    "foreign": Kind(4242, 1e7, "a process with this number computes on the card",
                    "FOREIGN_PROCESS"),
    "xid": Kind(79, 1e4, "the driver reports this Xid", "XID"),
    "ecc": Kind(1, 1e9, "this many memory errors that ECC cannot correct", "ECC"),
    "pause": Kind(3, 1e7, "the machine sleeps this many seconds", "PAUSED"),
}  # fmt: skip

_FORM = re.compile(r"([^=@]+)(?:=([^=@]*))?(?:@([^=@]*))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a run: ``value`` is its size, ``at_s`` when it strikes on the run's own clock.

    ``at_s`` is None where the run decides: see ``Kind.lasting``.
    """

    name: str
    value: float
    at_s: float | None = None

    def __str__(self) -> str:
        when = "" if self.at_s is None else f"@{self.at_s:g}"
        return f"{self.name}={self.value:g}{when}"


def parse_fault(text: str) -> Fault:
    """``NAME[=VALUE][@SECONDS]``; ValueError says in one line what is wrong with it."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("write NAME, NAME=VALUE, NAME@SECONDS or NAME=VALUE@SECONDS")
    name, value, at = found.groups()
    if name not in KINDS:
        raise ValueError(f"no such fault; known: {', '.join(KINDS)}")
    kind = KINDS[name]
    size = kind.usual if value is None else _number("VALUE", value, kind.most)
    if size == 0:
        raise ValueError("VALUE must be more than 0")
    return Fault(name, size, None if at is None else _number("SECONDS", at, 1e6))


def _number(what: str, text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= most:
        raise ValueError(f"{what} must be a number from 0 to {most:g}")
    return number


class Faults:
    """The faults of one run, each with its moment."""

    def __init__(
        self, faults: Iterable[Fault] = (), start_s: float = 0.0, strike_s: float = 0.0
    ) -> None:
        """Those without a moment of their own begin at ``start_s`` or strike ``strike_s`` later;
        of two with one name the last stands.
        """
        self._named = {fault.name: _timed(fault, start_s, strike_s) for fault in faults}

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._named.values())

    def at(self, name: str) -> float:
        """When the fault strikes; infinity if it never does."""
        fault = self._named.get(name)
        return math.inf if fault is None or fault.at_s is None else fault.at_s

    def size(self, name: str, t_s: float) -> float | None:
        """How hard it strikes at ``t_s``; None while it does not."""
        fault = self._named.get(name)
        if fault is None or fault.at_s is None or t_s < fault.at_s:
            return None
        return fault.value


def _timed(fault: Fault, start_s: float, strike_s: float) -> Fault:
    if fault.at_s is not None:
        return replace(fault, at_s=start_s + fault.at_s)
    return replace(fault, at_s=start_s if KINDS[fault.name].lasting else start_s + strike_s)
