"""The end of a run on the terminal: two rows, the codes, the verdict, where it was saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.plan import GRADES
from bench.records.decision import Money, Option
from bench.records.record import RunRecord
from bench.records.run import Metrics, WorkloadRecord
from bench.report.foreign import clean
from bench.report.screen import say
from bench.report.text import half_width, per_unit, rate
from bench.verdict.sentence import dollars

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NONE = "–"
USE_OF_UNIT = {"hash": "MINE", "token": "SERVE"}


def show(record: RunRecord, saved: Path, console: Console) -> None:
    """Print the summary of a finished run."""
    console.print()
    if record.workloads:
        console.print(table(record, console.width))
    for code in record.validity.codes:
        mark = "FATAL " if code.fatal else ""
        say(console, f"{mark}{code.name}: {code.text}")
    say(console, "")
    say(console, record.verdict.sentence, style="bold")
    say(console, "")
    say(console, f"Saved {saved}")
    say(console, f"Next: {next_step(record)}")


def table(record: RunRecord, width: int) -> Table:
    """One row a workload, or where that is too wide for the terminal one column a workload."""
    from rich.table import Table
    from rich.text import Text

    boundary = record.workloads[0].metrics.boundary
    headings = (
        "", "rate", "power", f"energy/unit ({boundary})", "absolute", "joules", "wall factor",
        "per kWh", "per device-hour", "run",
    )  # fmt: skip
    rows = [headings, *(tuple(map(clean, _cells(each, record))) for each in record.workloads)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 2 * len(widths) > width:
        rows = list(zip(*rows, strict=True))
    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for index in range(len(rows[0])):
        grid.add_column(no_wrap=True, justify="left" if index == 0 else "right")
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def _cells(workload: WorkloadRecord, record: RunRecord) -> tuple[str, ...]:
    figures = workload.metrics
    option = _option(record, workload.unit)
    return (
        f"{workload.name} {label(workload)}",
        _rate(figures, workload.unit),
        NONE if figures.watts is None else f"{figures.watts.mid:.1f} W",
        _energy(figures, workload.unit),
        _absolute(figures),
        figures.joules_source,
        NONE if option is None or option.wall_factor is None else f"×{option.wall_factor:.2f}",
        _money(option.usd_per_kwh if option else None),
        _money(option.usd_per_device_h if option else None),
        record.validity.status,
    )


def next_step(record: RunRecord) -> str:
    """What would most improve on this run, as a command."""
    device = f"--gpu {record.device.index}" if record.device.kind == "gpu" else "--device cpu"
    again = f"bench all {device}"
    if record.validity.status == "incomplete":
        return f"{again}, to the end"
    if record.device.kind == "sim":
        return "bench all, on a real device"
    if any(workload.metrics.joules_per_unit is None for workload in record.workloads):
        return f"{again} --assume-watts W, for labelled joules and figures per kWh"
    if not GRADES[record.plan.grade].ranked:
        return f"{again} --grade standard, for figures that may be ranked"
    return f"{again} --set btc=… power=…, for your own prices"


def _money(money: Money | None) -> str:
    return NONE if money is None else dollars(money.mid)


def label(workload: WorkloadRecord) -> str:
    """Backend, and for tokens model, precision, batch, context and stack tier."""
    config = workload.config
    if workload.unit == "hash":
        return workload.backend
    parts = [config.get("model"), config.get("precision"), workload.tier]
    shape = [f"b{config['batch']}"] if "batch" in config else []
    shape += [f"c{config['context']}"] if "context" in config else []
    return " ".join(str(part) for part in (*parts, *shape) if part)


def _rate(figures: Metrics, unit: str) -> str:
    if figures.units_per_s is None:
        return NONE
    return f"{rate(figures.units_per_s.mid, unit)} {half_width(figures.units_per_s)}"


def _energy(figures: Metrics, unit: str) -> str:
    if figures.joules_per_unit is None:
        return NONE
    text = per_unit(figures.joules_per_unit.mid, unit)
    return f"{text} {half_width(figures.joules_per_unit)}"


def _absolute(figures: Metrics) -> str:
    """How far the joules may be off in truth, where the repeatability says only how they vary."""
    absolute = figures.joules_per_unit_absolute
    return NONE if absolute is None else half_width(absolute)


def _option(record: RunRecord, unit: str) -> Option | None:
    wanted = USE_OF_UNIT.get(unit)
    return next((o for o in record.verdict.options if o.code == wanted), None)
