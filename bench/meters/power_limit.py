"""The power limit of one NVIDIA GPU: what it is, what it may be, and setting it. Nothing else of
the card is ever changed. Milliwatts stop here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.meters.nvml_errors import NO_PERMISSION, NvmlError
from bench.meters.nvml_library import Nvml, milli
from bench.ports import MeterError

SAME_W = 0.5
"""Two limits nearer than this are one: drivers round."""
READBACK_S, READBACK_POLL_S = 1.0, 0.02
"""How long a limit that was set may take until it is read back."""


class NotPermittedError(MeterError):
    """The driver lets only root change the limit."""


@dataclass(frozen=True, slots=True)
class LimitRange:
    """The limits that a card takes and the one it comes with, W; ``default_w`` may be unknown."""

    least_w: float
    most_w: float
    default_w: float | None


class PowerLimit:
    """The limit of the GPU with this UUID; MeterError when it cannot be read."""

    def __init__(self, uuid: str, nvml: Nvml | None = None) -> None:
        self._nvml = nvml or Nvml()
        self._handle = self._nvml.open_device(uuid)

    def range(self) -> LimitRange:
        """What it may be set to; MeterError of a card without a limit."""
        least, most = self._read("nvmlDeviceGetPowerManagementLimitConstraints")
        default = self._nvml.optional(
            lambda: self._call("nvmlDeviceGetPowerManagementDefaultLimit")
        )
        return LimitRange(milli(least), milli(most), None if default is None else milli(default))

    def enforced_w(self) -> float:
        """The limit that holds now, whatever set it, W."""
        return milli(self._read("nvmlDeviceGetEnforcedPowerLimit"))

    def asked_w(self) -> float:
        """The limit that was last asked for, W: what is to be restored."""
        asked = self._nvml.optional(lambda: self._call("nvmlDeviceGetPowerManagementLimit"))
        return self.enforced_w() if asked is None else milli(asked)

    def enforce(self, watts: float) -> None:
        """Set it and see it hold; MeterError when it does not (NotPermittedError: it may not)."""
        self._set(watts, self.enforced_w)

    def restore(self, watts: float) -> None:
        """Ask for a former limit again; as ``enforce``, where another limiter may hold less."""
        self._set(watts, self.asked_w)

    def close(self) -> None:
        """Shut NVML."""
        self._nvml.close()

    def __enter__(self) -> PowerLimit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set(self, watts: float, read_w: Callable[[], float]) -> None:
        try:
            self._call("nvmlDeviceSetPowerManagementLimit", round(watts * 1000))
        except NvmlError as error:
            kind = NotPermittedError if error.code == NO_PERMISSION else MeterError
            raise kind(f"the power limit cannot be set to {watts:g} W: {error}") from error
        until_s = time.monotonic() + READBACK_S
        while abs((found_w := read_w()) - watts) > SAME_W:
            if time.monotonic() > until_s:
                raise MeterError(f"the driver took {watts:g} W, but the limit reads {found_w:g} W")
            time.sleep(READBACK_POLL_S)

    def _read(self, name: str) -> Any:
        """What the card must tell; MeterError when it does not."""
        found = self._nvml.probe(lambda: self._call(name))
        if isinstance(found, NvmlError):
            raise MeterError(f"the power limit cannot be read: {found}") from found
        return found

    def _call(self, name: str, *arguments: int) -> Any:
        return self._nvml.call(name, self._handle, *arguments)
