"""``bench compare``: stored runs side by side, each card against the first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

POINT = "Operating point"
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE…", help="Records of runs, the baseline's first.")
]
BestUnder = Annotated[
    str | None,
    typer.Option(
        metavar="TPOT=MS",
        help="Each card at its fastest point under this time per output token, p99; the default,"
        " at TPOT=50ms.",
        rich_help_panel=POINT,
    ),
]
LikeForLike = Annotated[
    bool,
    typer.Option(
        "--like-for-like",
        help="Every card at the baseline's model, precision and batch.",
        rich_help_panel=POINT,
    ),
]


def compare_command(
    files: Files,
    *,
    best_under: BestUnder = None,
    like_for_like: LikeForLike = False,
    market: options.Market = "default",
    sets: options.Sets = None,
    strict: options.Strict = False,
    json_out: options.JsonToo = None,
    csv: options.Csv = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    xlsx: options.Xlsx = None,
    no_color: options.NoColor = False,
) -> int:
    """Hold stored runs against the first: ratios with intervals, what is not comparable, money."""
    from bench.cli.comparing import CompareRequest, run_compare
    from bench.cli.exporting import Exports

    return run_compare(
        CompareRequest(
            files=tuple(files),
            best_under=best_under,
            like_for_like=like_for_like,
            market=market,
            sets=tuple(sets or ()),
            strict=strict,
            exports=Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx),
            json_out=json_out,
            no_color=no_color,
        )
    )
