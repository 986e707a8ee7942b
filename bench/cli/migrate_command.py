"""``bench migrate``: records of an older schema, rewritten beside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Records of runs.")]


def migrate_command(
    files: Files, json_out: options.JsonToo = None, no_color: options.NoColor = False
) -> int:
    """Rewrite records of an older schema as this version reads them, beside the old ones."""
    from bench.cli.recovering import RepairRequest, run_migrate

    return run_migrate(RepairRequest(tuple(files), json_out, no_color))
