"""``bench show``: the whole account of one stored run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A record's file, or how its run id begins.")
]
Folder = Annotated[
    Path,
    typer.Option(
        "--in", metavar="DIR", help="Where run ids are looked for.", rich_help_panel=options.OUTPUT
    ),
]


def show_command(
    run: Run,
    *,
    folder: Folder = Path("results"),
    json_out: options.JsonToo = None,
    no_color: options.NoColor = False,
) -> int:
    """Show one stored run as it was shown when it ended, with all codes and their advice."""
    from bench.cli.listing import ShowRequest, run_show

    return run_show(ShowRequest(run, folder, json_out, no_color))
