"""One GPU as NVML shows it, for the sampler: energy counter, power, clocks, throttling, errors.

What the card and its driver can give is probed once; NVML's errors and units stop here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.meters import nvml_fields
from bench.meters.nvml import CLOCK_SM
from bench.meters.nvml_errors import ErrorClass, NvmlError
from bench.meters.nvml_fields import MODULE, FieldId, FieldValue, read_field, read_fields
from bench.meters.nvml_library import Nvml, mega, milli
from bench.meters.nvml_processes import survey
from bench.meters.nvml_xid import XidWatch
from bench.meters.sampling import MeterLost, Missing, Notice, Reading, TransientError
from bench.ports import MeterError
from bench.records.journal import Field
from bench.records.run import MeterFacts, MeterSource, Scope, SensorFacts

CLOCK_MEM = 2  # NVML_CLOCK_MEM
TEMPERATURE_GPU = 0  # NVML_TEMPERATURE_GPU
UNCORRECTED, VOLATILE = 1, 0  # NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC
GA100 = (8, 0)
"""nvmlDeviceGetPowerUsage is instantaneous up to this chip and a mean of 1 s after (nvml.h)."""
SOURCES: dict[Field, MeterSource] = {
    "energy_j": "nvml-counter",
    "power_instant_w": "nvml-instant",
    "power_average_w": "nvml-average",
    "power_w": "nvml-power-usage",
}


def nano(value: float) -> float:
    """Billionths of a unit in units: NVML's ns."""
    return value / 1e9


@dataclass(frozen=True, slots=True)
class Batched:
    """A quantity out of one call for many: the sum of the fields with these ids."""

    field: Field
    ids: tuple[FieldId, ...]
    convert: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Called:
    """A quantity with a function of its own: slow, or slow while ``beside`` is had, or a spare
    that is called only where ``spares`` is not had from the batch."""

    field: Field
    function: str
    convert: Callable[[float], float]
    arguments: tuple[int, ...] = ()
    slow: bool = False
    beside: Field | None = None
    spares: Field | None = None


POWER = (
    Batched("energy_j", (nvml_fields.ENERGY,), milli),
    Batched("power_instant_w", (nvml_fields.POWER_INSTANT,), milli),
    Batched("power_average_w", (nvml_fields.POWER_AVERAGE,), milli),
)
THROTTLE = (
    Batched("throttle_power_s", (nvml_fields.THROTTLE_POWER,), nano),
    Batched(
        "throttle_thermal_s",
        (nvml_fields.THROTTLE_SW_THERMAL, nvml_fields.THROTTLE_HW_THERMAL),
        nano,
    ),
    Batched("throttle_brake_s", (nvml_fields.THROTTLE_BRAKE,), nano),
)
CALLS = (
    Called("energy_j", "nvmlDeviceGetTotalEnergyConsumption", milli, spares="energy_j"),
    Called("power_w", "nvmlDeviceGetPowerUsage", milli, beside="power_instant_w"),
    Called("sm_clock_hz", "nvmlDeviceGetClockInfo", mega, (CLOCK_SM,)),
    Called("mem_clock_hz", "nvmlDeviceGetClockInfo", mega, (CLOCK_MEM,), slow=True),
    Called("temperature_c", "nvmlDeviceGetTemperature", float, (TEMPERATURE_GPU,), slow=True),
    Called("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", milli, slow=True),
    Called("pstate", "nvmlDeviceGetPerformanceState", float, slow=True),
    Called(
        "ecc_uncorrected",
        "nvmlDeviceGetTotalEccErrors",
        float,
        (UNCORRECTED, VOLATILE),
        slow=True,
    ),
)


class NvmlSensor:
    """A ``Sensor`` over NVML: of the GPU alone, or of its module where only that can be read."""

    period_s = 0.02  # as long as the card's own update period is not known

    def __init__(self, selector: str, nvml: Nvml | None = None) -> None:
        """Open a GPU by NVML index ("0") or UUID and probe it; MeterError says what is amiss."""
        self._nvml = nvml or Nvml()
        self._handle = self._nvml.open_device(int(selector) if selector.isdecimal() else selector)
        self._name = self._nvml.optional(lambda: self._nvml.text("nvmlDeviceGetName", self._handle))
        self._uuid = self._nvml.optional(lambda: self._nvml.text("nvmlDeviceGetUUID", self._handle))
        self._library = self._nvml.library()
        self._absent: dict[str, str] = {}
        self._scope: Scope = "gpu"
        self._batch = self._probe_batch(POWER + THROTTLE)
        self._calls = [quantity for quantity in CALLS if self._answers(quantity)]
        if not self._has_power():
            self._scope = "module"
            self._batch += self._probe_batch(list(map(_of_module, POWER)))
        if not self._has_power():
            raise MeterError(
                f"{self._name or selector} gives no reading of its power ({self._doubts()}):"
                " use --assume-watts W or --meter none"
            )
        self._xids = self._watch_xids()

    def facts(self) -> MeterFacts:
        """The best source it has (counter, instant, average, power usage) and all it can read."""
        fields = self._fields()
        return MeterFacts(
            source=next(SOURCES[field] for field in SOURCES if field in fields),
            name=f"NVML of {self._name or self._uuid}",
            scope=self._scope,
            sensor=SensorFacts(scope=self._scope),
            device_uuid=self._uuid,
            capabilities=(*fields, *self._abilities()),
            library=self._library,
            reason=self._doubts(),
        )

    def read(self, *, slow: bool) -> Sequence[Reading | Missing | Notice]:
        """One tick, SI units; see ``Sensor.read``."""
        try:
            taken = [*self._read_batch(), *self._read_calls(slow)]
            xids = self._xids.new() if slow and self._xids else []
        except NvmlError as error:
            raise _raised(error) from error
        had = self._fields()  # a field with a spare left is not gone
        told = [t for t in taken if isinstance(t, Reading) or t.field not in had]
        return [*told, *(Notice("xid", {"code": code}) for code in xids)]

    def survey(self) -> Notice:
        """The processes on the GPU, or the reason why they cannot be told; see ``Sensor``."""
        try:
            return Notice("processes", survey(self._nvml, self._handle).as_data())
        except NvmlError as error:
            if error.kind is not ErrorClass.TRANSIENT:
                raise _raised(error) from error
            return Notice("processes", {"pids": [], "reason": str(error)})

    def _fields(self) -> tuple[Field, ...]:
        quantities: list[Batched | Called] = [*self._batch, *self._calls]
        return tuple(dict.fromkeys(quantity.field for quantity in quantities))

    def _has_power(self) -> bool:
        return bool(SOURCES.keys() & set(self._fields()))

    def _abilities(self) -> list[str]:
        """What it can do beside reading fields, and what its power usage means."""
        found = ["xid"] if self._xids else []
        if "power_w" not in self._fields():
            return found
        capability = self._nvml.optional(
            lambda: self._nvml.call("nvmlDeviceGetCudaComputeCapability", self._handle)
        )
        if capability is None:
            return found
        return [*found, "usage:instant" if tuple(capability) <= GA100 else "usage:mean-of-1-s"]

    def _doubts(self) -> str | None:
        fields = self._fields()
        return "; ".join(why for f, why in self._absent.items() if f not in fields) or None

    def _probe_batch(self, quantities: Sequence[Batched]) -> list[Batched]:
        """The quantities that answer, each with those of its ids that do; why, of the others.

        Ids are tried one by one, since a driver may refuse a call for one id it does not know.
        """
        found = []
        for quantity in quantities:
            ids = tuple(number for number in quantity.ids if self._has(quantity, number))
            found += [replace(quantity, ids=ids)] if ids else []
        return found

    def _has(self, quantity: Batched, number: FieldId) -> bool:
        return self._probed(quantity.field, partial(read_field, self._nvml, self._handle, number))

    def _answers(self, quantity: Called) -> bool:
        return self._probed(quantity.field, partial(self._call, quantity))

    def _watch_xids(self) -> XidWatch | None:
        found = self._nvml.probe(lambda: XidWatch(self._nvml, self._handle))
        if isinstance(found, NvmlError):
            self._absent["xid"] = str(found)
            return None
        return found

    def _probed(self, name: str, read: Callable[[], Any]) -> bool:
        found = self._nvml.probe(read)
        if isinstance(found, NvmlError):
            self._absent[name] = str(found)
        return not isinstance(found, NvmlError)

    def _read_batch(self) -> list[Reading | Missing]:
        ids = [number for quantity in self._batch for number in quantity.ids]
        answers = read_fields(self._nvml, self._handle, ids) if ids else {}
        taken: list[Reading | Missing] = []
        for quantity in tuple(self._batch):
            try:
                taken.append(_sum(quantity, [answers[number] for number in quantity.ids]))
            except NvmlError as error:
                _strike(error)
                self._batch.remove(quantity)
                taken.append(Missing(quantity.field, str(error)))
        return taken

    def _read_calls(self, slow: bool) -> list[Reading | Missing]:
        batched = {quantity.field for quantity in self._batch}
        taken: list[Reading | Missing] = []
        for quantity in tuple(self._calls):
            if quantity.spares in batched or (_slow(quantity, batched) and not slow):
                continue
            try:
                taken.append(Reading(quantity.field, self._call(quantity)))
            except NvmlError as error:
                _strike(error)
                self._calls.remove(quantity)
                taken.append(Missing(quantity.field, str(error)))
        return taken

    def _call(self, quantity: Called) -> float:
        value = self._nvml.call(quantity.function, self._handle, *quantity.arguments)
        return quantity.convert(value)


def _of_module(quantity: Batched) -> Batched:
    ids = tuple((each, MODULE) for each in quantity.ids if isinstance(each, int))
    return replace(quantity, ids=ids)


def _slow(quantity: Called, had: set[Field]) -> bool:
    return quantity.slow or quantity.beside in had


def _strike(error: NvmlError) -> None:
    """A quantity that is no longer given is struck off; any other error goes on up."""
    if error.kind is not ErrorClass.ABSENT:
        raise error


def _raised(error: NvmlError) -> TransientError | MeterLost:
    if error.kind is ErrorClass.TRANSIENT:
        return TransientError(str(error))
    return MeterLost("GPU_LOST", f"the GPU was lost: {error}")


def _sum(quantity: Batched, answers: Sequence[FieldValue | NvmlError]) -> Reading:
    total, stamp_s = 0.0, None
    for answer in answers:
        if isinstance(answer, NvmlError):
            raise answer
        total, stamp_s = total + answer.value, answer.stamp_s
    return Reading(quantity.field, quantity.convert(total), stamp_s)
