"""``bench list``: stored runs, one line each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

WHICH = "Which runs"


class StatusChoice(StrEnum):
    """What a run's validity may be."""

    VALID = "valid"
    LABELLED = "labelled"
    INVALID = "invalid"
    INCOMPLETE = "incomplete"


Places = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE|DIR]…", help="Records, and folders of them. Default: results."),
]
OfDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="TEXT",
        help="Runs of devices whose name holds this.",
        rich_help_panel=WHICH,
    ),
]
OfWorkload = Annotated[
    str | None,
    typer.Option(
        "--workload",
        metavar="NAME",
        help="Runs that measured this: sha256d, decode, serve, …",
        rich_help_panel=WHICH,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="DATE|DAYS",
        help="Runs begun since, such as 2026-11-01 or 7d.",
        rich_help_panel=WHICH,
    ),
]
OfStatus = Annotated[
    StatusChoice | None,
    typer.Option("--status", help="Runs of this validity.", rich_help_panel=WHICH),
]
Limit = Annotated[
    int,
    typer.Option(
        metavar="N", help="At most so many, the newest; 0: all of them.", rich_help_panel=WHICH
    ),
]


def list_command(
    places: Places = None,
    *,
    device: OfDevice = None,
    workload: OfWorkload = None,
    since: Since = None,
    status: OfStatus = None,
    limit: Limit = 50,
    json_out: options.JsonToo = None,
    no_color: options.NoColor = False,
) -> int:
    """List stored runs, the newest first: what was measured and what came of it."""
    from bench.cli.listing import ListRequest, run_list

    return run_list(
        ListRequest(
            places=tuple(places or (Path("results"),)),
            device=device,
            workload=workload,
            since=since,
            status=None if status is None else status.value,
            limit=limit,
            json_out=json_out,
            no_color=no_color,
        )
    )
