"""What a run works with: the device asked for, its workers, its meter and its clock."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bench.cli.refusal import ENVIRONMENT, USAGE, Refusal
from bench.cli.request import AllRequest, Request, faults_of
from bench.plan import CALIBRATE_S, GRADES, block_seconds, steps, total_seconds
from bench.ports import Clock, Meter, MeterError, Worker
from bench.records.journal import JsonObject
from bench.records.run import DeviceFacts, WorkloadFacts
from bench.roofline import decode_bytes, fits

if TYPE_CHECKING:
    from bench.records.market import GpuProfile, ModelConfig, SimulationProfile
    from bench.simulate import Card

DECODE_STEPS = 256


@dataclass(frozen=True, slots=True)
class Point:
    """Where decoding is measured: precision, rows, prompt tokens per row."""

    precision: str
    batch: int
    context: int


GPU_POINT = Point("bf16", 64, 1024)
CPU_POINT = Point("fp32", 8, 128)
BF16_BYTES = 2


@dataclass(frozen=True, slots=True)
class Hashing:
    """The hash kernel to run, "BACKEND:VARIANT", and what joins its recorded configuration."""

    kernel: str
    known: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """The device, what is known of its kind, and the simulated card where it is one."""

    facts: DeviceFacts
    profile: GpuProfile | None
    card: Card | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Rig:
    """The opened meter, the clock, and how to start workers by name for a window and a seed."""

    meter: Meter
    clock: Clock
    start_workers: Callable[[Sequence[str], float, int], dict[str, Worker]]


def find_target(request: Request) -> Target:
    """The device asked for; without one the first visible GPU, else the CPU and a note."""
    if request.device is not None and request.device.startswith("sim:"):
        return _simulated(request.device.removeprefix("sim:"), request)
    if request.device == "cpu":
        return _cpu(None)
    from bench.meters.nvml import first_visible, resolve

    if request.gpu is not None:
        try:
            return _gpu(resolve(request.gpu))
        except MeterError as error:
            raise Refusal(ENVIRONMENT, str(error)) from error
    try:
        return _gpu(first_visible())
    except MeterError as error:
        why = str(error).partition(";")[0]
        return _cpu(f"No usable NVIDIA GPU ({why}): measuring the CPU instead.")


def choose_model(request: AllRequest, target: Target) -> ModelConfig:
    """The model asked for, else the device's default."""
    from bench.catalogue import load_model

    if target.profile is not None and target.facts.kind == "sim":
        simulated = _simulation(target.profile).loads["decode"].config["model"]
        if request.model not in (None, simulated):
            text = f"--model {request.model}: {target.facts.name} simulates {simulated} only"
            raise Refusal(USAGE, text)
        return load_model(simulated)
    if request.model is not None:
        return load_model(request.model)
    if target.facts.kind == "cpu":
        return load_model("micro")
    return _largest_that_fits(target.facts)


def open_rig(
    request: Request,
    target: Target,
    model: ModelConfig | None,
    hashing: Hashing | None = None,
    decoding: Mapping[str, Any] = MappingProxyType({}),
) -> Rig:
    """Open the meter; a Refusal says what is missing. Without a model nothing can be decoded.

    Any kernel hashes where none is named; ``decoding`` are arguments of the decoder in place of
    the device's own point, which no simulated card heeds.
    """
    if target.card is not None:
        return _simulated_rig(request, target, target.card, hashing)
    from bench.machine import RealClock
    from bench.meters.sim import open_beside

    clock = RealClock()

    def start_workers(names: Sequence[str], window_s: float, seed: int) -> dict[str, Worker]:
        hash_arguments = _hash_arguments(target.facts, hashing, window_s, seed)
        arguments = {"sha256d": hash_arguments}
        if model is not None:
            arguments["decode"] = {**_decode_arguments(target.facts, model, seed), **decoding}
        known = {"sha256d": hashing.known if hashing else {}}
        return _start_workers({name: arguments[name] for name in names}, target, known)

    def simulated(name: str | None) -> Meter:
        return open_beside(_card(name or "")[1], clock, request.seed, target.facts)

    return Rig(_open_meter(request, target, simulated, clock), clock, start_workers)


def _open_meter(
    request: Request, target: Target, simulated: Callable[[str | None], Meter], clock: Clock
) -> Meter:
    from bench.meters import open_meter

    try:
        return open_meter(request.instrument, target.facts, simulated, clock)
    except MeterError as error:
        raise Refusal(ENVIRONMENT, str(error)) from error
    except ValueError as error:
        raise Refusal(USAGE, str(error)) from error


def _start_workers(
    arguments: dict[str, dict[str, Any]], target: Target, known: dict[str, JsonObject]
) -> dict[str, Worker]:
    from bench.store import cache_dir
    from bench.workers import ProcessWorker

    cache = cache_dir()
    environment = {
        "CUDA_VISIBLE_DEVICES": target.facts.uuid or "",
        "NUMBA_CACHE_DIR": str(cache / "numba"),
        "CUPY_CACHE_DIR": str(cache / "cupy"),
    }
    try:
        return {
            name: ProcessWorker(name, given, environment, known.get(name))
            for name, given in arguments.items()
        }
    except OSError as error:
        text = f"cannot start the worker processes: {error.strerror}; raise the limits (ulimit -a)"
        raise Refusal(ENVIRONMENT, text) from error


def _hash_arguments(
    device: DeviceFacts, hashing: Hashing | None, window_s: float, seed: int
) -> dict[str, Any]:
    if device.kind == "cpu":
        chosen = {"device": "cpu", "kernel": "numba-cpu", "threads": device.threads}
    else:
        kernel = "cupy" if importlib.util.find_spec("cupy") else "numba-cuda"
        chosen = {"device": "cuda", "kernel": kernel}
    named = {"kernel": hashing.kernel} if hashing else {}
    return {**chosen, **named, "window_s": window_s, "seed": seed}


def _decode_arguments(device: DeviceFacts, model: ModelConfig, seed: int) -> dict[str, Any]:
    return {
        "device": "cpu" if device.kind == "cpu" else "cuda",
        "model": {"name": model.name, **model.config},
        "weights": model.weights,
        "threads": device.threads,
        "steps": DECODE_STEPS,
        "seed": seed,
        **asdict(CPU_POINT if device.kind == "cpu" else GPU_POINT),
    }


def _largest_that_fits(device: DeviceFacts) -> ModelConfig:
    from bench.catalogue import load_model

    tokens = GPU_POINT.context + DECODE_STEPS
    for name in ("8b", "1b"):
        model = load_model(name)
        needed = decode_bytes(model.config, GPU_POINT.batch, tokens, BF16_BYTES)
        if device.memory_bytes is None or fits(needed, device.memory_bytes):
            return model
    text = f"neither 8b nor 1b fits {device.name}: name a smaller one with --model"
    raise Refusal(ENVIRONMENT, text)


def _cpu(note: str | None) -> Target:
    from bench.machine import cpu_device

    return Target(cpu_device(), None, None, note)


def _gpu(facts: DeviceFacts) -> Target:
    from dataclasses import replace

    from bench.catalogue import find_gpu
    from bench.cli.leftover import put_back

    profile = find_gpu(facts.name)
    facts, note = put_back(facts)
    named = replace(facts, profile=profile.name if profile else None)
    return Target(named, profile, None, note)


def _card(name: str) -> tuple[GpuProfile, Card]:
    from bench.catalogue import load_gpu
    from bench.simulate import card_of

    profile = load_gpu(name)
    card = card_of(profile)
    if card is None:
        raise Refusal(USAGE, f"sim:{name}: the profile {name} describes no simulation")
    return profile, card


def _simulated(name: str, request: Request) -> Target:
    from bench.simulate import KINDS

    profile, card = _card(name)
    faults = faults_of(request)
    facts = DeviceFacts(
        kind="sim",
        name=f"sim:{name}",
        uuid=f"SIM-{name}",
        compute_capability=profile.compute_capability,
        memory_bytes=int(profile.memory_bytes.value),
        power_limit_w=profile.tdp_w.value,
        power_limit_default_w=profile.tdp_w.value,
        power_limit_max_w=profile.tdp_w.value,
        profile=profile.name,
        features=tuple(f"sim-fault {fault}" for fault in faults),
        truth=None if any(KINDS[fault.name].of_work for fault in faults) else card.truth,
    )
    return Target(facts, profile, card, f"{name} is simulated: its power and rates are made up.")


def _simulated_rig(request: Request, target: Target, card: Card, hashing: Hashing | None) -> Rig:
    """Meter and workers around one simulated device on virtual time."""
    from bench.machine import VirtualClock
    from bench.meters.sim import SimulatedMeter
    from bench.simulate import SimulatedDevice
    from bench.workers import SimulatedWorker

    assert target.profile is not None, "a simulated card comes from a profile"
    loads = _simulation(target.profile).loads
    clock = VirtualClock()
    strike_s = _strike_s(request)
    device = SimulatedDevice(card, request.seed, faults=faults_of(request), strike_s=strike_s)

    def start_workers(names: Sequence[str], _window_s: float, _seed: int) -> dict[str, Worker]:
        configs = {name: loads[name].config for name in names}
        if hashing is not None:
            configs["sha256d"] = {"kernel": "plain", **hashing.known}
        return {
            name: SimulatedWorker(_simulated_facts(name, configs[name]), device, clock)
            for name in names
        }

    def simulated(name: str | None) -> Meter:
        if name not in (None, card.name):
            raise Refusal(USAGE, f"--meter sim:{name}: {target.facts.name} has a sensor of its own")
        return SimulatedMeter(device, clock, mismatch=False)

    return Rig(_open_meter(request, target, simulated, clock), clock, start_workers)


def _strike_s(request: Request) -> float:
    """When faults strike that were given no moment: amid the blocks, else amid a calibration."""
    if not isinstance(request, AllRequest):
        return CALIBRATE_S / 2
    grade = GRADES[request.grade]
    block_s = block_seconds(grade, request.window_s, None)
    calibrate, names = grade.ranked, request.workloads
    plan = steps(
        grade, names, block_s=block_s, metered=True, calibrate=calibrate, setup_s={}, sensor=None
    )
    first = [step.name for step in plan].index("block")
    blocks_s = total_seconds(step for step in plan if step.name == "block")
    return total_seconds(plan[:first]) + blocks_s / 2


def _simulated_facts(name: str, config: dict[str, Any]) -> WorkloadFacts:
    hashing = name == "sha256d"
    return WorkloadFacts(
        name=name,
        backend="cupy" if hashing else "torch",
        unit="hash" if hashing else "token",
        tier=None if hashing else "T1",
        config=config or {"kernel": "plain"},
    )


def _simulation(profile: GpuProfile) -> SimulationProfile:
    assert profile.simulation is not None, "only a profile with a simulation becomes a card"
    return profile.simulation
