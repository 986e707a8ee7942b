"""One ``bench audit`` from request to exit status: compile, count, ceilings, runs against them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.book import open_book
from bench.catalogue import load_gpu, names
from bench.cli.audited import document, nearest, row_of
from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.kernels import by_name, limit
from bench.cli.output import open_console, write_json
from bench.cli.refusal import BAD_FILE, ENVIRONMENT, OK, STORAGE, USAGE, Refusal
from bench.derive import ceiling_hz
from bench.energy import held_mean
from bench.machine import legible
from bench.records.audit import AuditRow
from bench.records.record import RunRecord
from bench.records.run import WorkloadRecord
from bench.report import audit as tables
from bench.report.audit import CardCeiling, MeasuredShare
from bench.report.screen import counting, say
from bench.report.sheet import terminal
from bench.roofline import HashCounts, hash_ceiling
from bench.store import BadRecord, StoreError, find_journal, load, read_journal

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """The options of ``bench audit`` as given."""

    files: tuple[Path, ...]
    arch: str | None
    kernel: str
    exports: Exports
    json_out: str | None
    no_color: bool


def run_audit(request: AuditRequest) -> int:
    """Everything ``bench audit`` does; a bad file is named and the others go on."""
    check_outputs(request.exports, request.json_out, request.files)
    console = open_console(request)
    rows = audited(request.arch, request.kernel, console)
    kernels = list(dict.fromkeys(row.kernel for row in rows))
    cards = list(_cards(rows, kernels))
    found, status = _runs(request.files, rows, console)
    sheets = [tables.counted(rows), tables.ceilings(kernels, cards)]
    sheets += [tables.measured(found)] if found else []
    for sheet in sheets:
        console.print()
        console.print(terminal(sheet, console.width))
    text = document(
        rows,
        ceilings=[
            {**asdict(card), "hashes_per_s": dict(zip(kernels, card.hashes_per_s, strict=True))}
            for card in cards
        ],
        runs=[{**asdict(each), "share": each.share} for each in found],
    )
    try:
        write_json(request, text)
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    write_exports(request.exports, sheets, console)
    return status


def audited(arch: str | None, kernel: str, console: Console) -> list[AuditRow]:
    """Compile and count what is asked for; Refusal names a missing tool or an unknown name."""
    from bench.kernels.sha256d import audit
    from bench.kernels.sha256d.sass import UnreadableCodeError
    from bench.kernels.sha256d.toolchain import CompileError, ToolMissingError

    try:
        known = audit.targets()
        offered = list(dict.fromkeys(each for *_, each in known))
        chosen = _architectures(arch, offered)
        kernels = dict.fromkeys(f"{backend}:{variant}" for backend, variant, _ in known)
        wanted = by_name(kernels, kernel)
        if not wanted:
            raise Refusal(USAGE, f"--kernel {kernel}: use all or one of {', '.join(kernels)}")
        todo = [t for t in known if f"{t[0]}:{t[1]}" in wanted and t[2] in chosen]
        say(console, f"{len(todo)} kernels are compiled and counted; a repetition is quick.")
        with counting(console, "Compiling", len(todo)) as done:
            return [row_of(each) for each in audit.audit_all(todo, done=done)]
    except ToolMissingError as error:
        raise Refusal(ENVIRONMENT, str(error)) from error
    except (CompileError, UnreadableCodeError) as error:
        first = " ".join(str(error).split())
        raise Refusal(ENVIRONMENT, f"the toolchain refused: {first[:300]}") from error
    except OSError as error:
        cure = "make room, or name another folder in XDG_CACHE_HOME"
        raise Refusal(STORAGE, f"cannot keep what is compiled: {error.strerror}; {cure}") from error


def _architectures(asked: str | None, offered: Sequence[int]) -> list[int]:
    if asked is None:
        return list(offered)
    given = [part.strip().removeprefix("sm_") for part in asked.split(",")]
    for part in given:
        if part not in map(str, offered):
            known = ", ".join(f"sm_{each}" for each in offered)
            raise Refusal(USAGE, f"--arch {asked}: {part or 'nothing'} is none of {known}")
    return [int(part) for part in given]


def _cards(rows: Sequence[AuditRow], kernels: Sequence[str]) -> Iterator[CardCeiling]:
    """Every card of the profiles that one of the audited binaries runs on."""
    for name in names("gpus"):
        card = load_gpu(name)
        most = []
        for kernel in kernels:
            row = nearest(rows, kernel, card.compute_capability)
            most.append(None if row is None else _boosted(row, card.sm.value, card.boost_hz.value))
        if any(each is not None for each in most):
            capability = card.compute_capability
            yield CardCeiling(name, capability, card.sm.value, card.boost_hz.value, tuple(most))


def _boosted(row: AuditRow, multiprocessors: float, boost_hz: float) -> float:
    k = row.midstates
    counts = HashCounts(row.instructions / k, row.alu / k, row.fma_slots / k)
    return hash_ceiling(counts, multiprocessors, boost_hz)


def _runs(
    files: Sequence[Path], rows: Sequence[AuditRow], console: Console
) -> tuple[list[MeasuredShare], int]:
    found, status = [], OK
    for path in files:
        try:
            found.append(_share(path, load(path), rows))
        except BadRecord as error:
            say(console, f"unreadable: {legible(str(error))}")
            status = BAD_FILE
    return found, status


def _share(path: Path, record: RunRecord, rows: Sequence[AuditRow]) -> MeasuredShare:
    """A run's hash rate against this audit of the kernel that it ran."""
    workload = next((w for w in record.workloads if w.unit == "hash"), None)
    kernel = None if workload is None else kernel_of(workload)
    rate = None if workload is None else workload.metrics.units_per_s
    found: tuple[float | None, float | None, str | None] = (None, None, "it holds no hash run")
    if workload is not None and kernel is not None:
        found = _ceiling(path, record, workload, kernel, rows)
    clock_hz, ceiling, reason = found
    return MeasuredShare(
        file=legible(path.name),
        device=record.device.name,
        kernel=kernel,
        hashes_per_s=None if rate is None else rate.mid,
        clock_hz=clock_hz,
        ceiling_hz=ceiling,
        run=record.validity.status,
        reason=reason,
    )


def kernel_of(workload: WorkloadRecord) -> str:
    """The kernel of a hash run, "BACKEND:VARIANT"; plain where no variant was recorded."""
    return f"{workload.backend}:{workload.config.get('variant', 'plain')}"


def _ceiling(
    path: Path,
    record: RunRecord,
    workload: WorkloadRecord,
    kernel: str,
    rows: Sequence[AuditRow],
) -> tuple[float | None, float | None, str | None]:
    """Sampled clock, ceiling at it, and why one of them is unknown."""
    row = nearest(rows, kernel, record.device.compute_capability or "")
    place = find_journal(path, record.run_id)
    if place is None:
        return None, None, "its journal, which holds the sampled clock, is missing"
    book = open_book(read_journal(place).facts)
    clock = book.series.get("sm_clock_hz")
    spans = [(each.start_s, each.end_s) for each in workload.windows]
    clock_hz = None if clock is None else held_mean(clock, spans)
    if clock_hz is None:
        return None, None, "no SM clock was sampled while it hashed"
    if row is None or record.profiles.gpu is None:
        return clock_hz, None, f"{kernel} was not audited for {record.device.name}"
    bounds = limit(row, record.profiles.gpu.sm.value)
    return clock_hz, ceiling_hz(bounds, book, workload.windows), None
