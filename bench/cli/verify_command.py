"""``bench verify``: stored runs derived again from their journals, compared figure by figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE…", help="Records, each with its journal beside it."),
]


def verify_command(
    files: Files, json_out: options.JsonToo = None, no_color: options.NoColor = False
) -> int:
    """Derive stored runs again from their journals and name every difference."""
    from bench.cli.verifying import VerifyRequest, run_verify

    return run_verify(VerifyRequest(tuple(files), json_out, no_color))
