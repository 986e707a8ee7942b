"""The power limit that a sweep left behind when it was killed: put back by the next start."""

from __future__ import annotations

from dataclasses import replace

from bench.cli.intents import Intent, abandoned, forget
from bench.ports import MeterError
from bench.records.run import DeviceFacts
from bench.store import Busy, StoreError


def operators_command(device: DeviceFacts, watts: float) -> str:
    """What an operator types to set the card's limit."""
    return f"sudo nvidia-smi -i {device.index} -pl {watts:g}"


def put_back(device: DeviceFacts) -> tuple[DeviceFacts, str | None]:
    """The card once a dead sweep's limit is undone, and one line about it if there was one.

    A living sweep's limit is not touched, nor one that somebody has set since.
    """
    if device.uuid is None:
        return device, None
    try:
        with abandoned(device.uuid) as left:
            return (device, None) if left is None else _put_back(device, left)
    except Busy:
        return device, None
    except StoreError as error:
        return device, str(error)


def _put_back(device: DeviceFacts, left: Intent) -> tuple[DeviceFacts, str]:
    from bench.meters.power_limit import SAME_W, PowerLimit

    who = f"A sweep of {device.name} (process {left.pid}, {left.written_at}) was killed"
    if not left.of_this_boot:
        forget(left.uuid)
        return device, f"{who}; the machine has been restarted since: no limit to restore."
    try:
        with PowerLimit(left.uuid) as limit:
            now_w = limit.asked_w()
            same = abs(now_w - left.original_w) <= SAME_W
            own = any(abs(now_w - watts) <= SAME_W for watts in left.limits_w)
            if own and not same:
                limit.restore(left.original_w)
            enforced_w = limit.enforced_w()
    except MeterError as error:
        command = operators_command(device, left.original_w)
        return device, f"{who} and its power limit stands: {error}; run: {command}"
    forget(left.uuid)
    told = replace(device, power_limit_w=enforced_w)
    if same:
        return told, f"{who}; its power limit is {now_w:g} W, as before."
    if not own:
        return told, f"{who}; its power limit was set to {now_w:g} W by another since: left so."
    return told, f"{who}: its power limit of {left.original_w:g} W is restored."
