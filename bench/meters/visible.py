"""CUDA_VISIBLE_DEVICES as CUDA reads it, in terms of NVML's indices. Pure.

Semantics of the CUDA programming guide, "CUDA environment variables": indices or UUIDs, UUIDs may
be shortened to a unique prefix, and the first invalid entry ends the list.
"""

from __future__ import annotations

from collections.abc import Sequence


def visible_indices(
    mask: str | None, uuids: Sequence[str | None], *, same_order: bool
) -> list[int]:
    """NVML indices of the GPUs the mask leaves, in its order; all of them without a mask.

    ``uuids`` by NVML index, None where unknown. Without ``same_order`` CUDA may count the GPUs
    differently than NVML does, and a mask of numbers raises ValueError.
    """
    if mask is None:
        return list(range(len(uuids)))
    visible: list[int] = []
    for entry in map(str.strip, mask.split(",")):
        index = _by_number(entry, len(uuids)) if _is_number(entry) else _by_prefix(entry, uuids)
        if index is None:
            break
        if _is_number(entry) and not same_order:
            raise ValueError(
                f"CUDA_VISIBLE_DEVICES={mask} counts the GPUs in CUDA's order, which on a machine"
                " of different GPUs need not be NVML's"
            )
        visible.append(index)
    return visible


def _is_number(entry: str) -> bool:
    return entry.removeprefix("-").isdecimal()


def _by_number(entry: str, count: int) -> int | None:
    return int(entry) if 0 <= int(entry) < count else None


def _by_prefix(entry: str, uuids: Sequence[str | None]) -> int | None:
    """The one GPU whose UUID begins so; None when there is none or more than one."""
    if not entry.startswith("GPU-"):
        return None
    matches = [index for index, uuid in enumerate(uuids) if (uuid or "").startswith(entry)]
    return matches[0] if len(matches) == 1 else None
