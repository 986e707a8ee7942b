"""CUDA_VISIBLE_DEVICES as CUDA reads it, in terms of NVML's indices. Pure.

The CUDA programming guide, "CUDA environment variables": indices or UUIDs, which may be shortened
to a unique beginning; the first invalid entry ends the list. What it leaves open is read as torch
reads it (``torch.cuda.device_count``): of an entry its leading number counts, the first entry says
whether the list is of numbers or of UUIDs, and an entry that repeats empties the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NUMBER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True)
class Mask:
    """NVML indices of the GPUs that are left, in the mask's order, and why there are not more."""

    indices: tuple[int, ...]
    ended: str | None = None


class Unreadable(ValueError):  # noqa: N818 - a state of the mask
    """A mask whose GPUs cannot be told from here, and why."""


def read_mask(mask: str | None, uuids: Sequence[str | None], *, same_order: bool) -> Mask:
    """The GPUs that the mask leaves; all of them without a mask.

    ``uuids`` by NVML index, None where unknown. Without ``same_order`` CUDA may count the GPUs
    differently than NVML does, and a mask of numbers raises ``Unreadable``.
    """
    if mask is None:
        return Mask(tuple(range(len(uuids))))
    entries = [entry.strip() for entry in mask.split(",")]
    if entries[0].startswith("MIG-"):
        return Mask((), f"{entries[0]} is a part of a GPU, and power is known of whole GPUs only")
    by_uuid = entries[0].startswith("GPU-")
    read = _by_uuid(uuids) if by_uuid else _by_number(len(uuids))
    indices: list[int] = []
    for entry in entries:
        index = read(entry)
        if isinstance(index, str):
            return Mask(tuple(indices), index)
        if index in indices:
            return Mask((), f"{entry} repeats a GPU, which CUDA takes for none at all")
        if not by_uuid and not same_order:
            raise Unreadable(
                f"CUDA_VISIBLE_DEVICES={mask} counts the GPUs in CUDA's order, which on a machine"
                " of different GPUs need not be NVML's"
            )
        indices.append(index)
    return Mask(tuple(indices))


def _by_number(count: int) -> Callable[[str], int | str]:
    """An entry's index, or why it has none."""

    def read(entry: str) -> int | str:
        number = NUMBER.match(entry)
        if number is None:
            return f"{entry!r} is neither a number nor a UUID" if entry else "an entry is empty"
        index = int(number.group())
        if index < 0:
            return f"{entry} ends the list"
        return index if index < count else f"{entry}: this machine has {count}, counted from 0"

    return read


def _by_uuid(uuids: Sequence[str | None]) -> Callable[[str], int | str]:
    """The one GPU whose UUID begins so, or why there is none."""

    def read(entry: str) -> int | str:
        if not entry.startswith("GPU-"):
            return f"{entry!r} among UUIDs is no UUID"
        matches = [index for index, uuid in enumerate(uuids) if (uuid or "").startswith(entry)]
        if len(matches) == 1:
            return matches[0]
        return f"{entry} is no GPU of this machine" if not matches else f"{entry} is not unique"

    return read
