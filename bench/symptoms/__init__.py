"""What can be seen of a machine without changing anything on it: the facts the doctor judges."""

from __future__ import annotations

from pathlib import Path

from bench.doctor.facts import Facts
from bench.machine import cpu_device
from bench.symptoms.cards import Glances
from bench.symptoms.host import host_facts
from bench.symptoms.places import lock_facts, place_facts
from bench.symptoms.software import software_facts


def gather(results: Path) -> Facts:
    """Everything; the processes that look at the driver run beside the rest.

    ``results`` is the folder that runs would write to. Nothing is written, no setting is touched,
    no card that sleeps is woken, and a driver that hangs costs its patience and no more.
    """
    from bench.store import cache_place

    with Glances() as glances:
        cpu = cpu_device()
        host = host_facts(cpu)
        software = software_facts(cpu)
        places = (place_facts(results), place_facts(cache_place()), lock_facts())
        nvml, cuda = glances.told()
    return Facts(nvml, cuda, host, software, *places)
