"""``bench hash``: the hash side alone, one kernel or all of them side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Kernel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|all",
        help="BACKEND or BACKEND:VARIANT, such as cupy:balanced or numba-cpu:avx2; all compares"
        " every one that this device runs. Default: the thriftiest known for this device, else"
        " the plain one.",
        rich_help_panel=options.MEASURE,
    ),
]


def hash_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    kernel: Kernel = None,
    gpu: options.Gpu = None,
    device: options.Device = None,
    meter: options.Meter = "auto",
    assume_watts: options.AssumeWatts = None,
    sim_fault: options.SimFaults = None,
    wait: options.Wait = False,
    grade: options.Grade = options.GradeChoice.STANDARD,
    window: options.Window = None,
    seed: options.Seed = None,
    require_energy: options.RequireEnergy = False,
    dry_run: options.DryRun = False,
    market: options.Market = "default",
    sets: options.Sets = None,
    asic: options.Asic = None,
    strict: options.Strict = False,
    out: options.Out = Path("results"),
    json_out: options.JsonToo = None,
    csv: options.Csv = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    xlsx: options.Xlsx = None,
    junit: options.Junit = None,
    no_color: options.NoColor = False,
) -> int:
    """Measure the hash side alone: rate, joules per hash, share of what bounds the kernel."""
    import secrets

    from bench.cli.exporting import Exports
    from bench.cli.hashing import HashRequest, run_hash

    request = HashRequest(
        gpu=gpu,
        device=device,
        meter=meter,
        assume_watts=assume_watts,
        sim_faults=tuple(sim_fault or ()),
        wait=wait,
        grade=grade.value,
        window_s=window,
        model=None,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        require_energy=require_energy,
        dry_run=dry_run,
        market=market,
        sets=tuple(sets or ()),
        asic=asic,
        strict=strict,
        out=out,
        json_out=json_out,
        no_color=no_color,
        kernel=kernel,
        exports=Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx, junit=junit),
    )
    return run_hash(request)
