"""An energy model as a table: what a step's joules are made of, and how far the model is off."""

from __future__ import annotations

from collections.abc import Sequence

from bench.energy_model import CAPPED, Fit, Step
from bench.records.run import Boundary
from bench.report.sheet import Cell, Column, Sheet
from bench.roofline import tokens_per_s_per_mw

PJ = 1e12
COLUMNS = (
    Column("point", "point"),
    Column("joules_per_token", "measured", "J/token", 4),
    Column("model_joules_per_token", "model", "J/token", 4),
    Column("off_percent", "off", "%", 2),
    Column("static_percent", "static", "%", 2),
    Column("bytes_percent", "memory", "%", 2),
    Column("flops_percent", "arithmetic", "%", 2),
    Column("tokens_per_s_per_mw", "measured", "tok/s/MW", 4),
    Column("capped", "at power cap"),
)


def sheet(steps: Sequence[Step], found: Fit, boundary: Boundary) -> Sheet:
    """A row for each of the steps that were fitted, in their order; shares are the model's."""
    rows: list[tuple[Cell, ...]] = []
    for step, off in zip(steps, found.residuals, strict=True):
        whole = found.mid.joules(step)
        parts = (
            found.mid.static_w * step.seconds,
            found.mid.byte_j * step.bytes,
            found.mid.flop_j * step.flops,
        )
        per_token = step.joules / step.tokens
        rows.append(
            (
                step.label,
                per_token,
                whole / step.tokens,
                100 * off,
                *(100 * part / whole for part in parts),
                tokens_per_s_per_mw(per_token),
                step.capped >= CAPPED,
            )
        )
    title = "Energy model: P_static·t + e_B·bytes + e_F·FLOPs"
    return Sheet(title, boundary, COLUMNS, tuple(rows), notes(found))


def notes(found: Fit) -> tuple[str, ...]:
    """The coefficients with their ranges, and what the runs do not tell apart."""
    lo, mid, hi = found.lo, found.mid, found.hi
    lines = [
        f"static power {mid.static_w:.3g} W ({lo.static_w:.3g} to {hi.static_w:.3g}), "
        f"{mid.byte_j * PJ:.3g} pJ/byte ({lo.byte_j * PJ:.3g} to {hi.byte_j * PJ:.3g}), "
        f"{mid.flop_j * PJ:.3g} pJ/FLOP ({lo.flop_j * PJ:.3g} to {hi.flop_j * PJ:.3g}); "
        "the ranges leave out any one run",
        f"the worst run is {found.left_out:.1%} off when the others predict it",
    ]
    if found.unsure:
        lines.append(
            f"these runs do not separate {', '.join(found.unsure)}: add runs that arithmetic bounds"
        )
    return tuple(lines)
