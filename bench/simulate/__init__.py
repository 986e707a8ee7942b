"""A simulated card: a true power over time, and a sensor that sees it as real ones do.

Pure and deterministic in its seed. The true power is piecewise constant, or alternates between
two values, so that energy, a sensor's window mean and the known answer are closed forms, never
sums of samples.
"""

from bench.simulate.card import Card, Counter, Launch, PowerSensor, card_of
from bench.simulate.device import SimulatedDevice, SimulatedWork
from bench.simulate.faults import KINDS, Fault, Faults, parse_fault
from bench.simulate.instrument import EnergyCounter, PowerReading
from bench.simulate.limit import limit_range_w, limited

__all__ = [
    "KINDS",
    "Card",
    "Counter",
    "EnergyCounter",
    "Fault",
    "Faults",
    "Launch",
    "PowerReading",
    "PowerSensor",
    "SimulatedDevice",
    "SimulatedWork",
    "card_of",
    "limit_range_w",
    "limited",
    "parse_fault",
]
