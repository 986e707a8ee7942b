"""A command under the meter as lines of text: what it took, how sure, and what to know."""

from __future__ import annotations

from collections.abc import Iterator

from bench.records.run import Estimate
from bench.report.foreign import clean
from bench.report.text import half_width, si
from bench.stretch import StretchRecord

NO_ENERGY = "NO_ENERGY"
"""Told with its reason in the place of the joules."""
ONE = "one run: what the meter leaves open at its two edges"


def lines(record: StretchRecord) -> Iterator[str]:
    """One line a figure, then one a code; what is not known is told with its reason."""
    figures = record.figures
    runs = f" a run, mean of {figures.runs}" if figures.runs > 1 else ""
    yield f"bench run: {clean(' '.join(record.command))}"
    yield _line("time", f"{figures.seconds:.3f} s{runs}")
    if figures.joules is None or figures.watts is None:
        name = f" ({NO_ENERGY})" if record.meter.source == "none" else ""
        yield _line("energy", f"not known{name}: {clean(figures.reason or 'no reason given')}")
    else:
        kind = f"over {figures.runs} runs" if figures.runs > 1 else ONE
        yield _line("energy", _both(figures.joules, figures.joules_absolute, "J"))
        yield _line("power", si(figures.watts.mid, "W"))
        yield from _per_unit(record)
        yield from _net(record)
        if figures.joules.lo < figures.joules.hi:
            yield _line("interval", f"95 %; {kind}")
        source = f"{figures.joules_source}: {clean(record.meter.name)}"
        yield _line("source", f"{source}, boundary {figures.boundary}")
    if figures.joules is not None and figures.joules_absolute is None:
        yield _line("absolute", f"not known: {clean(figures.reason or '')}")
    for code in (c for c in record.validity.codes if c.name != NO_ENERGY):
        yield _line("INVALID" if code.fatal else "note", f"{code.name}: {clean(code.text)}")


def _per_unit(record: StretchRecord) -> Iterator[str]:
    figures = record.figures
    if figures.units is None and record.units_from is not None:
        yield _line("per unit", f"not known: no number above 0 by {clean(record.units_from)}")
    if figures.joules_per_unit is not None:
        text = _both(figures.joules_per_unit, figures.joules_per_unit_absolute, "J/unit")
        yield _line("per unit", f"{text} ({figures.units:g} units)")


def _net(record: StretchRecord) -> Iterator[str]:
    net, idle = record.figures.joules_net, record.idle.watts
    if net is None or idle is None:
        return
    sign = "-" if net.mid < 0 else ""
    half_j = (net.hi - net.lo) / 2
    text = f"{sign}{si(abs(net.mid), 'J')} ± {si(half_j, 'J')} above idle at {si(idle.mid, 'W')}"
    per_unit = record.figures.joules_per_unit_net
    if per_unit is not None and per_unit.mid > 0:
        text += f", {si(per_unit.mid, 'J/unit')}"
    yield _line("net", text)


def _both(estimate: Estimate, absolute: Estimate | None, unit: str) -> str:
    text = si(estimate.mid, unit)
    if estimate.lo < estimate.hi:
        text += f" {_wide(estimate, unit)} repeatability"
    return text if absolute is None else f"{text}, {_wide(absolute, unit)} absolute"


def _wide(estimate: Estimate, unit: str) -> str:
    """An interval by its half, or by both its ends where it was cut off at 0."""
    return half_width(estimate) if estimate.lo > 0 else f"(0 to {si(estimate.hi, unit)})"


def _line(name: str, text: str) -> str:
    return f"  {name:<9} {text}"
