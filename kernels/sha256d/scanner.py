"""What every back end offers: pieces of a nonce range, submitted and collected.

Which nonces meet a mask is all a scanner knows; headers, shares and time stop here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .header import NONCE_OFFSET, WORK_WORDS, check_range, prepare_work

PIECE_NONCES = 1 << 31
"""The longest piece: the CUDA loops count in 32 bits and must not wrap."""

CAPACITY = 1 << 17
"""Nonces that one piece can return: 2^24 nonces at an 8-bit mask give 65 536 ± 256."""

Work = tuple[int, ...]
Collect = Callable[[], list[list[int]]]
"""Waits for a piece; the sorted nonces of each of its works."""


class FoundOverflowError(RuntimeError):
    """More nonces met the mask than the result buffer holds: the piece's list is incomplete."""


class Scanner(Protocol):
    """A compiled kernel on an opened device.

    Twice ``parallel`` pieces may be in flight, so that the device never waits for the host.
    """

    @property
    def parallel(self) -> int:
        """Pieces that run side by side."""

    @property
    def midstates(self) -> int:
        """Works of one submission: headers that differ in their version only."""

    @property
    def granule(self) -> int:
        """Nonces that a piece should be a multiple of."""

    @property
    def config(self) -> Mapping[str, Any]:
        """What was opened: the variant; threads and lanes, or blocks."""

    @property
    def device_uuid(self) -> str | None:
        """The UUID that CUDA reports, "GPU-…"; None on a CPU."""

    def submit(self, works: Sequence[Work], first: int, count: int, mask: int) -> Collect:
        """Start the same nonces of ``midstates`` works, as ``prepare_works`` makes them.

        The returned call raises ``FoundOverflowError`` when a work's hits overflow its buffer.
        """

    def digest(self, message: bytes) -> bytes:
        """SHA-256 of a whole message through the kernel's own compression code."""

    def close(self) -> None:
        """Give threads and memory back."""


def prepare_works(headers: Sequence[bytes]) -> list[Work]:
    """The works of one submission; ValueError for headers that differ beyond their version."""
    if len({header[4:NONCE_OFFSET] for header in headers}) > 1:
        raise ValueError("headers scanned together may differ in their version only")
    return [prepare_work(header) for header in headers]


def scan(
    scanner: Scanner, headers: Sequence[bytes], first_nonce: int, count: int, mask: int
) -> list[list[int]]:
    """For each header the sorted nonces of a range whose H7 meets the mask, exact for the range.

    ``headers`` are the scanner's ``midstates`` siblings, 80 bytes each, or 76 without the nonce.
    ValueError for another number of them, for strangers and for a range that wraps.
    """
    check_range(first_nonce, count)
    if len(headers) != scanner.midstates:
        raise ValueError(f"the scanner takes {scanner.midstates} headers, not {len(headers)}")
    works = prepare_works(headers)
    length = min(-(-count // scanner.parallel) or 1, PIECE_NONCES)
    last = first_nonce + count
    pieces = [
        scanner.submit(works, first, min(length, last - first), mask)
        for first in range(first_nonce, last, length)
    ]
    found: list[list[int]] = [[] for _ in headers]
    for piece in pieces:
        for nonces, more in zip(found, piece(), strict=True):
            nonces.extend(more)
    return found


def complete(total: int, capacity: int) -> int:
    """``total``, the hits a kernel counted, or ``FoundOverflowError`` beyond ``capacity``."""
    if total > capacity:
        raise FoundOverflowError(
            f"{total} nonces met the mask, the buffer holds {capacity}: ask for more mask bits"
        )
    return total


class Slot(Protocol):
    """One stream of a GPU with its own result buffer: one piece at a time."""

    def launch(self, works: Sequence[Work], first: int, count: int, mask: int) -> None:
        """Queue the piece and return at once."""

    def collect(self) -> list[list[int]]:
        """Wait for it; each work's nonces sorted, or ``FoundOverflowError``."""


class SlotScanner:
    """A scanner of a GPU: two slots, so that one computes while the other is read."""

    parallel = 1

    def __init__(
        self,
        slots: Sequence[Slot],
        digest: Callable[[bytes], bytes],
        *,
        variant: str,
        midstates: int,
        blocks: int,
        threads_per_block: int,
        device_uuid: str,
    ) -> None:
        for slot in slots:  # whatever compiles or loads at the first launch does so here
            slot.launch([(0,) * WORK_WORDS] * midstates, 0, 0, 0)
            slot.collect()
        self._idle = list(slots)
        self._digest = digest
        self.midstates = midstates
        self.granule = blocks * threads_per_block
        self.config: Mapping[str, Any] = {
            "variant": variant,
            "midstates": midstates,
            "blocks": blocks,
            "threads_per_block": threads_per_block,
        }
        self.device_uuid = device_uuid

    def submit(self, works: Sequence[Work], first: int, count: int, mask: int) -> Collect:
        """Launch on an idle slot; IndexError when more pieces are in flight than slots."""
        slot = self._idle.pop()
        slot.launch(works, first, count, mask)

        def collect() -> list[list[int]]:
            try:
                return slot.collect()
            finally:
                self._idle.append(slot)

        return collect

    def digest(self, message: bytes) -> bytes:
        """SHA-256 of a whole message by one thread of the device."""
        return self._digest(message)

    def close(self) -> None:
        """Forget the slots and with them the device's memory."""
        self._idle.clear()
