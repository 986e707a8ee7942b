"""``bench audit``: the compiled hash kernels counted, without a card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE…]", help="Records of runs, to be held against their ceiling."),
]
Arch = Annotated[
    str | None,
    typer.Option(metavar="sm_90,…", help="Architectures. Default: all that the compiler knows."),
]
Kernel = Annotated[
    str, typer.Option(metavar="NAME|all", help="BACKEND or BACKEND:VARIANT, such as cupy:plain.")
]


def audit_command(
    files: Files = None,
    *,
    arch: Arch = None,
    kernel: Kernel = "all",
    json_out: options.JsonToo = None,
    csv: options.Csv = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    xlsx: options.Xlsx = None,
    no_color: options.NoColor = False,
) -> int:
    """Compile the GPU hash kernels for every architecture, count, and give each card's ceiling."""
    from bench.cli.auditing import AuditRequest, run_audit
    from bench.cli.exporting import Exports

    return run_audit(
        AuditRequest(
            files=tuple(files or ()),
            arch=arch,
            kernel=kernel,
            exports=Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx),
            json_out=json_out,
            no_color=no_color,
        )
    )
