"""``bench demo``: the runs that ship, as a finished comparison, verdict and report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR", help="Where the runs and their report go.", rich_help_panel=options.OUTPUT
    ),
]


def demo_command(out: Out = Path("bench-demo"), no_color: options.NoColor = False) -> int:
    """Show what a finished measurement looks like, from runs that ship: no GPU, a few seconds."""
    from bench.cli.demonstrating import DemoRequest, run_demo

    return run_demo(DemoRequest(out, no_color))
