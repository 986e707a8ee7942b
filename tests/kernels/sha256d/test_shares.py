"""The ledger: shares re-hashed, duplicates seen, counts weighed by Poisson."""

from __future__ import annotations

import pytest
from scipy.stats import poisson

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.shares import ShareLedger, poisson_bounds

RAW = REAL_HEADERS[5]
BITS = 4
MASK = h.share_mask(BITS)
COUNT = 1024
NONCES = h.scan_reference(RAW, 0, COUNT, MASK)


def _ledger() -> ShareLedger:
    return ShareLedger(BITS, MASK)


def _failed(ledger: ShareLedger) -> set[str]:
    return {name for name, passed, _ in ledger.check() if not passed}


@pytest.mark.parametrize(
    ("mean", "bounds"), [(0, (0, 0)), (64, (29, 107)), (1024, (871, 1184)), (16384, (15762, 17014))]
)
def test_published_bounds(mean: int, bounds: tuple[int, int]) -> None:
    assert poisson_bounds(mean) == bounds


@pytest.mark.parametrize("mean", [0.01, 0.7, 1.0, 3.3, 20.0, 500.5, 24999.0, 1e6])
def test_bounds_are_the_poisson_quantiles(mean: float) -> None:
    assert poisson_bounds(mean) == tuple(map(int, poisson.interval(1 - 1e-6, mean)))


def test_a_piece_that_overflowed_is_told() -> None:
    ledger = _ledger()
    ledger.add(RAW, NONCES, COUNT)
    ledger.overflow("9 nonces met the mask")
    assert _failed(ledger) == {"lists-whole"}
    assert ledger.check()[1][2] == "1 pieces overflowed ['9 nonces met the mask']"


def test_right_shares_pass_and_prove_themselves() -> None:
    ledger = _ledger()
    ledger.add(RAW, NONCES, COUNT)
    assert not _failed(ledger)
    facts = ledger.take()
    assert [fact["nonce"] for fact in facts] == NONCES
    for fact in facts:
        raw = bytes.fromhex(fact["header_hex"])
        assert fact["kind"] == "share"
        assert h.Header.parse(raw).nonce == fact["nonce"]
        assert int.from_bytes(h.sha256d(raw)[28:], "big") & fact["mask"] == 0
    assert ledger.take() == []


def test_no_work_passes() -> None:
    assert not _failed(_ledger())


def test_a_wrong_nonce_is_reported() -> None:
    ledger = _ledger()
    wrong = next(n for n in range(COUNT) if n not in NONCES)
    ledger.add(RAW, [*NONCES, wrong], COUNT)
    assert _failed(ledger) == {"shares-rehash"}
    assert h.with_nonce(RAW, wrong).hex() in ledger.check()[0][2]


def test_a_share_found_twice_is_reported_even_runs_later() -> None:
    ledger = _ledger()
    ledger.add(RAW, NONCES, COUNT)
    ledger.take()
    ledger.add(REAL_HEADERS[1], h.scan_reference(REAL_HEADERS[1], 0, COUNT, MASK), COUNT)
    assert not _failed(ledger)
    ledger.add(RAW, NONCES[:1], 16)
    assert _failed(ledger) == {"shares-once"}


@pytest.mark.parametrize("claimed", [COUNT * 3, COUNT // 3])
def test_missing_or_excess_work_is_reported(claimed: int) -> None:
    ledger = _ledger()
    ledger.add(RAW, NONCES, claimed)
    assert _failed(ledger) == {"shares-count"}
