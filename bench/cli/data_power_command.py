"""``bench data-power``: what the values of the weights do to joules per token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Device = Annotated[
    str | None,
    typer.Option(
        metavar="cpu",
        help="The CPU. Without --gpu and --device: the first visible NVIDIA GPU, else the CPU.",
        rich_help_panel=options.DEVICE,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="KIND,KIND,…",
        help="Some of zeros, uniform01, uniform1e-3, normal, fan-in and, of a model that comes with"
        " weights, real. Default: all of them.",
        rich_help_panel=options.MEASURE,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(metavar="N", help="Rows decoded at once.", rich_help_panel=options.MEASURE),
]
Context = Annotated[
    int | None,
    typer.Option(metavar="N", help="Prompt tokens of a row.", rich_help_panel=options.MEASURE),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="fp32|bf16|fp8|int4",
        help="How weights are stored and multiplied.",
        rich_help_panel=options.MEASURE,
    ),
]


def data_power_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    data: Data = None,
    gpu: options.Gpu = None,
    device: Device = None,
    meter: options.Meter = "auto",
    assume_watts: options.AssumeWatts = None,
    wait: options.Wait = False,
    model: options.Model = None,
    batch: Batch = None,
    context: Context = None,
    precision: Precision = "bf16",
    grade: options.Grade = options.GradeChoice.STANDARD,
    window: options.Window = None,
    seed: options.Seed = None,
    require_energy: options.RequireEnergy = False,
    dry_run: options.DryRun = False,
    out: options.Out = Path("results"),
    json_out: options.JsonToo = None,
    csv: options.Csv = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    xlsx: options.Xlsx = None,
    no_color: options.NoColor = False,
) -> int:
    """Decode with zeros, noise and real weights in turn: joules per token by the data."""
    import secrets

    from bench.cli.data_powering import DataPowerRequest, run_data_power
    from bench.cli.exporting import Exports

    request = DataPowerRequest(
        gpu=gpu,
        device=device,
        meter=meter,
        assume_watts=assume_watts,
        wait=wait,
        grade=grade.value,
        window_s=window,
        model=model,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        require_energy=require_energy,
        dry_run=dry_run,
        market="default",
        sets=(),
        asic=None,
        strict=False,
        out=out,
        json_out=json_out,
        no_color=no_color,
        batch=batch,
        context=context,
        precision=precision,
        data=data,
        exports=Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx),
    )
    return run_data_power(request)
