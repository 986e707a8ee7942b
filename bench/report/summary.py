"""The end of a run on the terminal: what was measured, what it earns, the codes, the verdict."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.ledger import boundary as boundary_of
from bench.plan import GRADES
from bench.records.decision import Option
from bench.records.record import RunRecord
from bench.records.run import Boundary, Metrics, WorkloadRecord
from bench.report.foreign import clean
from bench.report.screen import say
from bench.report.sheet import Cell, Column, Sheet, terminal
from bench.report.text import half_width, per_unit, rate
from bench.report.verdict import uses

if TYPE_CHECKING:
    from rich.console import Console

USE_OF_UNIT = {"hash": "MINE", "token": "SERVE"}


def show(record: RunRecord, saved: Path, console: Console) -> None:
    """Print the summary of a finished run."""
    figures_of(record, console)
    say(console, "")
    say(console, f"Saved {saved}")
    say(console, f"Next: {next_step(record)}")


def figures_of(record: RunRecord, console: Console) -> None:
    """Print what was measured, what it earns, the codes with what to do, and the verdict."""
    for sheet in _sheets(record):
        console.print()
        console.print(terminal(sheet, console.width))
    say(console, "")
    for code in record.validity.codes:
        mark = "FATAL " if code.fatal else ""
        say(console, f"{mark}{code.name}: {code.text}")
    say(console, "")
    say(console, record.verdict.sentence, style="bold")


def exported(record: RunRecord) -> list[Sheet]:
    """The tables of a finished run for a file; codes and verdict stand below the last."""
    nothing = Sheet("Measured", boundary_of(record.device), (Column("workload", "workload"),), ())
    sheets = list(_sheets(record)) or [nothing]
    codes = (f"{code.name}: {code.text}" for code in record.validity.codes)
    below = (*codes, record.verdict.sentence)
    return [*sheets[:-1], replace(sheets[-1], notes=below)]


def _sheets(record: RunRecord) -> Iterator[Sheet]:
    yield from measured(record)
    if record.verdict.options:
        yield replace(uses(record.verdict), notes=())


def measured(record: RunRecord) -> Iterator[Sheet]:
    """One row a workload, as measured; a table for each boundary at which joules stand."""
    columns = tuple(
        Column(key, heading)
        for key, heading in (
            ("workload", ""),
            ("rate", "rate"),
            ("power", "power"),
            ("energy", "energy/unit"),
            ("absolute", "absolute"),
            ("joules", "joules"),
            ("wall", "wall factor"),
            ("run", "run"),
        )
    )
    rows: dict[Boundary, list[tuple[Cell, ...]]] = {}
    for workload in record.workloads:
        rows.setdefault(workload.metrics.boundary, []).append(_cells(workload, record))
    for boundary, found in rows.items():
        yield Sheet("Measured", boundary, columns, tuple(found))


def _cells(workload: WorkloadRecord, record: RunRecord) -> tuple[Cell, ...]:
    figures = workload.metrics
    option = _option(record, workload.unit)
    return (
        f"{workload.name} {label(workload)}",
        _rate(figures, workload.unit),
        None if figures.watts is None else f"{figures.watts.mid:.1f} W",
        _energy(figures, workload.unit),
        _absolute(figures),
        figures.joules_source,
        None if option is None or option.wall_factor is None else f"×{option.wall_factor:.2f}",
        record.validity.status,
    )


def next_step(record: RunRecord) -> str:
    """What would most improve on this run, as a command."""
    device = f"--gpu {record.device.index}" if record.device.kind == "gpu" else "--device cpu"
    again = " ".join([f"bench {_command(record)} {device}", *_point(record)])
    if record.validity.status == "incomplete":
        return f"{again}, to the end"
    if record.device.kind == "sim":
        return f"bench {_command(record)}, on a real device"
    if any(workload.metrics.joules_per_unit is None for workload in record.workloads):
        return f"{again} --assume-watts W, for labelled joules and figures per kWh"
    if not GRADES[record.plan.grade].ranked:
        return f"{again} --grade standard, for figures that may be ranked"
    if _command(record) != "all":
        return f"bench all {device}, which weighs hashes against tokens"
    return f"{again} --set btc=… power=…, for your own prices"


def _command(record: RunRecord) -> str:
    """What measures the same again: the hash side alone, the token side alone, or both."""
    planned = {step.workload for step in record.plan.steps if step.workload is not None}
    if "sha256d" not in planned:
        return "infer"
    return "hash" if planned == {"sha256d"} else "all"


def _point(record: RunRecord) -> Iterator[str]:
    """The options of ``bench infer`` that name the point once more; none for other commands."""
    workload = next((w for w in record.workloads if w.unit == "token"), None)
    if workload is None or _command(record) != "infer":
        return
    config, own = workload.config, workload.config.get("weights") or ""
    found = config.get("slo_tpot_s")
    if workload.backend == "endpoint":
        wanted = {"endpoint": config["url"], "model-id": config["model"]}
        wanted |= {"batch": config["concurrency"], "rate": config["rate_hz"]}
    else:
        ragged = (config.get("mix") or {}).get("kind") == "ragged"
        wanted = {"scenario": "mixed" if ragged else workload.name}
        wanted["weights" if "/" in own else "model"] = own if "/" in own else config.get("model")
        wanted["batch"] = config.get("batch") if found is None else None
        wanted["slo-tpot"] = None if found is None else f"{1e3 * found:g}ms"
    wanted |= {name: config.get(name) for name in ("precision", "context", "prompt", "output")}
    for option, value in wanted.items():
        if value is not None:
            yield f"--{option} {shlex.quote(clean(str(value)))}"


def label(workload: WorkloadRecord) -> str:
    """Backend and variant of hashes; model, precision, batch, context and stack tier of tokens."""
    config = workload.config
    if workload.unit == "hash":
        return ":".join(str(part) for part in (workload.backend, config.get("variant")) if part)
    parts = [config.get("model"), config.get("precision"), workload.tier]
    shape = [f"b{config['batch']}"] if "batch" in config else []
    shape += [f"c{config['context']}"] if "context" in config else []
    return " ".join(str(part) for part in (*parts, *shape) if part)


def _rate(figures: Metrics, unit: str) -> str | None:
    if figures.units_per_s is None:
        return None
    return f"{rate(figures.units_per_s.mid, unit)} {half_width(figures.units_per_s)}"


def _energy(figures: Metrics, unit: str) -> str | None:
    if figures.joules_per_unit is None:
        return None
    text = per_unit(figures.joules_per_unit.mid, unit)
    return f"{text} {half_width(figures.joules_per_unit)}"


def _absolute(figures: Metrics) -> str | None:
    """How far the joules may be off in truth, where the repeatability says only how they vary."""
    absolute = figures.joules_per_unit_absolute
    return None if absolute is None else half_width(absolute)


def _option(record: RunRecord, unit: str) -> Option | None:
    wanted = USE_OF_UNIT.get(unit)
    return next((o for o in record.verdict.options if o.code == wanted), None)
