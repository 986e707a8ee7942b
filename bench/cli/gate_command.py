"""``bench gate``: a regression ends in an exit status that CI understands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN.json|WORK",
        help="A record, or what pytest --benchmark-json wrote. With --against, after --, what"
        " to measure of both sides: all, hash or infer with its options."
        " Default: all --grade quick.",
        show_default=False,
    ),
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
Against = Annotated[
    str | None,
    typer.Option(
        metavar="REF",
        help="Measure this checkout and that commit of it in turn, on this machine.",
    ),
]
Pairs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Runs of each side with --against. Default: 8."),
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


def gate_command(
    words: Words = None,
    *,
    audit: Audit = False,
    baseline: Baseline = None,
    against: Against = None,
    pairs: Pairs = None,
    max_regress: MaxRegress = None,
    confidence: Confidence = None,
    any_device: AnyDevice = False,
    json_out: options.JsonToo = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    no_color: options.NoColor = False,
) -> int:
    """Hold to a baseline or a commit: exit 10 regression, 11 not comparable, 12 inconclusive."""
    from bench.cli.exporting import Exports
    from bench.cli.gated import GateRequest, checked

    given = words or []
    files = [] if against is not None else given[:1]
    request = checked(
        GateRequest(
            run=Path(files[0]) if files else None,
            audit=audit,
            baseline=baseline,
            against=against,
            pairs=pairs,
            command=tuple(given[len(files) :]),
            max_regress=max_regress,
            confidence=confidence,
            any_device=any_device,
            json_out=json_out,
            exports=Exports(markdown=markdown, junit=junit),
            no_color=no_color,
        )
    )
    if audit:
        from bench.cli.gating import run_gate
    elif against is not None:
        from bench.cli.gating_against import run_gate
    else:
        from bench.cli.gating_runs import run_gate
    return run_gate(request)
