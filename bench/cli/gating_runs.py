"""One ``bench gate RUN.json`` from request to exit status: read, compare with a baseline, say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.gated import GateRequest, write_findings
from bench.cli.output import open_console
from bench.cli.refusal import (
    BAD_FILE,
    INCONCLUSIVE,
    INVALID,
    NOT_COMPARABLE,
    OK,
    REGRESSION,
    STORAGE,
    Refusal,
)
from bench.cli.request import check_writable
from bench.gate.compare import Findings, compare, default_regress, lines, said
from bench.gate.judge import Verdict
from bench.gate.side import Side
from bench.machine import legible
from bench.records.run import Boundary
from bench.report.gate import cases, gated
from bench.report.junit import Suite
from bench.report.screen import say
from bench.report.sheet import Sheet, terminal
from bench.store import BadRecord
from bench.store.sides import load_side

if TYPE_CHECKING:
    from rich.console import Console

STATUS: dict[Verdict, int] = {
    "ok": OK,
    "regression": REGRESSION,
    "not comparable": NOT_COMPARABLE,
    "inconclusive": INCONCLUSIVE,
}


def run_gate(request: GateRequest) -> int:
    """Everything ``bench gate RUN.json`` does; raises Refusal with the status that fits."""
    assert request.run is not None, "checked"
    assert request.baseline is not None, "checked"
    console = open_console(request)
    head = _load(request.run)
    if not os.path.lexists(request.baseline):
        _first(request.run, request.baseline, head, console)
        empty = _compared(request, replace(head, gauges=()), head)
        _write(request, empty, OK, gated(empty, head.boundary), console, {})
        return OK
    found = _compared(request, _load(request.baseline), head)
    return conclude(request, found, head.boundary, console)


def conclude(
    request: GateRequest,
    found: Findings,
    boundary: Boundary,
    console: Console,
    *,
    against: str = "the baseline",
    more: Mapping[str, Any] | None = None,
) -> int:
    """Show the findings, write them where they are wanted (``more`` joins the JSON): the status."""
    sheet = gated(found, boundary, against)
    if found.figures:
        console.print()
        console.print(terminal(sheet, console.width))
    for line in lines(found):
        say(console, line)
    if found.verdict == "ok":
        say(console, f"ok: {len(found.figures)} figures, none has lost more than is let pass")
    status = STATUS[found.verdict]
    _write(request, found, status, sheet, console, more or {})
    return status


def _load(path: Path) -> Side:
    try:
        return load_side(path)
    except BadRecord as error:
        raise Refusal(BAD_FILE, str(error)) from error


def _compared(request: GateRequest, base: Side, head: Side) -> Findings:
    given = request.regress
    return compare(
        base,
        head,
        max_regress=default_regress(base, head) if given is None else given,
        confidence=request.sure,
        any_device=request.any_device,
    )


def _first(run: Path, baseline: Path, head: Side, console: Console) -> None:
    """There is nothing to compare with yet: the run becomes the baseline, never over another."""
    if head.spoilt:
        raise Refusal(INVALID, f"{legible(str(run))} is no baseline: {head.spoilt}; measure again")
    check_writable("--baseline", baseline)
    temporary = baseline.with_name(f".{baseline.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as out:
            out.write(run.read_bytes())
            out.flush()
            os.fsync(out.fileno())
        os.link(temporary, baseline)
    except OSError as error:
        why = f"cannot write {legible(str(baseline))}: {error.strerror}"
        raise Refusal(STORAGE, f"{why}; name another file with --baseline") from error
    finally:
        temporary.unlink(missing_ok=True)
    count = sum(bool(each.values) for each in head.gauges)
    say(console, f"Saved {legible(str(baseline))}: {count} figures, to compare with")


def _write(  # noqa: PLR0917 - what is found, and where it goes
    request: GateRequest,
    found: Findings,
    status: int,
    sheet: Sheet,
    console: Console,
    more: Mapping[str, Any],
) -> None:
    data: dict[str, Any] = {
        "exit_status": status,
        "max_regress": found.terms.max_regress,
        "confidence": found.terms.confidence,
        "figures": [asdict(each) for each in found.figures],
        "not_in_baseline": found.fresh,
        "not_gated": found.silent,
        **more,
    }
    tests = cases(found, (said(each, found.terms) for each in found.figures))
    write_findings(request, data, [sheet], console, Suite("bench gate", tests))
