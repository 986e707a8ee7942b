"""``bench report``: stored runs as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE…", help="Records, each with its journal beside it."),
]
Html = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where the page goes. Default: beside the first record, by its name.",
        rich_help_panel=options.OUTPUT,
    ),
]


def report_command(files: Files, html: Html = None, no_color: options.NoColor = False) -> int:
    """Make one HTML file of stored runs that opens offline: verdict, charts, tables, provenance."""
    from bench.cli.reporting import ReportRequest, run_report

    return run_report(ReportRequest(tuple(files), html, no_color))
