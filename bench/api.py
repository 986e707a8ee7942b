"""``bench.run`` and ``bench.load``: what the commands do, for scripts and notebooks.

Nothing is printed unless asked for, and what a command ends with is raised instead.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from bench.records.record import RunRecord
from bench.records.run import GradeName
from bench.store import BadRecord
from bench.store import load as load_record

if TYPE_CHECKING:
    from bench.cli.request import AllRequest
    from bench.cli.session import Measured

__all__ = ["BadRecord", "RunError", "RunRecord", "RunResult", "load", "run"]

Sets = Mapping[str, float | str] | Sequence[str] | str
USAGE = 2
SIGNALLED = 128


class RunResult(NamedTuple):
    """A run that went well: its record, and the file that holds it."""

    record: RunRecord
    path: Path


class RunError(Exception):
    """What ``bench all`` would have ended with: its line of text and its exit ``status``.

    ``record`` and ``path`` are those of a run that was measured and kept all the same, such as an
    invalid one; None where nothing was.
    """

    def __init__(
        self, text: str, status: int, record: RunRecord | None = None, path: Path | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.record = record
        self.path = path


def load(path: str | os.PathLike[str]) -> RunRecord:
    """The stored run in a file, every field of its type; BadRecord says in one line why not."""
    return load_record(Path(path))


def run(
    *,
    gpu: int | None = None,
    device: str | None = None,
    meter: str = "auto",
    assume_watts: float | None = None,
    sim_fault: Sequence[str] = (),
    wait: bool = False,
    grade: GradeName = "standard",
    window: float | None = None,
    model: str | None = None,
    seed: int | None = None,
    require_energy: bool = False,
    market: str | os.PathLike[str] = "default",
    sets: Sets = (),
    asic: str | None = None,
    strict: bool = False,
    out: str | os.PathLike[str] = "results",
    show: bool = False,
) -> RunResult:
    """Hash and infer on one device, as ``bench all`` with the options of the same names.

    ``window`` is in s, ``assume_watts`` in W; ``sets`` holds prices, ``{"power": 0.05}`` or
    ``["power=0.05"]``, in the units of ``--set``. ``show`` prints what the command prints. Raises
    RunError with the command's exit status for all but 0. On the main thread a signal that ends a
    command ends the measuring; what there is of it is kept, then the signal takes its course:
    SIGINT raises KeyboardInterrupt.
    """
    from bench.cli.request import AllRequest

    if grade not in get_args(GradeName):
        raise RunError(f"--grade {grade}: use {', '.join(get_args(GradeName))}", USAGE)
    request = AllRequest(
        gpu=gpu,
        device=device,
        meter=meter,
        assume_watts=assume_watts,
        sim_faults=tuple(sim_fault),
        wait=wait,
        grade=grade,
        window_s=window,
        model=model,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        require_energy=require_energy,
        dry_run=False,
        market=os.fspath(market),
        sets=_spelled(sets),
        asic=asic,
        strict=strict,
        out=Path(out),
        json_out=None,
        no_color=False,
    )
    return _result(request, show=show)


def _spelled(sets: Sets) -> tuple[str, ...]:
    """As the command line spells them."""
    if isinstance(sets, str):
        return (sets,)
    if isinstance(sets, Mapping):
        return tuple(f"{name}={value}" for name, value in sets.items())
    return tuple(sets)


def _result(request: AllRequest, *, show: bool) -> RunResult:
    from bench.cli.refusal import Refusal
    from bench.cli.signals import refusing

    try:
        with refusing():
            measured, status = _measured(request, show=show)
    except Refusal as refusal:
        if refusal.status > SIGNALLED:
            signal.raise_signal(refusal.status - SIGNALLED)
        raise RunError(str(refusal), refusal.status) from refusal
    record, saved = measured.record, measured.saved
    if status == 0:
        return RunResult(record, saved)
    text = f"{_why(measured)}; what was measured is in {saved}"
    if status > SIGNALLED:
        _take_its_course(status - SIGNALLED, text)
    raise RunError(text, status, record, saved)


def _measured(request: AllRequest, *, show: bool) -> tuple[Measured, int]:
    """The run and the status that the command would end with; Refusal where there is none."""
    from bench.cli.output import open_console, silent_console
    from bench.cli.request import check_all
    from bench.cli.session import exit_status, on_device, open_session
    from bench.report.summary import show as show_run

    check_all(request)
    session = open_session(request, open_console(request) if show else silent_console())
    done: list[Measured] = []

    def work() -> int:
        done.append(session.measured())
        return exit_status(done[0].record, done[0].outcome, request)

    status = on_device(request, session.target, plan=session.show_plan, work=work)
    (measured,) = done
    if show:
        show_run(measured.record, measured.saved, session.console)
    return measured, status


def _why(measured: Measured) -> str:
    """In one line, why a run that left a record did not go well."""
    if measured.outcome.interrupted is not None:
        return "interrupted"
    for name, failure in measured.outcome.failures.items():
        return f"{name}: {failure.text}"
    for code in measured.record.validity.codes:
        if code.fatal:
            return f"{code.name}: {code.text}"
    for workload in measured.record.workloads:
        if workload.metrics.joules_per_unit is None:
            return f"{workload.name} has no joules: {workload.metrics.reason}"
    return "prices behind the verdict are stale"


def _take_its_course(number: int, text: str) -> None:
    """The signal that ended the measuring, as if it came now; returns where that ends nothing."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(text)
        raise
