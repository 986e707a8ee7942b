"""What a run works with: the device asked for, its workers, its meter and its clock."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.cli.refusal import ENVIRONMENT, USAGE, Refusal
from bench.cli.request import Request
from bench.ports import Clock, Meter, MeterError, Worker
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
class Target:
    """The device, what is known of its kind, and the simulated card where it is one."""

    facts: DeviceFacts
    profile: GpuProfile | None
    card: Card | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Rig:
    """The opened meter, the clock, and how to start the workers once the plan stands."""

    meter: Meter
    clock: Clock
    start_workers: Callable[[float, int], dict[str, Worker]]


def find_target(request: Request) -> Target:
    """The device asked for; without one the first visible GPU, else the CPU and a note."""
    if request.device is not None and request.device.startswith("sim:"):
        return _simulated(request.device.removeprefix("sim:"))
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


def choose_model(request: Request, target: Target) -> ModelConfig:
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


def open_rig(request: Request, target: Target, model: ModelConfig) -> Rig:
    """Open the meter; a Refusal says what is missing."""
    if target.card is not None:
        return _simulated_rig(request, target, target.card)
    from bench.machine import RealClock
    from bench.meters.sim import open_beside

    clock = RealClock()

    def start_workers(window_s: float, seed: int) -> dict[str, Worker]:
        return _start_workers(target, model, window_s, seed)

    def simulated(name: str | None) -> Meter:
        return open_beside(_card(name or "")[1], clock, request.seed, target.facts)

    return Rig(_open_meter(request, target, simulated), clock, start_workers)


def _open_meter(
    request: Request, target: Target, simulated: Callable[[str | None], Meter]
) -> Meter:
    from bench.meters import open_meter

    try:
        return open_meter(request.meter_spec, target.facts, simulated)
    except MeterError as error:
        raise Refusal(ENVIRONMENT, str(error)) from error
    except ValueError as error:
        raise Refusal(USAGE, str(error)) from error


def _start_workers(
    target: Target, model: ModelConfig, window_s: float, seed: int
) -> dict[str, Worker]:
    from bench.store import cache_dir
    from bench.workers import ProcessWorker

    cache = cache_dir()
    environment = {
        "CUDA_VISIBLE_DEVICES": target.facts.uuid or "",
        "NUMBA_CACHE_DIR": str(cache / "numba"),
        "CUPY_CACHE_DIR": str(cache / "cupy"),
    }
    arguments = {
        "sha256d": _hash_arguments(target.facts, window_s, seed),
        "decode": _decode_arguments(target.facts, model, seed),
    }
    try:
        return {name: ProcessWorker(name, given, environment) for name, given in arguments.items()}
    except OSError as error:
        text = f"cannot start the worker processes: {error.strerror}; raise the limits (ulimit -a)"
        raise Refusal(ENVIRONMENT, text) from error


def _hash_arguments(device: DeviceFacts, window_s: float, seed: int) -> dict[str, Any]:
    if device.kind == "cpu":
        chosen = {"device": "cpu", "kernel": "numba-cpu", "threads": device.threads}
    else:
        kernel = "cupy" if importlib.util.find_spec("cupy") else "numba-cuda"
        chosen = {"device": "cuda", "kernel": kernel}
    return {**chosen, "window_s": window_s, "seed": seed}


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

    profile = find_gpu(facts.name)
    named = replace(facts, profile=profile.name if profile else None)
    return Target(named, profile, None, None)


def _card(name: str) -> tuple[GpuProfile, Card]:
    from bench.catalogue import load_gpu
    from bench.simulate import card_of

    profile = load_gpu(name)
    card = card_of(profile)
    if card is None:
        raise Refusal(USAGE, f"sim:{name}: the profile {name} describes no simulation")
    return profile, card


def _simulated(name: str) -> Target:
    profile, card = _card(name)
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
        truth=card.truth,
    )
    return Target(facts, profile, card, f"{name} is simulated: its power and rates are made up.")


def _simulated_rig(request: Request, target: Target, card: Card) -> Rig:
    """Meter and workers around one simulated device on virtual time."""
    from bench.machine import VirtualClock
    from bench.meters.sim import SimulatedMeter
    from bench.simulate import SimulatedDevice
    from bench.workers import SimulatedWorker

    assert target.profile is not None, "a simulated card comes from a profile"
    loads = _simulation(target.profile).loads
    clock = VirtualClock()
    device = SimulatedDevice(card, request.seed)

    def start_workers(_window_s: float, _seed: int) -> dict[str, Worker]:
        return {
            name: SimulatedWorker(_simulated_facts(name, load.config), device, clock)
            for name, load in loads.items()
        }

    def simulated(name: str | None) -> Meter:
        if name not in (None, card.name):
            raise Refusal(USAGE, f"--meter sim:{name}: {target.facts.name} has a sensor of its own")
        return SimulatedMeter(device, clock, mismatch=False)

    return Rig(_open_meter(request, target, simulated), clock, start_workers)


def _simulated_facts(name: str, config: dict[str, Any]) -> WorkloadFacts:
    hashing = name == "sha256d"
    return WorkloadFacts(
        name=name,
        backend="cupy" if hashing else "torch",
        unit="hash" if hashing else "token",
        tier=None if hashing else "T1",
        config={"kernel": "plain"} if hashing else config,
    )


def _simulation(profile: GpuProfile) -> SimulationProfile:
    assert profile.simulation is not None, "only a profile with a simulation becomes a card"
    return profile.simulation
