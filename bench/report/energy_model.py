"""An energy model as a table: what a step's joules are made of, and how far the model is off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace

from bench.energy_model import LEAST_RUNS, NAMES, Fit, Step, fit
from bench.records.run import Boundary
from bench.report.infer import PointRun
from bench.report.sheet import Cell, Column, Sheet
from bench.roofline import tokens_per_s_per_mw

UNITS = ((1.0, "W"), (1e12, "pJ"), (1e12, "pJ"))
"""Of the terms: power, energy per byte, energy per FLOP."""
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


def sheets(runs: Sequence[PointRun]) -> Iterator[Sheet]:
    """A model for every precision and stack tier of a sweep that has runs enough to fit one.

    A run takes part where its joules were measured and its work is known.
    """
    alike: defaultdict[tuple[Boundary, str], list[Step]] = defaultdict(list)
    for run in runs:
        if (step := step_of(run)) is not None and (found := run.trusted) is not None:
            parts = (found.tier, found.config.get("precision"))
            kind = " ".join(str(part) for part in parts if part)
            alike[found.metrics.boundary, kind].append(step)
    for (boundary, kind), steps in alike.items():
        if sum(not step.capped for step in steps) >= LEAST_RUNS:
            own = sheet(steps, fit(steps), boundary)
            yield replace(own, title=f"{own.title} ({kind})")


def step_of(run: PointRun) -> Step | None:
    """One token of a point, as its record has it; null where joules or work are not known."""
    found = run.trusted
    if run.record is None or found is None:
        return None
    figures, roofs = found.metrics, found.metrics.roofs or {}
    rate_known, joules = figures.units_per_s, figures.joules_per_unit
    roof = roofs.get("measured") or roofs.get("datasheet")
    if not (rate_known and joules and roof) or figures.joules_source == "assumed":
        return None
    rate = rate_known.mid
    return Step(
        label=run.name,
        seconds=1 / rate,
        joules=joules.mid,
        bytes=roof["mbu_moved"] * roof["read_bytes_per_s"] / rate,
        flops=roof["mfu"] * roof["flops"] / rate,
        tokens=1,
        capped=any(code.name == "POWER_CAPPED" for code in run.record.validity.codes),
    )


def sheet(steps: Sequence[Step], found: Fit, boundary: Boundary) -> Sheet:
    """A row for each of the steps that were fitted, in their order; shares are the model's.

    A term that the runs do not tell from another has no share of its own.
    """
    known = [name not in found.unsure for name in NAMES]
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
                *(
                    100 * part / whole if sure else None
                    for part, sure in zip(parts, known, strict=True)
                ),
                tokens_per_s_per_mw(per_token),
                step.capped,
            )
        )
    title = "Energy model: P_static·t + e_B·bytes + e_F·FLOPs"
    return Sheet(title, boundary, COLUMNS, tuple(rows), notes(found))


def notes(found: Fit) -> tuple[str, ...]:
    """The coefficients with their ranges, and what the runs do not tell apart."""
    terms = zip(NAMES, UNITS, astuple(found.lo), astuple(found.mid), astuple(found.hi), strict=True)
    known = [
        f"{name} {scale * mid:.3g} {unit} ({scale * lo:.3g} to {scale * hi:.3g})"
        for name, (scale, unit), lo, mid, hi in terms
        if name not in found.unsure
    ]
    lines = [f"the worst run is {found.left_out:.1%} off when the others predict it"]
    if known:
        lines.insert(0, f"{', '.join(known)}; the ranges leave out any one run")
    if found.unsure:
        lines.append(
            f"these runs do not separate {', '.join(found.unsure)}: add runs that arithmetic bounds"
        )
    return tuple(lines)
