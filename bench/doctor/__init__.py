"""What may be wrong with a machine, and the one cure of each fault: facts in, items out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.doctor.ability import ability_checks
from bench.doctor.cards import card_checks
from bench.doctor.driver import driver_checks
from bench.doctor.facts import Facts
from bench.doctor.host import host_checks
from bench.doctor.places import place_checks
from bench.doctor.software import software_checks
from bench.records.check import Check

SECTIONS: dict[str, Callable[[Facts], Iterator[Check]]] = {
    "here": ability_checks,
    "driver": driver_checks,
    "gpus": card_checks,
    "software": software_checks,
    "host": lambda facts: host_checks(facts.host),
    "places": place_checks,
}
"""What is looked at, in the order of telling."""


def examine(facts: Facts) -> dict[str, list[Check]]:
    """Every item by section."""
    return {title: list(judge(facts)) for title, judge in SECTIONS.items()}
