"""``--dry-run``: the plan of a run, step by step, with its minutes and its most kWh."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from bench.cli.output import write_json
from bench.cli.refusal import OK
from bench.cli.request import AllRequest
from bench.plan import total_seconds
from bench.records.record import Plan
from bench.records.run import DeviceFacts, MeterFacts
from bench.report.screen import say
from bench.report.text import duration

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/plan/1"
FIRST_SETUP_S = {
    "sha256d": 6.0, "sha256d.verify": 1.0, "decode": 6.0, "decode.verify": 2.0,
    "serve": 40.0, "serve.verify": 10.0, "prefill": 10.0, "prefill.verify": 5.0,
    "endpoint": 5.0, "endpoint.verify": 5.0,
}  # fmt: skip
"""What preparing takes where nothing is cached yet; later runs remember what theirs took."""
WARM_SETUP_S = {
    "sha256d": 2.5, "sha256d.verify": 1.0, "decode": 5.0, "decode.verify": 2.0,
    "serve": 25.0, "serve.verify": 8.0, "prefill": 6.0, "prefill.verify": 3.0,
    "endpoint": 5.0, "endpoint.verify": 5.0,
}  # fmt: skip
"""What it takes once compiled code is cached; stands in until a second run has shown it."""
AROUND_S = 2.0
"""Starting Python and its imports, and writing the record."""
VIRTUAL = "the steps pass on virtual time"
UNSTATED = "nothing states this device's power; --assume-watts W does"


def show_plan(  # noqa: PLR0917 - what a plan is shown of
    plan: Plan,
    meter: MeterFacts,
    device: DeviceFacts,
    request: AllRequest,
    console: Console,
    several: Mapping[str, Sequence[str]],
) -> int:
    """--dry-run: every step with its seconds, the whole with its most kWh.

    ``several`` names the runs of a comparison by what they are (or nothing): each takes the steps.
    """
    simulated = device.kind == "sim"
    names = [name for runs in several.values() for name in runs]
    seconds = max(1, len(names)) * (AROUND_S + (0.0 if simulated else total_seconds(plan.steps)))
    watts = None if simulated else meter.constant_w or device.power_limit_w
    kwh = None if watts is None else watts * seconds / 3.6e6
    for step in plan.steps:
        say(console, f"{step.total_s:7.1f} s  {step.name} {step.workload or ''}")
    reason = None if kwh is not None else VIRTUAL if simulated else UNSTATED
    most = f"kWh unknown: {reason}" if kwh is None else f"at most {kwh:.4f} kWh"
    each = f" these steps for each of {', '.join(names)}:" if names else ""
    say(console, f"{device.name}:{each} {duration(seconds)} in all, {most}")
    document = {
        "schema": SCHEMA,
        "seconds": round(seconds, 3),
        "kwh": kwh,
        "kwh_reason": reason,
        "device": device.name,
        "grade": plan.grade,
        **several,
        "steps": [asdict(step) for step in plan.steps],
    }
    write_json(request, json.dumps(document, indent=2) + "\n")
    return OK
