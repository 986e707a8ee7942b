"""One ``bench gate --audit`` from request to exit status: count, compare with a baseline, say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.audited import MAX_BYTES, BadAudit, document, read_document, shipped
from bench.cli.auditing import audited
from bench.cli.exporting import put
from bench.cli.gated import GateRequest, write_findings
from bench.cli.output import open_console
from bench.cli.refusal import (
    BAD_FILE,
    NOT_COMPARABLE,
    OK,
    REGRESSION,
    Refusal,
)
from bench.cli.request import check_writable
from bench.machine import legible
from bench.records.audit import AuditRow
from bench.report.audit import Change, changes, spared
from bench.report.junit import Case, Suite
from bench.report.screen import say
from bench.report.sheet import Sheet, terminal

if TYPE_CHECKING:
    from rich.console import Console

COUNTS = ("instructions", "alu", "fma_slots")
RESOURCES = ("registers", "stack_bytes", "spill_bytes", "memory", "other")
MAX_COUNTS = 0.01
"""By how much an instruction count may grow unless --max-regress says otherwise."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Today's audit against a baseline. ``apart`` are lines on what cannot be compared."""

    changes: tuple[Change, ...]
    apart: tuple[str, ...]
    fresh: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def status(self) -> int:
        """The exit status of the gate."""
        if any(change.regressed for change in self.changes):
            return REGRESSION
        return NOT_COMPARABLE if self.apart else OK


def run_gate(request: GateRequest) -> int:
    """Everything ``bench gate`` does; raises Refusal with the status that fits."""
    console = open_console(request)
    baseline = _baseline(request.baseline)
    rows = audited(None, "all", console)
    if baseline is None:
        return _first(request, rows, console)
    given = request.regress
    counts, resources = (MAX_COUNTS, 0.0) if given is None else (given, given)
    found = compare(baseline, rows, counts=counts, resources=resources)
    sheet = changes(
        found.changes,
        f"allowed to grow: instruction counts {spared(counts)}, all else {spared(resources)}",
    )
    if found.changes:
        console.print()
        console.print(terminal(sheet, console.width))
    for line in _lines(found, len(rows)):
        say(console, line)
    _write(request, found, [sheet], console)
    return found.status


def compare(
    baseline: Sequence[AuditRow], rows: Sequence[AuditRow], *, counts: float, resources: float
) -> Comparison:
    """Each kernel of the baseline against today's; only code of one compiler is comparable."""
    today = {(row.kernel, row.architecture): row for row in rows}
    known = {(row.kernel, row.architecture) for row in baseline}
    allowed = {**dict.fromkeys(COUNTS, counts), **dict.fromkeys(RESOURCES, resources)}
    found: list[Change] = []
    apart: list[str] = []
    cases: list[Case] = []
    for before in baseline:
        after = today.get((before.kernel, before.architecture))
        why = _incomparable(before, after)
        here = () if why or after is None else tuple(_changes(before, after, allowed))
        found += here
        apart += [why] if why else []
        wrong = (why,) if why else tuple(each.said for each in here if each.regressed)
        cases.append(Case(before.kernel, before.architecture, wrong))
    fresh = tuple(f"{kernel} {arch}" for kernel, arch in today if (kernel, arch) not in known)
    return Comparison(tuple(found), tuple(apart), fresh, tuple(cases))


def _incomparable(before: AuditRow, after: AuditRow | None) -> str | None:
    name = f"{before.kernel} {before.architecture}"
    if after is None:
        return f"{name} is in the baseline and was not counted here"
    if after.compiler != before.compiler:
        return f"{name}: the baseline was compiled by {before.compiler}, this by {after.compiler}"
    if after.midstates != before.midstates:
        return f"{name}: a pass makes {after.midstates} hashes here, {before.midstates} before"
    return None


def _changes(before: AuditRow, after: AuditRow, allowed: dict[str, float]) -> Iterator[Change]:
    for counter, share in allowed.items():
        was, now = getattr(before, counter), getattr(after, counter)
        if was != now:
            more = now - was > share * was + 1e-9
            yield Change(before.kernel, before.architecture, counter, was, now, more)


def _baseline(path: Path | None) -> Sequence[AuditRow] | None:
    """The rows to hold against; None where the file named is still to be written."""
    if path is None:
        return shipped()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise Refusal(BAD_FILE, f"{legible(str(path))}: is no audit: beyond {MAX_BYTES} bytes")
        return read_document(data.decode())
    except FileNotFoundError:
        check_writable("--baseline", path)
        return None
    except OSError as error:
        why = f"cannot read {legible(str(path))}: {error.strerror}"
        raise Refusal(BAD_FILE, f"{why}; name another with --baseline") from error
    except (BadAudit, UnicodeDecodeError) as error:
        text = "bench gate --audit --baseline NEW writes one"
        raise Refusal(BAD_FILE, f"{legible(str(path))}: {error}; {text}") from error


def _first(request: GateRequest, rows: Sequence[AuditRow], console: Console) -> int:
    """There is nothing to compare with yet: today's counts become the baseline."""
    assert request.baseline is not None, "the shipped audit is always there"
    put(request.baseline, document(rows), "baseline")
    say(console, f"Saved {legible(str(request.baseline))}: {len(rows)} kernels, to compare with")
    found = compare(rows, rows, counts=0.0, resources=0.0)
    _write(request, found, [changes(found.changes, "written now")], console)
    return OK


def _lines(found: Comparison, count: int) -> Iterator[str]:
    for each in found.changes:
        if each.regressed:
            yield f"regression: {each.said}"
    if found.apart:
        more = f" (and {len(found.apart) - 1} more)" if len(found.apart) > 1 else ""
        cure = "install the compiler of the baseline, or write a new one with --baseline NEW"
        yield f"not comparable: {found.apart[0]}{more}; {cure}"
    if found.fresh:
        yield f"not in the baseline: {', '.join(found.fresh)}"
    if found.status == OK:
        smaller = sum(each.after < each.before for each in found.changes)
        better = f", {smaller} counters smaller than before" if smaller else ""
        yield f"ok: {count} kernels, none beyond the baseline{better}"


def _write(
    request: GateRequest, found: Comparison, sheets: Sequence[Sheet], console: Console
) -> None:
    data = {
        "exit_status": found.status,
        "changes": [asdict(each) for each in found.changes],
        "not_comparable": found.apart,
        "not_in_baseline": found.fresh,
    }
    write_findings(request, data, sheets, console, Suite("bench gate --audit", found.cases))
