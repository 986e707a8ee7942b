"""Who is on a GPU: computing, drawing, or working through an MPS server.

NVML's versions of one call stop here. A list of processes takes milliseconds and a lock of the
driver, so it is asked for between measurements and rarely. In a container the numbers may be
those of the host, or be withheld.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.meters.nvml_errors import ErrorClass, NvmlError
from bench.meters.nvml_library import Nvml
from bench.records.journal import JsonObject

COMPUTE = "nvmlDeviceGetComputeRunningProcesses"
GRAPHICS = "nvmlDeviceGetGraphicsRunningProcesses"
MPS = "nvmlDeviceGetMPSComputeRunningProcesses"
VERSIONS = ("_v3", "_v2")  # newest first: without a suffix, nvidia-ml-py takes the newest or fails
MPS_FOLDER = "/tmp/nvidia-mps"  # where the MPS daemon listens unless CUDA_MPS_PIPE_DIRECTORY says
MPS_PID_FILE = "nvidia-cuda-mps-control.pid"
MPS_COMMAND = "nvidia-cuda-mps"  # as much of the daemon's name as the kernel keeps


@dataclass(frozen=True, slots=True)
class Survey:
    """Process ids on a GPU: computing (clients of MPS among them) and drawing.

    None is what cannot be told, ``reason`` why. ``mps``: whether an MPS server has clients there.
    """

    pids: tuple[int, ...] | None
    graphics: tuple[int, ...] | None
    mps: bool | None
    reason: str | None

    def as_data(self) -> JsonObject:
        """As the journal keeps it; what cannot be told is left out."""
        data: JsonObject = {"pids": list(self.pids or ())}
        if self.graphics is not None:
            data["graphics"] = list(self.graphics)
        if self.mps is not None:
            data["mps"] = self.mps
        return data if self.reason is None else {**data, "reason": self.reason}


def survey(nvml: Nvml, handle: Any) -> Survey:
    """Look once. NvmlError when the GPU is lost or the call failed and may succeed next time."""
    computing = _processes(nvml, handle, COMPUTE)
    drawing = _processes(nvml, handle, GRAPHICS)
    clients = _processes(nvml, handle, MPS)
    lists = [found for found in (computing, clients) if not isinstance(found, NvmlError)]
    known = not isinstance(computing, NvmlError)
    return Survey(
        pids=tuple(sorted({pid for found in lists for pid in found})) if known else None,
        graphics=None if isinstance(drawing, NvmlError) else drawing,
        mps=None if isinstance(clients, NvmlError) else bool(clients),
        reason=None if known else str(computing),
    )


def mps_daemon(environ: Mapping[str, str] = os.environ, proc: Path = Path("/proc")) -> bool:
    """Whether an MPS daemon listens where this user's CUDA programs look for one.

    Its pid file outlives a crash, so the process of that number must bear its name.
    """
    folder = Path(environ.get("CUDA_MPS_PIPE_DIRECTORY") or MPS_FOLDER)
    try:
        pid = int((folder / MPS_PID_FILE).read_text(encoding="ascii"))
        return (proc / str(pid) / "comm").read_text(encoding="ascii").startswith(MPS_COMMAND)
    except (OSError, ValueError):
        return False


def _processes(nvml: Nvml, handle: Any, name: str) -> tuple[int, ...] | NvmlError:
    """Process ids by the newest version of the call that driver and card know."""
    for version in VERSIONS:
        try:
            listed = nvml.call(name + version, handle)
        except NvmlError as error:
            if error.kind is not ErrorClass.ABSENT:
                raise
            refusal = error
        else:
            return tuple(sorted(int(process.pid) for process in listed))
    return refusal
