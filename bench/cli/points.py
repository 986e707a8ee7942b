"""The operating points of ``bench infer``: a scenario with its lists → one inference a point."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.cli.inference import DECODE_STEPS, MIX, SLO_TPOT_S, Inference
from bench.cli.refusal import USAGE, Refusal
from bench.kernels.decoder.config import PRECISIONS
from bench.records.journal import JsonObject
from bench.records.market import ModelConfig

MOST_POINTS = 64
MOST_TOKENS = 2**24
LONGEST_COUNT = 40
"""Digits: Python reads no number of thousands of them."""
LONGEST_TPOT_S = 10.0
CPU_MIX = 64
_SECONDS = re.compile(r"([0-9]+\.?[0-9]*)(ms|s)?", re.IGNORECASE)
ENDPOINT = "endpoint"
WORKLOAD = {
    "serve": "serve",
    "decode": "decode",
    "single": "decode",
    "prefill": "prefill",
    "mixed": "serve",
    "frontier": "serve",
    ENDPOINT: ENDPOINT,
}
"""The workload that a scenario is made of."""
AXES = {
    "serve": ("precision", "batch", "prompt", "output"),
    "decode": ("precision", "batch", "context"),
    "single": ("precision", "context"),
    "prefill": ("precision", "batch", "prompt"),
    "mixed": ("precision", "batch", "prompt", "output"),
    "frontier": ("precision", "batch", "prompt", "output"),
    ENDPOINT: ("batch", "prompt", "output"),
}
"""What each can be swept over, in the order of the sweep."""
Axes = Mapping[str, Sequence[Any]]
GPU_AXES: dict[str, Axes] = {
    "serve": {"batch": (None,), "prompt": (MIX,), "output": (MIX,)},
    "decode": {"batch": (64,), "context": (1024,)},
    "single": {"context": (512, 4096, 32768)},
    "prefill": {"batch": (1,), "prompt": (512, 2048, 8192, 32768)},
    "mixed": {"batch": (None,), "prompt": (MIX,), "output": (MIX,)},
    "frontier": {"batch": (1, 4, 16, 64, 256), "prompt": (MIX,), "output": (MIX,)},
    ENDPOINT: {"batch": (8,), "prompt": (MIX,), "output": (MIX,)},
}
CPU_AXES: dict[str, Axes] = {
    "serve": {"batch": (8,), "prompt": (CPU_MIX,), "output": (CPU_MIX,)},
    "decode": {"batch": (8,), "context": (128,)},
    "single": {"context": (128, 512)},
    "prefill": {"batch": (1,), "prompt": (64, 256)},
    "mixed": {"batch": (8,), "prompt": (CPU_MIX,), "output": (CPU_MIX,)},
    "frontier": {"batch": (1, 2, 4, 8), "prompt": (CPU_MIX,), "output": (CPU_MIX,)},
    ENDPOINT: GPU_AXES[ENDPOINT],
}
"""What is run where nothing was asked for; ``micro`` holds 1024 tokens."""
PLAIN = {True: ("fp32",), False: ("bf16",)}
"""The precision on a CPU, and on a GPU."""
GPU_MIXES = ((128, 128), (1024, 1024), (8192, 1024), (1024, 8192))
CPU_MIXES = ((32, 32), (128, 32), (32, 128))
"""Prompt and generated tokens of mixed requests, each with all of a length and ragged."""


@dataclass(frozen=True, slots=True)
class Given:
    """The lists as given, null where an option was left out."""

    precision: str | None = None
    batch: str | None = None
    context: str | None = None
    prompt: str | None = None
    output: str | None = None
    slo_tpot: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server: ``rate_hz`` sends Poisson arrivals, else requests in flight."""

    url: str
    model_id: str | None
    tier: str
    rate_hz: float | None


@dataclass(frozen=True, slots=True)
class Points:
    """Operating points by the names that their rows bear, in order: what differs between them.

    ``common`` is what they share, such as "bf16 1024/1024".
    """

    common: str
    named: dict[str, Inference]


def points_of(
    scenario: str, given: Given, model: ModelConfig | None, *, cpu: bool, server: Server | None
) -> Points:
    """Every point asked for; Refusal for a list that makes no sense."""
    slo_s = _slo(given.slo_tpot)
    axes = list(_axes(scenario, given, cpu=cpu))
    if (count := math.prod(map(len, axes))) > MOST_POINTS:
        raise Refusal(USAGE, f"{count} points: give lists of at most {MOST_POINTS} in all")
    workload = WORKLOAD[scenario]
    points = [
        {name: value for part in parts for name, value in part.items()}
        for parts in itertools.product(*axes)
    ]
    told = [_told(values, in_flight=server is not None) for values in points]
    shared = set.intersection(*map(set, told))
    names = [" ".join(part for part in parts if part not in shared) for parts in told]
    common = " ".join(part for part in told[0] if part in shared)
    return Points(
        common,
        {
            name or common: Inference(workload, model, _arguments(workload, each, slo_s, server))
            for name, each in zip(names, points, strict=True)
        },
    )


def unused(scenario: str, given: Given) -> list[str]:
    """The options given that the scenario has no use for."""
    named = ("precision", "batch", "context", "prompt", "output")
    idle = [f"--{name}" for name in named if getattr(given, name) and name not in AXES[scenario]]
    looks = WORKLOAD[scenario] == "serve" and given.batch is None
    return idle + (["--slo-tpot"] if given.slo_tpot and not looks else [])


def _axes(kind: str, given: Given, *, cpu: bool) -> Iterator[list[JsonObject]]:
    """One list an axis, each entry the part of a point that it sets."""
    defaults = (CPU_AXES if cpu else GPU_AXES)[kind]
    own_mixes = kind == "mixed" and given.prompt is None and given.output is None
    for name in AXES[kind]:
        if own_mixes and name in ("prompt", "output"):
            continue
        text = getattr(given, name)
        plain = PLAIN[cpu] if name == "precision" else defaults[name]
        values = plain if text is None else _listed(name, text)
        yield [{name: value} for value in values]
    if own_mixes:
        mixes = CPU_MIXES if cpu else GPU_MIXES
        yield [{"prompt": prompt, "output": output} for prompt, output in mixes]
    if kind == "mixed":
        yield [{"mix": "fixed"}, {"mix": "ragged"}]


def _listed(name: str, text: str) -> list[Any]:
    """The entries of a comma list, each once."""
    entries = [entry.strip() for entry in text.split(",")]
    read = _precision if name == "precision" else _count
    values = [read(f"--{name} {entry or text}", entry) for entry in entries]
    if len(set(values)) < len(values):
        raise Refusal(USAGE, f"--{name} {text}: an entry is given twice")
    return values


def _precision(option: str, entry: str) -> str:
    if entry not in PRECISIONS:
        raise Refusal(USAGE, f"{option}: use one of {', '.join(PRECISIONS)}")
    return entry


def _count(option: str, entry: str) -> int:
    whole = entry.isascii() and entry.isdigit() and len(entry) <= LONGEST_COUNT
    if not whole or int(entry) == 0:
        raise Refusal(USAGE, f"{option}: use whole numbers above 0")
    if int(entry) > MOST_TOKENS:
        raise Refusal(USAGE, f"{option}: use at most {MOST_TOKENS}")
    return int(entry)


def _slo(text: str | None) -> float:
    """The limit on TPOT in seconds."""
    if text is None:
        return SLO_TPOT_S
    match = _SECONDS.fullmatch(text)
    seconds = 0.0 if match is None else float(match[1]) / (1e3 if match[2] == "ms" else 1)
    if not 0 < seconds <= LONGEST_TPOT_S:
        raise Refusal(USAGE, f"--slo-tpot {text}: write it as 50ms or 0.05")
    return seconds


def _arguments(
    workload: str, values: JsonObject, slo_s: float, server: Server | None
) -> JsonObject:
    """The keyword arguments of the workload at that point."""
    if server is not None:
        poisson = server.rate_hz is not None
        return {
            "url": server.url,
            "model_id": server.model_id,
            "tier": server.tier,
            "load": "poisson" if poisson else "closed",
            **({"rate_hz": server.rate_hz} if poisson else {}),
            "concurrency": values["batch"],
            "prompt": values["prompt"],
            "output": values["output"],
        }
    if workload == "decode":
        return {"batch": 1, "steps": DECODE_STEPS, **values}
    if workload == "serve":
        return {**values, **({"slo_tpot_s": slo_s} if values["batch"] is None else {})}
    return values


def _told(values: JsonObject, *, in_flight: bool) -> list[str]:
    """A point in words of its own: "bf16", "b64", "1024/1024", "ragged"."""
    batch = values.get("batch", 1)
    rows = None if batch is None else f"{'c' if in_flight else 'b'}{batch}"
    parts = [values.get("precision"), rows]
    if "context" in values:
        parts.append(f"context {values['context']}")
    if "output" in values:
        parts.append(f"{values['prompt']}/{values['output']}")
    elif "prompt" in values:
        parts.append(f"prompt {values['prompt']}")
    parts.append(values.get("mix"))
    return [part for part in parts if part]
