"""One ``bench demo``: lay out the runs that ship, compare, give their verdicts, write the report.

Nothing is measured, and nothing is drawn that ``compare`` and ``report`` would not draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from shlex import quote

from bench.cli.comparing import CompareRequest, run_compare
from bench.cli.exporting import Exports
from bench.cli.output import open_console, write_whole
from bench.cli.refusal import OK, STORAGE, Refusal
from bench.cli.reporting import ReportRequest, run_report
from bench.machine import legible
from bench.records.record import RunRecord
from bench.report.screen import say
from bench.store import in_folder, load

PAGE = "report.html"
ROOM = Path(str(files("bench.results") / "demo"))
"""Records and their journals, as the commands in its README wrote them."""


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """The options of ``bench demo`` as given."""

    out: Path
    no_color: bool
    json_out: str | None = None


def run_demo(request: DemoRequest) -> int:
    """Everything ``bench demo`` does; Refusal where it cannot write."""
    console = open_console(request)
    paths = lay_out(request.out)
    records = [load(path) for path in paths]
    say(console, "Runs that ship with bench; nothing is measured here.")
    for record in records:
        say(console, f"  {introduction(record)}")
    run_compare(_comparison(paths, request))
    for record in records:
        say(console, "")
        say(console, f"{record.device.name}: {record.verdict.sentence}", style="bold")
    say(console, "")
    run_report(ReportRequest(tuple(paths), request.out / PAGE, request.no_color))
    for line in next_steps(request.out):
        say(console, line)
    return OK


def lay_out(folder: Path) -> list[Path]:
    """The bundle copied into a folder, its records by name; what is there already is left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for bundled in sorted(ROOM.glob("*.json*")):
            _copy(bundled, folder / bundled.name)
    except OSError as error:
        why = f"--out {legible(str(folder))}: {error.strerror}; choose another folder"
        raise Refusal(STORAGE, why) from error
    return [folder / record.name for record in in_folder(ROOM)]


def _copy(bundled: Path, place: Path) -> None:
    data = bundled.read_bytes()
    if not place.exists():
        write_whole(place, data)
    elif place.read_bytes() != data:
        why = f"{legible(str(place))}: is there and differs from the run that ships"
        raise Refusal(STORAGE, f"{why}; choose another folder with --out")


def introduction(record: RunRecord) -> str:
    """Whose run it is, and whether anything in it was measured."""
    day = record.started_at[:10]
    if record.device.kind == "sim":
        return f"{record.device.name}: a simulated card, its power and rates are made up ({day})"
    return f"{record.device.name}: measured on {day}, grade {record.plan.grade}"


def _comparison(paths: Sequence[Path], request: DemoRequest) -> CompareRequest:
    return CompareRequest(
        files=tuple(paths),
        best_under=None,
        like_for_like=False,
        market="default",
        sets=(),
        strict=False,
        exports=Exports(),
        json_out=None,
        no_color=request.no_color,
    )


def next_steps(out: Path) -> Iterator[str]:
    """What to do with the files, and how to come to runs of one's own."""
    folder = quote(legible(str(out)))
    steps = {
        f"bench verdict {folder}/*.json --set power=0.06": "at your own prices",
        f"bench compare {folder}/*.json --xlsx cards.xlsx": "as a workbook",
        "bench skus": "cards that nobody measured",
        "bench all": "this machine, measured",
    }
    yield f"Open {folder}/{PAGE} in a browser. Next:"
    for command, what in steps.items():
        yield f"  {command:<{max(map(len, steps))}}  {what}"
