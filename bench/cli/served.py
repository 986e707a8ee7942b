"""The processes of a server that is measured: no strangers on its device, and on no other."""

from __future__ import annotations

from bench.cli.refusal import ENVIRONMENT, USAGE, Refusal
from bench.records.run import DeviceFacts


def server_pids(endpoint: str | None, device: DeviceFacts) -> tuple[int, ...]:
    """Processes behind the endpoint that is to be measured on a device; none without an endpoint.

    Refusal for an address that is not this host's, and for a server that computes on a second
    card as well: nobody would count its joules there.
    """
    if endpoint is None:
        return ()
    from bench.kernels.endpoint.address import parse
    from bench.kernels.endpoint.address import server_pids as pids_behind

    try:
        pids, _ = pids_behind(parse(endpoint))
    except ValueError as error:
        raise Refusal(USAGE, f"--endpoint: {error}") from error
    if device.kind == "gpu":
        _refuse_elsewhere(device, pids)
    return pids


def _refuse_elsewhere(device: DeviceFacts, pids: tuple[int, ...]) -> None:
    from bench.meters.nvml import list_gpus, strangers

    for gpu in list_gpus():
        if gpu.uuid in (None, device.uuid):
            continue
        if shared := set(pids) & set(strangers(gpu.uuid) or ()):
            text = f"the server also computes on GPU {gpu.index} (process {min(shared)}),"
            raise Refusal(ENVIRONMENT, f"{text} whose joules are not counted: serve on one card")
