"""Errors that a GPU reports of itself (Xid), told by NVML's event sets as they come."""

from __future__ import annotations

from typing import Any

from bench.meters.nvml_errors import TIMEOUT, ErrorClass, NvmlError
from bench.meters.nvml_library import Nvml

XID_CRITICAL = 0x8  # nvmlEventTypeXidCriticalError
AT_ONCE = 32  # a broken card may report without end


class XidWatch:
    """The Xids of one GPU from here on; those of before are not told."""

    def __init__(self, nvml: Nvml, handle: Any) -> None:
        """NvmlError when this card or driver does not report them."""
        self._nvml = nvml
        self._events = nvml.call("nvmlEventSetCreate")
        nvml.call("nvmlDeviceRegisterEvents", handle, XID_CRITICAL, self._events)

    def new(self) -> list[int]:
        """Codes since the last call; never waits. NvmlError when the GPU is lost."""
        codes: list[int] = []
        while len(codes) < AT_ONCE:
            try:
                event = self._nvml.call("nvmlEventSetWait_v2", self._events, 0)
            except NvmlError as error:
                if error.code == TIMEOUT or codes or error.kind is ErrorClass.ABSENT:
                    break
                raise
            codes.append(int(event.eventData))
        return codes
