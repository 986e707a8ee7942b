"""``bench recover``: records of runs that were killed before they could write them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Places = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE|DIR]…", help="Journals, and folders of them. Default: results."),
]


def recover_command(
    places: Places = None,
    json_out: options.JsonToo = None,
    no_color: options.NoColor = False,
) -> int:
    """Write the records that journals lack; nothing that is there is touched."""
    from bench.cli.recovering import RepairRequest, run_recover

    return run_recover(RepairRequest(tuple(places or (Path("results"),)), json_out, no_color))
