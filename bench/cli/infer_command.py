"""``bench infer``: the token side alone, a scenario at one operating point or swept over many."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options


class ScenarioChoice(StrEnum):
    """The scenarios as the command line spells them."""

    SERVE = "serve"
    DECODE = "decode"
    SINGLE = "single"
    PREFILL = "prefill"
    MIXED = "mixed"
    FRONTIER = "frontier"


POINT = "Operating point (lists apart by commas are swept)"
Scenario = Annotated[
    ScenarioChoice | None,
    typer.Option(
        help="serve: requests in steady state; decode: offline decode; single: decode of one row;"
        " prefill; mixed: serve over several mixes, fixed and ragged; frontier: serve over batches."
        " Default: serve on a GPU, decode on a CPU.",
        rich_help_panel=POINT,
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,…",
        help="Rows, or requests in flight at an endpoint. Without it serve finds the largest"
        " batch under --slo-tpot on a GPU.",
        rich_help_panel=POINT,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,…", help="Cached tokens a row when decoding begins.", rich_help_panel=POINT
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(metavar="N,N,…", help="Prompt tokens of a request.", rich_help_panel=POINT),
]
Output = Annotated[
    str | None,
    typer.Option(metavar="N,N,…", help="Generated tokens of a request.", rich_help_panel=POINT),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,…", help="fp32, bf16, fp8, int4, as the device can.", rich_help_panel=POINT
    ),
]
SloTpot = Annotated[
    str | None,
    typer.Option(
        metavar="50ms", help="Limit on TPOT p99 that finds the batch.", rich_help_panel=POINT
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Real weights: a Hugging Face directory of safetensors.",
        rich_help_panel=options.MEASURE,
    ),
]
SERVER = "A server on this host"
Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Measure an OpenAI-compatible server instead.", rich_help_panel=SERVER
    ),
]
ModelId = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="Its model, by which tokens are priced.", rich_help_panel=SERVER
    ),
]
Tier = Annotated[
    str | None,
    typer.Option(metavar="T0…T3", help="Its tier; default T2, an engine.", rich_help_panel=SERVER),
]
Rate = Annotated[
    float | None,
    typer.Option(
        metavar="HZ",
        help="Poisson arrivals a second instead of a fixed number in flight.",
        rich_help_panel=SERVER,
    ),
]


def infer_command(  # noqa: PLR0917  # long: one parameter an option; Typer passes keywords
    scenario: Scenario = None,
    batch: Batch = None,
    context: Context = None,
    prompt: Prompt = None,
    output: Output = None,
    precision: Precision = None,
    slo_tpot: SloTpot = None,
    model: options.Model = None,
    weights: Weights = None,
    endpoint: Endpoint = None,
    model_id: ModelId = None,
    tier: Tier = None,
    rate: Rate = None,
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
    """Measure the token side alone: rates, latencies, joules per token, at one point or many."""
    import secrets

    from bench.cli.exporting import Exports
    from bench.cli.inferring import InferRequest, run_infer
    from bench.cli.points import Given

    request = InferRequest(
        scenario=None if scenario is None else scenario.value,
        given=Given(precision, batch, context, prompt, output, slo_tpot),
        weights=weights,
        endpoint=endpoint,
        model_id=model_id,
        tier=tier,
        rate_hz=rate,
        gpu=gpu,
        device=device,
        meter=meter,
        assume_watts=assume_watts,
        sim_faults=tuple(sim_fault or ()),
        wait=wait,
        grade=grade.value,
        window_s=window,
        model=model,
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
        exports=Exports(csv=csv, markdown=markdown, html=html, xlsx=xlsx, junit=junit),
    )
    return run_infer(request)
