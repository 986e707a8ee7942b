"""The end of a run on the terminal: two rows, the codes, the verdict, where it was saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.records.market import Option
from bench.records.record import RunRecord
from bench.records.run import Metrics, WorkloadRecord
from bench.report.text import clean, half_width, per_unit, rate, usd

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

USE_OF_UNIT = {"hash": "MINE", "token": "SERVE"}


def show(record: RunRecord, saved: Path, console: Console) -> None:
    """Print the summary of a finished run."""
    console.print()
    console.print(table(record))
    for code in record.validity.codes:
        mark = "FATAL " if code.fatal else ""
        _line(console, f"{mark}{code.name}: {code.text}")
    _line(console, "")
    _line(console, record.verdict.sentence)
    _line(console, "")
    _line(console, f"Saved {saved}")


def table(record: RunRecord) -> Table:
    """One row a workload: rate, power, energy per unit where it was measured, money, validity."""
    from rich.table import Table

    boundary = record.workloads[0].metrics.boundary if record.workloads else "board"
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "what ran", "rate", "power", f"energy/unit ({boundary})", "wall factor",
                 "per kWh", "per device-hour", "run"):  # fmt: skip
        rows.add_column(name, justify="left" if name in {"", "what ran", "run"} else "right")
    for workload in record.workloads:
        rows.add_row(*map(clean, _cells(workload, record)))
    return rows


def _cells(workload: WorkloadRecord, record: RunRecord) -> tuple[str, ...]:
    figures = workload.metrics
    option = _option(record, workload.unit)
    return (
        workload.name,
        label(workload),
        "–" if figures.units_per_s is None else rate(figures.units_per_s.mid, workload.unit),
        "–" if figures.watts is None else f"{figures.watts.mid:.1f} W",
        _energy(figures, workload.unit),
        "–" if option is None or option.wall_factor is None else f"×{option.wall_factor:.2f}",
        "–" if option is None or option.usd_per_kwh is None else usd(option.usd_per_kwh.mid),
        "–"
        if option is None or option.usd_per_device_h is None
        else usd(option.usd_per_device_h.mid),
        record.validity.status,
    )


def label(workload: WorkloadRecord) -> str:
    """Backend, and for tokens model, precision, batch, context and stack tier."""
    config = workload.config
    if workload.unit == "hash":
        return workload.backend
    parts = [config.get("model"), config.get("precision"), workload.tier]
    shape = [f"b{config['batch']}"] if "batch" in config else []
    shape += [f"c{config['context']}"] if "context" in config else []
    return " ".join(str(part) for part in (*parts, *shape) if part)


def _energy(figures: Metrics, unit: str) -> str:
    if figures.joules_per_unit is None:
        return "–"
    mark = "" if figures.joules_source.startswith("measured") else f" ({figures.joules_source})"
    text = per_unit(figures.joules_per_unit.mid, unit)
    return f"{text} {half_width(figures.joules_per_unit)}{mark}"


def _option(record: RunRecord, unit: str) -> Option | None:
    wanted = USE_OF_UNIT.get(unit)
    return next((o for o in record.verdict.options if o.code == wanted), None)


def _line(console: Console, text: str) -> None:
    console.print(clean(text), markup=False, highlight=False, soft_wrap=True)
