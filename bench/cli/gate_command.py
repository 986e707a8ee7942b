"""``bench gate``: a regression ends in an exit status that CI understands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Run = Annotated[
    Path | None,
    typer.Argument(metavar="RUN.json", help="A record, or what pytest --benchmark-json wrote."),
]
Audit = Annotated[
    bool,
    typer.Option("--audit", help="Gate the machine code of the GPU hash kernels; needs no card."),
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What to hold it against; written when it does not exist yet. With --audit the"
        " default is the audit that ships.",
    ),
]
MaxRegress = Annotated[
    str | None,
    typer.Option(
        metavar="PERCENT",
        help="The loss that is let pass. Default: 10 on a CPU, 3 on a card; with --audit 1 for"
        " instruction counts, 0 for registers, stack, spills and memory operations.",
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="One-sided, of each answer. Default: 0.95."),
]
AnyDevice = Annotated[
    bool,
    typer.Option("--any-device", help="Compare though device or power limit differ."),
]
Junit = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A test case a figure.", rich_help_panel=options.OUTPUT),
]


def gate_command(
    run: Run = None,
    *,
    audit: Audit = False,
    baseline: Baseline = None,
    max_regress: MaxRegress = None,
    confidence: Confidence = None,
    any_device: AnyDevice = False,
    json_out: options.JsonToo = None,
    junit: Junit = None,
    markdown: options.Markdown = None,
    no_color: options.NoColor = False,
) -> int:
    """Compare with a baseline: exit 10 regression, 11 not comparable, 12 inconclusive."""
    from bench.cli.gated import GateRequest, checked

    request = checked(
        GateRequest(
            run=run,
            audit=audit,
            baseline=baseline,
            max_regress=max_regress,
            confidence=confidence,
            any_device=any_device,
            json_out=json_out,
            junit=junit,
            markdown=markdown,
            no_color=no_color,
        )
    )
    if audit:
        from bench.cli.gating import run_gate
    else:
        from bench.cli.gating_runs import run_gate
    return run_gate(request)
