"""``bench gate``: a regression ends in an exit status that CI understands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Audit = Annotated[
    bool,
    typer.Option("--audit", help="Gate the machine code of the GPU hash kernels; needs no card."),
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What to hold it against; written when it does not exist yet. Default: the audit"
        " that ships.",
    ),
]
MaxRegress = Annotated[
    float | None,
    typer.Option(
        metavar="PERCENT",
        help="The increase of any counter that is let pass. Default: 1 for instruction counts, 0"
        " for registers, stack, spills and memory operations.",
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A test case a kernel.", rich_help_panel=options.OUTPUT),
]


def gate_command(
    *,
    audit: Audit = False,
    baseline: Baseline = None,
    max_regress: MaxRegress = None,
    json_out: options.JsonToo = None,
    junit: Junit = None,
    markdown: options.Markdown = None,
    no_color: options.NoColor = False,
) -> int:
    """Compare with a baseline: exit 10 for a regression, 11 where they cannot be compared."""
    from bench.cli.gating import GateRequest, run_gate

    return run_gate(
        GateRequest(
            audit=audit,
            baseline=baseline,
            max_regress=max_regress,
            json_out=json_out,
            junit=junit,
            markdown=markdown,
            no_color=no_color,
        )
    )
