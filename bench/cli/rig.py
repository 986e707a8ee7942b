"""What a run works with: the device asked for, its workers, its meter and its clock."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.cli.inference import EXPECTED_PHASES, Inference, simulated
from bench.cli.refusal import ENVIRONMENT, USAGE, Refusal
from bench.cli.request import AllRequest, Request, faults_of
from bench.plan import CALIBRATE_S, GRADES, Phases, block_seconds, steps, total_seconds
from bench.ports import Clock, Meter, MeterError, Worker
from bench.records.journal import JsonObject
from bench.records.run import DeviceFacts, WorkloadFacts

if TYPE_CHECKING:
    from bench.records.market import GpuProfile
    from bench.simulate import Card

HASHED = ("sha256d",)


@dataclass(frozen=True, slots=True)
class Hashing:
    """The hash kernel to run, "BACKEND:VARIANT", and what joins its recorded configuration."""

    kernel: str
    known: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """The device, what is known of its kind, the simulated card where it is one, and what is to
    be inferred, if anything."""

    facts: DeviceFacts
    profile: GpuProfile | None
    card: Card | None
    note: str | None
    inference: Inference | None = None


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


def infer_on(target: Target, inference: Inference) -> Target:
    """The device with what it is to infer; a simulated one knows its answers there.

    Refusal where a simulated card cannot run that point.
    """
    if target.card is None or target.profile is None:
        return replace(target, inference=inference)
    known = simulated(target.profile, inference).truth
    card = replace(target.card, truth={**target.card.truth, **known})
    truth = target.facts.truth
    if truth is not None:
        truth = {name: each for name, each in truth.items() if name in HASHED} | known
    facts = replace(target.facts, truth=truth)
    return replace(target, card=card, facts=facts, inference=inference)


def measured_on(request: AllRequest, target: Target) -> tuple[str, ...]:
    """The workloads that are measured, in the order of the first round of blocks."""
    inferred = () if target.inference is None else (target.inference.workload,)
    return (*(HASHED if request.hashes else ()), *inferred)


def phases_of(workloads: Sequence[str]) -> Phases:
    """The phases that each is expected to have."""
    return {name: EXPECTED_PHASES[name] for name in workloads if name in EXPECTED_PHASES}


def open_rig(request: Request, target: Target, hashing: Hashing | None = None) -> Rig:
    """Open the meter; a Refusal says what is missing. Any kernel hashes where none is named."""
    if target.card is not None:
        return _simulated_rig(request, target, target.card, hashing)
    from bench.machine import RealClock
    from bench.meters.sim import open_beside

    clock = RealClock()

    def start_workers(names: Sequence[str], window_s: float, seed: int) -> dict[str, Worker]:
        hash_arguments = _hash_arguments(target.facts, hashing, window_s, seed)
        arguments = {"sha256d": hash_arguments}
        if (asked := target.inference) is not None:
            arguments[asked.workload] = _infer_arguments(target.facts, asked, seed)
        known = {"sha256d": hashing.known if hashing else {}}
        return _start_workers({name: arguments[name] for name in names}, target, known)

    def beside(name: str | None) -> Meter:
        return open_beside(_card(name or "")[1], clock, request.seed, target.facts)

    return Rig(_open_meter(request, target, beside, clock), clock, start_workers)


def _open_meter(
    request: Request, target: Target, sensor: Callable[[str | None], Meter], clock: Clock
) -> Meter:
    from bench.meters import open_meter

    try:
        return open_meter(request.instrument, target.facts, sensor, clock)
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


def _infer_arguments(device: DeviceFacts, inference: Inference, seed: int) -> dict[str, Any]:
    """What the device adds to a point; an endpoint's model and weights are the server's own."""
    if inference.workload == "endpoint":
        return {"seed": seed, **inference.arguments}
    model = inference.model
    assert model is not None, "only a server brings its own model"
    return {
        "device": "cpu" if device.kind == "cpu" else "cuda",
        "model": {"name": model.name, **model.config},
        "weights": model.weights,
        "threads": device.threads,
        "seed": seed,
        **inference.arguments,
    }


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

    clock = VirtualClock()
    strike_s = _strike_s(request, target)
    device = SimulatedDevice(card, request.seed, faults=faults_of(request), strike_s=strike_s)

    def start_workers(names: Sequence[str], _window_s: float, _seed: int) -> dict[str, Worker]:
        known = {"sha256d": _simulated_hash(hashing)}
        if target.inference is not None and target.profile is not None:
            known[target.inference.workload] = simulated(target.profile, target.inference).facts
        return {name: SimulatedWorker(known[name], device, clock) for name in names}

    def own(name: str | None) -> Meter:
        if name not in (None, card.name):
            raise Refusal(USAGE, f"--meter sim:{name}: {target.facts.name} has a sensor of its own")
        return SimulatedMeter(device, clock, mismatch=False)

    return Rig(_open_meter(request, target, own, clock), clock, start_workers)


def _strike_s(request: Request, target: Target) -> float:
    """When faults strike that were given no moment: amid the blocks, else amid a calibration."""
    if not isinstance(request, AllRequest):
        return CALIBRATE_S / 2
    grade = GRADES[request.grade]
    block_s = block_seconds(grade, request.window_s, None)
    names = measured_on(request, target)
    plan = steps(
        grade,
        names,
        block_s=block_s,
        metered=True,
        calibrate=grade.ranked,
        setup_s={},
        sensor=None,
        phases=phases_of(names),
    )
    first = [step.name for step in plan].index("block")
    blocks_s = total_seconds(step for step in plan if step.name == "block")
    return total_seconds(plan[:first]) + blocks_s / 2


def _simulated_hash(hashing: Hashing | None) -> WorkloadFacts:
    known = {} if hashing is None else hashing.known
    config = {"kernel": "plain", **known}
    return WorkloadFacts(name="sha256d", backend="cupy", unit="hash", tier=None, config=config)
