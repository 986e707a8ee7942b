"""One ``bench gate --audit`` from request to exit status: count, compare with a baseline, say."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.audited import MAX_BYTES, BadAudit, document, read_document, shipped
from bench.cli.auditing import audited
from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.output import open_console, write_json, write_whole
from bench.cli.refusal import (
    BAD_FILE,
    NOT_COMPARABLE,
    OK,
    REGRESSION,
    STORAGE,
    USAGE,
    Refusal,
)
from bench.cli.request import check_writable
from bench.machine import legible
from bench.records.audit import AuditRow
from bench.report.audit import Change, changes, spared
from bench.report.junit import Case, to_junit
from bench.report.screen import say
from bench.report.sheet import terminal
from bench.store import StoreError

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/gate/1"
COUNTS = ("instructions", "alu", "fma_slots")
RESOURCES = ("registers", "stack_bytes", "spill_bytes", "memory", "other")
MAX_COUNTS = 0.01
"""By how much an instruction count may grow unless --max-regress says otherwise."""
MOST_PERCENT = 1000.0


@dataclass(frozen=True, slots=True)
class GateRequest:
    """The options of ``bench gate`` as given; ``max_regress`` in percent."""

    audit: bool
    baseline: Path | None
    max_regress: float | None
    json_out: str | None
    junit: Path | None
    markdown: Path | None
    no_color: bool

    @property
    def to_stdout(self) -> bool:
        """Whether the findings alone may go to stdout."""
        return self.json_out == "-"


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
    _check(request)
    console = open_console(request)
    baseline = _baseline(request.baseline)
    rows = audited(None, "all", console)
    if baseline is None:
        return _first(request, rows, console)
    counts, resources = _allowed(request)
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
    _write(request, found)
    write_exports(Exports(markdown=request.markdown), [sheet], console)
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


def _check(request: GateRequest) -> None:
    if not request.audit:
        text = "give --audit: the machine code of the hash kernels is what can be gated"
        raise Refusal(USAGE, text)
    percent = request.max_regress
    if percent is not None and not (math.isfinite(percent) and 0 <= percent <= MOST_PERCENT):
        text = f"use percent from 0 to {MOST_PERCENT:g}"
        raise Refusal(USAGE, f"--max-regress {percent:g}: {text}")
    inputs = [] if request.baseline is None else [request.baseline]
    check_outputs(Exports(markdown=request.markdown), request.json_out, inputs)
    if request.json_out not in (None, "-"):
        check_writable("--json", Path(str(request.json_out)))
    if request.junit is not None:
        _check_junit(request.junit, [*inputs, request.markdown, request.json_out])


def _check_junit(path: Path, others: Sequence[Path | str | None]) -> None:
    """A file of its own that can be written."""
    check_writable("--junit", path)
    if os.path.realpath(path) in {os.path.realpath(each) for each in others if each is not None}:
        text = "is another file of this command too; name another file"
        raise Refusal(USAGE, f"--junit {legible(str(path))}: {text}")


def _allowed(request: GateRequest) -> tuple[float, float]:
    if request.max_regress is None:
        return MAX_COUNTS, 0.0
    return request.max_regress / 100, request.max_regress / 100


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
    _put(request.baseline, document(rows), "--baseline")
    say(console, f"Saved {legible(str(request.baseline))}: {len(rows)} kernels, to compare with")
    _write(request, compare(rows, rows, counts=0.0, resources=0.0))
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


def _write(request: GateRequest, found: Comparison) -> None:
    data = {
        "schema": SCHEMA,
        "exit_status": found.status,
        "changes": [asdict(each) for each in found.changes],
        "not_comparable": found.apart,
        "not_in_baseline": found.fresh,
    }
    try:
        write_json(request, json.dumps(data, indent=2) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    if request.junit is not None:
        _put(request.junit, to_junit("bench gate --audit", found.cases), "--junit")


def _put(path: Path, text: str | bytes, option: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        why = f"cannot write {legible(str(path))}: {error.strerror}"
        raise Refusal(STORAGE, f"{why}; name another file with {option}") from error
