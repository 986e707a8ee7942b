"""Audits as tables: what was counted, what each card could do at boost, what runs reached of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.figures import figures
from bench.records.audit import AuditRow
from bench.report.sheet import Cell, Column, Sheet

GIGA = 1e9
BINDING = "binds: the busiest of ALU, FMA pipe and issue (instructions / 2), which sets the ceiling"


@dataclass(frozen=True, slots=True)
class CardCeiling:
    """What one card could do at its boost clock, per kernel; None where nothing was audited."""

    card: str
    compute_capability: str
    multiprocessors: float
    boost_hz: float
    hashes_per_s: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class MeasuredShare:
    """A stored run against the audited ceiling at the clock it sampled; ``reason`` what lacks."""

    file: str
    device: str
    kernel: str | None
    hashes_per_s: float | None
    clock_hz: float | None
    ceiling_hz: float | None
    run: str
    reason: str | None

    @property
    def share(self) -> float | None:
        """Of the ceiling; null where either is unknown."""
        if self.hashes_per_s is None or self.ceiling_hz is None:
            return None
        return self.hashes_per_s / self.ceiling_hz


@dataclass(frozen=True, slots=True)
class Change:
    """One counter of one kernel that differs from the baseline; ``regressed``: beyond what may."""

    kernel: str
    architecture: str
    counter: str
    before: int
    after: int
    regressed: bool

    @property
    def said(self) -> str:
        """On one line."""
        return f"{self.kernel} {self.architecture}: {self.counter} {self.before} → {self.after}"


def counted(rows: Sequence[AuditRow]) -> Sheet:
    """What was counted per double hash, and the resources of each kernel."""
    columns = (
        Column("kernel", "kernel"),
        Column("architecture", "arch"),
        Column("instructions", "N", digits=5),
        Column("alu", "ALU", digits=5),
        Column("fma_slots", "FMA slots", digits=5),
        Column("binds", "binds"),
        Column("registers", "registers"),
        Column("stack_bytes", "stack", "B"),
        Column("spill_bytes", "spills", "B"),
        Column("memory", "hot memory"),
    )
    compilers = ", ".join(dict.fromkeys(row.compiler for row in rows))
    notes = [
        "N, ALU, FMA slots: per double hash, on the path of a nonce that is no hit",
        BINDING,
        "hot memory: loads and stores to global, shared and local memory on that path",
        f"compiled by {compilers}",
    ]
    strange = [f"{row.kernel} {row.architecture}" for row in rows if row.other]
    if strange:
        notes.append(f"holds instructions of an unknown pipe: {', '.join(strange)}")
    return Sheet("Hash kernels, audited", "board", columns, tuple(map(_row, rows)), tuple(notes))


def ceilings(kernels: Sequence[str], cards: Iterable[CardCeiling]) -> Sheet:
    """GH/s that no kernel of these counts exceeds, per card at its boost clock."""
    columns = (
        Column("card", "card"),
        Column("compute_capability", "cc"),
        Column("multiprocessors", "SMs"),
        Column("boost", "boost", "MHz", 4),
        *(Column(kernel, kernel, "GH/s") for kernel in kernels),
    )
    rows = tuple(
        (
            each.card,
            each.compute_capability,
            int(each.multiprocessors),
            each.boost_hz / 1e6,
            *(None if most is None else most / GIGA for most in each.hashes_per_s),
        )
        for each in cards
    )
    notes = (
        "SMs × 64 × clock / max(ALU, FMA slots, N / 2); a card under its power cap clocks lower",
        "–: the compiler has no such architecture, or it was not asked for",
    )
    return Sheet("Ceiling at boost", "board", columns, rows, notes)


def measured(found: Sequence[MeasuredShare]) -> Sheet:
    """Stored runs as shares of the ceiling at the clock sampled while they hashed."""
    columns = (
        Column("file", "run"),
        Column("device", "device"),
        Column("kernel", "kernel"),
        Column("hashes_per_s", "rate", "GH/s", 4),
        Column("clock", "clock", "MHz", 4),
        Column("ceiling", "ceiling", "GH/s", 4),
        Column("share", "of ceiling", "%", 3),
        Column("validity", "status"),
    )
    rows = tuple(
        (
            each.file,
            each.device,
            each.kernel,
            _scaled(each.hashes_per_s, 1 / GIGA),
            _scaled(each.clock_hz, 1e-6),
            _scaled(each.ceiling_hz, 1 / GIGA),
            _scaled(each.share, 100.0),
            each.run,
        )
        for each in found
    )
    notes = tuple(f"{each.file}: {each.reason}" for each in found if each.reason)
    return Sheet("Runs against the ceiling at the sampled clock", "board", columns, rows, notes)


def changes(found: Sequence[Change], allowed: str) -> Sheet:
    """Every counter that differs from the baseline."""
    columns = (
        Column("kernel", "kernel"),
        Column("architecture", "arch"),
        Column("counter", "counter"),
        Column("before", "before"),
        Column("after", "after"),
        Column("change", "change", "%", 2),
        Column("regressed", "regressed"),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            each.kernel,
            each.architecture,
            each.counter,
            each.before,
            each.after,
            None if each.before == 0 else 100 * (each.after / each.before - 1),
            each.regressed,
        )
        for each in found
    )
    return Sheet("Machine code against the baseline", "board", columns, rows, (allowed,))


def _row(row: AuditRow) -> tuple[Cell, ...]:
    each = [number / row.midstates for number in (row.instructions, row.alu, row.fma_slots)]
    pipes = {"issue": each[0] / 2, "ALU": each[1], "FMA": each[2]}
    return (
        row.kernel,
        row.architecture,
        *map(_half, each),
        max(pipes, key=lambda name: pipes[name]),
        row.registers,
        row.stack_bytes,
        row.spill_bytes,
        row.memory,
    )


def _half(count: float) -> Cell:
    """Counts are whole, or halves where two hashes share a pass."""
    return int(count) if count.is_integer() else count


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def spared(share: float) -> str:
    """A share as people write it: 0.01 is 1 %."""
    return f"{figures(100 * share, 2)} %" if share else "0 %"
