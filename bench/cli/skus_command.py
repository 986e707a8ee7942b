"""``bench skus``: the procurement table, measured cards beside predicted ones."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options

POINT = "Operating point"
DRAWS = 20_000
"""Rows of 8b at 2048 tokens that still fit a 24 GB card."""


class PrecisionChoice(StrEnum):
    """Weights as the command line spells them; int8 and int4 are weights only."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"


Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE…]", help="Records of runs on cards.")
]
Model = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Model that is served.", rich_help_panel=POINT)
]
Precision = Annotated[PrecisionChoice, typer.Option(help="Of its weights.", rich_help_panel=POINT)]
Mix = Annotated[
    str,
    typer.Option(metavar="IN/OUT", help="Tokens of a request, in and out.", rich_help_panel=POINT),
]
Context = Annotated[
    int | None,
    typer.Option(
        metavar="TOKENS",
        min=1,
        help="Cached tokens a decode step reads. Default: in + out/2.",
        rich_help_panel=POINT,
    ),
]
BestUnder = Annotated[
    str | None,
    typer.Option(
        metavar="TPOT=MS",
        help="Each card at its largest batch under this time per output token, p99; the default,"
        " at TPOT=50ms.",
        rich_help_panel=POINT,
    ),
]
LikeForLike = Annotated[
    bool,
    typer.Option("--like-for-like", help="Every card at the same batch.", rich_help_panel=POINT),
]
Batch = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help=f"Rows of --like-for-like. Default: {options.LIKE_BATCH}.",
        rich_help_panel=POINT,
    ),
]
Cards = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,…",
        help="Cards to predict. Default: every profile without a run here.",
        rich_help_panel=options.DEVICE,
    ),
]
TeachSimulated = Annotated[
    bool,
    typer.Option(
        "--trust-simulated",
        help="Let simulated runs calibrate predictions, to try the method.",
        rich_help_panel=options.DEVICE,
    ),
]
Seed = Annotated[
    int, typer.Option(metavar="N", min=0, help="Seed of the draws.", rich_help_panel=options.MONEY)
]
Draws = Annotated[
    int,
    typer.Option(
        metavar="N", min=100, max=1_000_000, help="How many.", rich_help_panel=options.MONEY
    ),
]


def skus_command(  # noqa: PLR0917 - one parameter an option; Typer passes keywords
    files: Files = None,
    model: Model = "8b",
    precision: Precision = PrecisionChoice.BF16,
    mix: Mix = "1024/1024",
    context: Context = None,
    best_under: BestUnder = None,
    like_for_like: LikeForLike = False,
    batch: Batch = None,
    cards: Cards = None,
    trust_simulated: TeachSimulated = False,
    market: options.Market = "default",
    sets: options.Sets = None,
    seed: Seed = 0,
    draws: Draws = DRAWS,
    strict: options.Strict = False,
    csv: options.Csv = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    xlsx: options.Xlsx = None,
    json_out: options.JsonToo = None,
    no_color: options.NoColor = False,
) -> int:
    """Compare cards to buy or rent: measured ones, and predicted ones marked as such."""
    from bench.cli.exporting import Exports
    from bench.cli.procuring import SkusRequest, run_skus

    request = SkusRequest(
        files=tuple(files or ()),
        model=model,
        precision=precision.value,
        mix=mix,
        context=context,
        best_under=best_under,
        like_for_like=like_for_like,
        batch=batch,
        cards=cards,
        trust_simulated=trust_simulated,
        market=market,
        sets=tuple(sets or ()),
        seed=seed,
        draws=draws,
        strict=strict,
        exports=Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx),
        json_out=json_out,
        no_color=no_color,
    )
    return run_skus(request)
