"""NVML's return codes sorted by what a meter does about them. The numbers stop here.

Codes and meanings are those of nvmlReturn_t in NVIDIA's public nvml.h.
"""

from __future__ import annotations

from enum import Enum


class ErrorClass(Enum):
    """What to do about a failed call."""

    ABSENT = "absent"  # this call will not work here: route on
    TRANSIENT = "transient"  # skip the tick and count
    FATAL = "fatal"  # nothing can be measured: say why and stop
    LOST = "lost"  # the device is gone: keep what there is


ABSENT = frozenset({2, 3, 4, 6, 13, 14, 25, 26})
FATAL = frozenset({8, 9, 12, 17, 18, 28})
LOST = frozenset({15, 16})
NOT_SUPPORTED = 3
NO_PERMISSION = 4
TIMEOUT = 10
FUNCTION_NOT_FOUND = 13

MEANINGS = {
    1: "NVML is not initialised",
    2: "invalid argument",
    3: "not supported by this card",
    4: "no permission",
    6: "not found",
    8: "the card's external power cables are not attached",
    9: "the NVIDIA driver is not loaded; load it (nvidia-smi must work)",
    10: "the driver timed out",
    11: "an interrupt of the card was lost",
    12: "no NVIDIA driver library (libnvidia-ml.so.1) is on this machine; install the driver",
    13: "this driver does not have the function; update the driver",
    14: "the card's infoROM is corrupted",
    15: "the GPU has fallen off the bus; reboot, then check its power and seating",
    16: "the GPU needs a reset (nvidia-smi --gpu-reset, or reboot)",
    17: "the operating system blocked the call; check the container's device permissions",
    18: "driver and NVML library have different versions; reboot or reload the driver",
    19: "the GPU is in use",
    20: "not enough memory",
    21: "no data yet",
    23: "not enough resources",
    25: "the call's version is unknown to this driver; update the driver",
    26: "the call was withdrawn by this driver",
    27: "not ready",
    28: "the GPU was not found; check lspci",
    999: "an unknown error of the driver",
}


class NvmlError(Exception):
    """A call that NVML refused, with its return code."""

    def __init__(self, code: int, call: str) -> None:
        super().__init__(f"{call}: {meaning(code)} (NVML error {code})")
        self.code = code
        self.kind = classify(code)


def classify(code: int) -> ErrorClass:
    """The class of a return code; one that nobody has listed is taken as transient.

    A corrupted infoROM (14) spoils only the call that needs it.
    """
    if code in ABSENT:
        return ErrorClass.ABSENT
    if code in FATAL:
        return ErrorClass.FATAL
    return ErrorClass.LOST if code in LOST else ErrorClass.TRANSIENT


def meaning(code: int) -> str:
    """A return code in words, with what to do where there is something."""
    return MEANINGS.get(code, "an error without a name")
