"""The machine around the card: what reads the processor's energy, and what disturbs a run."""

from __future__ import annotations

from collections.abc import Iterator

from bench.doctor.facts import HostFacts, RaplFacts
from bench.doctor.findings import fail, ok, warn
from bench.records.check import Check

STEADY = frozenset({"performance", "schedutil"})
SLOW_CLOCKS = frozenset({"hpet", "acpi_pm", "jiffies", "refined-jiffies"})
"""Clock sources that leave user space for every reading, at microseconds each."""
BUSY = 0.25
"""Share of the usable cores in other hands from which on a CPU's blocks spread."""


def host_checks(host: HostFacts) -> Iterator[Check]:
    """Every item of the machine itself."""
    yield _rapl(host)
    yield _cpu_clocks(host.governors)
    yield _load(host)
    yield _quota(host)
    yield _clock_source(host)
    yield _virtual(host)


def _rapl(host: HostFacts) -> Check:
    rapl = host.rapl
    if rapl.state == "read":
        return ok("rapl", rapl.text)
    if rapl.state == "denied":
        text = "the processor's energy counters are for root alone (Linux 5.10 and newer)"
        return warn("rapl", text, "sudo -E bench all --device cpu")
    if rapl.state == "broken":
        return fail("rapl", rapl.text, "sudo dmesg | grep -i rapl")
    return _no_rapl(host, rapl)


def _no_rapl(host: HostFacts, rapl: RaplFacts) -> Check:
    if host.architecture not in {"x86_64", "i686"}:
        text = f"a processor of {host.architecture} has no such counters"
        return warn("rapl", text, "bench all --device cpu --assume-watts W")
    if host.virtual:
        text = "the virtual machine hides the processor's energy counters"
        return warn("rapl", text, "run on the machine itself, or --assume-watts W")
    if host.container:
        text = f"the container ({host.container}) hides the processor's energy counters"
        return warn("rapl", text, "run outside the container")
    return warn("rapl", rapl.text, "sudo modprobe intel_rapl_msr")


def _cpu_clocks(governors: tuple[str, ...]) -> Check:
    if not governors:
        return ok("cpu governor", "not shown here: the machine sets its clocks by itself")
    text = f"{', '.join(governors)}"
    if set(governors) <= STEADY:
        return ok("cpu governor", text)
    return warn("cpu governor", text, "sudo cpupower frequency-set -g performance")


def _load(host: HostFacts) -> Check:
    text = f"{host.load:.1f} tasks ran in the last minute, on {host.threads} usable cores"
    if host.load > BUSY * host.threads:
        cure = "end them or wait: ps -eo pid,pcpu,args --sort=-pcpu | head"
        return warn("other load", text, cure)
    return ok("other load", text)


def _quota(host: HostFacts) -> Check:
    cores = host.quota_cores
    if cores is None or cores >= host.threads:
        return ok("cpu quota", "none below the usable cores")
    text = f"{cores:g} of {host.threads} usable cores: a run is stopped amid its blocks"
    cure = "give the container whole cores instead (docker run --cpuset-cpus 0-N)"
    return warn("cpu quota", text, cure)


def _clock_source(host: HostFacts) -> Check:
    if host.clock_source is None:
        return ok("clock source", "not told by this kernel")
    if host.clock_source not in SLOW_CLOCKS:
        return ok("clock source", host.clock_source)
    text = f"{host.clock_source}: every reading of the clock costs microseconds"
    if "tsc" in host.clock_sources:
        place = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        return warn("clock source", text, f"echo tsc | sudo tee {place}")
    return warn("clock source", text, "start the kernel with tsc=reliable")


def _virtual(host: HostFacts) -> Check:
    around = [f"a container ({host.container})"] if host.container else []
    around += ["WSL"] if host.wsl else ["a virtual machine"] if host.virtual else []
    if not around:
        return ok("surroundings", "the machine itself")
    text = " in ".join(around)
    if host.wsl or host.virtual:
        text += ": other guests may take time and heat, unseen"
        return warn("surroundings", text, "measure what is to be published on the machine itself")
    return ok("surroundings", f"{text}; share the folder JOULEMARK_LOCK_DIR with others on a card")
