"""A workload somewhere else: in a process of its own, or simulated on virtual time."""

from bench.workers.process import ProcessWorker
from bench.workers.simulated import SimulatedWorker

__all__ = ["ProcessWorker", "SimulatedWorker"]
