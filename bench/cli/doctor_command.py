"""``bench doctor``: OK, WARN or FAIL per item, each with its exact cure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Profiles = Annotated[
    bool,
    typer.Option(
        "--profiles", help="Only the profiles: units, dates, rooflines, identities, flags."
    ),
]
Verbose = Annotated[
    bool, typer.Option("--all", help="Also list what is OK.", rich_help_panel=options.OUTPUT)
]
JsonOut = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Also write every item here; - is stdout, all else then goes to stderr.",
        rich_help_panel=options.OUTPUT,
    ),
]


def doctor_command(
    profiles: Profiles = False,
    verbose: Verbose = False,
    out: options.Out = Path("results"),
    json_out: JsonOut = None,
    no_color: options.NoColor = False,
) -> int:
    """Say what this machine can measure, what is wrong with it, and the cure of each fault."""
    from bench.cli.doctoring import DoctorRequest, run_doctor

    return run_doctor(DoctorRequest(profiles, verbose, out, json_out, no_color))
