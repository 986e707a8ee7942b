"""What every ``bench gate`` is asked, checked before the work, and where its findings go."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.output import write_json
from bench.cli.refusal import STORAGE, USAGE, Refusal
from bench.gate.judge import FEWEST_BLOCKS
from bench.machine import legible
from bench.report.exports import to_markdown
from bench.report.junit import Suite
from bench.report.screen import say
from bench.report.sheet import Sheet
from bench.store import StoreError

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/gate/1"
CONFIDENCE = 0.95
MOST_PERCENT = 1000.0
PAIRS, MOST_PAIRS = 8, 1000
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The file that GitHub Actions shows as a step's summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """The options of ``bench gate`` as given."""

    run: Path | None
    audit: bool
    baseline: Path | None
    against: str | None
    pairs: int | None
    command: tuple[str, ...]
    max_regress: str | None
    confidence: float | None
    any_device: bool
    json_out: str | None
    exports: Exports
    no_color: bool

    @property
    def regress(self) -> float | None:
        """The loss let pass, as a share; None is the default. Refusal when it is no percentage."""
        return None if self.max_regress is None else _share(self.max_regress, audit=self.audit)

    @property
    def turns(self) -> int:
        """Pairs of runs with --against."""
        return PAIRS if self.pairs is None else self.pairs

    @property
    def sure(self) -> float:
        """The confidence of each answer."""
        return CONFIDENCE if self.confidence is None else self.confidence


def checked(request: GateRequest) -> GateRequest:
    """The same, or a Refusal of what cannot be meant or could not be written afterwards."""
    _check_use(request)
    _ = request.regress
    if not 0.5 < request.sure < 1:
        text = "use a share above 0.5 and below 1, such as 0.95"
        raise Refusal(USAGE, f"--confidence {request.sure:g}: {text}")
    inputs = [path for path in (request.run, request.baseline) if path is not None]
    check_outputs(request.exports, request.json_out, inputs)
    return request


def write_findings(
    request: GateRequest,
    data: Mapping[str, Any],
    sheets: Sequence[Sheet],
    console: Console,
    suite: Suite,
) -> None:
    """Into every file that is wanted; the step's summary too, where a CI system shows one."""
    try:
        write_json(request, json.dumps({"schema": SCHEMA, **data}, indent=2) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    write_exports(request.exports, sheets, console, suite)
    _summarise(sheets, console)


def _summarise(sheets: Sequence[Sheet], console: Console) -> None:
    """Append the tables; a summary that cannot be written changes no verdict."""
    place = os.environ.get(STEP_SUMMARY)
    if not place:
        return
    try:
        with Path(place).open("a", encoding="utf-8") as out:
            out.write(to_markdown(*sheets) + "\n")
    except OSError as error:
        say(console, f"cannot write ${STEP_SUMMARY} {legible(place)}: {error.strerror}")


def _check_use(request: GateRequest) -> None:
    if request.against is not None:
        _check_against(request)
        return
    if request.pairs is not None:
        raise Refusal(USAGE, f"--pairs {request.pairs}: only --against REF measures in pairs")
    if request.command:
        text = "one run at a time; after --against REF the words after -- are what to measure"
        raise Refusal(USAGE, f"{legible(request.command[0])}: {text}")
    if request.audit:
        for given, name in ((request.run, "a run"), (request.confidence, "--confidence")):
            if given is not None:
                text = "counts are not measured; leave one of them out"
                raise Refusal(USAGE, f"--audit does not go with {name}: {text}")
    elif request.run is None:
        text = "give RUN.json, a stored run, with --baseline FILE; or --against REF; or --audit"
        raise Refusal(USAGE, f"nothing to gate: {text}")
    elif request.baseline is None:
        text = "give --baseline FILE; where there is none yet the run becomes it"
        raise Refusal(USAGE, f"nothing to hold {legible(str(request.run))} against: {text}")


def _check_against(request: GateRequest) -> None:
    for given, name in (
        (request.audit, "--audit"),
        (request.baseline is not None, "--baseline"),
        (request.any_device, "--any-device"),
    ):
        if given:
            text = "both sides are measured now, on this device; leave one of them out"
            raise Refusal(USAGE, f"--against does not go with {name}: {text}")
    if not FEWEST_BLOCKS <= request.turns <= MOST_PAIRS:
        text = f"use {FEWEST_BLOCKS} to {MOST_PAIRS}"
        raise Refusal(USAGE, f"--pairs {request.pairs}: {text}")


def _share(given: str, *, audit: bool) -> float:
    try:
        percent = float(given.strip().removesuffix("%"))
    except ValueError:
        percent = math.nan
    if audit:
        fits, text = 0 <= percent <= MOST_PERCENT, f"use percent from 0 to {MOST_PERCENT:g}"
    else:
        fits, text = 0 < percent < 100, "use percent above 0 and below 100, such as 5%"
    if not fits:
        raise Refusal(USAGE, f"--max-regress {legible(given)}: {text}")
    return percent / 100
