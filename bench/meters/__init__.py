"""The instruments that read power, each behind the ``Meter`` port; vendor names stop here.

Importing this room imports no instrument: each is loaded when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.ports import Clock, Meter, MeterError
from bench.records.run import DeviceFacts

FORMS = "auto, nvml:N, rapl, assumed:W, none, sim:NAME or replay:FILE"


def open_meter(  # noqa: PLR0911 - one return a form
    spec: str,
    device: DeviceFacts,
    simulated: Callable[[str | None], Meter],
    clock: Clock | None = None,
) -> Meter:
    """Open the instrument that ``spec`` names, to read ``device``.

    ``simulated`` opens the simulated sensor of a card by name, None being the device's own. A
    recording is replayed on ``clock``, by default the machine's own.

    ``auto`` is the one that belongs to the device: NVML of the same UUID for a GPU, RAPL for a
    processor (or none, with the reason), the simulated sensor for a simulated card. Another is
    marked ``mismatch`` in its facts. ValueError names the accepted forms; MeterError says in one
    sentence why an instrument cannot be opened.
    """
    kind, colon, argument = spec.partition(":")
    match kind, argument:
        case "auto", "" if not colon:
            return simulated(None) if device.kind == "sim" else _automatic(device)
        case "nvml", index if index.isdecimal():
            return _nvml(index, device)
        case "rapl", "" if not colon:
            return _rapl(device)
        case "assumed", watts if colon:
            return _assumed(watts)
        case "none", "" if not colon:
            return _none("no meter was asked for (--meter none)")
        case "sim", name if name:
            return simulated(name)
        case "replay", path if path:
            return _replay(path, clock)
    raise ValueError(f"--meter {spec}: not one of {FORMS}")


def _automatic(device: DeviceFacts) -> Meter:
    if device.kind == "gpu":
        return _nvml(device.uuid or str(device.index), device)
    try:
        return _rapl(device)
    except MeterError as error:
        return _none(str(error))


def _sampled(sensor: str, argument: str, device: DeviceFacts) -> Meter:
    from bench.meters.process import ProcessMeter

    if device.kind == "sim":
        raise ValueError("a simulated device runs on virtual time: its meter is auto or sim:NAME")
    return ProcessMeter(sensor, argument, device)


def _nvml(selector: str, device: DeviceFacts) -> Meter:
    """NVML, and beside a GPU's run the host's own counters, or the reason why not."""
    from bench.meters.beside import Beside

    main = _sampled("nvml", selector, device)
    if device.kind != "gpu":
        return main
    try:
        return Beside(main, _rapl(device))
    except MeterError as error:
        return Beside(main, None, str(error))


def _rapl(device: DeviceFacts) -> Meter:
    from bench.meters.rapl import ROOT

    return _sampled("rapl", str(ROOT), device)


def _assumed(watts: str) -> Meter:
    from bench.meters.assumed import AssumedMeter

    try:
        return AssumedMeter(float(watts))
    except ValueError as error:
        raise ValueError(
            f"--meter assumed:{watts}: W must be a number above 0, at most 1e6"
        ) from error


def _none(reason: str) -> Meter:
    from bench.meters.none import NoMeter

    return NoMeter(reason)


def _replay(path: str, clock: Clock | None) -> Meter:
    from bench.machine import RealClock
    from bench.meters.replay import ReplayMeter

    try:
        return ReplayMeter(Path(path), clock or RealClock())
    except ValueError as error:
        raise ValueError(f"--meter replay: {error}") from error
