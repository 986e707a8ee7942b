"""A device for one run alone: its lock, and whoever computes on it unasked."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence

from bench.cli.output import tell
from bench.cli.refusal import BUSY, Refusal
from bench.records.run import DeviceFacts
from bench.store import Busy, device_lock

WAIT_POLL_S = 1.0


@contextlib.contextmanager
def held(device: DeviceFacts, *, wait: bool, served: Sequence[int] = ()) -> Iterator[None]:
    """The device for this run alone; Busy, or a Refusal, where it is in use and none may wait."""
    with _locked(device.uuid or device.kind, wait=wait) as note:
        if note is not None:
            tell([f"bench: {note}"])
        await_device(device, wait=wait, served=served)
        yield


def await_device(device: DeviceFacts, *, wait: bool, served: Sequence[int] = ()) -> None:
    """Refuse a card that other processes compute on, or wait until they have left.

    Those of the server that is measured may stay. A script that computes on it itself would wait
    for its own end.
    """
    if device.kind != "gpu" or device.uuid is None:
        return
    from bench.meters.nvml import strangers

    told = False
    while pids := set(strangers(device.uuid) or ()) - set(served):
        own = os.getpid() in pids
        in_use = f"{device.name} is in use by process {', '.join(map(str, sorted(pids)))}"
        if own or not wait:
            cure = "this is one of them: run from another" if own else "end it, or add --wait"
            raise Refusal(BUSY, f"{in_use}: {cure}")
        if not told:
            tell([f"bench: {in_use}: waiting until that ends"])
        told = True
        time.sleep(WAIT_POLL_S)


@contextlib.contextmanager
def _locked(device: str, *, wait: bool) -> Iterator[str | None]:
    """The device's lock; who waits for it is told so."""
    with contextlib.ExitStack() as stack:
        try:
            note = stack.enter_context(device_lock(device, wait=False))
        except Busy:
            if not wait:
                raise
            tell([f"bench: {device} is in use by another run: waiting until it ends"])
            note = stack.enter_context(device_lock(device, wait=True))
        yield note
