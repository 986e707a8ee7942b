"""What ``bench all`` would do on this machine as it is: the device, its hashes, tokens, joules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.doctor.driver import driver_checks, expected
from bench.doctor.facts import CardFacts, Facts
from bench.doctor.findings import fail, ok, warn
from bench.doctor.software import software_checks
from bench.records.check import Check


def ability_checks(facts: Facts) -> Iterator[Check]:
    """Four lines that always say something, whatever else is found."""
    card = usable_card(facts)
    if card is None:
        yield _processor(facts)
        yield _cpu_hash(facts)
        yield _cpu_tokens(facts)
        yield _cpu_joules(facts)
        return
    name = "" if card.device is None else f", {card.device.name}"
    yield ok("device", f"{card.title}{name} (--device cpu measures the processor)")
    yield _gpu_hash(facts)
    yield _gpu_tokens(facts)
    yield _gpu_joules(card)


def usable_card(facts: Facts) -> CardFacts | None:
    """The card that ``bench all`` takes: the first of CUDA_VISIBLE_DEVICES, else by NVML index."""
    known = {card.device.uuid: card for card in facts.nvml.cards if card.device is not None}
    shown = [known[uuid] for uuid in facts.cuda.uuids if uuid in known]
    if facts.cuda.visible is None:
        shown.sort(key=lambda card: card.index)
    return shown[0] if shown else None


def _processor(facts: Facts) -> Check:
    host, nvml = facts.host, facts.nvml
    text = f"the processor, {host.name}, {host.threads} threads"
    if nvml.asleep:
        return warn("device", f"{text}: the GPU sleeps", "nvidia-smi, then bench doctor again")
    if expected(nvml):
        return warn("device", f"{text}: no GPU can be used", _cure(driver_checks(facts)))
    return ok("device", f"{text}: there is no NVIDIA GPU (--device sim:h100 simulates one)")


def _cpu_hash(facts: Facts) -> Check:
    software = facts.software
    if not software.kernels:
        return fail("hash", "none: they cannot be compiled", _cure(software_checks(facts), "numba"))
    best, *others = software.kernels
    if software.thriftiest is not None:
        return ok("hash", f"{software.thriftiest}, the thriftiest measured here")
    return ok(
        "hash", f"numba-cpu:{best}, the best known here, before {', '.join(others) or 'none'}"
    )


def _cpu_tokens(facts: Facts) -> Check:
    software = facts.software
    if "torch" not in software.versions:
        cure = _cure(software_checks(facts), "torch")
        return warn("tokens", "none: torch is not installed", cure)
    how = "compiled" if software.compiler is not None and software.headers else "uncompiled"
    return ok("tokens", f"micro with torch {software.versions['torch']}, {how}")


def _cpu_joules(facts: Facts) -> Check:
    if facts.host.rapl.state == "read":
        return ok("joules", f"of the processor packages, by {facts.host.rapl.text}")
    text = "none: nothing reads the processor's power (see rapl below); rates are still measured"
    return warn("joules", text, "bench all --device cpu --assume-watts W (labelled ASSUMED_WATTS)")


def _gpu_hash(facts: Facts) -> Check:
    versions = facts.software.versions
    if "cupy-cuda12x" in versions or "cupy-cuda13x" in versions:
        return ok("hash", "cupy, in the thriftiest variant measured on the card, else plain")
    if "numba-cuda" in versions:
        return ok("hash", "numba-cuda, in the thriftiest variant measured on the card, else plain")
    cure = _cure(software_checks(facts), "cupy")
    return fail("hash", "none: neither cupy nor numba-cuda is installed", cure)


def _gpu_tokens(facts: Facts) -> Check:
    torch, cuda = facts.software.versions.get("torch"), facts.software.torch_cuda
    if torch is None or cuda is None:
        cure = _cure(software_checks(facts), "torch")
        return fail("tokens", "none: torch for this GPU is not installed", cure)
    return ok("tokens", f"the largest of 8b and 1b that fits, with torch {torch} for CUDA {cuda}")


def _gpu_joules(card: CardFacts) -> Check:
    look = card.sensor
    if look is None or look.source is None:
        cure = f"bench all --gpu {card.index} --assume-watts W (labelled ASSUMED_WATTS)"
        return warn("joules", f"none: see {card.title}: power reading below", cure)
    return ok("joules", f"by {look.source}")


def _cure(checks: Iterable[Check], item: str | None = None) -> str:
    """The cure of the gravest of these, or of a certain one."""
    ailing = [check for check in checks if check.cure and item in {None, check.item}]
    gravest = sorted(ailing, key=lambda check: check.status != "FAIL")
    return next((check.cure or "" for check in gravest), "bench doctor --all")
