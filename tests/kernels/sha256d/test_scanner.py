"""What the two GPU back ends share: slots that have launched once before any piece is timed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.kernels.sha256d.header import WORK_WORDS, sibling, siblings
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import SlotScanner, Work, prepare_works, scan


class Recorder:
    """A slot that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def launch(self, works: Sequence[Work], first: int, count: int, mask: int) -> None:
        self.asked.append(([len(work) for work in works], first, count, mask))

    def collect(self) -> list[list[int]]:
        self.asked.append("collect")
        return [[1], [2]]


@pytest.fixture
def slots() -> list[Recorder]:
    return [Recorder(), Recorder()]


@pytest.fixture
def scanner(slots: list[Recorder]) -> SlotScanner:
    return SlotScanner(
        slots,
        lambda message: message,
        variant="shared",
        midstates=2,
        blocks=2,
        threads_per_block=3,
        device_uuid="GPU-0",
    )


@pytest.mark.usefixtures("scanner")
def test_each_slot_has_launched_and_read_an_empty_piece(slots: list[Recorder]) -> None:
    """Compiling at the first launch would otherwise count as the first piece's time."""
    assert [slot.asked for slot in slots] == [[([WORK_WORDS] * 2, 0, 0, 0), "collect"]] * 2


def test_two_pieces_in_flight_and_no_third(scanner: SlotScanner) -> None:
    works = [tuple(range(WORK_WORDS))] * 2
    pieces = [scanner.submit(works, first, 5, 7) for first in (0, 5)]
    with pytest.raises(IndexError):
        scanner.submit(works, 10, 5, 7)
    assert [piece() for piece in pieces] == [[[1], [2]]] * 2
    scanner.submit(works, 10, 5, 7)


def test_it_says_what_was_opened(scanner: SlotScanner) -> None:
    assert scanner.config == {
        "variant": "shared",
        "midstates": 2,
        "blocks": 2,
        "threads_per_block": 3,
    }


def test_a_scan_asks_for_the_siblings_work_and_keeps_their_lists_apart(
    scanner: SlotScanner, slots: list[Recorder]
) -> None:
    assert scan(scanner, siblings(REAL_HEADERS[3], 2), 10, 5, 7) == [[1], [2]]
    assert slots[1].asked[-2] == ([WORK_WORDS] * 2, 10, 5, 7)


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_headers_is_refused(scanner: SlotScanner, count: int) -> None:
    with pytest.raises(ValueError, match=f"takes 2 headers, not {count}"):
        scan(scanner, siblings(REAL_HEADERS[3], count), 0, 1, 0)


def test_headers_that_differ_beyond_their_version_are_refused() -> None:
    one = REAL_HEADERS[4]
    later = one[:68] + bytes([one[68] ^ 1]) + one[69:]
    with pytest.raises(ValueError, match="in their version only"):
        prepare_works([one, later])
    works = prepare_works([one, sibling(one, 7)])
    assert works[0][16:] == works[1][16:]
    assert works[0][:8] != works[1][:8]
