"""``bench sweep``: the card as a flexible load, both workloads under several power limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

PowerLimit = Annotated[
    str,
    typer.Option(
        "--power-limit",
        metavar="W,W,…",
        help="The limits, in watts, in the order in which they are measured.",
        rich_help_panel=options.DEVICE,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="sim:NAME",
        help="A simulated card. Without --gpu and --device: the first visible NVIDIA GPU.",
        rich_help_panel=options.DEVICE,
    ),
]
Apply = Annotated[
    bool,
    typer.Option(
        "--apply",
        help="Set each limit through NVML (as root) and restore the one before, whatever happens."
        " Without it the command to type is shown and the limit awaited.",
        rich_help_panel=options.DEVICE,
    ),
]
WaitLimit = Annotated[
    float,
    typer.Option(
        "--wait-limit",
        metavar="SECONDS",
        help="How long to wait for each limit to be set by hand.",
        rich_help_panel=options.DEVICE,
    ),
]


def sweep_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    power_limit: PowerLimit,
    gpu: options.Gpu = None,
    device: Device = None,
    sim_fault: options.SimFaults = None,
    apply: Apply = False,
    wait_limit: WaitLimit = 600.0,
    wait: options.Wait = False,
    grade: options.Grade = options.GradeChoice.STANDARD,
    window: options.Window = None,
    model: options.Model = None,
    seed: options.Seed = None,
    dry_run: options.DryRun = False,
    market: options.Market = "default",
    sets: options.Sets = None,
    out: options.Out = Path("results"),
    json_out: options.JsonToo = None,
    csv: options.Csv = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    xlsx: options.Xlsx = None,
    no_color: options.NoColor = False,
) -> int:
    """Measure both workloads under several power limits: joules, money, what curtailing costs."""
    import secrets

    from bench.cli.exporting import Exports
    from bench.cli.sweeping import SweepRequest, run_sweep

    request = SweepRequest(
        gpu=gpu,
        device=device,
        meter="auto",
        assume_watts=None,
        sim_faults=tuple(sim_fault or ()),
        wait=wait,
        grade=grade.value,
        window_s=window,
        model=model,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        require_energy=False,
        dry_run=dry_run,
        market=market,
        sets=tuple(sets or ()),
        asic=None,
        strict=False,
        out=out,
        json_out=json_out,
        no_color=no_color,
        power_limit=power_limit,
        apply=apply,
        wait_limit_s=wait_limit,
        exports=Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx),
    )
    return run_sweep(request)
