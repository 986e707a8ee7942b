"""Many quantities in one NVML call, nvmlDeviceGetFieldValues. Field ids and value types stop here.

The call succeeds while fields in it fail: each value has its own return code, type and time-stamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.meters.nvml_errors import NOT_SUPPORTED, NvmlError
from bench.meters.nvml_library import Nvml

# Ids of NVIDIA's public nvml.h; power in mW, energy in mJ since driver load, throttling in ns
POWER_AVERAGE, POWER_INSTANT, ENERGY = 185, 186, 191
THROTTLE_POWER, THROTTLE_SW_THERMAL, THROTTLE_HW_THERMAL, THROTTLE_BRAKE = 74, 269, 270, 271
MODULE = 1  # NVML_POWER_SCOPE_MODULE: the GPU with its NVIDIA CPU; without a scope, the GPU alone

FieldId = int | tuple[int, int]  # a field, or (field, scope)

# nvmlValueType_t -> member of nvmlValue_t
VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")

plain = object.__getattribute__
"""nvidia-ml-py looks for text in every attribute read, at more than the cost of the call itself."""


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A field in NVML's own unit; ``stamp_s`` is the driver's wall-clock time of it."""

    value: float
    stamp_s: float | None


def read_fields(
    nvml: Nvml, handle: Any, ids: Sequence[FieldId]
) -> dict[FieldId, FieldValue | NvmlError]:
    """Each field's value or its error; a refusal of the whole call is every field's error."""
    try:
        values = nvml.call("nvmlDeviceGetFieldValues", handle, list(ids))
    except NvmlError as error:
        return dict.fromkeys(ids, error)
    return {number: _read(number, value) for number, value in zip(ids, values, strict=True)}


def read_field(nvml: Nvml, handle: Any, number: FieldId) -> FieldValue:
    """One field; NvmlError when it has none."""
    value = read_fields(nvml, handle, [number])[number]
    if isinstance(value, NvmlError):
        raise value
    return value


def _read(number: FieldId, value: Any) -> FieldValue | NvmlError:
    code, kind = plain(value, "nvmlReturn"), plain(value, "valueType")
    if code != 0:
        return NvmlError(code, f"field {number}")
    if kind >= len(VALUE_MEMBERS):
        return NvmlError(NOT_SUPPORTED, f"field {number} of unknown type {kind}")
    stamp_us = plain(value, "timestamp")
    stamp_s = stamp_us / 1e6 if stamp_us > 0 else None
    return FieldValue(float(getattr(plain(value, "value"), VALUE_MEMBERS[kind])), stamp_s)
