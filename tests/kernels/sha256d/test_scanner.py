"""What the two GPU back ends share: slots that have launched once before any piece is timed."""

from __future__ import annotations

import pytest

from bench.kernels.sha256d.header import WORK_WORDS
from bench.kernels.sha256d.scanner import SlotScanner, Work


class Recorder:
    """A slot that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def launch(self, work: Work, first: int, count: int, mask: int) -> None:
        self.asked.append((len(work), first, count, mask))

    def collect(self) -> list[int]:
        self.asked.append("collect")
        return []


@pytest.fixture
def slots() -> list[Recorder]:
    return [Recorder(), Recorder()]


@pytest.fixture
def scanner(slots: list[Recorder]) -> SlotScanner:
    return SlotScanner(
        slots, lambda message: message, blocks=2, threads_per_block=3, device_uuid="GPU-0"
    )


@pytest.mark.usefixtures("scanner")
def test_each_slot_has_launched_and_read_an_empty_piece(slots: list[Recorder]) -> None:
    """Compiling at the first launch would otherwise count as the first piece's time."""
    assert [slot.asked for slot in slots] == [[(WORK_WORDS, 0, 0, 0), "collect"]] * 2


def test_two_pieces_in_flight_and_no_third(scanner: SlotScanner) -> None:
    work = tuple(range(WORK_WORDS))
    pieces = [scanner.submit(work, first, 5, 7) for first in (0, 5)]
    with pytest.raises(IndexError):
        scanner.submit(work, 10, 5, 7)
    assert [piece() for piece in pieces] == [[], []]
    scanner.submit(work, 10, 5, 7)
