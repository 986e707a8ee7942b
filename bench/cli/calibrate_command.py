"""``bench calibrate``: how the power sensor sees, and how far it is off the user's own meter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Against = Annotated[
    Path | None,
    typer.Option(
        metavar="METER.csv",
        help="Your own meter's recording of the same minutes (time, watts): fits gain, offset"
        " and lag, which narrows the absolute interval of every later run on this card.",
        rich_help_panel=options.MEASURE,
    ),
]
Journal = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        help="Judge the journal of an earlier calibration instead of running a new one.",
        rich_help_panel=options.MEASURE,
    ),
]


def calibrate_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    gpu: options.Gpu = None,
    device: options.Device = None,
    meter: options.Meter = "auto",
    wait: options.Wait = False,
    against: Against = None,
    journal: Journal = None,
    seed: options.Seed = None,
    out: options.Out = Path("results"),
    json_out: options.JsonOut = None,
    no_color: options.NoColor = False,
) -> int:
    """Characterise the power sensor: update period, window, lag, duty, kind."""
    import secrets

    from bench.cli.calibrating import CalibrateRequest, run_calibrate

    request = CalibrateRequest(
        gpu=gpu,
        device=device,
        meter=meter,
        assume_watts=None,
        wait=wait,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        out=out,
        json_out=json_out,
        no_color=no_color,
        against=against,
        journal=journal,
    )
    return run_calibrate(request)
