"""``bench verdict``: stored runs judged by any market."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Records of runs.")]
FlipGrid = Annotated[
    str | None,
    typer.Option(
        "--flip",
        metavar="INPUT,INPUT",
        help="Also show which use leads over a grid of two inputs, such as utilisation,rent.",
        rich_help_panel=options.MONEY,
    ),
]


def verdict_command(
    files: Files,
    *,
    market: options.Market = "default",
    sets: options.Sets = None,
    asic: options.Asic = None,
    flip: FlipGrid = None,
    strict: options.Strict = False,
    json_out: options.JsonToo = None,
    csv: options.Csv = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    xlsx: options.Xlsx = None,
    no_color: options.NoColor = False,
) -> int:
    """Judge stored runs by a market: the answer, the ladder, the flips and what moves it."""
    from bench.cli.exporting import Exports
    from bench.cli.judging import VerdictRequest, run_verdict

    return run_verdict(
        VerdictRequest(
            files=tuple(files),
            market=market,
            sets=tuple(sets or ()),
            asic=asic,
            flip=flip,
            strict=strict,
            exports=Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx),
            json_out=json_out,
            no_color=no_color,
        )
    )
