"""Many quantities in one NVML call, nvmlDeviceGetFieldValues. Field ids and value types stop here.

The call succeeds while fields in it fail: each value has its own return code, type and time-stamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.meters.nvml import Nvml
from bench.meters.nvml_errors import NOT_SUPPORTED, NvmlError

# Ids of NVIDIA's public nvml.h; power in mW, energy in mJ since driver load, throttling in ns
POWER_AVERAGE, POWER_INSTANT, ENERGY = 185, 186, 191
THROTTLE_POWER, THROTTLE_SW_THERMAL, THROTTLE_HW_THERMAL, THROTTLE_BRAKE = 74, 269, 270, 271

# nvmlValueType_t -> member of nvmlValue_t
VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A field in NVML's own unit; ``stamp_s`` is the driver's wall-clock time of it."""

    value: float
    stamp_s: float | None


def read_fields(nvml: Nvml, handle: Any, ids: Sequence[int]) -> dict[int, FieldValue | NvmlError]:
    """Each field's value or its error; a refusal of the whole call is every field's error."""
    try:
        values = nvml.call("nvmlDeviceGetFieldValues", handle, list(ids))
    except NvmlError as error:
        return dict.fromkeys(ids, error)
    return {number: _read(number, value) for number, value in zip(ids, values, strict=True)}


def read_field(nvml: Nvml, handle: Any, number: int) -> FieldValue:
    """One field; NvmlError when it has none."""
    value = read_fields(nvml, handle, [number])[number]
    if isinstance(value, NvmlError):
        raise value
    return value


def _read(number: int, value: Any) -> FieldValue | NvmlError:
    if value.nvmlReturn != 0:
        return NvmlError(value.nvmlReturn, f"field {number}")
    if value.valueType >= len(VALUE_MEMBERS):
        return NvmlError(NOT_SUPPORTED, f"field {number} of unknown type {value.valueType}")
    stamp_s = value.timestamp / 1e6 if value.timestamp > 0 else None
    return FieldValue(float(getattr(value.value, VALUE_MEMBERS[value.valueType])), stamp_s)
