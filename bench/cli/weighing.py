"""One ``bench all`` from request to exit status: measure both sides, show, write."""

from __future__ import annotations

from dataclasses import dataclass

from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.output import open_console, write_json
from bench.cli.request import AllRequest, check_all
from bench.cli.session import Session, exit_status, on_device, open_session
from bench.report.junit import Suite
from bench.report.run_cases import cases
from bench.report.summary import exported, show
from bench.store import to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRequest(AllRequest):
    """The options of ``bench all`` as given."""

    exports: Exports


def run_all(request: WholeRequest) -> int:
    """Everything ``bench all`` does; raises Refusal with the status that fits."""
    check_all(request)
    check_outputs(request.exports, request.json_out, (request.market,))
    session = open_session(request, open_console(request))
    return on_device(
        request, session.target, plan=session.show_plan, work=lambda: _run(request, session)
    )


def _run(request: WholeRequest, session: Session) -> int:
    """Plan, measure, derive, judge, save, show, write."""
    measured = session.measured()
    record = measured.record
    write_json(request, to_json(record))
    show(record, measured.saved, session.console)
    found = cases(record, require_energy=request.require_energy, strict=request.strict)
    suite = Suite("bench all", tuple(found))
    write_exports(request.exports, exported(record), session.console, suite)
    return exit_status(record, measured.outcome, request)
