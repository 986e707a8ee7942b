"""One GPU as NVML shows it, for the sampler: energy counter, power, clocks, throttling.

What the card and its driver can give is probed once; NVML's errors and units stop here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from bench.meters import nvml_fields
from bench.meters.nvml import CLOCK_SM, Nvml, mega, milli
from bench.meters.nvml_errors import ErrorClass, NvmlError
from bench.meters.nvml_fields import FieldValue, read_field, read_fields
from bench.meters.sampling import MeterLost, Missing, Reading, TransientError
from bench.ports import MeterError
from bench.records.journal import Field
from bench.records.run import MeterFacts, MeterSource, SensorFacts

CLOCK_MEM = 2  # NVML_CLOCK_MEM
TEMPERATURE_GPU = 0  # NVML_TEMPERATURE_GPU
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
    ids: tuple[int, ...]
    convert: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Called:
    """A quantity with a function of its own; needless where ``unless`` is had already."""

    field: Field
    function: str
    convert: Callable[[float], float]
    arguments: tuple[int, ...] = ()
    slow: bool = False
    unless: Field | None = None


Quantity = TypeVar("Quantity", Batched, Called)

BATCH = (
    Batched("energy_j", (nvml_fields.ENERGY,), milli),
    Batched("power_instant_w", (nvml_fields.POWER_INSTANT,), milli),
    Batched("power_average_w", (nvml_fields.POWER_AVERAGE,), milli),
    Batched("throttle_power_s", (nvml_fields.THROTTLE_POWER,), nano),
    Batched(
        "throttle_thermal_s",
        (nvml_fields.THROTTLE_SW_THERMAL, nvml_fields.THROTTLE_HW_THERMAL),
        nano,
    ),
    Batched("throttle_brake_s", (nvml_fields.THROTTLE_BRAKE,), nano),
)
CALLS = (
    Called("energy_j", "nvmlDeviceGetTotalEnergyConsumption", milli, unless="energy_j"),
    Called("power_w", "nvmlDeviceGetPowerUsage", milli, unless="power_instant_w"),
    Called("sm_clock_hz", "nvmlDeviceGetClockInfo", mega, (CLOCK_SM,)),
    Called("mem_clock_hz", "nvmlDeviceGetClockInfo", mega, (CLOCK_MEM,), slow=True),
    Called("temperature_c", "nvmlDeviceGetTemperature", float, (TEMPERATURE_GPU,), slow=True),
    Called("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", milli, slow=True),
    Called("pstate", "nvmlDeviceGetPerformanceState", float, slow=True),
)


class NvmlSensor:
    """A ``Sensor`` over NVML, of the GPU alone (fields are read in NVML_POWER_SCOPE_GPU, 0)."""

    period_s = 0.02  # as long as the card's own update period is not known

    def __init__(self, selector: str) -> None:
        """Open a GPU by NVML index ("0") or UUID and probe it; MeterError says what is amiss."""
        self._nvml = Nvml()
        self._handle = self._nvml.open_device(int(selector) if selector.isdecimal() else selector)
        self._name = self._nvml.optional(lambda: self._nvml.text("nvmlDeviceGetName", self._handle))
        self._uuid = self._nvml.optional(lambda: self._nvml.text("nvmlDeviceGetUUID", self._handle))
        self._library = self._nvml.library()
        self._absent: dict[Field, str] = {}
        self._batch = [found for quantity in BATCH if (found := self._probe_batched(quantity))]
        self._calls: list[Called] = []
        for quantity in CALLS:
            self._probe_called(quantity)
        if not SOURCES.keys() & set(self._fields()):
            raise MeterError(
                f"{self._name or selector} gives no reading of its power ({self._doubts()}):"
                " use --assume-watts W or --meter none"
            )

    def facts(self) -> MeterFacts:
        """The best source it has (counter, instant, average, power usage) and all it can read."""
        fields = self._fields()
        return MeterFacts(
            source=next(SOURCES[field] for field in SOURCES if field in fields),
            name=f"NVML of {self._name or self._uuid}",
            scope="gpu",
            sensor=SensorFacts(scope="gpu"),
            device_uuid=self._uuid,
            capabilities=fields,
            library=self._library,
            reason=self._doubts(),
        )

    def read(self, *, slow: bool) -> Sequence[Reading | Missing]:
        """One tick, SI units; see ``Sensor.read``."""
        try:
            readings = list(self._read_batch())
            for quantity in tuple(self._calls):
                if slow or not quantity.slow:
                    readings.append(self._read_called(quantity))
        except NvmlError as error:
            if error.kind is ErrorClass.TRANSIENT:
                raise TransientError(str(error)) from error
            raise MeterLost("GPU_LOST", f"the GPU was lost: {error}") from error
        return readings

    def _fields(self) -> tuple[Field, ...]:
        return (*(batched.field for batched in self._batch), *(call.field for call in self._calls))

    def _doubts(self) -> str | None:
        fields = self._fields()
        return "; ".join(why for f, why in self._absent.items() if f not in fields) or None

    def _probe_batched(self, quantity: Batched) -> Batched | None:
        """The quantity with those of its ids that answer; None, and why, when none does.

        Ids are tried one by one, since a driver may refuse a call for one id it does not know.
        """
        good = []
        for number in quantity.ids:
            found = self._nvml.probe(partial(read_field, self._nvml, self._handle, number))
            if isinstance(found, NvmlError):
                self._absent[quantity.field] = str(found)
            else:
                good.append(number)
        return replace(quantity, ids=tuple(good)) if good else None

    def _probe_called(self, quantity: Called) -> None:
        if quantity.unless in self._fields():
            return
        found = self._nvml.probe(lambda: self._call(quantity))
        if isinstance(found, NvmlError):
            self._absent[quantity.field] = str(found)
        else:
            self._calls.append(quantity)

    def _read_batch(self) -> Iterator[Reading | Missing]:
        ids = [number for quantity in self._batch for number in quantity.ids]
        answers = read_fields(self._nvml, self._handle, ids) if ids else {}
        for quantity in tuple(self._batch):
            try:
                yield _sum(quantity, [answers[number] for number in quantity.ids])
            except NvmlError as error:
                yield self._missing(error, self._batch, quantity)

    def _read_called(self, quantity: Called) -> Reading | Missing:
        try:
            return Reading(quantity.field, self._call(quantity))
        except NvmlError as error:
            return self._missing(error, self._calls, quantity)

    def _missing(self, error: NvmlError, of: list[Quantity], quantity: Quantity) -> Missing:
        """Strike a quantity that is no longer given; any other error goes on up."""
        if error.kind is not ErrorClass.ABSENT:
            raise error
        of.remove(quantity)
        return Missing(quantity.field, str(error))

    def _call(self, quantity: Called) -> float:
        value = self._nvml.call(quantity.function, self._handle, *quantity.arguments)
        return quantity.convert(value)


def _sum(quantity: Batched, answers: Sequence[FieldValue | NvmlError]) -> Reading:
    total, stamp_s = 0.0, None
    for answer in answers:
        if isinstance(answer, NvmlError):
            raise answer
        total, stamp_s = total + answer.value, answer.stamp_s
    return Reading(quantity.field, quantity.convert(total), stamp_s)
