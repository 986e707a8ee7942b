"""What a device infers: the workload, its operating point, the model; and each device's default.

A point is the keyword arguments of a workload, JSON values; what a device adds to them (threads,
weights, seed) is the rig's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.cli.refusal import ENVIRONMENT, USAGE, Refusal
from bench.predict.limits import why_not
from bench.predict.point import Asked
from bench.predict.simulated import as_computed, kv_element_bytes, scale_of
from bench.records.journal import JsonObject
from bench.records.run import DeviceFacts, Truth, WorkloadFacts
from bench.roofline import decode_bytes, fits

if TYPE_CHECKING:
    from bench.records.market import GpuProfile, ModelConfig, SimulatedLoad

DECODE_STEPS = 256
MIX = 1024
"""Prompt tokens, and as many generated ones, of a request of the default mix."""
SLO_TPOT_S = 0.05
LEAST_ROWS = 8
"""Rows of the default mix that a model has to leave room for, to be a card's default."""
BF16_BYTES = 2
PHASES = ("prefill", "decode")
EXPECTED_PHASES = {"serve": PHASES}
"""What a plan reckons with until the workload has said what it can run alone."""
CPU_DECODE: JsonObject = {"precision": "fp32", "batch": 8, "context": 128, "steps": DECODE_STEPS}
GPU_DECODE: JsonObject = {"precision": "bf16", "batch": 64, "context": 1024, "steps": DECODE_STEPS}
GPU_SERVE: JsonObject = {
    "precision": "bf16",
    "batch": None,
    "prompt": MIX,
    "output": MIX,
    "slo_tpot_s": SLO_TPOT_S,
}


@dataclass(frozen=True, slots=True)
class Inference:
    """The workload by its entry point, its arguments, and the model; null where a server has it."""

    workload: str
    model: ModelConfig | None
    arguments: JsonObject


def default_inference(device: DeviceFacts, gpu: GpuProfile | None, model: ModelConfig) -> Inference:
    """What ``bench all`` infers: the priced operating point on a GPU, offline decode on a CPU.

    A simulated card computes in the precision that its profile states.
    """
    if device.kind == "cpu":
        return Inference("decode", model, CPU_DECODE)
    if device.kind != "sim":
        return Inference("serve", model, GPU_SERVE)
    loads = _loads(gpu)
    precision = loads["decode"].config["precision"]
    if "prefill" not in loads:
        return Inference("decode", model, {**GPU_DECODE, **_point(loads["decode"])})
    return Inference("serve", model, {**GPU_SERVE, "precision": precision})


def default_model(device: DeviceFacts, gpu: GpuProfile | None, asked: str | None) -> ModelConfig:
    """The model asked for, else the device's default; a simulated card has one alone."""
    from bench.catalogue import load_model

    if device.kind == "sim":
        simulated = _loads(gpu)["decode"].config["model"]
        if asked not in (None, simulated):
            raise Refusal(USAGE, f"--model {asked}: {device.name} simulates {simulated} only")
        return load_model(simulated)
    if asked is not None:
        return load_model(asked)
    return load_model("micro") if device.kind == "cpu" else _largest_that_fits(device)


def _largest_that_fits(device: DeviceFacts) -> ModelConfig:
    from bench.catalogue import load_model

    for name in ("8b", "1b"):
        model = load_model(name)
        needed = decode_bytes(model.config, LEAST_ROWS, 2 * MIX, BF16_BYTES)
        if device.memory_bytes is None or fits(needed, device.memory_bytes):
            return model
    text = f"neither 8b nor 1b fits {device.name}: name a smaller one with --model"
    raise Refusal(ENVIRONMENT, text)


@dataclass(frozen=True, slots=True)
class Simulated:
    """An inference as a simulated card would do it: its known answers and what it says of itself.

    ``truth`` holds the workload and, under "workload.phase", each phase it can run alone.
    """

    truth: dict[str, Truth]
    facts: WorkloadFacts


def simulated(gpu: GpuProfile, inference: Inference) -> Simulated:
    """By the card's stated loads; Refusal for a point that it cannot run."""
    assert inference.model is not None, "a simulated card serves no endpoint"
    try:
        _require_context(inference.model, inference.arguments)
        match inference.workload:
            case "decode":
                return _decode(gpu, inference)
            case "prefill":
                return _prefill(gpu, inference)
            case "serve":
                return _serve(gpu, inference)
    except ValueError as error:
        raise Refusal(USAGE, f"sim:{gpu.name}: {error}") from error
    raise Refusal(USAGE, f"sim:{gpu.name} simulates serve, decode and prefill only")


def _require_context(model: ModelConfig, given: JsonObject) -> None:
    """ValueError for more tokens than the model can hold, as the decoder itself refuses them."""
    lengths = [given[name] for name in ("context", "steps", "prompt", "output") if name in given]
    if sum(lengths) > model.config["max_context"]:
        text = f"{' + '.join(map(str, lengths))} tokens exceed the {model.config['max_context']}"
        raise ValueError(f"{text} that {model.name} can hold: lower one of them")


def _decode(gpu: GpuProfile, inference: Inference) -> Simulated:
    loads, given = _loads(gpu), inference.arguments
    config = {"model": loads["decode"].config["model"], **given}
    if "prefill" not in loads and _point(loads["decode"]).items() <= given.items():
        rate, watts = loads["decode"].units_per_s.value, loads["decode"].watts.value
        return Simulated({"decode": Truth(watts / rate, rate)}, _facts("decode", config))
    asked = _asked(inference, given["context"], given["steps"], given["batch"])
    rows = _require_room(gpu, asked)
    step = scale_of(gpu, asked.model).decode(asked.precision, rows, asked.mean_context)
    facts = _working(_facts("decode", config), asked, batch=rows, mean_context=asked.mean_context)
    return Simulated({"decode": step.truth(rows)}, facts)


def _prefill(gpu: GpuProfile, inference: Inference) -> Simulated:
    given = inference.arguments
    asked = _asked(inference, given["prompt"], 1, given["batch"])
    _require_room(gpu, asked)
    fill = scale_of(gpu, asked.model).prefill(asked.precision, asked.prompt)
    config = {"model": asked.model.name, **given}
    facts = _working(_facts("prefill", config), asked, prompt=asked.prompt)
    return Simulated({"prefill": fill.truth(asked.prompt)}, facts)


def _serve(gpu: GpuProfile, inference: Inference) -> Simulated:
    given = inference.arguments
    asked = _asked(inference, given["prompt"], given["output"], given["batch"])
    scale = scale_of(gpu, asked.model)
    if asked.batch is None:
        rows = scale.rows_under(asked)
        if rows < 1:
            raise ValueError(f"no batch keeps TPOT p99 within {1e3 * given['slo_tpot_s']:g} ms")
    else:
        rows = _require_room(gpu, asked)
    found = scale.serve(asked, rows)
    config = {
        "model": asked.model.name,
        **given,
        "batch": rows,
        "mix": {
            "in_tokens": asked.prompt,
            "out_tokens": asked.output,
            "kind": given.get("mix", "fixed"),
        },
    }
    truth = {
        "serve": found.step.truth(rows),
        "serve.prefill": found.prefill.truth(asked.prompt),
        "serve.decode": found.decode.truth(rows),
    }
    told = {"prompt": asked.prompt, "output": asked.output}
    facts = _working(
        _facts("serve", config), asked, batch=rows, mean_context=asked.mean_context, **told
    )
    return Simulated(truth, replace(facts, details={**facts.details, "phases": list(PHASES)}))


def _asked(inference: Inference, prompt: int, output: int, batch: int | None) -> Asked:
    assert inference.model is not None
    precision = as_computed(str(inference.arguments["precision"]))
    limit_s = inference.arguments["slo_tpot_s"] if batch is None else None
    kv_bytes = kv_element_bytes(precision)
    return Asked(inference.model, precision, prompt, output, batch, limit_s, None, kv_bytes)


def _require_room(gpu: GpuProfile, asked: Asked) -> int:
    assert asked.batch is not None
    if (reason := why_not(gpu, asked)) is not None:
        raise ValueError(reason)
    return asked.batch


def _loads(gpu: GpuProfile | None) -> dict[str, SimulatedLoad]:
    assert gpu is not None, "a simulated card comes from a profile"
    assert gpu.simulation is not None, "only a profile with a simulation becomes a card"
    return gpu.simulation.loads


def _point(load: SimulatedLoad) -> JsonObject:
    """The point that a stated load stands for."""
    return {name: value for name, value in load.config.items() if name != "model"}


def _working(facts: WorkloadFacts, asked: Asked, **counts: float) -> WorkloadFacts:
    """The facts with what one token stands for, as a workload on a real device tells it."""
    element_bytes = kv_element_bytes(asked.precision)
    work = {"model": asked.model.config, "precision": asked.precision, **counts}
    return replace(facts, details={"work": {**work, "bytes_per_kv": element_bytes}})


def _facts(name: str, config: JsonObject) -> WorkloadFacts:
    return WorkloadFacts(name=name, backend="torch", unit="token", tier="T1", config=config)
